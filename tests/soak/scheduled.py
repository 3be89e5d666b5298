"""A studio whose jobs are runs of Prefect's: its server, two machines that serve, and two that sweep; no two of them
share a folder. A person cancels runs now and then."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import urllib.error
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.prefect_api import PrefectApi
from tests.servers import S3Server, free_port
from tests.soak.stand import Service, Stand

LOST_AFTER_S = 45  # signs of life of runs come every 30 s, and Prefect allows no quicker ones
OPEN = ["SCHEDULED", "PENDING", "RUNNING"]
RETAKE_S = 60.0
START_S = 120.0
AWAY = (urllib.error.URLError, TimeoutError, ConnectionError, AssertionError, TypeError)
"""What comes of asking a server that is killed just now."""


class ScheduledStudio(Stand):
    """Everything is done by whoever serves."""

    arrival_s = (14.0, 26.0)  # each run takes five seconds of a processor before it begins
    blow_s = (6.0, 16.0)
    settle_s = 900.0  # what was lost is found after a while, and tried again after a longer one

    def __init__(self, folder: Path, s3: S3Server) -> None:
        self._port = free_port()
        self.api = PrefectApi(f"http://127.0.0.1:{self._port}")
        self._retaken_s: dict[str, float] = {}
        super().__init__(folder, s3)
        server = [
            sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app",
            "--host", "127.0.0.1", "--port", str(self._port), "--log-level", "warning", "--lifespan", "on",
        ]  # fmt: skip
        self.server = Service(server, self._server_environment(), folder / "server.log")
        self.serving = [self.command("serve", name=f"serve{n}", home=f"serve{n}") for n in range(2)]
        self.sweepers = [self.command("ingest", self.place, name=f"ingest{n}", home=f"ingest{n}") for n in range(2)]
        self.services = [self.server, *self.serving, *self.sweepers]

    def environment(self, home: Path) -> dict[str, str]:
        return {
            **super().environment(home),
            "PREFECT_API_URL": self.api.api,
            "SPEECHMILL_LOST_AFTER_S": str(LOST_AFTER_S),
            "SPEECHMILL_RUNS": "2",
            "SPEECHMILL_WORKERS": "1",
        }

    def _server_environment(self) -> dict[str, str]:
        (self.folder / "prefect").mkdir()
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_API_URL": self.api.api,
            "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
            "DO_NOT_TRACK": "1",
        }

    def blows(self, chance: random.Random) -> dict[str, Callable[[], object]]:
        return {
            **super().blows(chance),
            "serve stopped": lambda: chance.choice(self.serving).stop(),
            "serve killed": lambda: chance.choice(self.serving).kill(),
            "serve killed with its runs": lambda: chance.choice(self.serving).kill_all(),
            "serve frozen": lambda: chance.choice(self.serving).freeze(chance.uniform(2, 9)),
            "run killed": lambda: self._signal_a_run(chance, signal.SIGKILL),
            "run stopped": lambda: self._signal_a_run(chance, signal.SIGTERM),
            "run cancelled": lambda: self._cancel_a_run(chance),
            "sweeper killed": lambda: chance.choice(self.sweepers).kill(),
            "sweeper stopped": lambda: chance.choice(self.sweepers).stop(),
            "sweeper frozen": lambda: chance.choice(self.sweepers).freeze(chance.uniform(2, 9)),
            "Prefect's server killed": self.server.kill,
        }

    def settled(self) -> bool:
        """What a person has cancelled is gone on with first, as a person would: and then looked at for a while."""
        for (job,) in self.rows("SELECT id FROM jobs WHERE state = 'cancelled'"):
            if time.monotonic() - self._retaken_s.get(job, -RETAKE_S) >= RETAKE_S:
                self._retaken_s[job] = time.monotonic()
                with suppress(*AWAY):
                    self.api.run("retake", request={"job": job})
        if not super().settled() or self._runs():
            return False
        with suppress(*AWAY):
            return not any(self._places_taken().values())
        return False

    def troubles(self) -> list[str]:
        """Runs that still count as under way, and places that nobody has any more."""
        self.server.start()
        self._wait_for(lambda: self.api.ask("health").status == 200)
        under_way = {"flow_runs": {"state": {"type": {"any_": [*OPEN, "PAUSED", "CANCELLING"]}}}}
        found = self.api.ask("flow_runs/filter", under_way).body
        troubles = [f"run {each['name']} is {each['state']['name']}" for each in found]
        taken = self._places_taken()
        troubles += [f"{count} places of {name} are taken by nobody" for name, count in taken.items() if count]
        self.server.end()
        return troubles

    def _places_taken(self) -> dict[str, int]:
        """How many runs have a place, by deployment, as Prefect counts; those of the dead come back after minutes."""
        asked = {name: self.api.ask(f"deployments/name/{name}/{name}") for name in ("dub", "retake")}
        return {name: answer.body["global_concurrency_limit"]["active_slots"] for name, answer in asked.items()}

    def end_services(self) -> None:
        super().end_services()
        for process in self._runs():  # whose service was killed
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def _signal_a_run(self, chance: random.Random, number: int) -> None:
        found = self._runs()
        if found:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(sorted(found)), number)

    def _runs(self) -> list[int]:
        """The processes of runs on our machines."""
        ours = [f"SPEECHMILL_HOME={self.folder / f'serve{n}'}".encode() for n in range(2)]
        found = []
        for folder in Path("/proc").iterdir():
            with suppress(OSError):
                if folder.name.isdigit():
                    environ = (folder / "environ").read_bytes().split(b"\0")
                    if any(own in environ for own in ours) and any(e.startswith(b"PREFECT__FLOW_RUN") for e in environ):
                        found.append(int(folder.name))
        return found

    def _cancel_a_run(self, chance: random.Random) -> None:
        """As a person presses Cancel, whatever the run is about to do."""
        with suppress(*AWAY):
            meant = {"flow_runs": {"state": {"type": {"any_": OPEN}}, "deployment_id": {"is_null_": False}}}
            found: list[dict[str, Any]] = self.api.ask("flow_runs/filter", meant).body
            if found:
                run = chance.choice(sorted(each["id"] for each in found))
                self.api.ask(f"flow_runs/{run}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})

    def _wait_for(self, good: Callable[[], bool]) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            with suppress(*AWAY):
                if good():
                    return
            time.sleep(0.5)
        raise AssertionError("Prefect's server does not answer")
