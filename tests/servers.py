"""Real servers for tests: each starts on a free port or socket, lives as long as the tests, and is ended by process id.

``postgres`` is the folder of a socket, ``redis`` a URL, ``rgw`` and ``moto_server`` are S3 endpoints (``S3Server``),
``prefect_url`` is where Prefect's server answers.
A server that cannot be had here skips the test with its reason; on CI, where everything is to be there, it fails it.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest

RGW = Path(__file__).parent.parent / "infra" / "rgw.sh"
MOTO = Path(__file__).parent / "moto_in_turn.py"
RGW_CANNOT_BE_HAD = 4  # exit status of the script
POSTGRES_OPTIONS = "-c listen_addresses='' -c fsync=off -c max_connections=60 -c shared_buffers=16MB"
START_S = 30.0
PREFECT_START_S = 150.0  # where it makes its tables first, on a busy machine
ONE_PROCESS = pytest.mark.xdist_group("rgw")
"""Marks tests with Ceph RGW: one process of pytest runs them all, so that one server is started."""


def missing(reason: str) -> NoReturn:
    """Skip a test for want of something; on CI fail it."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and on CI it must be")
    pytest.skip(reason)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


@contextmanager
def served(
    argv: Sequence[str | Path], port: int, folder: Path, *, env: dict[str, str] | None = None, start_s: float = START_S
) -> Iterator[subprocess.Popen[bytes]]:
    """A server from when it answers at its port until the end of the context."""
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        until = time.monotonic() + start_s
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"{argv[0]} did not start: {log.read_text(errors='replace')[-500:]}")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def postgres_programs() -> Path | None:
    """Where initdb is. Debian's pg_config names the folder; on its own it may belong to a client package."""
    if shutil.which("pg_config") is None:
        return None
    folder = Path(subprocess.check_output(["pg_config", "--bindir"], text=True).strip())
    return folder if (folder / "initdb").exists() else None


def _postgres_user() -> str | None:
    """Who the server runs as: it refuses to run as root."""
    if os.getuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        missing("running as root, and there is no user postgres")


def _postgres_program(folder: Path, name: str, *arguments: str) -> None:
    programs = postgres_programs()
    assert programs is not None
    argv = [str(programs / name), "-D", str(folder / "data"), *arguments]
    subprocess.run(argv, user=_postgres_user(), cwd=folder, check=True, stdout=subprocess.DEVNULL)


def _postgres_control(folder: Path, *arguments: str) -> None:
    _postgres_program(folder, "pg_ctl", "-w", "-s", "-l", str(folder / "log"), *arguments)


def _start_postgres(folder: Path) -> None:
    _postgres_control(folder, "-o", f"{POSTGRES_OPTIONS} -k {folder}", "start")


