"""Foresight: what can be seen of a request before any work, from the files that it names as they lie there. An hour of
film is not to be transcribed before a glossary turns out to be missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TypeGuard

from speechmill import languages
from speechmill.episodes import PodcastRequest
from speechmill.errors import BadInput, SpeechmillError, UnreadableScript
from speechmill.requests import DubbingRequest
from speechmill.roots import Roots
from speechmill.settings import Settings
from tasks import originals, sources
from tasks.casts import read_cast
from tasks.documents import reading
from tasks.episode.shows import read_show
from tasks.media import publishing, tracks
from tasks.media.naming import Names
from tasks.media.probing import glance
from tasks.media.shelf import Claim
from tasks.text.glossaries import EVERY, read_glossary
from tasks.text.lexicons import read_lexicon
from tasks.text.texts import read_text


def look_at_film(request: DubbingRequest, settings: Settings, within: Roots | None = None) -> None:
    """Refuse a dub whose source is no film or recording, whose bed has no sound, whose texts cannot be read, or that
    has a translation into a language that it is not dubbed into. What lies in S3 is looked at when it is fetched, but
    for the source. Texts must lie under the roots ``within``, if any. Raises ``BadInput``."""
    if request.language in request.targets:
        spoken = languages.name(request.language)
        raise BadInput(
            f"the film is taken to be in {spoken}, and is to be dubbed into {spoken}",
            hint="say by --from what is spoken in it, or choose another language by --to",
        )
    sources.look(request.source, settings)
    if _is_here(request.source):
        originals.track_of(Path(request.source), request, settings)
    if _is_here(request.bed):
        with _called("--bed"):
            bed = Path(request.bed)
            tracks.refuse_unusable(bed, glance(bed, settings).audio, 0, settings)
    for language, file in request.translations.items():
        if language not in request.targets:
            named = " ".join(f"--to {tag}" for tag in (*request.targets, language))
            raise BadInput(
                f"there is a translation into {languages.name(language)} ({language}), which is not asked for",
                hint=f"add the language ({named}), or leave the translation out",
            )
        if _is_here(file):
            with _called("--translation"):
                read_text(Path(file), language, within)
    if _is_here(request.script):
        with _called("--script"):
            read_text(Path(request.script), request.language, within)
    if _is_here(request.glossary):
        with _called("--glossary"):
            _look_at_glossary(Path(request.glossary), request.targets, within)


def _look_at_glossary(path: Path, targets: Sequence[str], within: Roots | None) -> None:
    homeless = read_glossary(path, within).homeless
    if homeless and len(targets) > 1:
        term = homeless[0]
        raise UnreadableScript(
            f"{path.name} does not say which language “{term.target}” is, and the film is dubbed into {len(targets)}",
            hint=f"write “{term.source},{term.target},{term.spoken},{targets[0]}”, or with {EVERY} for every language",
        )


def look_at_document(request: PodcastRequest, settings: Settings) -> None:
    """Refuse an episode whose source is no document, or whose show, cast or lexicon cannot be read. For whoever may
    name any file: what a show names is not asked here whether it may. Raises ``BadInput``."""
    if request.collected is None:
        reading.look(request.source, settings)
    if _is_here(request.show):
        with _called("--show"):
            read_show(Path(request.show))
    if _is_here(request.cast):
        with _called("--cast"):
            read_cast(Path(request.cast))
    if _is_here(request.lexicon):
        with _called("--lexicon"):
            read_lexicon(Path(request.lexicon))


def look_at_out(request: DubbingRequest | PodcastRequest, out: Path, job: str = "") -> None:
    """Refuse a folder that the delivery cannot be put into, or that has files of the user's, or of another delivery,
    under the names that it is to have. Raises ``BadInput`` or ``Conflict``."""
    read: tuple[str | None, ...] = (request.source,)
    if isinstance(request, DubbingRequest):
        read += (request.script, request.glossary, request.bed, *request.translations.values())
    publishing.try_out(out, *claimed(request, job), [Path(file) for file in filter(_is_here, read)])


def claimed(request: DubbingRequest | PodcastRequest, job: str = "") -> tuple[Claim, frozenset[str]]:
    """What the delivery of a request is of, and the names of its files, but those of its report."""
    if isinstance(request, DubbingRequest):
        names = Names.of_dubbing(request)
        return names.claim(request.source, job), names.all()
    from tasks.releasing import MP4_NAMES, NAMES, claim_of

    more = [MP4_NAMES[request.mp4]] if request.mp4 else []
    return claim_of(request.source, job), frozenset([*asdict(NAMES).values(), *more])


@contextmanager
def _called(option: str) -> Iterator[None]:
    """Errors from inside say which option is meant."""
    try:
        yield
    except SpeechmillError as error:
        error.message = f"{option}: {error.message}"
        raise


def _is_here(named: str | None) -> TypeGuard[str]:
    """Whether something is named, as a file of this machine."""
    return named is not None and "://" not in named
