"""Writing a script: the one door to all formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from model_worker.engines.registry import can
from speechmill.abilities import Ability, Engine
from speechmill.episodes import MOST_SPEAKERS, EpisodeScript, Format, ScriptSpeaker, Writing
from speechmill.errors import BadInput, Unavailable
from speechmill.languages import usual_characters_per_s
from speechmill.settings import Settings
from storage.artifacts import ArtifactStore
from tasks.documents.blocks import Document, Kind
from tasks.scriptwriting.chat import Endpoint, Pen, Writer
from tasks.scriptwriting.drafting import in_spoken_form, left_out, script, unsaid
from tasks.scriptwriting.length import Part, fit
from tasks.scriptwriting.lesson import lesson
from tasks.scriptwriting.rules import dialogue, reading

ByRule = Callable[[Document, Sequence[str], float], list[Part]]
BY_RULE: dict[Format, ByRule] = {Format.READING: reading, Format.DIALOGUE: dialogue, Format.LESSON: lesson}

SPEAKERS: dict[Format, dict[str, ScriptSpeaker]] = {
    Format.READING: {"READER": ScriptSpeaker(name="Reader", role="reader")},
    Format.LESSON: {"TEACHER": ScriptSpeaker(name="Teacher", role="teacher")},
    Format.DIALOGUE: {
        "HOST": ScriptSpeaker(name="Host", role="host"),
        "GUEST": ScriptSpeaker(name="Guest", role="guest"),
    },
    Format.TALKSHOW: {
        "HOST": ScriptSpeaker(name="Host", role="host"),
        "GUEST1": ScriptSpeaker(name="First guest", role="guest"),
        "GUEST2": ScriptSpeaker(name="Second guest", role="guest"),
    },
    Format.DEBATE: {
        "MODERATOR": ScriptSpeaker(name="Moderator", role="moderator"),
        "PRO": ScriptSpeaker(name="For", role="debater", side="for"),
        "CONTRA": ScriptSpeaker(name="Against", role="debater", side="against"),
    },
    Format.LIVE: {
        "COMMENTATOR": ScriptSpeaker(name="Commentator", role="commentator"),
        "ANALYST": ScriptSpeaker(name="Analyst", role="analyst"),
        "CALLER": ScriptSpeaker(name="Caller", role="caller"),
    },
}
"""Who speaks in a format where nobody is named."""
FEWEST = {Format.READING: 1, Format.LESSON: 1, Format.DIALOGUE: 2, Format.TALKSHOW: 2, Format.DEBATE: 3, Format.LIVE: 2}


def write_script(
    document: Document,
    format: Format,
    settings: Settings,
    *,
    minutes: float | None = None,
    speakers: Mapping[str, ScriptSpeaker] | None = None,
    pace: Callable[[str], float] = usual_characters_per_s,
    lexicon: Mapping[str, str] | None = None,
    engine: Engine | None = None,
    store: ArtifactStore | None = None,
) -> EpisodeScript:
    """The script of an episode about a document.

    ``speakers`` are those of a cast, by id; without them the format's own. ``pace`` is how many characters a second the
    engine speaks in a language: the minutes are planned with it. What was left out, repaired or not supported by the
    document stands in ``writing``. A dialogue is written by the settings' language model, where there is one, else by
    rule; what cannot be written by rule is written by ``engine``, where no endpoint is set and the engine writes.
    ``store`` keeps what a model answered. Raises ``BadInput``, and ``Unavailable`` for a format that needs a model and
    a model that gives no script.
    """
    chosen = dict(speakers) if speakers else _named(document, format) or SPEAKERS[format]
    if len(chosen) < FEWEST[format]:
        raise BadInput(
            f"the format {format} needs at least {FEWEST[format]} speakers, and {len(chosen)} is named",
            hint="name more in the cast, or leave the cast out",
        )
    rate = pace(document.language)
    pen = _pen(document, format, settings, engine)
    if pen is None:
        if format not in BY_RULE:
            raise Unavailable(
                f"the format {format} is written by a language model, and no endpoint is set",
                hint="set SPEECHMILL_LLM_BASE_URL and SPEECHMILL_LLM_MODEL, or choose reading, dialogue or lesson",
            )
        return _by_rule(document, format, minutes, chosen, rate, lexicon)
    from tasks.scriptwriting.model import write_by_model

    return write_by_model(document, format, pen, minutes, chosen, rate, lexicon, store)


def _pen(document: Document, format: Format, settings: Settings, engine: Engine | None) -> Pen | None:
    """Who writes: the endpoint, the engine's own model for what rules cannot write, or nobody."""
    if settings.llm_base_url:
        return Endpoint(settings) if format not in (Format.READING, Format.LESSON) else None
    if format in BY_RULE or engine is None or engine.writes is None:
        return None
    return Writer(engine.name, engine.writes) if can(engine, Ability.WRITE, (document.language,)) else None


def _by_rule(
    document: Document,
    format: Format,
    minutes: float | None,
    speakers: Mapping[str, ScriptSpeaker],
    characters_per_s: float,
    lexicon: Mapping[str, str] | None,
) -> EpisodeScript:
    written = BY_RULE[format](document, tuple(speakers), characters_per_s)
    said = [Part(tuple(in_spoken_form(part.drafts, document.language, lexicon)), part.position) for part in written]
    parts = [part for part in said if part.drafts]
    out: list[Part] = []
    if minutes is not None:
        parts, out = fit(parts, minutes, characters_per_s)
    writing = Writing(
        format=format,
        writer="rules",
        minutes_asked=minutes,
        left_out=(
            *document.skipped,
            *unsaid(written, said),
            *(left_out(document, out, minutes) if minutes is not None else ()),
        ),
    )
    drafts = [draft for part in parts for draft in part.drafts]
    return script(document, drafts, speakers, writing, characters_per_s=characters_per_s)


def _named(document: Document, format: Format) -> dict[str, ScriptSpeaker]:
    """Those who speak in the document itself (captions with names, an interview), where they are enough for a reading
    or dialogue. What nobody says (the title, what stands before the first question) is said by the first of them."""
    names = list(dict.fromkeys(block.speaker for block in document.blocks if block.speaker))
    said = [block for block in document.spoken_blocks if block.kind != Kind.HEADING]
    most = sum(bool(block.speaker) for block in said) >= len(said) / 2
    if format not in (Format.READING, Format.DIALOGUE) or not most or not FEWEST[format] <= len(names) <= MOST_SPEAKERS:
        return {}
    return {name[:64]: ScriptSpeaker(name=name) for name in names}
