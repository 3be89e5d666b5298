"""Zip files that hold a document (EPUB, DOCX), read so that none of them can fill the memory."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speechmill.errors import LimitExceeded, UnreadableDocument

MOST_MEMBERS = 20_000
MOST_MEMBER_BYTES = 32 * 2**20  # a chapter of 32 MiB would be a library
MOST_BYTES = 128 * 2**20  # of all that is read of one document
ENCRYPTED = 0x1  # general purpose flag, bit 0


class Archive:
    """The members of one zip file; what is read counts towards one limit, by the bytes that really come out."""

    def __init__(self, file: zipfile.ZipFile, name: str) -> None:
        self._file = file
        self._name = name
        self._read_bytes = 0
        self.members = frozenset(file.namelist())

    def read(self, member: str) -> bytes:
        """The bytes of a member. Raises ``UnreadableDocument`` for what is missing, encrypted or damaged, and
        ``LimitExceeded`` for a member that unpacks to more than any document has."""
        try:
            info = self._file.getinfo(member)
        except KeyError:
            raise UnreadableDocument(
                f"{self._name} lacks its part {member}", hint="save or download it again"
            ) from None
        if info.flag_bits & ENCRYPTED:
            raise UnreadableDocument(f"{self._name} is encrypted", hint="save it without a password")
        most = min(MOST_MEMBER_BYTES, MOST_BYTES - self._read_bytes)
        try:
            with self._file.open(info) as stream:
                data = stream.read(most + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError):
            raise UnreadableDocument(
                f"the part {member} of {self._name} is damaged", hint="save or download it again"
            ) from None
        if len(data) > most:
            raise LimitExceeded(
                f"{self._name} unpacks to more than any document has", hint="check where the file comes from"
            )
        self._read_bytes += len(data)
        return data

    def xml(self, member: str) -> Any:
        """A member as an lxml element. Entities are not expanded, nothing is fetched."""
        return parse_xml(self.read(member), f"{self._name} ({member})")


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    try:
        with zipfile.ZipFile(path) as file:
            if len(file.infolist()) > MOST_MEMBERS:
                raise LimitExceeded(
                    f"{path.name} has {len(file.infolist())} parts, more than any document",
                    hint="check where the file comes from",
                )
            yield Archive(file, path.name)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, UnicodeDecodeError):
        raise UnreadableDocument(f"{path.name} is cut off or damaged", hint="save or download it again") from None


def parse_xml(data: bytes, name: str) -> Any:
    """Bytes as an lxml element; raises ``UnreadableDocument``."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=True)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError):
        root = None
    if root is None:
        raise UnreadableDocument(f"{name} is damaged", hint="save or download it again")
    return root


def parse_html(data: bytes | str, name: str) -> Any:
    """Bytes as the root element of an HTML page, mended as a browser would; raises ``UnreadableDocument``."""
    from lxml import etree

    parser = etree.HTMLParser(no_network=True, huge_tree=False, remove_comments=True, remove_pis=True)
    if isinstance(data, str):
        parser = etree.HTMLParser(
            no_network=True, huge_tree=False, remove_comments=True, remove_pis=True, encoding="utf-8"
        )
        data = data.encode("utf-8", "replace")
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError):
        root = None
    if root is None:
        raise UnreadableDocument(f"{name} is no page that can be read", hint="save it again, or give its text")
    return root
