"""The rehearsal engine: no model at all. Instant, the same every time, in every language.

It hears as many words as fit into the sound, translates by marking the text, and speaks a shaped tone of about the
length that a voice would need. For tests, dry runs and benchmarks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from model_worker.engines.texts import sayable
from model_worker.engines.waves import Mono, read_mono, write_mono
from speechmill.abilities import Engine, Heard, Phrase, Translation, Utterance
from speechmill.languages import usual_characters_per_s
from speechmill.lines import RATE_HZ, Doubt, Word, samples_of_ms
from speechmill.settings import Settings
from speechmill.voices import Speaker, Voice

NAME = "rehearsal"
VERSION = "rehearsal-3"

MOST_SAMPLES = 30 * RATE_HZ
WORD_MS = 350  # about 170 words a minute: an unhurried speaker
SENTENCE = ("one", "two", "three", "four", "five", "six", "seven", "eight.")

DENSE_MARK = "※"  # of a translation, where a character is a syllable: “(zh) ” would take a second to say
SHORTEST_MS = 250
SYLLABLE_MS = 180  # about 5.5 syllables a second
EDGE_MS = 20
LEVEL = 0.25
HARMONICS = (1.0, 0.5, 0.33, 0.2, 0.12, 0.08)  # a spectrum that falls like a voice's
PITCHES_HZ = (110.0, 205.0, 140.0, 240.0, 90.0, 175.0, 125.0, 270.0)  # for speakers whose pitch is not known
LOWEST_HZ, HIGHEST_HZ = 70.0, 400.0
APART = 2 ** (1 / 12)  # two tones less than a semitone apart are one voice
CLEARLY_APART = 2 ** (1.9 / 12)  # as the nearest of ``PITCHES_HZ`` are


@cache
def every_language() -> frozenset[str]:
    """Languages with a two-letter code; each also serves its regions and scripts (``languages.matches``)."""
    from language_data.population_data import LANGUAGE_SPEAKING_POPULATION  # type: ignore[import-untyped]

    return frozenset(tag for tag in LANGUAGE_SPEAKING_POPULATION if len(tag) == 2)


class Ear:
    """Hears one word every 350 ms, whatever the sound, and a pause after every eighth."""

    version = VERSION
    gives_word_times = True
    judges: frozenset[str] = frozenset()  # what it hears has nothing to do with what was said

    @property
    def languages(self) -> frozenset[str]:
        return every_language()

    def transcribe(self, audio: Path, language: str) -> Heard:  # noqa: ARG002
        step = samples_of_ms(WORD_MS)
        slots = range(len(read_mono(audio, MOST_SAMPLES)) // step)
        round_slots = len(SENTENCE) + 1
        words = tuple(
            Word(SENTENCE[slot % round_slots], slot * step, (slot + 1) * step)
            for slot in slots
            if slot % round_slots < len(SENTENCE)
        )
        return Heard(" ".join(word.text for word in words), words)


class Translator:
    """Marks a text with the language that it should be in, and puts the glossary's terms in."""

    version = VERSION

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        return _every_pair()

    def translate(
        self,
        phrases: Sequence[Phrase],
        source: str,
        target: str,
        glossary: Mapping[str, str],
    ) -> dict[str, Translation]:
        share = min(1.0, usual_characters_per_s(target) / usual_characters_per_s(source))
        return {phrase.id: _marked(phrase.text, target, glossary, share) for phrase in phrases if phrase.text.strip()}


