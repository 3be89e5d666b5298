"""A studio: a database, a Redis, a folder of objects, workers in processes of their own, and a flow that waits."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis as redis_client
import soundfile

from model_worker.engines import registry
from speechmill.abilities import Message, Utterance
from speechmill.lines import Line
from speechmill.settings import Settings
from speechmill.takes import Take
from speechmill.voices import Voice
from storage.catalog import Catalog, Job, JobState
from tasks.answering import by_anybody
from tasks.media.extraction import Sound
from tasks.speaking import Assignment, assign, speak_takes, speaks_of
from tasks.speech.activity import Chunk
from tasks.text.glossaries import Glossary
from tasks.transcribing import transcribe
from tasks.translating import translate
from tasks.workplace import Workplace, workplace
from tests.forge import Forge, Forged
from tests.keeping import keep_file
from tests.queueing import engine as test_engine
from tests.servers import free_port, missing, new_database, served

START_S = 60.0
WORKING = "tests.queueing.working"  # speechmill, with our engine


class Quiet:
    """Progress that nobody watches."""

    def say(self, sentence: str) -> None: ...

    def stage(self, name: str, done: int, total: int | None) -> None: ...

    def stage_ended(self, name: str, seconds: float, made: int, reused: int) -> None: ...


class OwnRedis:
    """A Redis that a test may maltreat."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis_client.Redis.from_url(self.url)
        self.start()

    def start(self) -> None:
        argv = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._served = served(argv, self.port, self.folder)
        self.process = self._served.__enter__()

    def stop(self) -> None:
        self._served.__exit__(None, None, None)

    def restart(self) -> None:
        self.stop()
        time.sleep(0.5)
        self.start()

    def flush(self) -> None:
        self.client.flushall()

    def freeze(self, seconds: float = 3.0) -> None:
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)


