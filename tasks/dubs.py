"""One language of a dub: its lines translated, spoken, placed, mixed and mastered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from model_worker.engines.registry import Choice, judge_of
from speechmill.lines import Doubt, Line, seconds
from speechmill.profiles import Profile, profile
from speechmill.reports import DubbedLine, Loudness, Repair
from speechmill.requests import DubbingRequest
from speechmill.takes import Reason, Take, Verdict, verdict_of
from speechmill.timeline import Timeline
from speechmill.voices import Cast
from tasks import timing, translating
from tasks.disclosing import OF_A_DUB
from tasks.originals import Original, SourceScript
from tasks.sound import layouts, levelling, mastering
from tasks.sound.encoding import Aac
from tasks.sound.finishing import finish
from tasks.sound.loudness import Energies
from tasks.sound.mixing import Background, Mix, merged
from tasks.sound.sources import measure_source
from tasks.speaking import speak_all
from tasks.text.glossaries import Glossary, read_glossary
from tasks.text.scripts import read_translation
from tasks.workplace import Workplace


@dataclass(frozen=True, slots=True)
class Version:
    """The script in one language."""

    language: str
    lines: tuple[Line, ...]
    repairs: tuple[Repair, ...] = ()


@dataclass(frozen=True, slots=True)
class Dub:
    """One language of a dub, finished but not yet packed."""

    language: str
    lines: tuple[Line, ...]
    report: tuple[DubbedLine, ...]
    mix: Mix
    master: mastering.Master
    loudness: Loudness  # of the encoded file
    repairs: tuple[Repair, ...]


def translated(place: Workplace, request: DubbingRequest, script: SourceScript, language: str, crew: Choice) -> Version:
    """The script in a language: from the translation that was given, or by an engine; kept in the catalog. A line
    that a person has edited there since reads as it was edited."""
    glossary = read_glossary(Path(request.glossary)).of(language) if request.glossary else Glossary()
    repairs: tuple[Repair, ...] = ()
    if language in request.translations:
        with place.stages(f"read translation {language}"):
            read = read_translation(Path(request.translations[language]), language, script.lines)
        corrected = {each.line.id for each in place.catalog.lines(place.job, request.language) if each.edited}
        own = {each.line.id for each in place.catalog.lines(place.job, language) if each.edited}
        joined = {id: to for id, to in read.joined.items() if id not in own}  # a person has given it words of its own
        lines = [
            _given(line, read.texts.get(line.id), language, glossary, corrected=line.id in corrected)
            for line in _together(script.lines, joined)
        ]
        repairs = read.repairs
    else:
        assert crew.translates is not None
        lines = translating.translate(place, script.lines, crew.translates, request.language, language, glossary)
    sources = {line.id: line.text for line in script.lines}
    place.catalog.put_lines(place.job, language, lines, sources=sources)
    kept = [stored.line for stored in place.catalog.lines(place.job, language)]
    return Version(language, tuple(kept), repairs)


def _given(line: Line, text: str | None, language: str, glossary: Glossary, *, corrected: bool) -> Line:
    """The line as the translation has it, which was made of what the original said before anybody corrected that."""
    if text is not None:
        outdated = [Doubt.SOURCE_CHANGED] if corrected else []
        return translating.in_other_words(line, text, language, glossary, doubts=outdated)
    doubts = (*line.doubts, Doubt.UNTRANSLATED) if line.is_spoken else line.doubts
    return replace(line, language=language, words=(), doubts=doubts)


def _together(lines: Sequence[Line], joined: Mapping[str, str]) -> list[Line]:
    """Lines of which some are said with another: that has the time of all of them, and they have nothing to say."""
    ends: dict[str, int] = {}
    for line in lines:
        if line.id in joined and line.anchor is not None:
            first = joined[line.id]
            ends[first] = max(ends.get(first, 0), line.anchor.end_samples)
    found = []
    for line in lines:
        if line.id in joined:
            line = replace(line, text="", doubts=(*line.doubts, Doubt.JOINED))
        elif line.id in ends and line.anchor is not None:
            line = replace(line, anchor=replace(line.anchor, end_samples=ends[line.id]))
        found.append(line)
    return found


def spoken(
    place: Workplace, request: DubbingRequest, original: Original, version: Version, cast: Cast, crew: Choice
) -> dict[str, list[Take]]:
    """Takes by line id, best first; judged by an engine that hears the language, where there is one."""
    assert crew.speaks is not None
    judge = judge_of(crew.speaks, place.settings, version.language)
    return speak_all(
        place,
        version.lines,
        cast,
        crew.speaks,
        judge,
        profile(request.profile),
        original.sound.length_samples,
        version.language,
    )


def mastered(
    place: Workplace,
    request: DubbingRequest,
    original: Original,
    script: SourceScript,
    version: Version,
    takes: dict[str, list[Take]],
) -> Dub:
    """Place every line, mix, master, and measure what was encoded; asked again where coding raised a peak too far."""
    chosen, language = profile(request.profile), version.language
    with place.stages(f"plan {language}"):
        heard = measure_source(original.sound.digest, place.here, place.settings.threads)
        plan = planned(original, version.lines, takes, chosen, heard)
    mix = mixed(request, original, script, version.lines, plan.timeline)
    made, loudness = finish(place, mix, chosen, language, [Aac(mix.layout, chosen.encoding, language, OF_A_DUB)])
    lines = lines_of(script, version, takes, plan)
    return Dub(language, version.lines, lines, mix, made, loudness, (*script.repairs, *version.repairs))


def planned(
    original: Original, lines: Sequence[Line], takes: dict[str, list[Take]], chosen: Profile, heard: Energies
) -> timing.Plan:
    """The timeline of one language: each line's best take, at the loudness of the line it stands for."""
    best = {line_id: tried[0] for line_id, tried in takes.items() if tried}
    levels = []
    for line in lines:
        take = best.get(line.id)
        if take is not None and take.measured is not None and line.anchor is not None:
            there = heard.of_span(line.anchor.start_samples, line.anchor.end_samples)
            levels.append(levelling.Level(line.id, line.speaker, there, take.measured.loudness_lufs))
    gains = levelling.level(levels)
    cues = [
        timing.Cue(line.id, line.speaker, line.anchor, best[line.id], gains.get(line.id, 0.0))
        for line in lines
        if line.id in best and line.anchor is not None
    ]
    left = [line.anchor for line in lines if line.anchor and line.is_left]
    return timing.plan(cues, original.sound.length_samples, chosen.stretch, chosen.timing, left)


