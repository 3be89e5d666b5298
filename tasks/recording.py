"""An episode recorded: its script cast, spoken, set in time, mixed and mastered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from model_worker.engines.registry import Choice, judge_of
from speechmill.abilities import Utterance
from speechmill.episodes import EpisodeScript, PodcastRequest, ScriptLine
from speechmill.lines import RATE_HZ, Line, seconds
from speechmill.profiles import profile
from speechmill.recipes import Digest
from speechmill.reports import CastMember, Loudness, Production, TakeMade
from speechmill.takes import Take
from speechmill.timeline import Timeline
from speechmill.voices import Cast
from tasks import casting, conversation, disclosing, music
from tasks.conversation import Conversation, Pauses, Turn
from tasks.episode.sound import coders_of
from tasks.music import Tracks
from tasks.sound import layouts, mastering
from tasks.sound.finishing import finish
from tasks.sound.gain import Level
from tasks.sound.mixing import Background, Mix
from tasks.speaking import another_seed, assign, rank, speak_takes
from tasks.text.lexicons import Lexicon
from tasks.text.spoken import spoken_form
from tasks.workplace import Workplace


@dataclass(frozen=True, slots=True)
class Studio:
    """What is around the voices."""

    tracks: Tracks
    seated: bool = False  # speakers from left to right


@dataclass(frozen=True, slots=True)
class Recording:
    """An episode, mastered."""

    script: EpisodeScript  # as it was spoken, with the edits of a person
    takes: Mapping[str, Sequence[Take]]  # by line id, best first
    conversation: Conversation
    mix: Mix
    master: mastering.Master
    mp3: Digest  # without its tag
    loudness: Loudness  # of the MP3
    productions: Mapping[str, Production]  # by line id
    cast: tuple[CastMember, ...]
    stems: Mapping[str, Digest]  # by speaker, where they are wanted: FLAC


def keep_script(place: Workplace, script: EpisodeScript, lexicon: Lexicon) -> EpisodeScript:
    """The script with its lines kept in the catalog. A line that a person has edited there since reads as it was
    edited."""
    lines = [
        Line(
            id=line.id,
            speaker=line.speaker,
            language=script.language,
            text=line.text,
            spoken=line.spoken,
            style=line.style,
        )
        for line in script.lines
    ]
    place.catalog.put_lines(place.job, script.language, lines)
    return as_kept(place, script, lexicon)


def as_kept(place: Workplace, script: EpisodeScript, lexicon: Lexicon) -> EpisodeScript:
    """The script with the texts that its lines have in the catalog."""
    kept = {stored.line.id: stored.line for stored in place.catalog.lines(place.job, script.language)}
    edited = tuple(_as_edited(line, kept[line.id].text, script.language, lexicon) for line in script.lines)
    return script.model_copy(update={"lines": edited})


def _as_edited(line: ScriptLine, text: str, language: str, lexicon: Lexicon) -> ScriptLine:
    if text == line.text:
        return line
    said = spoken_form(text, line.language or language, lexicon.of(line.language or language))
    return line.model_copy(update={"text": text, "spoken": said if said != text else ""})


def record(
    place: Workplace,
    request: PodcastRequest,
    script: EpisodeScript,
    cast: Cast,
    crew: Choice,
    studio: Studio,
) -> Recording:
    """Speak every line, set the conversation in time, and master it."""
    takes = spoken(place, script, cast, crew)
    with place.stages("plan"):
        turns = [
            Turn(
                line.id,
                line.speaker,
                takes[line.id][0] if takes.get(line.id) else None,
                line.gap_ms,
                line.chapter,
                line.kind,
            )
            for line in script.lines
        ]
        before = place.catalog.job(place.job).facts.get("speaker_gains_db", {})
        gains = conversation.kept_gains(conversation.speaker_gains(turns), before)
        place.catalog.set_job_facts(place.job, speaker_gains_db={**gains})
        pans = casting.seats(script, studio.seated)
        lead = music.lead_samples(studio.tracks)
        pauses = Pauses() if lead is None else Pauses(lead_ms=lead * 1000 // RATE_HZ)
        title = disclosing.opening(script.language) or script.title
        talk = conversation.plan(turns, pauses, gains, pans, opening=title)
        timeline, pieces = music.arrange(talk.timeline, studio.tracks)
        talk = replace(talk, timeline=timeline)
    wide = studio.tracks or any(pans.values())
    layout = layouts.STEREO if wide else layouts.MONO
    mix = Mix(timeline=timeline, layout=layout, background=Background.DROP, music=pieces)

    coders = coders_of(request, mix, script.language)
    made, loudness = finish(place, mix, profile(request.profile), script.language, coders, stem=False)
    return Recording(
        script,
        takes,
        talk,
        mix,
        made,
        made.encoded["mp3"].sha256,
        loudness,
        productions(place, script, cast, crew, takes),
        casting.reported(script, cast, gains, pans),
        stems(place, script, mix, made.level) if request.stems else {},
    )


def stems(place: Workplace, script: EpisodeScript, mix: Mix, level: Level) -> dict[str, Digest]:
    """Every speaker alone, as they sound in the master and as long as it: together they are the episode without its
    music."""
    lines: dict[str, set[str]] = {}
    for line in script.lines:
        lines.setdefault(line.speaker, set()).add(line.id)
    with place.stages("stems", len(lines)) as advance:

        def alone(ids: set[str]) -> Digest:
            clips = tuple(clip for clip in mix.timeline.clips if clip.line_id in ids)
            own = replace(mix, timeline=Timeline(mix.length_samples, clips), music=())
            made = mastering.stem(own, level, place.here, threads=place.settings.threads)
            advance(1)
            return made.sha256

        return {speaker: alone(ids) for speaker, ids in lines.items()}


def productions(
    place: Workplace, script: EpisodeScript, cast: Cast, crew: Choice, takes: Mapping[str, Sequence[Take]]
) -> dict[str, Production]:
    """The record of how each line was made, by line id."""
    assert crew.speaks is not None
    assert crew.speaks.speaks is not None
    seeds = place.catalog.seeds(place.job, script.language)
    return {
        line.id: Production(
            engine=crew.speaks.name,
            version=crew.speaks.speaks.version,
            recipe=takes[line.id][0].recipe,
            voice=cast[line.speaker].name,
            seed=_seed(takes[line.id][0], seeds),
            pace=pace_of(line, script),
            reference=cast[line.speaker].reference,
            takes=tuple(_made(take, _seed(take, seeds)) for take in takes[line.id]),
        )
        for line in script.lines
        if takes.get(line.id)
    }


def _seed(take: Take, seeds: Mapping[str, int]) -> int:
    return seeds.get(take.line_id, 0) + take.number - 1  # each further take is the next seed: ``another_seed``


def _made(take: Take, seed: int) -> TakeMade:
    measured = take.measured
    return TakeMade(
        number=take.number,
        recipe=take.recipe,
        seed=seed,
        verdict=take.verdict,
        reasons=take.reasons,
        speech_s=round(seconds(measured.speech_samples), 3) if measured else None,
        loudness_lufs=measured.loudness_lufs if measured else None,
        peak_dbfs=measured.peak_dbfs if measured else None,
        error_rate=measured.error_rate if measured else None,
    )


def pace_of(line: ScriptLine, script: EpisodeScript) -> float:
    """The line's own pace, at its speaker's rate; no engine is asked for more than twice or less than half."""
    return min(max(round(line.pace * script.speakers[line.speaker].rate, 3), 0.5), 2.0)


def spoken(place: Workplace, script: EpisodeScript, cast: Cast, crew: Choice) -> dict[str, list[Take]]:
    """Takes by line id, best first; judged by an engine that hears the language, where there is one."""
    assert crew.speaks is not None
    speaks = crew.speaks.speaks
    assert speaks is not None
    judge = judge_of(crew.speaks, place.settings, script.language)
    seeds = place.catalog.seeds(place.job, script.language)
    first = [
        assign(
            line.id,
            cast[line.speaker],
            Utterance(
                text=line.said,
                language=line.language or script.language,
                style=line.style,
                pace=pace_of(line, script),
                seed=seeds.get(line.id, 0),
            ),
            1,
            speaks,
        )
        for line in script.lines
    ]
    chosen = crew.speaks
    takes = speak_takes(
        place, script.language, first, lambda done, take: another_seed(done, take, speaks), chosen, judge
    )
    return {line_id: sorted(tried, key=lambda take: rank(take)) for line_id, tried in takes.items()}
