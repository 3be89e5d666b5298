"""A recorded voice: the base model's few-shot form.

The base model continues a pattern: pairs of the same words in one voice and in another, then words in the first voice
alone. The pairs are made here from the recording of the voice: it is cut at pauses, each part is transcribed, and the
instruct model says the same words in its own voice. So a line is spoken first, and moved into the voice then.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model_worker.engines.mimo.hearing import Ear
from model_worker.engines.mimo.service import Service
from model_worker.engines.mimo.texts import answered, harmless
from model_worker.engines.mimo.weights import BASE
from speechmill.abilities import Utterance
from speechmill.errors import EngineRefused

if TYPE_CHECKING:
    from model_worker.mimo import Sound, Take

INSTRUCTION = "Convert the timbre of the input speech to target timbre."  # the one the public example uses
MOST_PAIRS = 5  # of the public example
PART_S, SHORTEST_PART_S = 6.0, 1.0
LONGEST_REFERENCE_S = 60.0
KEPT_VOICES = 16
FRAME_S = 0.02


class Pairs:
    """The pairs of every recorded voice, made once and kept; the engine keeps their keys and values besides."""

    def __init__(self, service: Service, ear: Ear) -> None:
        self._service = service
        self._ear = ear
        self._kept: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()
        self._making = threading.Lock()

    def converted(self, take: Take, reference: Path, utterance: Utterance) -> Take:
        """A take in the voice of the recording ``reference``."""
        from model_worker.mimo import Request, Sound

        examples = self._of(reference)
        given = {"instruction": INSTRUCTION, "examples": examples, "speech": Sound(take.wave, take.rate_hz)}
        return self._service.run(Request("convert", given, seed=utterance.seed), BASE)

    def _of(self, reference: Path) -> list[dict[str, Any]]:
        self._service.weights.folder(BASE)
        key = str(reference)
        with self._making:
            if key not in self._kept:
                self._kept[key] = self._made(reference)
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT_VOICES:
                self._kept.popitem(last=False)
            return self._kept[key]

    def _made(self, reference: Path) -> list[dict[str, Any]]:
        from model_worker.mimo import Request, Sound

        parts = cut(read_reference(reference))
        heard = self._service.run_all([Request("transcribe", {"speech": part}) for part in parts])
        texts = [answered(one.text) if not isinstance(one, EngineRefused) and one.stopped else "" for one in heard]
        said = [(part, harmless(text)) for part, text in zip(parts, texts, strict=True) if text]
        spoken = self._service.run_all([Request("speak", {"text": text}) for _, text in said])
        pairs = [
            {"before": Sound(take.wave, take.rate_hz), "text": text, "after": part}
            for (part, text), take in zip(said, spoken, strict=True)
            if not isinstance(take, EngineRefused) and take.failure is None
        ]
        if not pairs:
            raise EngineRefused(
                "no part of the voice's recording could be understood and said again",
                hint="record a minute of clear Chinese or English speech",
            )
        return pairs[:MOST_PAIRS]


def read_reference(path: Path) -> Sound:
    """The recording of a voice, of any rate and number of channels; the beginning of a long one."""
    import soundfile

    from model_worker.mimo import Sound

    try:
        with soundfile.SoundFile(path) as file:
            samples = file.read(int(LONGEST_REFERENCE_S * file.samplerate), dtype="float32", always_2d=True)
            return Sound(samples.T.copy(), file.samplerate)
    except soundfile.LibsndfileError as error:
        raise EngineRefused(f"the voice's recording cannot be read: {error}", hint="it should be WAV or FLAC") from None


def cut(sound: Sound) -> list[Sound]:
    """Parts of up to six seconds, cut where it is quietest in their last third; what is shorter than one is left."""
    from model_worker.mimo import Sound

    samples, rate_hz = sound.mono(), sound.rate_hz
    frame, most = max(1, int(FRAME_S * rate_hz)), int(PART_S * rate_hz)
    parts = []
    while len(samples) >= SHORTEST_PART_S * rate_hz:
        end = len(samples)
        if end > most:
            tail = samples[2 * most // 3 : most]
            frames = tail[: len(tail) // frame * frame].reshape(-1, frame)
            end = 2 * most // 3 + int(np.square(frames).sum(1).argmin()) * frame + frame // 2
        parts.append(Sound(samples[:end], rate_hz))
        samples = samples[end:]
    return parts
