"""The original: the source taken in, and the script of what is said in it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from model_worker.engines.registry import Choice
from speechmill.lines import Anchor, Line
from speechmill.reports import Repair
from speechmill.requests import DubbingRequest
from speechmill.settings import Settings
from speechmill.voices import Speaker
from tasks import sources
from tasks.media import tracks
from tasks.media.extraction import Sound, extract, layout_of
from tasks.media.probing import Media, glance, probe
from tasks.sound import layouts
from tasks.speech.activity import chunks, speech_spans
from tasks.speech.speakers import label
from tasks.text.scripts import read_script
from tasks.text.transcripts import Passage, lines_from_passages
from tasks.transcribing import transcribe
from tasks.workplace import Workplace


@dataclass(frozen=True, slots=True)
class Original:
    """A source, taken in."""

    name: str  # as people call it
    media: Media
    track: int | None  # that is dubbed, among audio tracks; None where there is no sound
    sound: Sound
    bed: Sound | None = None  # the music-and-effects track, where one was given, in no fewer channels than the sound
    bed_s: float | None = None  # how long it is itself
    beneath: Sound | None = None  # the sound in the channels of the bed; None where there is neither


@dataclass(frozen=True, slots=True)
class SourceScript:
    """What is said in the source, by whom."""

    lines: tuple[Line, ...]
    speakers: tuple[Speaker, ...]
    speech: tuple[tuple[int, int], ...]  # where somebody speaks, in samples
    repairs: tuple[Repair, ...] = ()


def take_in(place: Workplace, request: DubbingRequest) -> Original:
    """Probe and decode the source, and find where somebody speaks."""
    with place.stages("fetch") if "://" in request.source else nullcontext():
        source = sources.find(request.source, place.settings)
    with place.stages("probe"), source.called():
        chosen = track_of(source.path, request, place.settings)
        media = probe(source.path, place.settings, chosen.number)
    if chosen.note:
        place.stages.progress.say(chosen.note)
    place.catalog.set_job_facts(place.job, sha256=media.sha256, duration_s=media.duration_s)
    with place.stages("extract"), source.called():
        sound = extract(media, chosen.number, place.here)
    if not request.bed:
        return Original(source.name, media, chosen.number, sound, beneath=sound)
    with place.stages("bed"):
        given = probe(Path(request.bed), place.settings)
        layout = layouts.of_name(sound.layout) if sound.channels > layout_of(given.audio[0]).channels else None
        bed = extract(replace(given, duration_s=media.duration_s), 0, place.here, layout)
        beneath = None if chosen.number is None else sound
        if beneath is not None and bed.channels > sound.channels:
            beneath = extract(media, chosen.number, place.here, layouts.of_name(bed.layout))
    return Original(source.name, media, chosen.number, sound, bed, given.duration_s, beneath)


def track_of(source: Path, request: DubbingRequest, settings: Settings) -> tracks.Chosen:
    """The audio track to dub. A film without sound is narrated, where somebody says what by a script."""
    silent = request.script is not None
    found = glance(source, settings).audio
    return tracks.choose(source, found, request.language, request.audio_track, may_be_silent=silent)


def script(place: Workplace, request: DubbingRequest, original: Original, crew: Choice) -> SourceScript:
    """The lines of the source, from the script that was given or from what an engine hears; kept in the catalog.

    A line that a person has edited there since reads as it was edited.
    """
    sound = original.sound
    repairs: tuple[Repair, ...] = ()
    if request.script:
        with place.stages("read script"):
            read = read_script(Path(request.script), request.language, length_samples=sound.length_samples)
        lines, repairs = read.lines, read.repairs
        speech = tuple(line.anchor for line in lines if line.anchor and line.is_spoken)
    else:
        lines, speech = heard(place, request, sound, crew)
        if not lines:
            place.stages.progress.say(
                "nobody was heard to speak; if somebody does, choose a track with --audio-track, or give --script"
            )
    with place.stages("tell speakers apart"):
        labelled, speakers = label(lines, sound, place.here, count=request.speakers)
    place.catalog.put_lines(place.job, request.language, labelled)
    kept = [stored.line for stored in place.catalog.lines(place.job, request.language)]
    spans = tuple((span.start_samples, span.end_samples) for span in speech)
    return SourceScript(tuple(kept), tuple(speakers), spans, repairs)


def heard(
    place: Workplace, request: DubbingRequest, sound: Sound, crew: Choice
) -> tuple[tuple[Line, ...], tuple[Anchor, ...]]:
    """What an engine hears, as lines without speakers; and where somebody speaks."""
    assert crew.transcribes is not None
    with place.stages("find speech"):
        spans = speech_spans(sound, place.here, threads=place.settings.threads)
    found = transcribe(place, sound, chunks(spans, sound.length_samples), crew.transcribes, request.language)
    passages = [
        Passage(chunk.start_samples, chunk.end_samples, what.text, what.words, what.doubts) for chunk, what in found
    ]
    return lines_from_passages(passages, spans, request.language), spans
