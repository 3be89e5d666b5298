"""Hearing: a chunk of speech as text. MiMo-Audio gives no word times, so lines are placed by where speech was found."""

from __future__ import annotations

from pathlib import Path

from model_worker.engines.mimo.service import recording
from model_worker.engines.mimo.skill import Skill
from model_worker.engines.mimo.texts import answered
from model_worker.engines.mimo.weights import NAME
from speechmill.abilities import Heard
from speechmill.errors import EngineRefused
from speechmill.languages import base
from speechmill.lines import Doubt

INAUDIBLE_DBFS = -60.0  # a model of language makes up words for silence
WORDS_PER_S = 12  # ids of text; fast speech has six a second, in both languages
WORDS_AT_LEAST = 48


class Ear(Skill):
    """Transcribes chunks of up to 30 s."""

    tasks = ("transcribe",)

    gives_word_times = False
    judges = frozenset({NAME})

    def transcribe(self, audio: Path, language: str) -> Heard:
        """A transcript that did not come to an end is given as far as it went, with a doubt."""
        from model_worker.mimo import Request
        from model_worker.mimo.prompts import default_template
        from model_worker.mimo.takes import peak_loudness_dbfs

        sound = recording(audio)
        if len(sound.samples) and peak_loudness_dbfs(sound.samples, sound.rate_hz) < INAUDIBLE_DBFS:
            return Heard("")
        request = Request(
            "transcribe",
            {"speech": sound, "template": default_template("transcribe", chinese=base(language) == "zh")},
            max_new=WORDS_AT_LEAST + WORDS_PER_S * len(sound.samples) // sound.rate_hz,
        )
        take = self._service.run_all([request])[0]
        if isinstance(take, EngineRefused):
            raise take
        return Heard(answered(take.text), doubts=() if take.stopped else (Doubt.UNSURE_TRANSCRIPT,))
