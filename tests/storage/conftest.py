"""Catalogs and stores on real databases and object stores (``tests.servers``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.artifacts import ArtifactStore
from storage.catalog import Catalog
from storage.objects import FolderStore, ObjectStore


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
