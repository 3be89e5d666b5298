"""The layout of a drop folder: what a key under ``in/`` is, and what belongs together. Nothing here opens a file."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum, auto
from posixpath import normpath

from storage.places import IN

SIDECAR = ".job.json"
DEFAULTS = "defaults.job.json"
SHOWS = "shows/"  # beside in/: what stays where it is, since its feed is served from there
SCRIPT = ".script.json"
MANIFESTS = (".batch.csv", ".batch.jsonl")
TEMPORARY = (".part", ".partial", ".filepart", ".tmp", ".temp", ".crdownload", ".download", ".swp", "~")
DOCUMENTS = (".md", ".markdown", ".txt", ".docx", ".epub", ".pdf", ".html", ".htm", SCRIPT)
COMPANIONS = (".srt", ".vtt", ".csv", ".toml", ".jpg", ".jpeg", ".png")


class Role(StrEnum):
    """What a file in ``in/`` is, by its name."""

    FILM = auto()  # or a recording, or something that is neither: its bytes will tell
    DOCUMENT = auto()
    SIDECAR = auto()
    DEFAULTS = auto()
    MANIFEST = auto()
    COMPANION = auto()  # a script, a glossary, a cast: what sidecars name
    TEMPORARY = auto()  # somebody is still writing it under another name


def role(key: str) -> Role:
    name = key.rpartition("/")[2].lower()
    if name.startswith((".", "~$")) or name.endswith(TEMPORARY):
        return Role.TEMPORARY
    if name == DEFAULTS:
        return Role.DEFAULTS
    if name.endswith(SIDECAR):
        return Role.SIDECAR
    if name.endswith(MANIFESTS):
        return Role.MANIFEST
    if name.endswith(DOCUMENTS) or name == SCRIPT[1:]:
        return Role.DOCUMENT
    if name.endswith(COMPANIONS):
        return Role.COMPANION
    return Role.FILM


def sidecars_of(key: str) -> tuple[str, ...]:
    """Keys that the sidecar of a film or document may have, the more particular first: ``film.mp4.job.json``,
    ``film.job.json``."""
    return f"{key}{SIDECAR}", f"{stem(key)}{SIDECAR}"


def stem(key: str) -> str:
    """The key of a film or document without what its name ends in."""
    folder, slash, name = key.rpartition("/")
    return folder + slash + (name.removesuffix(SCRIPT) if name.endswith(SCRIPT) else name.rpartition(".")[0] or name)


def named_after(key: str, keys: Collection[str]) -> list[str]:
    """Companions that bear the name of a film or document (``film.en.srt``) and of no other one among the keys."""
    stems = [stem(each) for each in keys if role(each) in (Role.FILM, Role.DOCUMENT) and each != key]

    def bears(each: str, name: str) -> bool:
        return each.startswith(f"{name}.")

    found = [each for each in keys if role(each) is Role.COMPANION and bears(each, stem(key))]
    return [each for each in found if not any(bears(each, other) for other in stems)]


def defaults_of(key: str) -> tuple[str, ...]:
    """Keys that defaults for a film or document may have, the nearest last."""
    folders = key.split("/")[:-1]
    return tuple("/".join((*folders[:depth], DEFAULTS)) for depth in range(1, len(folders) + 1))


def profile_of(key: str, profiles: Collection[str]) -> str | None:
    """The profile that the folder names which something was dropped into: ``in/podcast/talk.md``."""
    first, slash, _ = key.removeprefix(IN).partition("/")
    return first if slash and first in profiles else None


def beside(key: str, named: str) -> str | None:
    """The key that a name in a sidecar means, relative to its folder; ``None`` for one that leaves ``in/``."""
    if named.startswith("/") or "://" in named or "\\" in named:
        return None
    found = normpath(f"{key.rpartition('/')[0]}/{named}")
    return found if found.startswith(IN) else None


def show_key(named: str) -> str | None:
    """The key of a show that a sidecar names, relative to ``shows/``; ``None`` for one that leaves it."""
    found = normpath(f"{SHOWS}{named}")
    return found if found.startswith(SHOWS) and "\\" not in named else None
