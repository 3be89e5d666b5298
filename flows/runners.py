"""Runners: what runs the deployments' runs, each in a process of its own, until it is told to stop. Importing this
imports Prefect.

Prefect's own runner cancels its runs when it stops. Here a service that stops is no person who cancels: every run is
told to end, and puts itself back to be gone on with (``flows.stopping``).
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from prefect.runner import Runner

from flows.stopping import put_back_crashed

STOP_S = 25.0  # a run that has not ended by then is killed; `speechmill up` and containers wait a little longer
LOOK_S = 0.2
MARK = b"PREFECT__FLOW_RUN_ID="  # in the environment of the process of a run


class Served(Runner):
    """A runner that begins nothing new when it stops, and leaves its runs to ``run_until_told``."""

    async def cancel_all(self) -> None: ...


async def run_until_told(runners: Sequence[Served], begun: Callable[[], None]) -> None:
    """Run what the server has for these runners, until SIGTERM or SIGINT; then have the runs end that are under way.
    ``begun`` is called once it listens to these."""
    told = asyncio.Event()
    running = [asyncio.create_task(runner.start()) for runner in runners]
    await asyncio.sleep(0)  # each of them takes SIGTERM for itself when it begins
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    begun()
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait([waiting, *running], return_when=asyncio.FIRST_COMPLETED)
    if not told.is_set():  # one of them has ended by itself
        waiting.cancel()
        for each in running:
            each.cancel()
        await asyncio.gather(*running)
    for run in await _end_runs(runners, running):
        await asyncio.to_thread(put_back_crashed, run)  # it was killed, or told before it could do that itself


async def _end_runs(runners: Sequence[Served], running: Sequence[asyncio.Task[None]]) -> set[UUID]:
    """Begin nothing new, tell all runs to end, and wait until they have; which those are."""
    until = asyncio.get_running_loop().time() + STOP_S
    told: set[int] = set()
    runs: set[UUID] = set()
    while not all(each.done() for each in running):
        for runner in runners:
            if runner.started:  # it may be told before it has begun
                await runner.astop()
        late = asyncio.get_running_loop().time() > until
        for process, run in _runs().items():
            runs.add(run)
            with suppress(ProcessLookupError):
                if late:
                    os.kill(process, signal.SIGKILL)
                elif process not in told and _listens(process):
                    told.add(process)
                    os.kill(process, signal.SIGTERM)
        await asyncio.wait(running, timeout=LOOK_S)
    return runs


def _runs() -> dict[int, UUID]:
    """The processes of runs that are children of this one."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
                if int(parent) == os.getpid() and state != "Z":
                    environment = (folder / "environ").read_bytes().split(b"\0")
                    [mark] = [each for each in environment if each.startswith(MARK)]
                    found[int(folder.name)] = UUID(mark.removeprefix(MARK).decode())
    return found


def _listens(process: int) -> bool:
    """Whether a process has come so far that it takes SIGTERM as a word and not as its end."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        caught = next(line.partition(":")[2] for line in lines if line.startswith("SigCgt:"))
        return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)
    return False