def _stop_postgres(folder: Path) -> None:
    _postgres_control(folder, "-m", "immediate", "stop")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The folder of the socket of a PostgreSQL server."""
    if postgres_programs() is None:
        missing("no PostgreSQL server is installed (apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="speechmill-postgres-"))  # short: the path of a socket has 107 bytes at most
    if user := _postgres_user():
        shutil.chown(folder, user)
    _postgres_program(folder, "initdb", "-A", "trust", "-U", "speechmill", "-E", "UTF8", "--no-sync")
    _start_postgres(folder)
    yield str(folder)
    _stop_postgres(folder)
    shutil.rmtree(folder)


@contextmanager
def without_postgres(postgres: str) -> Iterator[None]:
    """The server crashes, and comes back when the context is left."""
    _stop_postgres(Path(postgres))
    try:
        yield
    finally:
        _start_postgres(Path(postgres))


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """An empty PostgreSQL database."""
    with new_database(postgres) as url:
        yield url


@contextmanager
def new_database(postgres: str) -> Iterator[str]:
    """An empty database of the server whose socket is in a folder."""
    name = f"test_{uuid.uuid4().hex}"

    def tell(statement: str) -> None:
        with psycopg.connect(host=postgres, user="speechmill", dbname="postgres", autocommit=True) as server:
            server.execute(statement)

    tell(f"CREATE DATABASE {name}")
    yield f"postgresql+psycopg://speechmill@/{name}?host={postgres}"
    tell(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalog.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session")
def redis() -> Iterator[str]:
    """The URL of a Redis server that keeps nothing on disk."""
    if shutil.which("redis-server") is None:
        missing("no Redis server is installed (apt-get install redis-server)")
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="speechmill-redis-"))
    argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with served(argv, port, folder):
        yield f"redis://127.0.0.1:{port}/0"
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def prefect_url() -> Iterator[str]:
    """The URL of a Prefect server that knows nothing yet; about 5 seconds to start."""
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="speechmill-prefect-"))
    with prefect_served(port, folder) as url:
        yield url
    shutil.rmtree(folder)


@cache
def _prefect_tables() -> Path:
    """The database of a Prefect server that knows nothing yet. To make its tables takes longer than all else that a
    server does until it answers, so they are kept, as long as Prefect's version stays what it is."""
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "speechmill")
    kept.mkdir(parents=True, exist_ok=True)
    tables = kept / f"prefect-{version('prefect')}.db"
    with (kept / "prefect.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other processes of these tests wait for one to make them
        if not tables.exists():
            with tempfile.TemporaryDirectory(dir=kept) as home:
                argv = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
                env = {**os.environ, "PREFECT_HOME": home, "DO_NOT_TRACK": "1"}
                subprocess.run(argv, env=env, check=True, stdout=subprocess.DEVNULL)
                Path(home, "prefect.db").rename(tables)
    return tables


def with_prefect_tables(folder: Path) -> None:
    """Have a Prefect server that will keep its things in a folder find its tables made, as after its first start."""
    if not (folder / "prefect.db").exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(_prefect_tables(), folder / "prefect.db")


@contextmanager
def prefect_served(port: int, folder: Path, **environment: str) -> Iterator[str]:
    """A Prefect server that keeps its things in a folder; its URL."""
    with_prefect_tables(folder)
    url = f"http://127.0.0.1:{port}"
    env = {
        **os.environ, "PREFECT_HOME": str(folder), "PREFECT_API_URL": f"{url}/api", "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING", **environment,
    }  # fmt: skip
    argv = [
        sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app", "--host", "127.0.0.1",
        "--port", str(port), "--log-level", "warning", "--lifespan", "on",
    ]  # fmt: skip
    with served(argv, port, folder, env=env, start_s=PREFECT_START_S):
        yield url


@contextmanager
def prefect_at(api: str) -> Iterator[None]:
    """This process, and those that it starts, ask a Prefect server, or what is no server, at an address."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with pytest.MonkeyPatch.context() as patched, temporary_settings({PREFECT_API_URL: api}):
        patched.setenv("PREFECT_API_URL", api)
        yield


@dataclass(frozen=True)
class S3Server:
    """An S3 endpoint, and the environment that reaches it."""

    name: str
    url: str
    environment: dict[str, str]
    pid: int | None = None  # of the process that answers

    def client(self) -> Any:
        """boto3's own client, to look behind the store's back."""
        return _client(self.url, self.environment["AWS_ACCESS_KEY_ID"], self.environment["AWS_SECRET_ACCESS_KEY"])

    def new_bucket(self) -> str:
        """The name of a fresh, empty bucket."""
        bucket = f"test-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=bucket)
        return bucket

    def reach(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have this process, and those that it starts, use this server."""
        from speechmill.settings import settings

        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()


@cache
def _client(url: str, access_key: str, secret_key: str) -> Any:
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
    )


@pytest.fixture(scope="session")
def rgw() -> Iterator[S3Server]:
    """Ceph's S3 server, the real thing; about 15 seconds to start."""
    folder = Path(tempfile.mkdtemp(prefix="speechmill-rgw-"))
    started = subprocess.run([RGW, "start", folder, str(os.getpid())], capture_output=True, text=True, timeout=300)
    if started.returncode == RGW_CANNOT_BE_HAD:
        shutil.rmtree(folder)
        missing(f"Ceph RGW cannot be had here: {started.stderr.strip()}")
    if started.returncode != 0:
        pytest.fail(f"Ceph RGW did not start: {started.stderr[-800:]}")
    environment = dict(line.split("=", 1) for line in started.stdout.splitlines())
    yield S3Server("rgw", environment["SPEECHMILL_S3_ENDPOINT_URL"], environment, int((folder / "rgw.pid").read_text()))
    subprocess.run([RGW, "stop", folder], check=True, timeout=60)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    """A simulated S3 server, quick to start."""
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="speechmill-moto-"))
    url = f"http://127.0.0.1:{port}"
    environment = {
        "SPEECHMILL_S3_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "speechmill",
        "AWS_SECRET_ACCESS_KEY": "speechmill-test",
    }
    with served([sys.executable, MOTO, str(port)], port, folder):
        yield S3Server("moto", url, environment)
    shutil.rmtree(folder)


@pytest.fixture(params=[pytest.param("rgw", marks=ONE_PROCESS), "moto_server"])
def s3(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """Every S3 server we have; this process and those it starts reach it."""
    server: S3Server = request.getfixturevalue(request.param)
    server.reach(monkeypatch)
    return server
