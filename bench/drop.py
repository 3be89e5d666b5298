"""The drop folder: a sweep of 10,000 keys with nothing new, and six sweepers that race for 200 new files."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
import wave
from pathlib import Path
from typing import Any

import click

import flows.dubbing  # noqa: F401 (else each racer imports it at its first film, and that is what is measured)
from flows.ingest import Sweeper
from speechmill.settings import Settings
from storage.catalog import Catalog
from storage.places import place_at

KEYS, NEW, RACERS = 10_000, 200, 6
MOST_SWEEP_S = 10.0


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="speechmill-bench-") as folder:
        home = Path(folder)
        chosen = Settings(
            home=home, database_url="", engine="rehearsal", drop_targets=("es",), drop_min_age_s=0, sidecar_grace_s=0
        )
        drop = home / "drop" / "in"
        drop.mkdir(parents=True)
        for number in range(KEYS):
            (drop / f"{number:05}.srt").write_bytes(b"x")
        sweeper = Sweeper(place_at(str(home / "drop"), chosen), chosen, Catalog.open(chosen.database_url))
        sweeper.sweep()
        began = time.perf_counter()
        swept = sweeper.sweep()
        sweep_s = time.perf_counter() - began
        assert swept.listed == KEYS
        assert swept.idle
        sweeper._catalog.close()
        click.echo(f"{'sweep of 10,000 keys with nothing new':<52} {sweep_s:6.2f} s   at most {MOST_SWEEP_S:.0f} s")

        for number in range(NEW):
            with wave.open(str(drop / f"{number:03}.wav"), "wb") as sound:
                sound.setparams((1, 2, 48_000, 0, "NONE", ""))
                sound.writeframes(bytes(9_600))
        accepted, race_s = race(chosen, str(home / "drop"))
        catalog = Catalog.open(chosen.database_url)
        jobs = len(catalog.jobs(NEW * 2))
        catalog.close()
        click.echo(f"{'200 new files, six sweepers: jobs':<52} {jobs:6d}     exactly {NEW} (in {race_s:.1f} s)")
        if sweep_s > MOST_SWEEP_S or jobs != NEW or accepted != NEW:
            raise SystemExit(1)


def race(chosen: Settings, where: str) -> tuple[int, float]:
    """How many drops the racers accepted together, and how long it took."""

    def sweep(start: Any, won: Any) -> None:
        catalog = Catalog.open(chosen.database_url)
        sweeper = Sweeper(place_at(where, chosen), chosen, catalog)
        start.wait()
        won.put(len(sweeper.sweep().accepted))
        catalog.close()

    processes = multiprocessing.get_context("fork")
    start, won = processes.Barrier(RACERS + 1), processes.SimpleQueue()
    racers = [processes.Process(target=sweep, args=(start, won)) for _ in range(RACERS)]
    for racer in racers:
        racer.start()
    start.wait()
    began = time.perf_counter()
    for racer in racers:
        racer.join()
    return sum(won.get() for _ in racers), time.perf_counter() - began


if __name__ == "__main__":
    main()
