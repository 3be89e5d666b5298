"""Settling: what is finished is published beside its source, what was refused is put away beside its reason.

Everything here can be done twice, by sweepers after each other or at once: folders appear whole, by names that follow
from the job or the drop, and only then does anything leave ``in/``.
"""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flows.keeping import kept
from speechmill.errors import SpeechmillError, is_retryable
from speechmill.recipes import digest_of_json
from speechmill.settings import Settings
from storage.catalog import PUBLISHED_IN, Catalog, Drop, DropState, Job, JobState
from storage.places import DELIVERY, TAKEN, Place, place_at, safe_name

RETRY_S = 15.0  # before the second try; twice as long before each further one
REASON = "reason.json"  # the last file of a folder in quarantine to appear

log = logging.getLogger("speechmill.settling")


class Settler:
    """Settles the drops of one place that somebody has claimed."""

    def __init__(self, place: Place, chosen: Settings, catalog: Catalog) -> None:
        self.place = place
        self._settings = chosen
        self._catalog = catalog

    def publish(self, drop: Drop) -> DropState:
        """Settle a drop whose job has ended; what it has become."""
        assert drop.job_id is not None
        job = self._catalog.job(drop.job_id)
        if job.state == JobState.FAILED:
            reason = why_it_failed(self._catalog, job.id)
            attempts = self._catalog.attempts(job.id)
            if is_retryable(reason["code"]) and attempts < self._settings.drop_attempts:
                self._catalog.send_again(job.id, RETRY_S * 2**attempts)
                self._catalog.release_drop(drop)
                return DropState.ACCEPTED
            self._catalog.move_drop(drop, DropState.REJECTED, reason)
            return DropState.REJECTED
        out = Path(job.out)
        made = {path.relative_to(out).as_posix(): path for path in sorted(out.rglob("*")) if _is_ours(path, out)}
        if not made:  # made on another machine, which publishes it as long as it lives
            if not self._catalog.is_held(job.id):
                self._catalog.send_again(job.id, 0.0, reason="its delivery was lost with the machine that made it")
            self._catalog.release_drop(drop)
            return DropState.ACCEPTED
        folder = delivery_folder(job)
        there = self._put(drop, folder, made, DELIVERY, {"job": job.id, "state": job.state})
        self._catalog.moved_source(job.id, _renamed(job.request, there), self.place.source(f"{folder}/{TAKEN}"))
        self._clear(drop)
        self._catalog.move_drop(drop, DropState.DONE, folder=folder)
        return DropState.DONE

    def publish_batch(self, drop: Drop, folder: str, reports: Mapping[str, Path], jobs: Sequence[str]) -> None:
        """Settle a manifest whose jobs are all over: its report appears, with what its rows named from beside it."""
        there = self._put(drop, folder, reports, DELIVERY, {"batch": folder.rpartition("/")[2]})
        for job in jobs:
            request = _renamed(self._catalog.job(job).request, there)
            self._catalog.moved_source(job, request, self.place.source(f"{folder}/{TAKEN}"))
        self._clear(drop)
        self._catalog.move_drop(drop, DropState.DONE, folder=folder)

    def put_away(self, drop: Drop) -> DropState:
        """Put a drop that was refused into quarantine."""
        folder = f"quarantine/{drop.job_id or 'drop-' + digest_of_json([drop.name])[:12]}"
        self._put(drop, folder, {}, REASON, {"job": drop.job_id, **(drop.reason or {})})
        self._clear(drop)
        self._catalog.move_drop(drop, DropState.QUARANTINED, folder=folder)
        return DropState.QUARANTINED

    def _put(
        self, drop: Drop, folder: str, made: Mapping[str, Path], marker: str, facts: dict[str, object]
    ) -> dict[str, str]:
        """Have the folder of a drop appear, with it and what belongs to it; where each of these lies now."""
        taken: dict[str, str] = {}
        below = f"{TAKEN}/" if made else ""
        for key, etag in self._belongings(drop).items():
            found = self.place.head(key)
            if found is None or found.etag == etag:
                name = safe_name(key)
                while f"{below}{name}" in taken.values():
                    name = f"_{name}"
                taken[key] = f"{below}{name}"
        said = {"key": drop.key, "size_bytes": drop.size_bytes, **facts}
        self.place.settle(folder, made, taken, marker, said)
        return {self.place.source(key): self.place.source(f"{folder}/{name}") for key, name in taken.items()}

    def _clear(self, drop: Drop) -> None:
        """Take away what was dropped. What belongs to it goes first: as long as the film lies there its row is known
        to be unsettled, and nobody takes the rest for something else."""
        for key, etag in reversed(self._belongings(drop).items()):
            self.place.remove(key, etag)

    def _belongings(self, drop: Drop) -> dict[str, str]:
        if drop.place != self.place.url:  # the row of a batch, which settles what its rows name when all is over
            return {}
        return {drop.key: drop.etag, **drop.facts.get("beside", {})}


