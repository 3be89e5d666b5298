"""Real stores and real databases: a folder, SQLite, and a PostgreSQL server of our own where one is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from storage.artifacts import ArtifactStore
from storage.catalog import Catalog
from storage.objects import FolderStore, ObjectStore

SERVER_OPTIONS = "-c listen_addresses='' -c fsync=off -c max_connections=60 -c shared_buffers=16MB"


def _server_programs() -> Path | None:
    """Where initdb is. Debian's pg_config names the folder; on its own it may belong to a client package."""
    if shutil.which("pg_config") is None:
        return None
    folder = Path(subprocess.check_output(["pg_config", "--bindir"], text=True).strip())
    return folder if (folder / "initdb").exists() else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The folder of the socket of a server that lives as long as the tests."""
    programs = _server_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (apt-get install postgresql)")
    user = None
    if os.getuid() == 0:  # the server refuses to run as root
        try:
            user = pwd.getpwnam("postgres").pw_name
        except KeyError:
            pytest.skip("running as root, and there is no user postgres")
    folder = Path(tempfile.mkdtemp(prefix="speechmill-postgres-"))  # short: the path of a socket has 107 bytes at most
    if user:
        shutil.chown(folder, user)

    def run(*argv: str) -> None:
        subprocess.run(argv, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)

    data = folder / "data"
    run(str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", "speechmill", "-E", "UTF8", "--no-sync")
    control = [str(programs / "pg_ctl"), "-D", str(data), "-w", "-s", "-l", str(folder / "log")]
    run(*control, "-o", f"{SERVER_OPTIONS} -k {folder}", "start")
    yield str(folder)
    run(*control, "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'catalog.db'}"
        return
    socket = request.getfixturevalue("postgres")
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(host=socket, user="speechmill", dbname="postgres", autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        yield f"postgresql+psycopg://speechmill@/{name}?host={socket}"
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def catalog(database_url: str) -> Iterator[Catalog]:
    catalog = Catalog.open(database_url)
    yield catalog
    catalog.close()


@pytest.fixture(params=[FolderStore])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """Every kind of object store, empty."""
    store: ObjectStore = request.param(tmp_path / "objects")
    return store


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where an embedded Speechmill keeps everything."""
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> Iterator[ArtifactStore]:
    """Artifacts as on one machine: a folder, and SQLite as the index."""
    catalog = Catalog.open(f"sqlite:///{home / 'catalog.db'}")
    yield ArtifactStore(FolderStore(home / "objects"), catalog, home / "scratch")
    catalog.close()
