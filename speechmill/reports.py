"""Reports: what a job says about its result. The models serialise to ``report.json``, whose names stay put.

Times are seconds in the source's own time. Nothing here measures or judges; the stages do, and write it down here.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from speechmill.episodes import Writing
from speechmill.profiles import Loudness as LoudnessLimits
from speechmill.repairs import Repair as Repair  # a part of reports as well as of scripts
from speechmill.takes import Reason, Verdict


class State(StrEnum):
    """How a job ended."""

    COMPLETED = "completed"
    COMPLETED_WITH_REVIEW = "completed_with_review"
    FAILED = "failed"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Check(_Part):
    """One thing a delivery must have, as it was found."""

    id: str
    passed: bool
    measured: float | int | str | bool | None
    required: float | int | str | bool | None
    about: str = ""  # a sentence for people
    advisory: bool = False  # worth knowing, but no reason to send a delivery to a person


class Loudness(_Part):
    """Of the encoded file, by ITU-R BS.1770-4. ``lra_lu`` is None where the programme is too short to have a range."""

    integrated_lufs: float
    true_peak_dbtp: float
    lra_lu: float | None = None


class SpokenLine(_Part):
    """What every report says of a line, whether it was dubbed or read."""

    id: str
    speaker: str
    text: str
    placed_start_s: float | None  # None for a line that is not heard
    placed_end_s: float | None
    lost_ms: float = 0.0  # speech that is not heard; the aim is 0, always
    verdict: Verdict
    reasons: tuple[Reason, ...] = ()
    takes: int = 0  # how many were made; 0 for a line that is not spoken


class DubbedLine(SpokenLine):
    """A line of a dub, beside its original."""

    start_s: float  # when the original said it
    end_s: float
    source_text: str
    stretch: float = 1.0  # speech is this many times faster than it was spoken
    seed: int | None = None  # of the take that is heard; None where the engine says a line in one way only
    error_rate: float | None = None  # characters that a recogniser heard wrong, 0..1
    loudness_lufs: float | None = None  # of the take, before the mix


class Outputs(_Part):
    """File names, relative to the folder of the report; None for what this job does not have."""

    video: str | None = None
    audio: str | None = None
    master: str | None = None
    dialogue: str | None = None
    srt: str | None = None
    vtt: str | None = None


class Target(_Part):
    """One language of a dub."""

    outputs: Outputs
    channels: int = 2  # of the dub: a profile may want mono at a loudness of its own
    loudness: Loudness | None = None  # None where there was nothing to measure
    profile: str
    required_loudness: LoudnessLimits | None = None
    checks: tuple[Check, ...] = ()
    lines: tuple[DubbedLine, ...] = ()
    repairs: tuple[Repair, ...] = ()

    @property
    def needs_person(self) -> bool:
        return needs_person(self.lines, self.checks)


class Source(BaseModel):
    """What was dubbed. Further facts (codec, frame rate, channels …) are welcome and shown as they are."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = ""
    duration_s: float
    language: str
    sha256: str
    width: int | None = None  # of the picture as it is coded, …
    height: int | None = None
    rotation_degrees: int | None = None  # … which a player turns by so much: 90 for a phone that was held upright

    @property
    def seen(self) -> tuple[int, int] | None:
        """Width and height of the picture as people see it; ``None`` where there is none."""
        if self.width is None or self.height is None:
            return None
        on_its_side = (self.rotation_degrees or 0) % 180 == 90
        return (self.height, self.width) if on_its_side else (self.width, self.height)


class AbilityUsed(_Part):
    """What an ability worked with, so that it can be had again."""

    engine: str
    version: str  # as it stands in the recipes of what was made
    means: dict[str, str] = Field(default_factory=dict)  # weights, number format, prompts: what the version stands for


class EngineUsed(_Part):
    name: str
    version: str
    abilities: dict[str, str] = Field(default_factory=dict)  # transcribe, translate, speak: engine and version of each
    made_with: dict[str, AbilityUsed] = Field(default_factory=dict)  # the same in full


class Stage(_Part):
    """One stage of the job. ``made`` and ``reused`` count artifacts."""

    name: str
    seconds: float
    made: int = 0
    reused: int = 0


class Work(_Part):
    """How often the engines were called in this run."""

    speak_calls: int = 0
    transcribe_calls: int = 0
    translate_calls: int = 0