def mixed(
    request: DubbingRequest, original: Original, script: SourceScript, lines: Sequence[Line], timeline: Timeline
) -> Mix:
    """What is heard under the dialogue: the bed that was given, the original turned down, or nothing; in place of lines
    that are left to it the original."""
    under = original.bed or original.sound
    background = Background.BED if original.bed else Background(request.background)
    left = [(line.anchor.start_samples, line.anchor.end_samples) for line in lines if line.is_left and line.anchor]
    return Mix(
        timeline=timeline,
        layout=layouts.of_name(under.layout),
        background=background,
        sound=None if background is Background.DROP else under.digest,
        speech=script.speech,
        left=merged(left, 0),
        original=None if background is Background.DUCK or original.beneath is None else original.beneath.digest,
    )


def lines_of(
    script: SourceScript, version: Version, takes: dict[str, list[Take]], plan: timing.Plan
) -> tuple[DubbedLine, ...]:
    """What the report says of every line."""
    sources = {line.id: line.text for line in script.lines}
    return tuple(_reported(line, sources.get(line.id, ""), takes.get(line.id, []), plan) for line in version.lines)


def _reported(line: Line, source_text: str, tried: Sequence[Take], plan: timing.Plan) -> DubbedLine:
    take, placed = (tried[0] if tried else None), plan.placed.get(line.id)
    reasons = dict.fromkeys(
        [
            *(Reason(doubt) for doubt in line.doubts),
            *(take.reasons if take else ()),
            *(placed.reasons if placed else ()),
        ]
    )
    verdict = verdict_of(reasons)
    lost_samples = 0
    if placed is not None:
        lost_samples = max(0, placed.clip.end_samples - plan.timeline.length_samples)
    elif line.is_spoken and line.said.strip():
        verdict = Verdict.FAILED
    anchor = line.anchor
    return DubbedLine(
        id=line.id,
        speaker=line.speaker,
        text=line.text,
        source_text=source_text,
        start_s=seconds(anchor.start_samples) if anchor else 0.0,
        end_s=seconds(anchor.end_samples) if anchor else 0.0,
        placed_start_s=round(seconds(placed.clip.start_samples), 6) if placed else None,
        placed_end_s=round(seconds(placed.clip.end_samples), 6) if placed else None,
        stretch=placed.clip.stretch if placed else 1.0,
        lost_ms=round(1000 * seconds(lost_samples), 3),
        verdict=verdict,
        reasons=tuple(reasons),
        takes=len(tried),
        seed=take.seed if take else None,
        error_rate=take.measured.error_rate if take and take.measured else None,
        loudness_lufs=take.measured.loudness_lufs if take and take.measured else None,
    )
