"""What an engine can do: one small Protocol per ability, and the engine as the bundle of those it has.

Sound goes in and out as 48 kHz mono float WAV. ``version`` changes whenever the same call could give another result;
it is part of every recipe. ``languages`` are BCP-47 tags; what is not declared is refused before any work. An engine
may find out both when they are first asked for (they are read-only here), so that making an engine costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from speechmill.lines import Doubt, Word
from speechmill.voices import Speaker, Voice


class Ability(StrEnum):
    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"
    SPEAK = "speak"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard in one chunk; word times count from the chunk's first sample."""

    text: str
    words: tuple[Word, ...] = ()  # empty where the engine gives no word times
    doubts: tuple[Doubt, ...] = ()


@runtime_checkable
class Transcribes(Protocol):
    """Turns sound into words."""

    @property
    def version(self) -> str: ...

    @property
    def languages(self) -> frozenset[str]: ...

    @property
    def gives_word_times(self) -> bool: ...

    @property
    def judges(self) -> frozenset[str]:
        """Engines whose speech it hears well enough to judge their takes by (``*`` is any)."""

    def transcribe(self, audio: Path, language: str) -> Heard:
        """Words of one chunk of at most 30 s; raise ``EngineRefused`` for what it cannot hear."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A text to translate, with the time there is to say it."""

    id: str
    text: str
    room_samples: int | None = None


@dataclass(frozen=True, slots=True)
class Translation:
    """One phrase in the other language. ``shorter`` are alternative texts, each shorter than the one before."""

    text: str
    shorter: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()


@runtime_checkable
class Translates(Protocol):
    """Turns text into text of another language."""

    @property
    def version(self) -> str: ...

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """(from, to)"""

    def translate(
        self, phrases: Sequence[Phrase], source: str, target: str, glossary: Mapping[str, str]
    ) -> dict[str, Translation]:
        """Translations by phrase id. A phrase that could not be translated is left out."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """A text to speak once."""

    text: str
    language: str
    style: str = ""
    pace: float = 1.0  # 1.2 asks for speech 1.2 times as fast as the voice's own
    seed: int = 0


@runtime_checkable
class Speaks(Protocol):
    """Turns a line into sound."""

    @property
    def version(self) -> str: ...

    @property
    def languages(self) -> frozenset[str]: ...

    varies: bool  # whether another seed gives another take

    def characters_per_s(self, language: str) -> float:
        """About, at pace 1.0: the pace of a first take, and the minutes of an episode, are planned with it."""

    def voice(self, speaker: Speaker, language: str, taken: Sequence[Voice]) -> Voice:
        """A voice for a speaker that can be told apart from those already taken."""

    def speak(self, utterance: Utterance, voice: Voice, out: Path) -> None:
        """Write 48 kHz mono float WAV to ``out``; raise ``EngineRefused`` for what it cannot say."""


@runtime_checkable
class NamesVoices(Protocol):
    """A ``Speaks`` that has voices of its own, from which a person may choose."""

    @property
    def voice_names(self) -> tuple[str, ...]: ...

    def named(self, name: str) -> Voice:
        """One of ``voice_names``, at its own pitch."""


@runtime_checkable
class ShiftsPitch(Protocol):
    """A ``Speaks`` whose voices can be higher or lower than they are."""

    def pitched(self, voice: Voice, semitones: float) -> Voice:
        """The voice moved by so many semitones, or as far as it goes."""


@runtime_checkable
class Imitates(Protocol):
    """A ``Speaks`` that takes ``Voice.recording`` for what the voice is to sound like."""

    @property
    def longest_reference_s(self) -> float:
        """What of a recording is listened to."""

    @property
    def imitation_version(self) -> str:
        """Changes whenever a recorded voice could be imitated otherwise; part of such a take's recipe besides
        ``version``. Raises ``MissingWeights`` where what imitating needs is not there."""


@runtime_checkable
class NamesMeans(Protocol):
    """An ability that can say what its ``version`` stands for."""

    @property
    def means(self) -> Mapping[str, str]:
        """What decides about its results, for people: the digests of weights, the number format, the prompts."""


@runtime_checkable
class ServesMany(Protocol):
    """An ability that serves many calls at once better than one for each core."""

    @property
    def at_once(self) -> int:
        """Calls that are worth making at a time."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a written conversation."""

    role: Literal["system", "user", "assistant"]
    text: str


@runtime_checkable
class Writes(Protocol):
    """Answers in writing: what scripts can be written with where no endpoint is set."""

    @property
    def version(self) -> str: ...

    @property
    def languages(self) -> frozenset[str]: ...

    @property
    def most_characters(self) -> int:
        """About how long a conversation may be, beside the answer."""

    def write(self, messages: Sequence[Message], seed: int) -> str:
        """The next message; raises ``EngineRefused`` where none comes."""


@runtime_checkable
class Understands(Protocol):
    """Says what is to be heard, in words."""

    @property
    def version(self) -> str: ...

    @property
    def languages(self) -> frozenset[str]: ...

    def understand(self, audio: Path, question: str, *, thinking: bool = False, seed: int = 0) -> str:
        """The answer to a question about at most 30 s of sound; raises ``EngineRefused`` where none comes."""


@runtime_checkable
class Converses(Protocol):
    """Answers speech with speech."""

    @property
    def version(self) -> str: ...

    @property
    def languages(self) -> frozenset[str]: ...

    def converse(self, audio: Path, out: Path, *, system: str = "", seed: int = 0) -> str:
        """Write the spoken answer to at most 30 s of speech to ``out``, and give its words; ``system`` says how to
        answer. Raises ``EngineRefused`` where none comes."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A named bundle of abilities. Made by the factory of a ``speechmill.engines`` entry point from the settings."""

    name: str
    version: str
    transcribes: Transcribes | None = None
    translates: Translates | None = None
    speaks: Speaks | None = None
    writes: Writes | None = None
    understands: Understands | None = None
    converses: Converses | None = None
    load: Callable[[], None] | None = None  # makes ready what the first request would wait for
    licences: tuple[str, ...] = field(default_factory=tuple)  # of the models and programs behind it
