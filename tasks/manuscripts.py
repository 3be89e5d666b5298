"""The manuscript of an episode: a document read and written into a script, or a script that was given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model_worker.engines.registry import engine
from speechmill.abilities import Ability
from speechmill.episodes import EpisodeScript, PodcastRequest
from speechmill.recipes import Digest, digest_of_bytes, digest_of_file
from speechmill.settings import Settings
from tasks.documents.blocks import Document
from tasks.documents.reading import read_document
from tasks.episode import membership
from tasks.recording import keep_script
from tasks.scriptwriting.keeping import is_script, read_script
from tasks.scriptwriting.preview import preview
from tasks.scriptwriting.writing import write_script
from tasks.workplace import Workplace


@dataclass(frozen=True, slots=True)
class Manuscript:
    """What an episode is made from."""

    name: str  # of the source, for people
    sha256: Digest
    script: EpisodeScript  # with the edits of a person


def take_in(place: Workplace, request: PodcastRequest) -> Manuscript:
    """Read the source and have its script; kept in the catalog, where a person may have edited it. Refuses a show
    that the episode cannot become one of."""
    if request.show:
        membership.foresee(Path(request.show), place.job, Path(place.catalog.job(place.job).out))
    with place.stages("script"):
        document, script = written(request, place.settings)
    path = Path(request.source)
    sha256 = digest_of_file(path) if document is None else digest_of_bytes(document.text.encode())
    return Manuscript(path.name, sha256, keep_script(place, script))


def written(request: PodcastRequest, settings: Settings) -> tuple[Document | None, EpisodeScript]:
    """The document, where the source is one, and the script; its minutes by how fast the chosen engine speaks."""
    speaks = engine(request.engines.get(Ability.SPEAK, settings.engine), settings).speaks
    pace = speaks.characters_per_s if speaks else None
    if is_script(Path(request.source)):
        return None, read_script(Path(request.source), language=request.language, characters_per_s=pace)
    document = read_document(request.source, settings, language=request.language)
    script = write_script(document, request.format, settings, minutes=request.minutes, characters_per_s=pace)
    return document, script


def previewed(request: PodcastRequest, settings: Settings) -> str:
    """What would be read aloud, and what is skipped and why, for a person; nothing is made."""
    return preview(*written(request, settings))