class Tone:
    """Speaks a tone at the speaker's pitch with a bump for every syllable."""

    version = VERSION
    varies = False

    @property
    def languages(self) -> frozenset[str]:
        return every_language()

    def characters_per_s(self, language: str) -> float:
        return usual_characters_per_s(language)

    def voice(self, speaker: Speaker, language: str, taken: Sequence[Voice]) -> Voice:  # noqa: ARG002
        """The speaker's own pitch, moved up by semitones until it can be told apart."""
        others = [pitch for voice in taken if isinstance(pitch := voice.settings.get("pitch_hz"), float)]
        free = [p for p in PITCHES_HZ if not any(1 / CLEARLY_APART < p / other < CLEARLY_APART for other in others)]
        pitch = speaker.pitch_hz or (free or PITCHES_HZ)[0]
        pitch = min(max(pitch, LOWEST_HZ), HIGHEST_HZ)
        while any(1 / APART < pitch / other < APART for other in others):
            pitch *= APART
        return _voice(pitch)

    @property
    def voice_names(self) -> tuple[str, ...]:
        return tuple(_voice(pitch).name for pitch in PITCHES_HZ)

    def named(self, name: str) -> Voice:
        return next(voice for voice in map(_voice, PITCHES_HZ) if voice.name == name)

    def pitched(self, voice: Voice, semitones: float) -> Voice:
        """Within the range that voices have."""
        pitch = voice.settings["pitch_hz"]
        assert isinstance(pitch, float)
        return _voice(min(max(pitch * 2 ** (semitones / 12), LOWEST_HZ), HIGHEST_HZ))

    def speak(self, utterance: Utterance, voice: Voice, out: Path) -> None:
        """The length follows from the text, its language and the pace alone."""
        text = sayable(utterance.text)
        said_s = len(text) / self.characters_per_s(utterance.language) / utterance.pace
        length = max(samples_of_ms(SHORTEST_MS), round(said_s * RATE_HZ))
        pitch = voice.settings.get("pitch_hz")
        write_mono(out, _tone(length, float(pitch) if isinstance(pitch, (int, float)) else PITCHES_HZ[0]))


def _voice(pitch_hz: float) -> Voice:
    return Voice(f"tone {pitch_hz:.0f} Hz", NAME, {"pitch_hz": round(pitch_hz, 1)})


@cache
def _every_pair() -> frozenset[tuple[str, str]]:
    return frozenset((a, b) for a in every_language() for b in every_language() if a != b)


def _marked(text: str, target: str, glossary: Mapping[str, str], share: float) -> Translation:
    """The text with its mark; in a language whose characters say more, the ``share`` of it that is as long in time: the
    glossary's terms, and what room there is for the beginning."""
    said = text.strip()
    for term, to in glossary.items():
        said = said.replace(term, to)
    wanted = [to for term, to in glossary.items() if term in text]
    if share < 1:
        room = max(1, round(len(text) * share) - sum(map(len, wanted)) - len(DENSE_MARK))
        said = DENSE_MARK + "".join(["".join(said.split())[:room], *wanted])
    else:
        said = f"({target}) {said}"
    missed = any(to not in said for to in wanted)
    return Translation(said, doubts=(Doubt.GLOSSARY_MISSED,) if missed else ())


def _tone(length: int, pitch_hz: float) -> Mono:
    """A harmonic tone whose level rises and falls once a syllable; it begins and ends in silence."""
    # One period in whole samples, repeated: far cheaper than a sine for every sample of every harmonic.
    period = max(2, round(RATE_HZ / pitch_hz))
    phase = 2 * np.pi * np.arange(period) / period
    cycle = sum(weight * np.sin((n + 1) * phase) for n, weight in enumerate(HARMONICS))
    cycle = (cycle / np.abs(cycle).max() * LEVEL).astype(np.float32)
    tone: Mono = np.resize(cycle, length)
    syllables = max(1, round(length / samples_of_ms(SYLLABLE_MS)))
    bump = 0.65 - 0.35 * np.cos(2 * np.pi * np.arange(-(-length // syllables)) * syllables / length)
    tone *= np.resize(bump.astype(np.float32), length)
    edge = np.linspace(0, 1, min(samples_of_ms(EDGE_MS), length // 2), dtype=np.float32)
    tone[: len(edge)] *= edge
    tone[len(tone) - len(edge) :] *= edge[::-1]
    return tone


def engine(settings: Settings) -> Engine:  # noqa: ARG001
    return Engine(NAME, VERSION, Ear(), Translator(), Tone())
