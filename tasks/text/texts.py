"""Text files that a user gives: read whatever encoding they are in, or refused in one sentence."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

import langcodes

from speechmill.errors import UnreadableScript
from speechmill.roots import Roots, opened

MOST_BYTES = 16 * 2**20
"""A transcript of 24 hours of fast speech in UTF-16 has about 3 MB; what is larger is not a script."""

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

OTHER_LATIN = frozenset(
    ("az", "bs", "cs", "cy", "eo", "hr", "hu", "lt", "lv", "mt", "pl", "ro", "sk", "sl", "sq", "tr", "vi")
)
"""Languages in Latin letters that Windows-1252 cannot write: their old files are in other code pages."""

MOST_CONTROLS = 0.01  # share of control characters above which a file is not text


def read_text(path: Path, language: str | None = None, within: Roots | None = None) -> str:
    """The text of a file in UTF-8, UTF-16, UTF-32 or Windows-1252 (Latin-1), with ``\\n`` line ends and no BOM.

    An eight-bit encoding is believed only for languages that Windows-1252 can write. Raises ``UnreadableScript``
    for what is missing, a folder, empty, too large, binary, or in an encoding that cannot be told, and
    ``ForbiddenSource`` for what does not lie under the roots ``within``.
    """
    data = _bytes(path, within)
    text = _decoded(data, language)
    if text is None:
        raise UnreadableScript(
            f"{path.name} is not in an encoding that can be read",
            hint="save it as UTF-8 and run again",
        )
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    controls = sum(1 for c in text if c < " " and c not in "\n\t\f\v\x1b") + text.count("\ufffd")
    if "\0" in text or controls > MOST_CONTROLS * len(text):
        raise UnreadableScript(f"{path.name} is not a text file", hint="give the text as UTF-8")
    if not text.strip():
        raise UnreadableScript(f"{path.name} has no text in it", hint="give a file with text, or leave the option out")
    return text


def _bytes(path: Path, within: Roots | None) -> bytes:
    try:
        if path.is_dir():
            raise UnreadableScript(f"{path.name} is a folder, not a text file", hint="name the file in it")
        with path.open("rb") if within is None else opened(path, within) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_BYTES:
                raise UnreadableScript(
                    f"{path.name} has {size / 2**20:.0f} MiB, which is more than any script needs",
                    hint=f"check that it is the right file; at most {MOST_BYTES // 2**20} MiB are read",
                )
            data = file.read(MOST_BYTES + 1)  # a pipe or device says that its size is 0
    except FileNotFoundError:
        raise UnreadableScript(f"there is no file {path}", hint="check the name") from None
    except OSError as error:
        raise UnreadableScript(
            f"{path.name} cannot be read: {error.strerror}", hint="check the file and its permissions"
        ) from None
    if len(data) > MOST_BYTES:
        raise UnreadableScript(f"{path.name} does not end", hint="give an ordinary file")
    if not data.strip():
        raise UnreadableScript(f"{path.name} is empty", hint="give a file with text, or leave the option out")
    return data


def _decoded(data: bytes, language: str | None) -> str | None:
    for mark, encoding in BOMS:
        if data.startswith(mark):
            return _try(data, encoding)
    # In UTF-16 without its mark every other byte of line ends, digits and spaces is zero, in any language.
    head = data[:4096]
    if head.count(0) > len(head) // 16:
        little = head[1::2].count(0) >= head[0::2].count(0)
        return _try(data, "utf-16-le" if little else "utf-16-be")
    text = _try(data, "utf-8")
    if text is not None or (language is not None and not _written_in_1252(language)):
        return text
    # Latin-1 gives the five bytes that Windows-1252 leaves open a meaning, so it never fails.
    return _try(data, "cp1252") or data.decode("latin-1")


def _try(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _written_in_1252(language: str) -> bool:
    tag = langcodes.get(language)
    return tag.maximize().script == "Latn" and tag.language not in OTHER_LATIN
