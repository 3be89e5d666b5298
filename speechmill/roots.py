"""The roots: where files may come from, and go to, that a request names.

Whoever types a command may name any file that they can read. A request that came over a wire (a form, a drop folder, a
manifest) speaks with the rights of the service, so it may name only what lies under ``SPEECHMILL_SOURCE_ROOTS``. So may
the files that it names: a show names its music, a cast a recorded voice.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from speechmill.errors import ForbiddenSource

Roots = tuple[str, ...]
"""Folders, and ``s3://bucket/prefix``."""


def path_of(name: str) -> Path:
    """The path that somebody has typed. ``~`` is a folder of whoever it names; else a file may well begin with it."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def refuse_outside(named: Sequence[str], roots: Sequence[str], *, allow_https: bool = False) -> None:
    """Raise ``ForbiddenSource`` for a path or address under none of the roots.

    A root is a folder or ``s3://bucket/prefix``. Links are followed before a path is judged. ``https://`` is a matter
    of its own setting, and of the addresses that ``tasks.documents.web`` refuses.
    """
    for name in named:
        if not _inside(name, roots, allow_https=allow_https):
            raise _forbidden(name)


def opened(path: Path, roots: Roots) -> BinaryIO:
    """A file under one of the roots, to be read. What is judged is what was opened, wherever that lies: a name may
    have come to mean something else since it was judged. Raises ``ForbiddenSource``, also for what is no file, and
    ``OSError``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    file = os.fdopen(descriptor, "rb")
    there = Path(f"/proc/self/fd/{descriptor}").readlink()
    if not stat.S_ISREG(os.fstat(descriptor).st_mode) or not _under(there, roots):
        file.close()
        raise _forbidden(str(path))
    return file


def _forbidden(name: str) -> ForbiddenSource:
    return ForbiddenSource(
        f"{name[:200]} may not be read or written for a request from outside",
        hint="name something under SPEECHMILL_SOURCE_ROOTS, or add its folder to that setting",
    )


def _inside(name: str, roots: Sequence[str], *, allow_https: bool) -> bool:
    scheme = urlsplit(name).scheme if "://" in name else ""
    if scheme == "https":
        return allow_https
    if scheme == "s3":
        return any(_key_inside(name, root) for root in roots if root.startswith("s3://"))
    if scheme or "\0" in name:
        return False
    return _under(path_of(name).resolve(), roots)


def _under(path: Path, roots: Sequence[str]) -> bool:
    """Whether a path without links is under a root of this machine."""
    return any(path.is_relative_to(path_of(root).resolve()) for root in roots if "://" not in root)


def _key_inside(name: str, root: str) -> bool:
    """Keys are compared part by part: ``s3://studio/in`` holds ``in/a`` and not ``inside/a``. A key with dots for a
    part means different things to different servers, so it is in no root."""
    parts, held = name.removeprefix("s3://").split("/"), root.removeprefix("s3://").rstrip("/").split("/")
    return len(parts) > len(held) and parts[: len(held)] == held and not {".", ".."} & set(parts)
