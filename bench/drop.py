"""The drop folder: a sweep of 10,000 keys with nothing new, and six sweepers that race for 200 new files; a folder with
SQLite, and S3 (Ceph RGW) with PostgreSQL.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from measuring import Row, table
from on_queue import postgres

import flows.dubbing  # noqa: F401 (else each racer imports it at its first film, and that is what is measured)
from flows.ingest import Sweeper
from speechmill.settings import Settings
from storage.catalog import Catalog, Sighting
from storage.places import place_at

KEYS, NEW, RACERS = 10_000, 200, 6
MOST_SWEEP_S = 10.0
RGW = Path(__file__).parent.parent / "infra" / "rgw.sh"


class Puts(Protocol):
    """Puts a file into ``in/`` of a place."""

    def __call__(self, name: str, body: bytes) -> object: ...


def main() -> int:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="speechmill-bench-")))
        folder.chmod(0o755)  # the database server is another user
        rows = measured("folder, SQLite", f"{folder}/drop", *stack.enter_context(in_a_folder(folder)))
        rows += measured("S3, PostgreSQL", "s3://studio", *stack.enter_context(in_a_bucket(folder)))
    return table(rows)


@contextmanager
def in_a_folder(folder: Path) -> Iterator[tuple[Settings, Puts]]:
    into = folder / "drop" / "in"
    into.mkdir(parents=True)
    yield settings(folder / "embedded"), lambda name, body: (into / name).write_bytes(body)


@contextmanager
def in_a_bucket(folder: Path) -> Iterator[tuple[Settings, Puts]]:
    import boto3

    with ExitStack() as stack:
        s3 = stack.enter_context(tempfile.TemporaryDirectory(prefix="speechmill-rgw-"))
        started = subprocess.run([RGW, "start", s3, str(os.getpid())], check=True, capture_output=True, text=True)
        stack.callback(subprocess.run, [RGW, "stop", s3], check=True)
        os.environ.update(line.split("=", 1) for line in started.stdout.splitlines())
        (folder / "pg").mkdir()
        database = stack.enter_context(postgres(folder / "pg"))
        endpoint = os.environ["SPEECHMILL_S3_ENDPOINT_URL"]
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        client.create_bucket(Bucket="studio")
        chosen = settings(folder / "production", database_url=database, s3_endpoint_url=endpoint)
        yield chosen, lambda name, body: client.put_object(Bucket="studio", Key=f"in/{name}", Body=body)


def settings(home: Path, **more: Any) -> Settings:
    given: dict[str, Any] = {"engine": "rehearsal", "drop_targets": ("es",), "drop_min_age_s": 0, "sidecar_grace_s": 0}
    return Settings(home=home, **given, **more)


def measured(what: str, where: str, chosen: Settings, put: Puts) -> list[Row]:
    with ThreadPoolExecutor(8) as putting:
        list(putting.map(lambda number: put(f"{number:05}.mp4", b"x"), range(KEYS)))
    with closing(Catalog.open(chosen.database_url)) as catalog:
        sweeper = Sweeper(place_at(where, chosen), chosen, catalog)
        give_jobs(catalog, sweeper)
        began = time.perf_counter()
        swept = sweeper.sweep()
        sweep_s = time.perf_counter() - began
    assert swept.listed == KEYS
    assert swept.idle
    for number in range(NEW):
        put(f"new-{number:03}.wav", silence())
    accepted, race_s = race(chosen, where)
    with closing(Catalog.open(chosen.database_url)) as catalog:
        jobs = len(catalog.jobs(NEW * 2)) - 1
    return [
        Row(f"{what}: sweep of {KEYS:,} keys with nothing new", sweep_s, MOST_SWEEP_S, " s"),
        Row(f"{what}: jobs too many or too few of {NEW} new files, six sweepers ({race_s:.0f} s)",
            max(abs(jobs - NEW), abs(accepted - NEW)), 0),
    ]  # fmt: skip


def give_jobs(catalog: Catalog, sweeper: Sweeper) -> None:
    """All that is there is known, and waits for its job to end: to be one job's is enough for that."""
    found = list(sweeper.place.incoming())
    catalog.see(sweeper.place.url, [Sighting(o.key, o.etag, o.size_bytes, o.modified_at) for o in found])
    job = catalog.add_job("dub", {}, "f").id
    with catalog._database.writing() as session:
        session.execute(sa.text("UPDATE drops SET state = 'accepted', job_id = :job"), {"job": job})


def silence() -> bytes:
    """A tenth of a second of it."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 48_000, 0, "NONE", ""))
        sound.writeframes(bytes(9_600))
    return file.getvalue()


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
    sys.exit(main())
