"""What a studio on this machine stands on: PostgreSQL, S3, and services, each of which can be killed and comes back."""

from __future__ import annotations

import os
import pwd
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from tests.servers import S3Server, postgres_programs

COMES_BACK_S = 2.0  # after it was killed, as a supervisor would have it
START_S = 60.0
QUICK = {
    "SPEECHMILL_LEASE_S": "5",
    "SPEECHMILL_DROP_LEASE_S": "6",
    "SPEECHMILL_DROP_INTERVAL_S": "1",
    "SPEECHMILL_DROP_ATTEMPTS": "30",
    "SPEECHMILL_SIDECAR_GRACE_S": "5",
    "SPEECHMILL_SHUTDOWN_S": "10",
    "SPEECHMILL_S3_TIMEOUT_S": "10",
    "SPEECHMILL_WORKERS": "2",
    "SPEECHMILL_ENGINE": "rehearsal",
}
"""What takes a minute in a studio takes seconds here."""


class Service:
    """A process that is started again after it was killed."""

    def __init__(self, argv: Sequence[str], env: dict[str, str], log: Path) -> None:
        self.argv, self.env, self.log = list(argv), env, log
        self._ended_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                self.argv, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )

    def revive(self) -> None:
        """Start it again, some seconds after it has ended."""
        if self._process is None or self._process.poll() is None:
            return
        if not self._ended_at:
            self._ended_at = time.monotonic()
        if time.monotonic() - self._ended_at > COMES_BACK_S:
            self._ended_at = 0.0
            self.start()

    def kill(self) -> None:
        """SIGKILL, to the process alone: its children find out for themselves."""
        if self._process is not None:
            self._process.kill()

    def kill_all(self) -> None:
        """SIGKILL, to the process and to all that it has started, as when a machine is lost."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, as when a container is made anew."""
        if self._process is not None:
            self._process.terminate()

    def freeze(self, seconds: float) -> None:
        """SIGSTOP for a while; the rest goes on meanwhile."""
        if self._process is not None:
            freeze(self._process.pid, seconds)

    def end(self, wait_s: float = 60.0) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def freeze(pid: int, seconds: float) -> None:
    def send(sign: int) -> None:
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            return

    send(signal.SIGSTOP)
    threading.Timer(seconds, send, [signal.SIGCONT]).start()


class Stand:
    """The studio, from its start to its end; ``services`` are what its kind adds to the databases."""

    arrival_s = (6.0, 14.0)  # between films
    blow_s = (3.0, 9.0)  # between blows
    settle_s = 300.0  # for what is under way when the last blow has fallen

    def __init__(self, folder: Path, s3: S3Server) -> None:
        folder.mkdir()
        folder.chmod(0o755)
        assert s3.pid is not None
        self.folder, self._s3, self._s3_pid = folder, s3, s3.pid
        self._bucket, self._objects = s3.new_bucket(), s3.new_bucket()
        self._pg = Path(f"/tmp/speechmill-soak-{os.getpid()}")  # short: the path of a socket has 107 bytes at most
        self.database_url = f"postgresql+psycopg://speechmill@/postgres?host={self._pg}"
        self.place = f"s3://{self._bucket}"
        self.services: list[Service] = []

    def environment(self, home: Path) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
            **self._s3.environment,
            **QUICK,
            "SPEECHMILL_HOME": str(home),
            "SPEECHMILL_DATABASE_URL": self.database_url,
            "SPEECHMILL_OBJECTS_URL": f"s3://{self._objects}/artifacts",
            "SPEECHMILL_SOURCE_ROOTS": self.place,
        }

    def homes(self) -> Iterator[Path]:
        """The homes of all machines that there are."""
        yield from sorted(
            {Path(each.env["SPEECHMILL_HOME"]) for each in self.services if "SPEECHMILL_HOME" in each.env}
        )

    def blows(self, chance: random.Random) -> dict[str, Callable[[], object]]:
        """What may happen to it."""
        return {
            "PostgreSQL restarted": self.restart_postgres,
            "S3 frozen": lambda: freeze(self._s3_pid, chance.uniform(1, 5)),
        }

    def settled(self) -> bool:
        """Whether nothing is to come any more."""
        waiting = self.rows("SELECT job_id FROM outbox WHERE handed_at_s IS NULL")
        return not waiting and not any(True for _ in self.keys("in/"))

    def troubles(self) -> list[str]:
        """What its kind must not have left."""
        return []

    def rows(self, query: str) -> list[Any]:
        """What the catalog says."""
        with psycopg.connect(host=str(self._pg), user="speechmill", dbname="postgres") as connection:
            return connection.execute(query).fetchall()

    def command(self, *words: str, name: str, home: str) -> Service:
        """One of our own commands, on the machine that has a home of this name."""
        argv = [sys.executable, "-m", "flows.cli", *words]
        return Service(argv, self.environment(self.folder / home), self.folder / f"{name}.log")

    def __enter__(self) -> Self:
        self._start_postgres()
        env = self.environment(self.folder / "first")
        subprocess.run([sys.executable, "-m", "flows.cli", "migrate"], env=env, check=True)
        for service in self.services:
            service.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_services()
        self._postgres("-m", "immediate", "stop")
        subprocess.run(["rm", "-rf", self._pg], check=True)

    def end_services(self) -> None:
        for service in reversed(self.services):
            service.end()

    def revive(self) -> None:
        for service in self.services:
            service.revive()

    def restart_postgres(self) -> None:
        self._postgres("-m", "immediate", "restart")

    def _start_postgres(self) -> None:
        programs, self._user = postgres_programs(), None
        assert programs is not None
        self._programs = programs
        self._pg.mkdir()
        if os.getuid() == 0:
            self._user = pwd.getpwnam("postgres").pw_name
            subprocess.run(["chown", self._user, self._pg], check=True)
        initdb = [
            str(programs / "initdb"),
            "-D",
            str(self._pg / "data"),
            "-A",
            "trust",
            "-U",
            "speechmill",
            "-E",
            "UTF8",
        ]
        subprocess.run(initdb, user=self._user, cwd=self._pg, check=True, stdout=subprocess.DEVNULL)
        self._postgres("-o", f"-c listen_addresses='' -c shared_buffers=32MB -k {self._pg}", "start")

    def _postgres(self, *arguments: str) -> None:
        control = [
            str(self._programs / "pg_ctl"),
            "-D",
            str(self._pg / "data"),
            "-w",
            "-s",
            "-l",
            str(self._pg / "log"),
        ]
        options = (
            ["-o", f"-c listen_addresses='' -c shared_buffers=32MB -k {self._pg}"] if "restart" in arguments else []
        )
        subprocess.run([*control, *options, *arguments], user=self._user, cwd=self._pg, check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip

    # The drop folder, as whoever drops and fetches sees it.

    def put(self, key: str, body: bytes) -> None:
        self._client().put_object(Bucket=self._bucket, Key=key, Body=body)

    def get(self, key: str) -> bytes:
        body: bytes = self._client().get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return body

    def keys(self, prefix: str) -> Iterator[str]:
        for page in self._client().get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            yield from (found["Key"] for found in page.get("Contents", ()))

    def _client(self) -> Any:
        return self._s3.client()
