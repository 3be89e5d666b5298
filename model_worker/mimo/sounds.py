"""The engine's way to the audio tokenizer: recordings to codes, which are kept, and codes to waves."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from torch import Tensor

from .codec import CHUNK_FRAMES, Codec, Seams
from .device import Coming, Device
from .failures import Failed, attempt
from .recording import Recording
from .waves import ITEMS, ShapedWaves

KEPT_RECORDINGS = 256  # recordings whose codes are remembered

Given = TypeVar("Given")
Made = TypeVar("Made")


class Sounds:
    """Used by the engine's thread only. What cannot be encoded or decoded fails alone."""

    def __init__(
        self,
        codec: Codec,
        device: Device,
        channels: int,
        seams: Seams,
        *,
        together: bool,
        spare: Callable[[], None],
    ) -> None:
        """``together``: many in one batch; else one after the other, or, on a device with a queue, where starting
        kernels is what takes time, waves in batches of one shape. ``spare`` gives back memory."""
        self._codec, self._device, self._channels, self._seams = codec, device, channels, seams
        self._together, self._spare = together, spare
        self.graphs = device.graphs("waves")
        self._shaped = None
        if device.queues and not together:
            self._shaped = ShapedWaves(codec, channels, CHUNK_FRAMES, self.graphs)
        self.pays = ITEMS if self._shaped else 1  # waves that cost no more than one
        self._codes: OrderedDict[bytes, Coming] = OrderedDict()

    def codes(self, parts: list[Recording]) -> Mapping[bytes, Coming | Failed]:
        """Codes of recordings by their digests; those that were met lately are not encoded again."""
        wanted = {part.digest: part for part in parts}
        unknown = [part for digest, part in wanted.items() if digest not in self._codes]
        found: dict[bytes, Coming | Failed] = {
            digest: self._codes[digest] for digest in wanted if digest in self._codes
        }
        encoded = self._served(unknown, self._encode, together=self._together)
        found.update(zip((part.digest for part in unknown), encoded, strict=True))
        for digest, made in found.items():
            if not isinstance(made, Failed):
                self._codes[digest] = made
                self._codes.move_to_end(digest)
        while len(self._codes) > KEPT_RECORDINGS:
            self._codes.popitem(last=False)
        return found

    def waves(self, items: list[Tensor]) -> list[Coming | Failed]:
        """Waves of code frames [codebooks, frames]."""
        return self._served(items, self._decode, together=self._together or self._shaped is not None)

    def _encode(self, parts: list[Recording]) -> list[Coming]:
        codes = self._codec.encode([part.wave for part in parts], self._channels, self._seams)
        return [self._device.fetch(one) for one in codes]

    def _decode(self, items: list[Tensor]) -> list[Coming]:
        return [self._device.fetch(wave) for wave in self._codec.decode(items, self._seams, shaped=self._shaped)]

    def _served(
        self, items: list[Given], work: Callable[[list[Given]], list[Made]], *, together: bool
    ) -> list[Made | Failed]:
        """What ``work`` makes of all items in one call, where that may be and succeeds, else of one after the other.

        One alone that finds no memory is tried a second time, after what can be spared was given back.
        """
        if not items or (len(items) > 1 and not together):
            return [one for item in items for one in self._served([item], work, together=together)]
        made = attempt(partial(work, items))
        if isinstance(made, Failed) and len(items) > 1:
            return [one for item in items for one in self._served([item], work, together=together)]
        if isinstance(made, Failed) and made.out_of_memory:
            self.graphs.forget()
            self._spare()
            made = attempt(partial(work, items))
        return [made] if isinstance(made, Failed) else [*made]
