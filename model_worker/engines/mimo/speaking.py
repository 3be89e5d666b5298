"""Speaking: a line as sound, by the instruct model; with a recorded voice, moved into it by the base model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model_worker.engines.mimo.cloning import LONGEST_REFERENCE_S, Pairs
from model_worker.engines.mimo.hearing import Ear
from model_worker.engines.mimo.service import LANGUAGES, Service
from model_worker.engines.mimo.skill import Skill
from model_worker.engines.mimo.texts import harmless
from model_worker.engines.mimo.voices import DESCRIBED, OWN, described, instruction, voice_for
from model_worker.engines.texts import sayable
from model_worker.engines.waves import Mono, write_mono
from speechmill.abilities import Utterance
from speechmill.errors import EngineRefused
from speechmill.languages import base, usual_characters_per_s
from speechmill.lines import RATE_HZ
from speechmill.voices import Speaker, Voice

if TYPE_CHECKING:
    from model_worker.mimo import Request, Take

PEAK = 0.98  # full scale is 1.0; what resampling lifts beyond this is turned down


class Mouth(Skill):
    """Lines to sound."""

    tasks = ("speak", "speak-styled", "convert")

    varies = True

    def __init__(self, service: Service, ear: Ear) -> None:
        super().__init__(service)
        self._pairs = Pairs(service, ear)

    def characters_per_s(self, language: str) -> float:
        """As people speak, whom it learnt from; not measured on the real weights."""
        return usual_characters_per_s(language)

    def voice(self, speaker: Speaker, language: str, taken: Sequence[Voice]) -> Voice:  # noqa: ARG002
        return voice_for(speaker, taken)

    @property
    def voice_names(self) -> tuple[str, ...]:
        return (OWN, *DESCRIBED)

    def named(self, name: str) -> Voice:
        return described(name)

    @property
    def longest_reference_s(self) -> float:
        return LONGEST_REFERENCE_S

    @property
    def imitation_version(self) -> str:
        return self._service.weights.base_digest

    def speak(self, utterance: Utterance, voice: Voice, out: Path) -> None:
        """Raises ``EngineRefused`` where there is nothing to say, and for a take without sound or without an end."""
        text = sayable(utterance.text)
        if base(utterance.language) not in LANGUAGES:
            raise EngineRefused(f"MiMo-Audio does not speak {utterance.language}", hint="it speaks Chinese and English")
        take = self._service.run(asked(text, utterance, voice))
        if voice.recording is not None:
            take = self._pairs.converted(take, voice.recording, utterance)
        write_mono(out, at_house_rate(take))


def asked(text: str, utterance: Utterance, voice: Voice) -> Request:
    """The request for a line: plain where nothing particular is asked, else with an instruction."""
    from model_worker.mimo import Request

    said = {"text": harmless(text)}
    how = harmless(instruction(utterance, voice))
    again = voice.settings.get("again", 0)
    seed = utterance.seed + (again << 32 if isinstance(again, int) else 0)
    if not how:
        return Request("speak", said, seed=seed)
    return Request("speak-styled", {**said, "instruct": how}, seed=seed)


def at_house_rate(take: Take) -> Mono:
    """A take's wave at 48 kHz, its peaks below full scale."""
    from scipy.signal import resample_poly

    wave = np.asarray(resample_poly(take.wave, RATE_HZ, take.rate_hz), dtype=np.float32)
    peak = float(np.abs(wave).max(initial=0.0))
    return wave * np.float32(PEAK / peak) if peak > PEAK else wave
