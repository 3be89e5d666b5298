"""A studio whose lines are spoken by workers on a queue: Redis, workers, and sweepers that run the jobs themselves."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.servers import S3Server, free_port
from tests.soak.stand import Service, Stand


class QueuedStudio(Stand):
    """Workers share no folder with sweepers; sweepers, on one machine, share one with each other."""

    def __init__(self, folder: Path, s3: S3Server) -> None:
        self._port = free_port()
        super().__init__(folder, s3)
        self.redis = Service(
            ["redis-server", "--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            dict(os.environ),
            folder / "redis.log",
        )
        speech = ("worker", "--queue", "cpu.speech", "--threads", "4")
        watch = ("ingest", self.place, "--no-prefect")
        self.workers = [self.command(*speech, name=f"worker{n}", home=f"worker{n}") for n in range(2)]
        self.sweepers = [self.command(*watch, name=f"sweeper{n}", home="sweepers") for n in range(3)]
        self.services = [self.redis, *self.workers, *self.sweepers]

    def environment(self, home: Path) -> dict[str, str]:
        return {**super().environment(home), "SPEECHMILL_BROKER_URL": f"redis://127.0.0.1:{self._port}/0"}

    def blows(self, chance: random.Random) -> dict[str, Callable[[], object]]:
        return {
            **super().blows(chance),
            "worker killed": lambda: chance.choice(self.workers).kill(),
            "worker frozen": lambda: chance.choice(self.workers).freeze(chance.uniform(2, 9)),
            "sweeper killed": lambda: chance.choice(self.sweepers).kill(),
            "sweeper frozen": lambda: chance.choice(self.sweepers).freeze(chance.uniform(2, 9)),
            "Redis killed": self.redis.kill,
            "Redis flushed": self._flush,
            "Redis frozen": lambda: self.redis.freeze(chance.uniform(1, 5)),
        }

    def _flush(self) -> None:
        subprocess.run(["redis-cli", "-p", str(self._port), "FLUSHALL"], check=False, capture_output=True, timeout=20)
