"""Admission: what a request that came over a wire may name.

A form, a sidecar or a manifest is filled in by somebody whose rights nobody knows, and is carried out with those of the
service. So everything that it names, to be read or to be written, must lie under ``SPEECHMILL_SOURCE_ROOTS``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from flows.start import PATHS
from speechmill.episodes import SIMPLE, PodcastRequest
from speechmill.profiles import is_file
from speechmill.requests import DubbingRequest
from speechmill.roots import Roots, refuse_outside
from speechmill.settings import Settings
from storage.places import IN


def admit(request: DubbingRequest | PodcastRequest, chosen: Settings, *also: str) -> Roots | None:
    """Raise ``ForbiddenSource`` where a request names something that it may not; ``also`` are further roots, such as
    the drop folder that it came from. The roots are returned: the job holds what those files name (a show its music, a
    cast a recorded voice) to them as well. ``None``: it may name anything.

    Where no roots are set and Prefect's server listens to this machine only (as with ``speechmill up``), whoever fills
    in a form is whoever could type the command, and may name anything.
    """
    if not chosen.source_roots and not also and on_this_machine(os.environ.get("PREFECT_API_URL", "")):
        return None
    roots = (*chosen.source_roots, *also)
    refuse_outside(list(named(request)), roots, allow_https=chosen.allow_https)
    return roots


def admit_place(where: str, chosen: Settings) -> None:
    """Raise ``ForbiddenSource`` for a drop folder, a manifest or a folder for results that a form may not name."""
    if chosen.source_roots or not on_this_machine(os.environ.get("PREFECT_API_URL", "")):
        # A bucket may be a root of its own, which holds what is below it.
        below = f"{where.rstrip('/')}/{IN}" if where.startswith("s3://") else where
        refuse_outside([below], (*chosen.source_roots, chosen.drop_folder))


def named(request: DubbingRequest | PodcastRequest) -> Iterator[str]:
    """Every path and address that a request names."""
    music = {"intro", "bed", "outro"} if isinstance(request, PodcastRequest) else set()
    for name in PATHS:
        value = getattr(request, name, None)
        if value is not None and not (name in music and value == SIMPLE):
            yield value
    if is_file(request.profile):
        yield request.profile
    if isinstance(request, PodcastRequest) and request.collected is not None:
        yield from (f"{request.source}/{name}" for name in request.collected.order)
    if isinstance(request, DubbingRequest):
        yield from request.translations.values()


def on_this_machine(url: str) -> bool:
    """Whether an address of a server (none: one of this process) is reached from this machine only."""
    host = urlsplit(url).hostname or "localhost"
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
