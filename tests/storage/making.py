"""Makers of artifacts for tests, and what is left in a home."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from speechmill.recipes import Recipe
from storage.artifacts import ArtifactStore
from storage.catalog import Catalog
from storage.objects import FolderStore

RECIPE = Recipe("speak", "1", text="hello")


def writes(content: bytes) -> Callable[[Path], None]:
    def make(out: Path) -> None:
        out.write_bytes(content)

    return make


def never(_: Path) -> None:
    raise AssertionError("this was to be found, not made")


def leftovers(home: Path) -> list[Path]:
    """Everything under scratch that somebody's work left there."""
    found = (home / "scratch").rglob("*")
    return [path for path in found if path.is_file() and path.name not in (".alive", ".lock")]


def kept(home: Path) -> list[Path]:
    return sorted(path for path in (home / "objects").rglob("*") if path.is_file())


@contextlib.contextmanager
def opened(home: Path) -> Iterator[ArtifactStore]:
    """The same store as another process sees it."""
    catalog = Catalog.open(f"sqlite:///{home / 'catalog.db'}")
    try:
        yield ArtifactStore(FolderStore(home / "objects"), catalog, home / "scratch")
    finally:
        catalog.close()
