"""The original: the source taken in, and the script of what is said in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from speechmill.abilities import Engine
from speechmill.errors import BadInput
from speechmill.lines import Line
from speechmill.reports import Repair
from speechmill.requests import DubbingRequest
from speechmill.settings import Settings
from speechmill.voices import Speaker
from tasks.extraction import Sound, extract
from tasks.media import Media, probe
from tasks.scripts import is_spoken, read_script
from tasks.speakers import label
from tasks.speech import chunks, speech_spans
from tasks.transcribing import transcribe
from tasks.transcripts import Passage, lines_from_passages
from tasks.workplace import Workplace

SOMEBODY = "S1"  # who speaks where nobody is named


@dataclass(frozen=True, slots=True)
class Original:
    """A source, taken in."""

    media: Media
    sound: Sound
    bed: Sound | None = None  # the music-and-effects track, where one was given


@dataclass(frozen=True, slots=True)
class SourceScript:
    """What is said in the source, by whom."""

    lines: tuple[Line, ...]
    speakers: tuple[Speaker, ...]
    speech: tuple[tuple[int, int], ...]  # where somebody speaks, in samples
    repairs: tuple[Repair, ...] = ()


def find_source(request: DubbingRequest, settings: Settings) -> Path:
    """The file that a request means. Raises ``BadInput`` for an address that this build cannot read from."""
    if "://" in request.source:
        raise BadInput(
            f"{request.source} is not a file on this machine", hint="copy it here first, and name the file"
        )
    return Path(request.source)


def take_in(place: Workplace, request: DubbingRequest) -> Original:
    """Probe and decode the source, and find where somebody speaks."""
    path = find_source(request, place.settings)
    with place.stages("probe"):
        media = probe(path, place.settings, request.audio_track)
    place.catalog.set_job_facts(place.job, sha256=media.sha256, duration_s=media.duration_s)
    with place.stages("extract"):
        sound = extract(media, request.audio_track, place.store)
    bed = None
    if request.bed:
        with place.stages("bed"):
            bed_media = replace(probe(Path(request.bed), place.settings), duration_s=media.duration_s)
            bed = extract(bed_media, 0, place.store)
    return Original(media, sound, bed)


def script(place: Workplace, request: DubbingRequest, original: Original, engine: Engine | None) -> SourceScript:
    """The lines of the source, from the script that was given or from what an engine hears; kept in the catalog.

    A line that a person has edited there since reads as it was edited.
    """
    media, sound = original.media, original.sound
    repairs: tuple[Repair, ...] = ()
    if request.script:
        with place.stages("read script"):
            read = read_script(Path(request.script), request.language, length_samples=sound.length_samples)
        lines, repairs = read.lines, read.repairs
        speech = [(line.anchor.start_samples, line.anchor.end_samples) for line in lines if line.anchor]
    else:
        with place.stages("find speech"):
            spans = speech_spans(sound, place.store, threads=place.settings.threads)
        assert engine is not None
        assert engine.transcribes is not None
        heard = transcribe(place, sound, chunks(spans, sound.length_samples), engine.transcribes, request.language)
        passages = [Passage(c.start_samples, c.end_samples, h.text, h.words) for c, h in heard]
        lines = lines_from_passages(passages, spans, request.language)
        speech = [(span.start_samples, span.end_samples) for span in spans]
    with place.stages("tell speakers apart"):
        lines, speakers = label(lines, sound, place.store, count=request.speakers)
    place.catalog.put_lines(place.job, request.language, lines)
    kept = [stored.line for stored in place.catalog.lines(place.job, request.language)]
    return SourceScript(tuple(kept), tuple(speakers), tuple(speech), repairs)