class Studio:
    """Everything that a job on a queue needs."""

    def __init__(self, folder: Path, database_url: str, broker_url: str, forge: Forge) -> None:
        self.folder, self.forge = folder, forge
        self.spoken_file = folder / "spoken"
        self.spoken_file.touch()
        self.changes = {
            "SPEECHMILL_HOME": str(folder / "home"),
            "SPEECHMILL_DATABASE_URL": database_url,
            "SPEECHMILL_OBJECTS_URL": f"file://{folder / 'home' / 'objects'}",
            "SPEECHMILL_BROKER_URL": broker_url,
            "SPEECHMILL_ENGINE": test_engine.NAME,
            "SPEECHMILL_LEASE_S": "2",
            "SPEECHMILL_LOG_FORMAT": "text",
            "SPOKEN": str(self.spoken_file),
        }
        self.settings = Settings(
            home=folder / "home",
            database_url=database_url,
            broker_url=broker_url,
            engine=test_engine.NAME,
            lease_s=2,
        )
        self.catalog = Catalog.open(database_url)
        self.workers: list[Forged] = []
        self.flows: list[Flow] = []
        self.new_job()

    def new_job(self) -> None:
        """Begin anew: another job, nothing spoken."""
        self.job: Job = self.catalog.add_job("dub", {}, "f")
        self.catalog.move_job(self.job.id, JobState.RUNNING)
        self.spoken_file.write_text("")

    def run(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        return self.forge.run(arguments, {**os.environ, **self.changes, **changes}, self.folder, WORKING)

    def worker(self, *, threads: int = 2, wait: bool = True, **changes: str) -> Forged:
        """A worker that is ready."""
        log = self.folder / f"worker{len(self.workers)}.log"
        env = {**os.environ, **self.changes, **changes}
        process = self.forge.start(["worker", "--threads", str(threads)], env, self.folder, log, log, WORKING)
        self.workers.append(process)
        if wait:
            self.until(lambda: (log.exists() and b"ready" in log.read_bytes()) or process.poll() is not None)
            assert process.poll() is None, log.read_text()
        return process

    def log(self, number: int = 0) -> str:
        return (self.folder / f"worker{number}.log").read_text()

    def place(self) -> Workplace:
        return workplace(self.settings, self.catalog, self.job.id, Quiet())

    def assignments(self, texts: Sequence[str]) -> list[Assignment]:
        """Lines with these texts, kept in the catalog, and what is asked of each."""
        speaks = speaks_of(registry.engine(test_engine.NAME, self.settings))
        voice = Voice("tone", test_engine.NAME, {"pitch_hz": 110.0})
        lines = [Line(f"{number:04}", "A", "es", text) for number, text in enumerate(texts)]
        self.catalog.put_lines(self.job.id, "es", lines)
        return [assign(line.id, voice, Utterance(line.text, "es"), 1, speaks) for line in lines]

    def speak(self, texts: Sequence[str], place: Workplace | None = None) -> dict[str, list[Take]]:
        """What a flow does: order takes of these texts and wait for them."""
        given = self.assignments(texts)
        chosen = registry.engine(test_engine.NAME, self.settings)
        return speak_takes(place or self.place(), "es", given, lambda *_: None, chosen, None)

    def flow(self, texts: Sequence[str]) -> Flow:
        return self._beside(lambda: self.speak(texts))

    def hearing(self, count: int) -> Flow:
        """A flow that has so many chunks of a recording heard, of a second each."""
        place, recording = self.place(), self.folder / "recording.wav"
        samples = np.sin(np.arange(48_000 * count) / 50).astype(np.float32)
        soundfile.write(recording, samples, 48_000, subtype="FLOAT")
        sound = Sound(keep_file(place.store, recording).sha256, 1, "mono", len(samples))
        chunks = [Chunk(48_000 * number, 48_000 * (number + 1)) for number in range(count)]
        chosen = registry.engine(test_engine.NAME, self.settings)
        return self._beside(lambda: transcribe(place, sound, chunks, chosen, "es"))

    def translating(self, texts: Sequence[str]) -> Flow:
        """A flow that has lines with these texts translated."""
        lines = [Line(f"{number:04}", "A", "en", text) for number, text in enumerate(texts)]
        place, chosen = self.place(), registry.engine(test_engine.NAME, self.settings)
        return self._beside(lambda: translate(place, lines, chosen, "en", "es", Glossary()))

    def asking(self, *texts: str) -> Flow:
        """A flow that asks an engine that writes one thing after the other."""
        pen = by_anybody(self.place(), registry.engine(test_engine.NAME, self.settings)).writes
        assert pen is not None
        return self._beside(lambda: [pen.write([Message("user", text)], 1) for text in texts])

    def _beside(self, work: Callable[[], Any]) -> Flow:
        flow = Flow(work)
        self.flows.append(flow)
        return flow

    def spoken(self) -> list[str]:
        """Every text that an engine was asked to speak, in that order."""
        return self.spoken_file.read_text().splitlines()

    def until(self, is_so: Callable[[], bool], seconds: float = START_S) -> None:
        until_s = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < until_s, "waited too long"
            time.sleep(0.05)

    def close(self) -> None:
        for process in self.workers:
            process.kill()
            process.wait()
        for flow in self.flows:
            if flow.is_alive():
                self.catalog.request_cancel(self.job.id)
                flow.join(10)
        self.catalog.close()


class Flow(threading.Thread):
    """A flow that waits beside the test."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._made: Any = None
        self.error: Exception | None = None
        self.ended_s = 0.0
        self.start()

    def run(self) -> None:
        try:
            self._made = self._work()
        except Exception as error:
            self.error = error
        self.ended_s = time.monotonic()

    def result(self, seconds: float = START_S) -> Any:
        self.join(seconds)
        assert not self.is_alive(), "the flow still waits"
        if self.error is not None:
            raise self.error
        return self._made


@pytest.fixture(autouse=True)
def the_engine_for_tests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(registry, "_entry_points", lambda: {test_engine.NAME: test_engine.Point()})
    monkeypatch.setattr(registry, "_made", {})
    monkeypatch.setattr(test_engine, "during", [])
    monkeypatch.setenv("SPOKEN", str(tmp_path / "spoken"))


@pytest.fixture
def studio(tmp_path: Path, postgres_url: str, redis: str, forge: Forge) -> Iterator[Studio]:
    """A studio without workers."""
    redis_client.Redis.from_url(redis).flushall()
    made = Studio(tmp_path, postgres_url, redis, forge)
    yield made
    made.close()


@pytest.fixture(scope="module")
def staffed_studio(
    tmp_path_factory: pytest.TempPathFactory, postgres: str, redis: str, forge: Forge
) -> Iterator[Studio]:
    redis_client.Redis.from_url(redis).flushall()
    with new_database(postgres) as url:
        made = Studio(tmp_path_factory.mktemp("studio"), url, redis, forge)
        made.worker()
        yield made
        made.close()


@pytest.fixture
def staffed(staffed_studio: Studio) -> Studio:
    """A studio with a worker of two threads that other tests use too, and a job of its own."""
    staffed_studio.new_job()
    return staffed_studio


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    if shutil.which("redis-server") is None:
        missing("no Redis server is installed (apt-get install redis-server)")
    (tmp_path / "redis").mkdir()
    server = OwnRedis(tmp_path / "redis")
    yield server
    server.stop()


@pytest.fixture
def frail(tmp_path: Path, postgres_url: str, own_redis: OwnRedis, forge: Forge) -> Iterator[Studio]:
    """A studio whose Redis may be maltreated."""
    made = Studio(tmp_path, postgres_url, own_redis.url, forge)
    yield made
    made.close()
