"""The process that holds one Sphinx decoder: paths come in by line, what was heard goes out by line, both as JSON.

A process of its own, because the decoder never gives up Python's global lock: in the process of a job it would hold
up everything else for as long as it listens.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
from pocketsphinx import Decoder

from model_worker.engines.waves import read_mono, third
from speechmill.errors import EngineRefused
from speechmill.lines import RATE_HZ

MOST_SAMPLES = 31 * RATE_HZ  # 30 s, and a second of grace for padding
MODEL_RATE_HZ = RATE_HZ // 3
FRAME_SAMPLES = RATE_HZ // 100  # the decoder counts in frames of 10 ms
PEAK = 0.6  # the decoder's answer depends on the level, so every chunk gets the same
SILENCE_PEAK = 1e-4  # −80 dBFS: nothing to hear, and nothing to raise

_VARIANT = re.compile(r"\(\d+\)$")  # ``and(2)``: the second way to say it


class Listener:
    def __init__(self) -> None:
        self._decoder = Decoder(samprate=MODEL_RATE_HZ, loglevel="FATAL", cmn="batch")

    def hear(self, path: Path) -> list[tuple[str, int, int, float]]:
        """Words with start, end (samples at 48 kHz) and confidence."""
        sound = read_mono(path, MOST_SAMPLES)
        peak = float(np.abs(sound).max(initial=0.0))
        if not np.isfinite(peak):
            raise EngineRefused("the sound has samples that are no numbers", hint="extract the sound again")
        if peak < SILENCE_PEAK:
            return []
        samples = third(sound) * (PEAK / peak)
        # Without this the decoder's view of the noise comes from the chunk before: the answer would depend on it.
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
        self._decoder.end_utt()
        if self._decoder.hyp() is None:
            return []
        return [
            (
                _VARIANT.sub("", segment.word).lower(),
                segment.start_frame * FRAME_SAMPLES,
                min((segment.end_frame + 1) * FRAME_SAMPLES, len(sound)),
                min(1.0, max(0.0, float(segment.prob))),
            )
            for segment in self._decoder.seg()
            if segment.word[0] not in "<[+"  # silence, noise, fillers
        ]


def main() -> None:
    listener = Listener()
    for line in sys.stdin:
        try:
            answer: dict[str, object] = {"words": listener.hear(Path(json.loads(line)))}
        except EngineRefused as refusal:
            answer = {"refused": refusal.message, "hint": refusal.hint}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
