"""Ingest: a drop folder is swept; what is whole and understood gets a job, the rest goes to quarantine with its reason,
and what is finished is published.

The sweep is the truth: it finds whatever notices of an event store have missed, told twice or told in the wrong order.
A notice only has it look earlier (``flows.notices``). Any number of sweepers may race: rows of the ledger are claimed,
and everything that is done under a claim can be done twice.
"""

from __future__ import annotations

import os
import socket
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from flows.dropped_batches import DroppedBatches
from flows.examining import Examiner, Listing, Waits
from flows.keeping import kept
from flows.settling import Settler, reason_of
from speechmill.errors import BadInput, LeaseLost, SpeechmillError
from speechmill.settings import Settings
from storage.catalog import Catalog, Drop, DropState, Sighting, Wanted
from storage.catalog.drops import OVER
from storage.places import Place
from tasks.dropping import layout
from tasks.dropping.layout import Role

TOGETHER = 20  # drops that are examined and accepted at a time: a sweeper that is killed holds up no more than these


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep found and did."""

    place: str
    listed: int = 0
    waiting: int = 0  # not whole yet, or waiting for their sidecars
    accepted: tuple[str, ...] = ()  # jobs
    rejected: int = 0
    published: int = 0
    quarantined: int = 0
    trouble: tuple[str, ...] = ()  # what could not be done now; the next sweep tries again

    @property
    def idle(self) -> bool:
        """Whether nothing happened."""
        return not (self.accepted or self.rejected or self.published or self.quarantined)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        done = [
            f"{count} {what}"
            for count, what in (
                (len(self.accepted), "accepted"),
                (self.rejected, "refused"),
                (self.published, "published"),
                (self.quarantined, "put into quarantine"),
                (self.waiting, "waiting"),
            )
            if count
        ]
        return f"{self.place}: {', '.join(done) or 'nothing new'}"


class Sweeper:
    """Sweeps one place, for one process."""

    def __init__(self, place: Place, chosen: Settings, catalog: Catalog, *, prefect: bool = False) -> None:
        self.place = place
        self._settings = chosen
        self._catalog = catalog
        self._examiner = Examiner(place, chosen, prefect=prefect)
        self._settler = Settler(place, chosen, catalog)
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._batches = DroppedBatches(place, chosen, catalog, self._owner, prefect=prefect)

    def sweep(self, *, near: str = "") -> Sweep:
        """List, take in what is new, and settle what is over. ``near`` looks only at a key and what is beside it."""
        listing = self._listing(near)
        waiting, jobs, rejected, trouble = self._take_in(listing)
        published, quarantined, unsettled = self.settle()
        return Sweep(
            self.place.url,
            len(listing.objects),
            waiting,
            tuple(jobs),
            rejected,
            published,
            quarantined,
            (*trouble, *unsettled),
        )

    def settle(self) -> tuple[int, int, list[str]]:
        """Publish what is finished, put away what was refused: how many of each, and what could not be done now."""
        published, trouble = self._batches.settle()
        quarantined = 0
        tried: set[int] = set()
        while ids := [each for each in self._catalog.due_drops(self.place.url) if each not in tried]:
            lease_s = self._settings.drop_lease_s
            claimed = [
                drop
                for state in (DropState.ACCEPTED, DropState.REJECTED)
                for drop in self._catalog.claim_drops(ids, state, self._owner, lease_s, 1)
            ]
            if not claimed:
                break
            for drop in claimed:
                try:
                    with kept(partial(self._catalog.renew_drop, drop, lease_s), lease_s / 4):
                        became = self._settle(drop)
                    published += became is DropState.DONE
                    quarantined += became is DropState.QUARANTINED
                    if became is drop.state:
                        tried.add(drop.id)
                except (SpeechmillError, OSError) as error:
                    tried.add(drop.id)
                    trouble.append(f"{drop.key}: {error}")
                    self._catalog.release_drop(drop)
        return published, quarantined, trouble

    def _settle(self, drop: Drop) -> DropState:
        return self._settler.publish(drop) if drop.state is DropState.ACCEPTED else self._settler.put_away(drop)

    def _listing(self, near: str) -> Listing:
        if layout.role(near) is Role.MANIFEST:
            near = ""  # it may name anything
        if near:
            stem = near.rpartition("/")[0] + "/" + near.rpartition("/")[2].partition(".")[0]
            found = list(self.place.incoming(stem))
            found += [each for key in layout.defaults_of(near) if (each := self.place.head(key))]
        else:
            found = list(self.place.incoming())
        objects = {each.key: each for each in found if layout.role(each.key) is not Role.TEMPORARY}
        sightings = [Sighting(o.key, o.etag, o.size_bytes, o.modified_at) for o in objects.values()]
        rows = {row.key: row for row in self._catalog.see(self.place.url, sightings)}
        if not near:
            self._catalog.forget_unseen(self.place.url, objects.keys())
        for key, row in rows.items():
            # Its file left `in/` before the row came to this state: so it was put there again since.
            if row.state in OVER and (there := self.place.head(key)) and there.etag == row.etag:
                self._catalog.reopen(row)
        return Listing.of(objects, rows, self._catalog.manifests(self.place.url))

    def _take_in(self, listing: Listing) -> tuple[int, list[str], int, list[str]]:
        batches = self._batches.take_in(listing)
        ready, waiting = [], batches.waiting
        for key, row in listing.rows.items():
            if row.state is not DropState.SEEN or not row.free or key in listing.belonging or key in batches.held:
                continue
            verdict = self._examiner.is_ready(row, listing)
            waiting += verdict is False
            if verdict:
                ready.append(row.id)
        jobs, rejected, trouble = batches.jobs, batches.rejected, batches.trouble
        while ready:
            lease_s = self._settings.drop_lease_s
            claimed = self._catalog.claim_drops(ready, DropState.SEEN, self._owner, lease_s, TOGETHER)
            if not claimed:
                break
            ready = [each for each in ready if each > claimed[-1].id]
            wanted = []
            for drop in claimed:
                try:
                    wanted.append(self._examiner.examine(drop, listing))
                except Waits:
                    waiting += 1
                    self._catalog.release_drop(drop)
                except BadInput as error:
                    with suppress(LeaseLost):
                        beside = self._examiner.beside(drop, listing)
                        self._catalog.move_drop(drop, DropState.REJECTED, reason_of(error), {"beside": beside})
                        rejected += 1
                except (SpeechmillError, OSError) as error:
                    trouble.append(f"{drop.key}: {error}")
                    self._catalog.release_drop(drop)
            jobs += self._accept(wanted)
        return waiting, jobs, rejected, trouble

    def _accept(self, wanted: list[Wanted]) -> list[str]:
        """Give drops their jobs, together; one by one where examining took so long that a claim ran out."""
        try:
            return self._catalog.accept(wanted) if wanted else []
        except LeaseLost:
            if len(wanted) == 1:
                return []
            return [job for each in wanted for job in self._accept([each])]
