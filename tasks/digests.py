"""Digests: which documents of a folder are heard next, and how they become one document with a chapter for each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from speechmill.episodes import Collected
from speechmill.errors import BadInput, SpeechmillError, UnreadableDocument, from_os_error
from speechmill.languages import base
from speechmill.languages import name as language_name
from speechmill.recipes import Digest, digest_of_file
from speechmill.roots import Roots, opened
from speechmill.settings import Settings
from storage.objects import link_or_copy
from storage.scratch import Scratch
from tasks.documents.blocks import Document, Dropped, Kind, Piece, assemble
from tasks.documents.reading import ENDINGS, read_document

READ = frozenset({*ENDINGS, ".pdf", ".epub", ".docx"})
MOST_DOCUMENTS = 1_000  # of one episode
DEEPEST = 6  # level of a heading


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that could be heard."""

    name: str
    sha256: Digest
    modified_at: datetime
    language: str
    spoken_characters: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A document that is not heard now, and why (a sentence)."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What the next digest has."""

    chosen: tuple[Candidate, ...] = ()
    waiting: tuple[Waiting, ...] = ()  # for the next one
    heard: tuple[str, ...] = ()  # names of what was heard before, or is chosen under another name


def spoken_language(candidates: Sequence[Candidate], heard: Collection[Digest], preferred: str = "") -> str:
    """The language of the next digest: the one that the show prefers, where something new is in it, or that of the
    oldest document that nobody has heard. Empty where there is none."""
    new = sorted((c for c in candidates if c.sha256 not in heard), key=lambda c: (c.modified_at, c.name))
    wanted = [c for c in new if preferred and base(c.language) == base(preferred)]
    return next((c.language for c in [*wanted, *new]), "")


def choose(
    candidates: Sequence[Candidate],
    heard: Collection[Digest],
    minutes: float,
    characters_per_s: float,
    language: str,
) -> Plan:
    """The oldest documents in a language that nobody has heard, whole, up to so many minutes; the first in any case.

    Regions of a language are heard in one episode. The order is never left for a better fit: so what waits today is
    heard first tomorrow.
    """
    known = set(heard)
    chosen: list[Candidate] = []
    waiting: list[Waiting] = []
    left_out: list[str] = []
    room = minutes * 60 * characters_per_s
    full = False
    for each in sorted(candidates, key=lambda c: (c.modified_at, c.name)):
        if each.sha256 in known:
            left_out.append(each.name)
        elif base(each.language) != base(language):
            waiting.append(
                Waiting(
                    each.name,
                    f"It is in {language_name(each.language)}, and this episode in {language_name(language)}.",
                )
            )
        elif chosen and (full or each.spoken_characters > room or len(chosen) == MOST_DOCUMENTS):
            full = True
            waiting.append(Waiting(each.name, f"The episode is to have {minutes:g} minutes."))
        else:
            chosen.append(each)
            known.add(each.sha256)
            room -= each.spoken_characters
    return Plan(tuple(chosen), tuple(waiting), tuple(left_out))


def look(
    folder: Path, heard: Collection[Digest], settings: Settings, language: str | None, within: Roots | None
) -> tuple[list[Candidate], list[Waiting]]:
    """The documents of a folder (not of those in it), and those that cannot be read, with the reason.

    What was heard is not read again. Raises ``UnreadableDocument`` for a folder that is none.
    """
    try:
        files = sorted(each for each in folder.iterdir() if _is_document(each))
    except OSError as error:
        raise UnreadableDocument(
            f"the folder {folder} cannot be read: {error.strerror}", hint="name a folder of documents of this machine"
        ) from None
    found: list[Candidate] = []
    unreadable: list[Waiting] = []
    for file in files:
        try:
            with _judged(file, settings, within) as judged:
                found.append(_candidate(judged, heard, settings, language))
        except (SpeechmillError, OSError) as error:
            ours = from_os_error(error) if isinstance(error, OSError) else error
            unreadable.append(Waiting(file.name, str(ours)))
    return found, unreadable


def _is_document(file: Path) -> bool:
    return not file.name.startswith(".") and file.suffix.lower() in READ and not file.is_dir()


def _candidate(file: Path, heard: Collection[Digest], settings: Settings, language: str | None) -> Candidate:
    modified_at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    sha256 = digest_of_file(file)
    if sha256 in heard:
        return Candidate(file.name, sha256, modified_at, "", 0)
    document = read_document(file, settings, language=language)
    spoken = sum(len(block.text) for block in document.spoken_blocks)
    return Candidate(file.name, sha256, modified_at, document.language, spoken)


@contextmanager
def _judged(file: Path, settings: Settings, within: Roots | None) -> Iterator[Path]:
    """A document of a folder as it is now, which must lie under the roots: a link may lead anywhere, and somewhere else
    by the time that it is read."""
    if within is None:
        yield file
        return
    with opened(file, within) as found, Scratch(settings.scratch).folder() as folder:
        link_or_copy(found, folder / file.name)
        yield folder / file.name


def read_together(
    folder: Path, collected: Collected, settings: Settings, language: str | None = None, within: Roots | None = None
) -> Document:
    """The documents as one: under each one's title, a heading of the first level, its own headings lie one deeper.

    Raises ``BadInput`` for one that has changed since it was chosen, ``ForbiddenSource`` for one that does not lie
    under the roots ``within``, and as ``read_document`` does.
    """
    documents = []
    for name in collected.order:
        with _judged(folder / name, settings, within) as file:
            document = read_document(file, settings, language=language)
            if digest_of_file(file) != collected.documents[name]:
                raise BadInput(f"{name} has changed since this digest was chosen", hint="make the digest again")
        documents.append(document)
    pieces = [piece for document in documents for piece in _chapter(document)]
    return assemble(folder.name, pieces, title=collected.title, language=documents[0].language)


def _chapter(document: Document) -> Iterator[Piece | Dropped]:
    yield Piece(Kind.HEADING, document.title, document.name, 1)
    for number, block in enumerate(document.blocks):
        if number == 0 and block.kind is Kind.HEADING and block.text == document.title:
            continue  # it has been said
        level = min(block.level + 1, DEEPEST) if block.kind is Kind.HEADING else block.level
        place = f"{document.name}, {block.place}"
        yield Piece(block.kind, block.text, place, level, block.speaker, block.links)
    yield from (replace(each, place=f"{document.name}, {each.place}") for each in document.dropped)
