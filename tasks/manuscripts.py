"""The manuscript of an episode: a document read and written into a script, or a script that was given."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from model_worker.engines.registry import Needs, choose, engine_at_work
from speechmill.abilities import Ability, Engine
from speechmill.episodes import EpisodeScript, Format, PodcastRequest
from speechmill.languages import usual_characters_per_s
from speechmill.profiles import profile
from speechmill.recipes import Digest, digest_of_bytes, digest_of_file
from speechmill.roots import Roots
from speechmill.settings import Settings
from storage.artifacts import ArtifactStore
from tasks import casting, sources
from tasks.answering import by_anybody
from tasks.casts import Members, joined, raise_for_strangers, read_cast
from tasks.digests import read_together
from tasks.disclosing import disclosed
from tasks.documents.blocks import Document
from tasks.documents.reading import read_document
from tasks.episode import membership
from tasks.episode.shows import Show, read_show
from tasks.recording import keep_script
from tasks.scriptwriting.keeping import is_script, read_script
from tasks.scriptwriting.preview import preview, preview_json
from tasks.scriptwriting.writing import SPEAKERS, write_script
from tasks.text.lexicons import Lexicon, read_lexicon
from tasks.workplace import Workplace, artifact_store, open_catalog


@dataclass(frozen=True, slots=True)
class Manuscript:
    """What an episode is made from."""

    name: str  # of the source, for people
    sha256: Digest
    script: EpisodeScript  # with the edits of a person
    lexicon: Lexicon  # of the show and of the request


def take_in(place: Workplace, request: PodcastRequest) -> Manuscript:
    """Read the source and have its script; kept in the catalog, where a person may have edited it. Refuses a show
    that the episode cannot become one of, or that has it already."""
    if request.show:
        membership.foresee(Path(request.show), place.job, Path(place.catalog.job(place.job).out), place.within)
    with place.stages("script"):
        document, script, lexicon = written(
            request, place.settings, place.store, place.within, partial(by_anybody, place)
        )
    sha256 = _digest(request, document, place.settings)
    if request.show and not request.again:
        membership.refuse_again(Path(request.show), sha256, place.job, place.within)
    return Manuscript(Path(request.source).name, sha256, keep_script(place, script, lexicon), lexicon)


def made_already(request: PodcastRequest, settings: Settings) -> membership.Made | None:
    """The episode that the show of a request has of its source; ``None`` where another is asked for, or no show's."""
    if not request.show or request.again:
        return None
    document = (
        None if is_script(Path(request.source)) else read_document(request.source, settings, language=request.language)
    )
    made = membership.made_of(Path(request.show), _digest(request, document, settings))
    return made[-1] if made else None


def _digest(request: PodcastRequest, document: Document | None, settings: Settings) -> Digest:
    """Of what an episode is made from: the text of a document, the bytes of a script."""
    if document is not None:
        return digest_of_bytes(document.text.encode())
    found = sources.find(request.source, settings)
    with found.called():
        return digest_of_file(found.path)


def written(
    request: PodcastRequest,
    settings: Settings,
    store: ArtifactStore | None = None,
    within: Roots | None = None,
    at_work: Callable[[Engine], Engine] = lambda chosen: chosen,
) -> tuple[Document | None, EpisodeScript, Lexicon]:
    """The document, where the source is one, the script, and the lexicon it is said by; its minutes by how fast the
    chosen engine speaks. ``store`` keeps what a language model answered; ``within`` is where all
    that is read must lie; ``at_work`` has an engine write elsewhere.

    What a speaker is like is said by the show's cast, before that by the script, before all by the request's cast.
    """
    show = read_show(Path(request.show), within) if request.show else None
    usual = read_cast(show.cast, within) if show and show.cast else {}
    given = read_cast(Path(request.cast), within) if request.cast else {}
    lexicon = _lexicon(request, show, within)
    document, script = _script(request, settings, joined(usual, given), lexicon, within, store, at_work)
    if request.cast and document is None:
        raise_for_strangers(Path(request.cast).name, given, script)
    members = joined(usual, script.speakers, given)
    script = script.model_copy(update={"speakers": {speaker: members[speaker] for speaker in script.speakers}})
    return document, disclosed(script, request.disclosure), lexicon


def _script(
    request: PodcastRequest,
    settings: Settings,
    cast: Members,
    lexicon: Lexicon,
    within: Roots | None,
    store: ArtifactStore | None,
    at_work: Callable[[Engine], Engine],
) -> tuple[Document | None, EpisodeScript]:
    speaks = engine_at_work(request.engines.get(Ability.SPEAK, settings.engine), settings).speaks
    pace = speaks.characters_per_s if speaks else usual_characters_per_s
    if request.collected is None and is_script(Path(request.source)):
        found = sources.find(request.source, settings)
        with found.called():
            return None, read_script(found.path, language=request.language, pace=pace, lexicon=lexicon, within=within)
    if request.collected is None:
        document = read_document(request.source, settings, language=request.language)
    else:
        document = read_together(Path(request.source), request.collected, settings, request.language, within)
    writer = engine_at_work(request.engines.get(Ability.WRITE, settings.engine), settings)
    script = write_script(
        document,
        request.format,
        settings,
        minutes=request.minutes,
        speakers=_speakers(request.format, cast),
        pace=pace,
        lexicon=lexicon.of(document.language),
        engine=at_work(writer),
        store=store,
    )
    return document, script


def _speakers(format: Format, cast: Members) -> Members | None:
    """Those of the cast speak, unless it only says more of those whom the format has anyway."""
    own = SPEAKERS[format]
    return joined(own, cast) if cast and cast.keys() <= own.keys() else cast or None


def _lexicon(request: PodcastRequest, show: Show | None, within: Roots | None) -> Lexicon:
    usual = read_lexicon(show.lexicon, within) if show and show.lexicon else Lexicon()
    return read_lexicon(Path(request.lexicon), within).over(usual) if request.lexicon else usual


def previewed(request: PodcastRequest, settings: Settings, *, as_json: bool = False) -> str:
    """What would be read aloud, and what is skipped and why: for a person, or as a JSON object. Nothing is made, but
    what a language model answered is kept for the episode. Refuses what the run would refuse."""
    profile(request.profile)
    with closing(open_catalog(settings)) as catalog:
        document, script, lexicon = written(request, settings, artifact_store(settings, catalog))
    crew = choose(Needs(speak=frozenset({script.language})), settings, request.engines)
    casting.foresee(casting.speakers_of(script), script.language, crew, script.speakers)
    return preview_json(document, script, lexicon) if as_json else preview(document, script)
