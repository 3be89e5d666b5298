"""Catalogs and stores on real databases and object stores (``tests.servers``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.artifacts import ArtifactStore
from storage.catalog import Catalog, Job
from storage.objects import FolderStore, ObjectStore
from storage.stores import object_store
from tests.servers import ONE_PROCESS, S3Server


@pytest.fixture
def catalog(database_url: str) -> Iterator[Catalog]:
    catalog = Catalog.open(database_url)
    yield catalog
    catalog.close()


@pytest.fixture
def job(catalog: Catalog) -> Job:
    return catalog.add_job("dub", {"source": "talk.mp4", "targets": ["es"]}, "fingerprint", "out/talk")


@pytest.fixture(params=["folder", pytest.param("rgw", marks=ONE_PROCESS), "moto_server"])
def objects(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """Every kind of object store, empty."""
    if request.param == "folder":
        return FolderStore(tmp_path / "objects")
    server: S3Server = request.getfixturevalue(request.param)
    server.reach(monkeypatch)
    return object_store(f"s3://{server.new_bucket()}/studio/one")


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
