"""Where a source is: a file of this machine, or what lies in S3 or at an address of the web, and is fetched once. What
it is called there is for people; the name of the file that it is fetched to is ours."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

from speechmill.episodes import SIMPLE, PodcastRequest
from speechmill.errors import BadInput, DiskFull, LimitExceeded, SpeechmillError, UnreadableMedia
from speechmill.profiles import is_file
from speechmill.recipes import Json, digest_of_json
from speechmill.requests import DubbingRequest
from speechmill.settings import Settings
from storage.caches import Cache
from storage.objects import ObjectStore, StoredObject
from storage.scratch import Scratch
from storage.stores import object_store
from tasks.documents import web
from tasks.media.naming import called
from tasks.workplace import Workplace

S3, HTTPS = "s3://", "https://"
ENDING = re.compile(r"\.[a-z0-9]{1,8}")  # of a key, by which readers of documents tell formats apart
LOOK_S = 60.0  # within which a server must say what it has
SPARE_BYTES = 1 << 30  # left free on the disk beside what is fetched


BESIDE = ("script", "glossary", "bed", "lexicon", "intro", "outro")  # fields that name further files
SCRIPT = ".json"  # how the name of a script ends

Request = TypeVar("Request", DubbingRequest, PodcastRequest)


@dataclass(frozen=True, slots=True)
class Source:
    """A file that can be read, and what people call it."""

    path: Path
    name: str

    @contextmanager
    def called(self) -> Iterator[None]:
        """Errors from inside name the source as people do."""
        try:
            yield
        except SpeechmillError as error:
            error.message = error.message.replace(self.path.name, self.name)
            raise


def look(source: str, settings: Settings) -> None:
    """Refuse, before any work, an address that cannot be read from, and an object that is not there or too large."""
    if source.startswith(S3):
        _found(source, settings)
    elif source.startswith(HTTPS):
        _answered(source, settings)
    elif "://" in source:
        raise BadInput(
            f"{source} cannot be read from", hint="name a file of this machine, or an s3:// or https:// address"
        )


def find(source: str, settings: Settings) -> Source:
    """The file of a source, fetched where it is elsewhere; it stays as long as this process, and in the cache after it.

    Raises as ``look`` does, and ``DiskFull`` before a download that would fill the disk.
    """
    name = called(source)
    if source.startswith(S3):
        objects, found = _found(source, settings)
        marks: list[Json] = [settings.s3_endpoint_url, source, found.etag, found.size_bytes]
        return Source(_cached(name, marks, found.size_bytes, partial(objects.get_file, found.key), settings), name)
    look(source, settings)
    if not source.startswith(HTTPS):
        return Source(Path(source), name)
    reply = _answered(source, settings)
    told = [reply.headers.get(mark, "") for mark in ("etag", "last-modified")]
    # What says nothing of its version is fetched each time.
    marks = [source, *told, reply.length_bytes] if any(told) else [source, secrets.token_hex(8)]

    def fetch(out: Path) -> None:
        web.fetch(source, most_bytes=settings.max_source_bytes, deadline_s=settings.tool_timeout_s, into=out)

    return Source(_cached(name, marks, reply.length_bytes or 0, fetch, settings), name)


def _cached(name: str, marks: list[Json], size_bytes: int, fetch: Callable[[Path], None], settings: Settings) -> Path:
    """The file of an object that ``marks`` tell from every other, fetched where it is not here."""
    ending = ENDING.fullmatch(Path(name).suffix.lower())
    ours = digest_of_json(marks) + (ending[0] if ending else "")

    def fetched(out: Path) -> None:
        free_bytes = shutil.disk_usage(out.parent).free
        if free_bytes < size_bytes + SPARE_BYTES:
            raise DiskFull(
                f"{name} has {size_bytes / 2**30:.1f} GiB, and {free_bytes / 2**30:.1f} GiB are free here",
                hint="free some space and run the same command again",
            )
        fetch(out)

    return _cache(settings.cache, settings.scratch, settings.cache_bytes).path(ours, fetched)


@contextmanager
def at_hand(request: Request, place: Workplace) -> Iterator[Request]:
    """The request with files that stay as they are in place of what it names: of this machine for what lies in S3
    beside its source, and, for a job that is held to roots, of our own for what is read by itself. Files that name
    others by where they lie (a show, a cast, a script, the folder of a digest) are judged when they are read."""

    def ours(named: str) -> str:
        if named.startswith(S3):
            return str(place.kept(find(named, place.settings).path))
        return named if "://" in named or named == SIMPLE else str(place.taken(Path(named)))

    with place.taking():
        update: dict[str, Any] = {
            name: ours(value) for name in BESIDE if isinstance(value := getattr(request, name, None), str)
        }
        if isinstance(request, DubbingRequest):
            update["translations"] = {tag: ours(file) for tag, file in request.translations.items()}
        if is_file(request.profile):
            update["profile"] = ours(request.profile)
        if _is_read_by_itself(request) and "://" not in request.source:
            update["source"] = ours(request.source)
        if isinstance(request, PodcastRequest) and request.cast and request.cast.startswith(S3):
            update["cast"] = ours(request.cast)
        yield request.model_copy(update=update)


def _is_read_by_itself(request: DubbingRequest | PodcastRequest) -> bool:
    """Whether the source names no other files, as a script does that has recorded voices, and a folder."""
    if isinstance(request, DubbingRequest):
        return True
    return request.collected is None and Path(request.source).suffix.lower() != SCRIPT


def _answered(source: str, settings: Settings) -> web.Reply:
    """What a server says of an address before it sends the body."""
    if not settings.allow_https:
        raise BadInput(
            f"{source[:200]} is an address, and the settings allow only files and s3://",
            hint="set SPEECHMILL_ALLOW_HTTPS=1, or download it and name the file",
        )
    return web.fetch(source, most_bytes=settings.max_source_bytes, deadline_s=LOOK_S, whole=False)


def _found(source: str, settings: Settings) -> tuple[ObjectStore, StoredObject]:
    bucket, _, key = source.removeprefix(S3).partition("/")
    objects = object_store(S3 + bucket, settings)
    found = objects.head(key)
    if found is None:
        raise UnreadableMedia(f"there is no object {source}", hint="check the bucket and the key")
    if found.size_bytes > settings.max_source_bytes:
        raise LimitExceeded(
            f"{source} has {found.size_bytes} bytes, more than the {settings.max_source_bytes} allowed",
            hint="cut it, or raise SPEECHMILL_MAX_SOURCE_BYTES",
        )
    return objects, found


@lru_cache
def _cache(root: Path, scratch: Path, most_bytes: int) -> Cache:
    """One for the process: what it was given stays while its scratch does."""
    return Cache(root, Scratch(scratch), most_bytes)
