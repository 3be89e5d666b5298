"""A whole studio on this machine: PostgreSQL, Redis, S3, workers and sweepers, each of which can be killed and comes
back."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.servers import S3Server, free_port, postgres_programs

COMES_BACK_S = 2.0  # after it was killed, as a supervisor would have it
START_S = 60.0
QUICK = {
    "SPEECHMILL_LEASE_S": "5",
    "SPEECHMILL_DROP_LEASE_S": "6",
    "SPEECHMILL_DROP_INTERVAL_S": "1",
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
    """The studio, from its start to its end."""

    def __init__(self, folder: Path, s3: S3Server) -> None:
        folder.mkdir()
        folder.chmod(0o755)
        assert s3.pid is not None
        self.folder, self._s3, self._s3_pid = folder, s3, s3.pid
        self._bucket, self._objects = s3.new_bucket(), s3.new_bucket()
        self._port = free_port()
        self._pg = Path(f"/tmp/speechmill-soak-{os.getpid()}")  # short: the path of a socket has 107 bytes at most
        self.database_url = f"postgresql+psycopg://speechmill@/postgres?host={self._pg}"
        self.redis = Service(
            ["redis-server", "--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            dict(os.environ),
            folder / "redis.log",
        )
        cli = [sys.executable, "-m", "flows.cli"]
        self.workers = [
            self._service([*cli, "worker", "--queue", "cpu.speech", "--threads", "4"], f"worker{n}") for n in range(2)
        ]
        place = f"s3://{self._bucket}"
        self.sweepers = [self._service([*cli, "ingest", place, "--no-prefect"], f"sweeper{n}") for n in range(3)]

    def environment(self, home: Path) -> dict[str, str]:
        return {
            **os.environ,
            **self._s3.environment,
            **QUICK,
            "SPEECHMILL_HOME": str(home),
            "SPEECHMILL_DATABASE_URL": self.database_url,
            "SPEECHMILL_BROKER_URL": f"redis://127.0.0.1:{self._port}/0",
            "SPEECHMILL_OBJECTS_URL": f"s3://{self._objects}/artifacts",
            "SPEECHMILL_SOURCE_ROOTS": f"s3://{self._bucket}",
        }

    def homes(self) -> Iterator[Path]:
        """Workers share no folder with sweepers; sweepers, on one machine, share one with each other."""
        yield from (self.folder / name for name in ("sweepers", "worker0", "worker1"))

    def _service(self, argv: list[str], name: str) -> Service:
        home = self.folder / ("sweepers" if name.startswith("sweeper") else name)
        return Service(argv, self.environment(home), self.folder / f"{name}.log")

    def __enter__(self) -> Self:
        self._start_postgres()
        self.redis.start()
        env = self.environment(self.folder / "sweepers")
        subprocess.run([sys.executable, "-m", "flows.cli", "migrate"], env=env, check=True)
        for service in (*self.workers, *self.sweepers):
            service.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_services()
        self.redis.end()
        self._postgres("-m", "immediate", "stop")
        subprocess.run(["rm", "-rf", self._pg], check=True)

    def end_services(self) -> None:
        for service in (*self.sweepers, *self.workers):
            service.end()

    def revive(self) -> None:
        for service in (self.redis, *self.workers, *self.sweepers):
            service.revive()

    def flush(self) -> None:
        subprocess.run(["redis-cli", "-p", str(self._port), "FLUSHALL"], check=False, capture_output=True, timeout=20)

    def freeze_s3(self, seconds: float) -> None:
        freeze(self._s3_pid, seconds)

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