class DubbingReport(_Part):
    """``report.json`` of a dub."""

    job: str
    state: State
    source: Source
    engine: EngineUsed
    targets: dict[str, Target]
    stages: tuple[Stage, ...] = ()
    work: Work = Work()
    transcript: dict[Literal["srt", "vtt"], str] = Field(default_factory=dict)  # file names
    disclosure: str = ""  # what the files say of their voices

    def to_json(self) -> str:
        """``report.json`` as it is written: UTF-8, one field a line, a newline at the end."""
        return self.model_dump_json(indent=1) + "\n"


class TakeMade(_Part):
    """One take of a line."""

    number: int
    recipe: str
    seed: int
    verdict: Verdict
    reasons: tuple[Reason, ...] = ()
    speech_s: float | None = None
    loudness_lufs: float | None = None
    peak_dbfs: float | None = None
    error_rate: float | None = None


class Production(_Part):
    """How the sound of a line was made."""

    engine: str
    version: str
    recipe: str  # of the take that is heard
    voice: str
    seed: int
    pace: float = 1.0
    reference: str | None = None  # digest of the recording that was imitated
    takes: tuple[TakeMade, ...] = ()  # best first


class CastMember(_Part):
    """Who speaks, and with what voice."""

    speaker: str
    name: str
    voice: str
    engine: str
    chosen: Literal["cast", "engine"]  # whether a person named the voice
    settings: dict[str, str | int | float] = Field(default_factory=dict)  # the engine's own
    pitch: float = 0.0  # semitones
    rate: float = 1.0
    pan: float = 0.0
    gain_db: float = 0.0  # that brings the speaker to the level of all
    reference: str | None = None
    consent: dict[str, str] | None = None
    shared_with: tuple[str, ...] = ()  # speakers who are heard with the same voice


class EpisodeLine(SpokenLine):
    """A line of an episode, with the record of how it was made."""

    spoken: str = ""  # what was said, where that differs from the text
    voice: str = ""  # name of the voice, as the cast has it
    engine: str = ""  # that spoke it, with its version
    error_rate: float | None = None  # characters that a recogniser heard wrong, 0..1
    loudness_lufs: float | None = None  # of the take, before the mix
    production: Production | None = None  # None for a line that was not spoken


class ChapterMark(_Part):
    """Where a chapter begins."""

    start_s: float
    title: str


class Episode(_Part):
    """What a podcast job made."""

    outputs: dict[str, str]  # file names, relative to the folder of the report, by what they are: audio, feed, …
    duration_s: float
    channels: int = 2  # of the encoded file: a profile may want mono at a loudness of its own
    loudness: Loudness | None = None  # None where there was nothing to measure
    profile: str
    required_loudness: LoudnessLimits | None = None
    checks: tuple[Check, ...] = ()
    chapters: tuple[ChapterMark, ...] = ()
    lines: tuple[EpisodeLine, ...] = ()
    cast: tuple[CastMember, ...] = ()
    disclosure: str = ""  # what is said of the voices, aloud; empty: nothing
    names: dict[str, str] = Field(default_factory=dict)  # of speakers, as they are shown, by the speaker of the lines
    speaking: dict[str, float] = Field(default_factory=dict)  # seconds in which speech is heard, by speaker
    words_per_minute: float | None = None  # of speech, pauses between lines left out; None where nothing is said


class EpisodeSource(BaseModel):
    """What an episode was made from. Further facts (author, date, address …) are welcome and shown as they are."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = ""
    sha256: str
    title: str
    language: str


class EpisodeReport(_Part):
    """``report.json`` of an episode."""

    job: str
    state: State
    source: EpisodeSource
    engine: EngineUsed
    episode: Episode
    writing: Writing = Writing()
    stages: tuple[Stage, ...] = ()
    work: Work = Work()

    def to_json(self) -> str:
        """``report.json`` as it is written: UTF-8, one field a line, a newline at the end."""
        return self.model_dump_json(indent=1) + "\n"


def needs_person(lines: Iterable[SpokenLine], checks: Iterable[Check]) -> bool:
    """Whether one line or one check (that is more than advice) is not passed."""
    return any(line.verdict != Verdict.PASSED for line in lines) or any(
        not check.passed and not check.advisory for check in checks
    )


def state_of(targets: Iterable[Target]) -> State:
    """The state of a job that came to its end with these languages."""
    return State.COMPLETED_WITH_REVIEW if any(t.needs_person for t in targets) else State.COMPLETED


def state_of_episode(episode: Episode, writing: Writing) -> State:
    """The state of a job that came to its end: a line that the document does not bear out needs a person, too."""
    review = needs_person(episode.lines, episode.checks) or bool(writing.unsupported)
    return State.COMPLETED_WITH_REVIEW if review else State.COMPLETED
