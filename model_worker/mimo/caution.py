"""How much the engine dares to do at once: less after every failure, more again when nothing went wrong for a while."""

from __future__ import annotations

import logging

from .graphs import Graphs

log = logging.getLogger(__name__)

GOOD_STEPS = 64  # before it dares more again; doubled by every failure, else too wide a batch would start for ever
MOST_GOOD_STEPS = 1 << 14  # minutes; what was wrong once may be long over


class Caution:
    """First recorded steps are given up, whose memory is considerable; then half of the rows, and half of those."""

    def __init__(self, most: int, *graphs: Graphs, steady: bool) -> None:
        """``steady``: a step takes the same memory however few requests run."""
        self.width = self._most = most  # requests that may run at once
        self._graphs, self._steady = graphs, steady
        self._good_steps, self._needed = 0, GOOD_STEPS

    def step_back(self, running: int, *, out_of_memory: bool) -> bool:
        """After a failure of so many requests together; False where nothing is left that could be given up."""
        self._good_steps = 0
        self._needed = min(2 * self._needed, MOST_GOOD_STEPS)
        if out_of_memory and any(graphs.on for graphs in self._graphs):
            log.warning("out of memory: everything runs without CUDA graphs for a while, more slowly")
            for graphs in self._graphs:
                graphs.rest()
            return True
        rows = self.width if out_of_memory and self._steady else running
        if rows <= 1:
            return False
        self.width = rows // 2
        log.warning("a step failed: %d requests run at once for a while, not %d", self.width, rows)
        return True

    def went_well(self) -> None:
        """After a step."""
        self._good_steps += 1
        if self._good_steps < self._needed:
            return
        self._good_steps = 0
        if self.width < self._most:
            self.width = min(self._most, 2 * self.width)
            return
        resumed = [graphs.resume() for graphs in self._graphs]
        if not any(resumed):
            self._needed = GOOD_STEPS  # all is as it was at first, and went well for as long
