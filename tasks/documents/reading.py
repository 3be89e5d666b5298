"""Reading a document: what it is, by its bytes before its name, and the reader that makes blocks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from speechmill import languages
from speechmill.errors import BadInput, LimitExceeded, UnreadableDocument, UnreadableScript, UnsupportedLanguage
from speechmill.roots import path_of
from speechmill.settings import Settings
from storage.scratch import Scratch
from tasks import sources
from tasks.documents.apparatus import apart
from tasks.documents.blocks import READ_ALOUD, Document, Dropped, Kind, Piece, assemble, clean
from tasks.documents.interviews import told_apart
from tasks.documents.tongues import language_of, script_language_of
from tasks.documents.web import fetch
from tasks.text.texts import read_text

MOST_FILE_BYTES = 256 * 2**20  # books with pictures
MOST_PAGE_BYTES = 16 * 2**20
FETCH_S = 60.0
HEAD_BYTES = 4096
DEFAULT_LANGUAGE = "en"
LITTLE = 0.25  # a document of which less is read is told
SAMPLED_PIECES = 400  # by which the language is told
TITLED = frozenset({"html", "markdown"})  # their title often stands beside the text; books and papers have title pages

ENDINGS = {
    ".md": "markdown", ".markdown": "markdown", ".mdown": "markdown", ".html": "html", ".htm": "html",
    ".xhtml": "html", ".txt": "text", ".text": "text", ".srt": "captions", ".vtt": "captions",
}  # fmt: skip
TYPES = {
    "text/html": ".html", "application/xhtml+xml": ".html", "application/pdf": ".pdf", "text/markdown": ".md",
    "application/epub+zip": ".epub", "text/vtt": ".vtt", "application/x-subrip": ".srt", "text/plain": ".txt",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
}  # fmt: skip
NOT_TEXT = (
    (b"\x89PNG", "a picture"), (b"\xff\xd8\xff", "a picture"), (b"GIF8", "a picture"), (b"\x1f\x8b", "a gzip file"),
    (b"\xd0\xcf\x11\xe0", "a document of an old office program"), (b"{\\rtf", "an RTF document"),
    (b"Rar!", "a RAR file"), (b"7z\xbc\xaf", "a 7z file"), (b"ID3", "a sound file"), (b"RIFF", "a sound or film file"),
    (b"\x7fELF", "a program"), (b"OggS", "a sound file"), (b"fLaC", "a sound file"), (b"MZ", "a program"),
)  # fmt: skip

Found = tuple[Iterable[Piece | Dropped], dict[str, str]]


@dataclass(frozen=True, slots=True)
class _Source:
    path: Path
    name: str
    language: str | None
    address: str = ""
    charset: str = ""  # as a server says


def read_document(source: str | Path, settings: Settings, *, language: str | None = None) -> Document:
    """A document as blocks, from a file, from S3, or (where the settings allow it) from an ``https://`` address.

    ``language`` is used where the document does not say its own. Raises ``BadInput`` for all that is wrong with the
    document and ``Unavailable`` for a server that does not answer.
    """
    text = str(source)
    if "://" not in text:
        return _read(_Source(path_of(text), Path(text).name, language))
    if text.startswith(sources.S3):
        found = sources.find(text, settings)
        with found.called():
            return _read(_Source(found.path, found.name, language))
    _refuse_address(text, settings)
    reply = fetch(text, most_bytes=MOST_PAGE_BYTES, deadline_s=FETCH_S)
    kind, _, parameters = reply.headers.get("content-type", "").lower().partition(";")
    charset = parameters.partition("charset=")[2].partition(";")[0].strip("\"' ")
    ending = TYPES.get(kind.strip()) or Path(urlsplit(reply.address).path).suffix.lower() or ".html"
    with Scratch(settings.scratch).folder() as folder:
        path = folder / f"document{ending}"
        path.write_bytes(reply.body)
        return _read(_Source(path, text, language, reply.address, charset))


def look(source: str, settings: Settings) -> None:
    """Raise ``BadInput`` for what is no document, as far as its first bytes or its address tell."""
    if "://" not in source:
        path = path_of(source)
        _kind(_Source(path, path.name, None))
    elif source.startswith(sources.S3):
        sources.look(source, settings)
    else:
        _refuse_address(source, settings)


def _refuse_address(address: str, settings: Settings) -> None:
    if not address.startswith("https://"):
        raise BadInput(f"{address[:200]} cannot be read from", hint="give a file, or an s3:// or https:// address")
    if not settings.allow_https:
        raise BadInput(
            f"{address[:200]} is an address, and the settings allow only files",
            hint="set SPEECHMILL_ALLOW_HTTPS=1, or save the page and give the file",
        )


def _read(source: _Source) -> Document:
    kind = _kind(source)
    pieces, metadata = READERS[kind](source)
    found = list(pieces)
    if source.address:
        metadata["address"] = source.address
    text = " ".join(piece.text for piece in found[:SAMPLED_PIECES] if isinstance(piece, Piece))
    own = _tag(metadata.pop("language", "")) or _tag(metadata.pop("lang", ""))
    said = own or source.language or language_of(text) or DEFAULT_LANGUAGE
    notes = _language_notes(source, own, text)
    found = told_apart(apart(found, said, metadata.get("author", "")))
    notes += _little_notes(source.name, found)
    title = metadata.pop("title", "")
    if title and kind in TITLED and not any(_titles(piece, title) for piece in found):
        found.insert(0, Piece(Kind.HEADING, title, "title", 1))
    return assemble(source.name, found, title=title, language=said, metadata=metadata, notes=notes)


def _language_notes(source: _Source, own: str | None, text: str) -> list[str]:
    """What is to be known where somebody asked for another language than the document has. Refuses one that it is not
    written in the letters of."""
    asked = source.language
    if asked is None:
        return []
    if own is not None:
        same = languages.base(own) == languages.base(asked)
        return [] if same else [f"{source.name} says that it is in {languages.name(own)}, and is read as that."]
    seems = language_of(text)
    if seems is None or languages.base(seems) == languages.base(asked):
        return []
    if not languages.may_be_in(asked, letters_of=seems):
        raise BadInput(
            f"{source.name} is written in {languages.name(seems)}, and {languages.name(asked)} is asked for",
            hint="leave --language out, or translate the document first",
        )
    if script_language_of(text) is not None:
        return []  # it is told by its letters, which others have too
    return [f"{source.name} seems to be in {languages.name(seems)}, and is read as {languages.name(asked)}."]


def _little_notes(name: str, found: Iterable[Piece | Dropped]) -> list[str]:
    """What is to be known of a document most of which cannot be followed by ear: it may be no text for an episode."""
    pieces = [piece for piece in found if isinstance(piece, Piece)]
    read = sum(len(piece.text) for piece in pieces if piece.kind in READ_ALOUD)
    share = read / max(1, sum(len(piece.text) for piece in pieces))
    if not pieces or share >= LITTLE:
        return []
    return [f"Only {share:.0%} of {name} is read: the rest is tables, program text and notes."]


def _titles(piece: Piece | Dropped, title: str) -> bool:
    """Whether it is a heading over all of the text."""
    if not isinstance(piece, Piece) or piece.kind != Kind.HEADING:
        return False
    return piece.level == 1 or clean(piece.text).casefold() == clean(title).casefold()


def _kind(source: _Source) -> str:
    """What reads the file, by its first bytes and, among texts, by its ending."""
    path, name = source.path, source.name
    try:
        if path.is_dir():
            raise UnreadableDocument(f"{name} is a folder", hint="name the file in it")
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise UnreadableDocument(f"there is no file {path}", hint="check the name") from None
    except OSError as error:
        raise UnreadableDocument(f"{name} cannot be read: {error.strerror}", hint="check its permissions") from None
    if not head.strip():
        raise UnreadableDocument(f"{name} is empty", hint="give a document with text")
    if size > MOST_FILE_BYTES:
        raise LimitExceeded(
            f"{name} has {size / 2**20:.0f} MiB",
            hint=f"at most {MOST_FILE_BYTES // 2**20} MiB are read; give a part of it",
        )
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith(b"PK"):
        return "epub" if b"application/epub+zip" in head or path.suffix.lower() == ".epub" else "docx"
    what = next((what for mark, what in NOT_TEXT if head.startswith(mark)), None)
    if what is None and head[4:8] == b"ftyp":
        what = "a film or sound file"
    if what is not None:
        raise UnreadableDocument(
            f"{name} is {what}", hint="give Markdown, HTML, PDF, EPUB, DOCX, SRT, VTT or plain text"
        )
    if path.suffix.lower() in (".pdf", ".epub", ".docx"):
        raise UnreadableDocument(f"{name} is cut off or damaged", hint="save or download it again")
    if head.lstrip(b"\xef\xbb\xbf \r\n").startswith(b"WEBVTT"):
        return "captions"
    start = head[:1024].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "html"
    return ENDINGS.get(path.suffix.lower(), "text")


def _tag(language: str) -> str | None:
    try:
        return languages.canonical(language) if language else None
    except UnsupportedLanguage:
        return None


def _text(source: _Source) -> str:
    try:
        return read_text(source.path, source.language)
    except UnreadableScript as error:
        raise UnreadableDocument(error.message.replace(source.path.name, source.name), hint=error.hint) from None


def _markdown(source: _Source) -> Found:
    from tasks.documents import markdown

    fields, body = markdown.front_matter(_text(source))
    return markdown.pieces(body), {
        k: v for k, v in fields.items() if k in ("title", "author", "date", "lang", "language")
    }


def _plain(source: _Source) -> Found:
    from tasks.documents import plain

    return plain.pieces(_text(source)), {}


def _captions(source: _Source) -> Found:
    from tasks.documents import captions

    return captions.pieces(_text(source), source.name, source.language or DEFAULT_LANGUAGE), {}


def _html(source: _Source) -> Found:
    from tasks.documents import pages

    return pages.read(source.path.read_bytes(), source.name, source.address, source.charset)


def _pdf(source: _Source) -> Found:
    from tasks.documents import pdf

    return pdf.read(source.path)


def _epub(source: _Source) -> Found:
    from tasks.documents import epub

    return epub.read(source.path)


def _docx(source: _Source) -> Found:
    from tasks.documents import docx

    return docx.read(source.path)


READERS: dict[str, Callable[[_Source], Found]] = {
    "markdown": _markdown,
    "text": _plain,
    "captions": _captions,
    "html": _html,
    "pdf": _pdf,
    "epub": _epub,
    "docx": _docx,
}
