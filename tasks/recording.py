"""An episode recorded: its script cast, spoken, set in time, mixed and mastered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model_worker.engines.registry import Choice, judge_of
from speechmill.abilities import Utterance
from speechmill.episodes import EpisodeScript, PodcastRequest, ScriptLine
from speechmill.lines import Line
from speechmill.profiles import profile
from speechmill.recipes import Digest
from speechmill.reports import Loudness
from speechmill.takes import Take
from speechmill.voices import Cast
from tasks import conversation
from tasks.conversation import Conversation, Pauses, Turn
from tasks.episode.sound import encoded_mp3
from tasks.sound import layouts, mastering
from tasks.sound.finishing import finish
from tasks.sound.mixing import Background, Mix
from tasks.speaking import another_seed, assign, rank, speak_takes
from tasks.text.spoken import spoken_form
from tasks.workplace import Workplace


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


def keep_script(place: Workplace, script: EpisodeScript) -> EpisodeScript:
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
    return as_kept(place, script)


def as_kept(place: Workplace, script: EpisodeScript) -> EpisodeScript:
    """The script with the texts that its lines have in the catalog."""
    kept = {stored.line.id: stored.line for stored in place.catalog.lines(place.job, script.language)}
    edited = tuple(_as_edited(line, kept[line.id].text, script.language) for line in script.lines)
    return script.model_copy(update={"lines": edited})


def _as_edited(line: ScriptLine, text: str, language: str) -> ScriptLine:
    if text == line.text:
        return line
    said = spoken_form(text, line.language or language)
    return line.model_copy(update={"text": text, "spoken": said if said != text else ""})


def record(place: Workplace, request: PodcastRequest, script: EpisodeScript, cast: Cast, crew: Choice) -> Recording:
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
        gains = conversation.speaker_gains(turns)
        talk = conversation.plan(turns, Pauses(), gains)
    mix = Mix(timeline=talk.timeline, layout=layouts.of_name("mono"), background=Background.DROP)

    def encoded(master: mastering.Master) -> Digest:
        return encoded_mp3(place.store, master.flac.sha256).sha256

    made, loudness = finish(place, mix, profile(request.profile), script.language, encoded)
    return Recording(script, takes, talk, mix, made, encoded(made), loudness)


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
                pace=line.pace,
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