def delivery_folder(job: Job) -> str:
    """Where in a place the delivery of a job lies."""
    return f"done/{job.created_at:%Y-%m-%d}/{job.id}"


def settle_own(job_id: str, chosen: Settings, catalog: Catalog) -> bool:
    """Settle the drop of a job, if it is one of a drop folder, as soon as the job has ended and by who ran it: where
    that is another machine than the sweepers', nobody else has the delivery at hand. Whether nothing is left to be
    settled; what goes wrong here is tried again by ``settle_here``, and by the sweepers."""
    owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    lease_s = chosen.drop_lease_s
    try:
        drop = catalog.drop_of(job_id)
        where = str(drop.facts.get(PUBLISHED_IN, drop.place)) if drop is not None else ""
        state = catalog.job(job_id).state
        if drop is None or "://" not in where or not (state.is_completed or state is JobState.FAILED):
            return True
        for claimed in catalog.claim_drops([drop.id], DropState.ACCEPTED, owner, lease_s, 1):
            try:
                with kept(partial(catalog.renew_drop, claimed, lease_s), lease_s / 4):
                    Settler(place_at(where, chosen), chosen, catalog).publish(claimed)
            except BaseException:
                catalog.release_drop(claimed)
                raise
    except (SpeechmillError, OSError) as error:
        log.warning("job %s is not published yet: %s", job_id, error)
        return False
    return True


def settle_here(chosen: Settings, catalog: Catalog) -> None:
    """Publish what jobs have left on this machine and could not publish when they were done: the store was away, say,
    or their process was killed."""
    for drop_id in catalog.due_drops():
        job_id = catalog.drop(drop_id).job_id
        if job_id is not None and Path(catalog.job(job_id).out).is_dir():
            settle_own(job_id, chosen, catalog)


def reason_of(error: SpeechmillError) -> dict[str, Any]:
    """Why something was refused, as it is kept and shown."""
    return {"code": error.code, "message": error.message, "hint": error.hint}


def why_it_failed(catalog: Catalog, job_id: str) -> dict[str, Any]:
    """Why a job failed, as its last event of that kind says."""
    ends = (event.detail for event in reversed(catalog.events(job_id)) if event.detail.get("to") == JobState.FAILED)
    last = next(ends, {})
    message, _, hint = str(last.get("message", "")).partition("; ")
    return {"code": str(last.get("code", "internal")), "message": message, "hint": hint}


def _renamed(request: dict[str, Any], moved: Mapping[str, str]) -> dict[str, Any]:
    """A request that names files where they lie now."""

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: renamed(each) for name, each in value.items()}
        return moved.get(value, value) if isinstance(value, str) else value

    return {name: renamed(value) for name, value in request.items()}


def _is_ours(path: Path, out: Path) -> bool:
    """A file of a delivery: not what is hidden in its folder, and no link."""
    hidden = any(part.startswith(".") for part in path.relative_to(out).parts)
    return not hidden and path.is_file() and not path.is_symlink()
