"""Manifests of batches: a file that somebody names, or one that was dropped. What they differ in is where the names in
them lead, and who may name what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname, normpath
from typing import Protocol

from flows import admission
from flows.examining import Listing, files_of, roots_of, show_at
from speechmill.episodes import PodcastRequest
from speechmill.errors import BadInput, MissingObject, UnreadableManifest
from speechmill.requests import DubbingRequest
from speechmill.roots import Roots, path_of
from speechmill.settings import Settings
from storage.catalog import Drop, DropState
from storage.places import Place
from storage.stores import object_store
from tasks.dropping import layout
from tasks.dropping.manifests import MOST_BYTES, Entry
from tasks.sources import S3


class Manifest(Protocol):
    """A manifest, wherever it lies."""

    @property
    def name(self) -> str:
        """What its lines are called after."""

    @property
    def where(self) -> str:
        """What a report calls it."""

    def read(self) -> bytes:
        """Its bytes, up to one more than it may have; raises ``UnreadableManifest``."""

    def whole(self, name: str) -> str:
        """What a name in it leads to, as a request has it; raises ``UnreadableManifest``."""

    def show(self, name: str) -> str:
        """The show that is named in it; raises ``UnreadableManifest``."""

    def admit(self, request: DubbingRequest | PodcastRequest) -> Roots | None:
        """The roots that a request keeps to, as ``flows.admission.admit`` has them; raises ``BadInput``."""


@dataclass(frozen=True, slots=True)
class FileManifest:
    """A file of this machine. Names are relative to it."""

    path: Path
    settings: Settings
    outside: bool = False  # named by somebody whose rights nobody knows

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def where(self) -> str:
        return str(self.path)

    def read(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                return file.read(MOST_BYTES + 1)
        except OSError as error:
            raise UnreadableManifest(f"{self.path} cannot be read: {error.strerror}", hint="check its name") from None

    def whole(self, name: str) -> str:
        return name if "://" in name else str((self.path.parent / path_of(name)).absolute())

    def show(self, name: str) -> str:
        return self.whole(name)

    def admit(self, request: DubbingRequest | PodcastRequest) -> Roots | None:
        return admission.admit(request, self.settings) if self.outside else None


@dataclass(frozen=True, slots=True)
class BucketManifest:
    """An object. Names are relative to it."""

    url: str
    settings: Settings
    outside: bool = False

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def where(self) -> str:
        return self.url

    def read(self) -> bytes:
        bucket, _, key = self.url.removeprefix(S3).partition("/")
        try:
            with object_store(S3 + bucket, self.settings).open_range(key, 0, MOST_BYTES + 1) as reader:
                return reader.read()
        except (BadInput, MissingObject):
            raise UnreadableManifest(f"there is no manifest {self.url}", hint="check the bucket and the key") from None

    def whole(self, name: str) -> str:
        if name.startswith("/") or "://" in name:
            return name
        bucket, _, key = self.url.removeprefix(S3).partition("/")
        return f"{S3}{bucket}/{normpath(f'/{dirname(key)}/{name}').lstrip('/')}"

    def show(self, name: str) -> str:
        return self.whole(name)

    def admit(self, request: DubbingRequest | PodcastRequest) -> Roots | None:
        return admission.admit(request, self.settings) if self.outside else None


def manifest_at(where: str, chosen: Settings, *, outside: bool) -> FileManifest | BucketManifest:
    """The manifest that somebody names: a path, or ``s3://bucket/key``."""
    if where.startswith(S3):
        return BucketManifest(where, chosen, outside)
    return FileManifest(path_of(where).absolute(), chosen, outside)


@dataclass(frozen=True, slots=True)
class DroppedManifest:
    """One that was dropped. Names lead to what lies beside it, or to what anybody from outside may name."""

    drop: Drop
    place: Place
    listing: Listing
    settings: Settings

    @property
    def name(self) -> str:
        return self.drop.key.rpartition("/")[2]

    @property
    def where(self) -> str:
        return self.place.source(self.drop.key)

    def read(self) -> bytes:
        return self.place.read(self.drop.key, MOST_BYTES + 1)

    def key(self, name: str) -> str | None:
        """The key that a name leads to; ``None`` for one that leads out of the place."""
        return None if name.startswith("/") or "://" in name else layout.beside(self.drop.key, name)

    def whole(self, name: str) -> str:
        if name.startswith("/") or "://" in name:
            return name
        key = self.key(name)
        row = self.listing.rows.get(key) if key is not None else None
        if key is None or row is None:
            raise UnreadableManifest(f"{name[:80]} is not beside {self.name}", hint="drop them together")
        if row.state is not DropState.SEEN:
            raise UnreadableManifest(f"{name[:80]} was dropped before, for itself", hint="drop the manifest first")
        return self.place.source(key)

    def show(self, name: str) -> str:
        return show_at(self.place, self.name, name, UnreadableManifest)

    def admit(self, request: DubbingRequest | PodcastRequest) -> Roots | None:
        return admission.admit(request, self.settings, *roots_of(self.place))


def names(entries: list[Entry]) -> Iterator[str]:
    """Every name of a file in a manifest."""
    for row in (entry.row for entry in entries if entry.row is not None):
        yield row.source
        yield from files_of(row.options).values()
        translations = row.options.get("translations")
        given = translations.values() if isinstance(translations, dict) else ()
        yield from (each for each in given if isinstance(each, str))
