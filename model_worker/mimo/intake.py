"""Requests on their way in: their recordings are encoded while others run, then their prompts are built."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial

from .device import Coming
from .failures import Failed, attempt
from .orders import Asked, Composer, Order
from .recording import Recording, recordings_in
from .sounds import Sounds


class Intake:
    """Used by the engine's thread only. Requests leave in the order in which they came."""

    def __init__(self, composer: Composer, sounds: Sounds) -> None:
        self._composer, self._sounds = composer, sounds
        self._coming: deque[tuple[Asked, dict[bytes, Coming | Failed]]] = deque()

    def __len__(self) -> int:
        return len(self._coming)

    def begin(self, arrived: list[Asked]) -> None:
        """Have the recordings of requests encoded."""
        parts = {asked: list[Recording](recordings_in(asked.given)) for asked in arrived}
        codes = self._sounds.codes([part for own in parts.values() for part in own])
        for asked, own in parts.items():
            self._coming.append((asked, {part.digest: codes[part.digest] for part in own}))

    def ready(self, *, wait: bool) -> Iterator[tuple[Asked, Order | Failed]]:
        """What can be run, or never will be; with ``wait`` all of it."""
        while self._coming and (wait or _here(self._coming[0][1])):
            asked, codes = self._coming.popleft()
            failed = next((one for one in codes.values() if isinstance(one, Failed)), None)
            yield asked, attempt(partial(self._order, asked, codes)) if failed is None else failed

    def _order(self, asked: Asked, codes: Mapping[bytes, Coming | Failed]) -> Order:
        known = {digest: one.wait() for digest, one in codes.items() if isinstance(one, Coming)}
        return self._composer.order(asked, known)


def _here(codes: Mapping[bytes, Coming | Failed]) -> bool:
    return all(one.here for one in codes.values() if isinstance(one, Coming))
