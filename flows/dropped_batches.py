"""Batches that were dropped: a manifest in ``in/`` is taken in with what its rows name from beside it; each row is
delivered as a film of its own would be, and when all of them are over the report appears in ``done/``.

The manifest's row in the ledger is the batch: it is accepted while jobs are under way, and all is known from it that
any sweeper needs to go on. The same manifest dropped twice is one batch, unless new files came with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from flows.batch import Batch, ledger_of
from flows.batch_reports import REPORTS
from flows.examining import Listing
from flows.keeping import kept
from flows.manifests import DroppedManifest, names
from flows.settling import Settler, reason_of
from speechmill.errors import BadInput, LeaseLost, SpeechmillError
from speechmill.recipes import digest_of_bytes, digest_of_json
from speechmill.settings import Settings
from storage.catalog import Catalog, Drop, DropState
from storage.places import Place
from tasks.dropping import layout
from tasks.dropping.layout import Role
from tasks.dropping.manifests import read_manifest


@dataclass(slots=True)
class Taken:
    """What became of the manifests of a listing."""

    held: set[str] = field(default_factory=set)  # keys that manifests name: nobody is to take them for themselves
    jobs: list[str] = field(default_factory=list)
    waiting: int = 0
    rejected: int = 0
    trouble: list[str] = field(default_factory=list)


class DroppedBatches:
    """The batches of one place, for one sweeper."""

    def __init__(self, place: Place, chosen: Settings, catalog: Catalog, owner: str, *, prefect: bool) -> None:
        self._place, self._settings, self._catalog = place, chosen, catalog
        self._owner, self._prefect = owner, prefect

    def take_in(self, listing: Listing) -> Taken:
        """Give the rows of manifests that are new and whole their jobs."""
        taken = Taken()
        for key, row in listing.rows.items():
            if layout.role(key) is not Role.MANIFEST or row.state is not DropState.SEEN:
                continue
            try:
                self._take(row, listing, taken)
            except BadInput as error:
                for drop in self._claimed(row, DropState.SEEN):
                    self._catalog.move_drop(drop, DropState.REJECTED, reason_of(error))
                    taken.rejected += 1
            except LeaseLost:
                continue
            except (SpeechmillError, OSError) as error:
                taken.trouble.append(f"{key}: {error}")
        return taken

    def settle(self) -> tuple[int, list[str]]:
        """Publish rows that are done, and the reports of batches that are over: how many, and what could not be done
        now."""
        published, trouble = 0, []
        for row in self._catalog.manifests(self._place.url):
            try:
                published += self._settle(row)
            except LeaseLost:
                continue
            except (SpeechmillError, OSError) as error:
                trouble.append(f"{row.key}: {error}")
        return published, trouble

    def _take(self, row: Drop, listing: Listing, taken: Taken) -> None:
        manifest = DroppedManifest(row, self._place, listing, self._settings)
        raw = manifest.read()
        try:
            entries = read_manifest(manifest.name, raw)
        except BadInput:
            if self._is_whole(row):
                raise
            entries = []
        named = {key for name in names(entries) if (key := manifest.key(name)) is not None}
        taken.held |= named  # also by one that is still being written
        there = {key: listing.rows[key] for key in sorted(named & listing.rows.keys())}
        mine = {key: found for key, found in there.items() if found.state is DropState.SEEN}
        late = len(there) < len(named) and row.age_s < self._settings.sidecar_grace_s
        if late or not all(map(self._is_whole, (row, *mine.values()))):
            taken.waiting += 1
            return
        lease_s = self._settings.drop_lease_s
        for drop in self._claimed(row, DropState.SEEN):
            manifest = DroppedManifest(drop, self._place, listing, self._settings)
            beside = {key: found.etag for key, found in mine.items()}
            facts = self._facts(digest_of_bytes(raw), beside)
            try:
                with kept(partial(self._catalog.renew_drop, drop, lease_s), lease_s / 4):
                    self._batch(facts, manifest).begin()
            except BaseException:
                self._catalog.release_drop(drop)
                raise
            rows = self._catalog.drops(ledger_of(facts["batch"]))
            if any(each.state is DropState.SEEN for each in rows):  # a sweeper that was killed has them for a while
                self._catalog.release_drop(drop)
                taken.waiting += 1
                return
            self._catalog.move_drop(drop, DropState.ACCEPTED, facts=facts)
            taken.jobs += [each.job_id for each in rows if each.job_id and each.state is DropState.ACCEPTED]

    def _facts(self, contents: str, beside: dict[str, str]) -> dict[str, Any]:
        """What is kept of a manifest: the batch that it is, where its report will lie, and what belongs to it."""
        named = [f"{key}@{etag}" for key, etag in beside.items()]
        batch = f"batch-{digest_of_json([self._place.url, contents, *named])[:12]}"
        folder = f"done/{datetime.now(UTC):%Y-%m-%d}/{batch}"
        for earlier in reversed(self._catalog.drops(self._place.url, DropState.ACCEPTED, DropState.DONE)):
            known = earlier.facts
            if known.get("batch") == batch or (not beside and known.get("contents") == contents):
                batch, folder = known["batch"], known["folder"]
                break
        return {"batch": batch, "folder": folder, "contents": contents, "beside": beside}

    def _batch(self, facts: dict[str, Any], manifest: DroppedManifest) -> Batch:
        out = self._settings.home / "out" / facts["batch"]
        return Batch(
            facts["batch"],
            manifest,
            out,
            self._settings,
            self._catalog,
            prefect=self._prefect,
            published_in=self._place,
        )

    def _settle(self, row: Drop) -> int:
        manifest = DroppedManifest(row, self._place, Listing.of({}, {}), self._settings)
        batch = self._batch(row.facts, manifest)
        published = batch.settle_rows()
        if self._catalog.batch_goes_on(batch.place):
            return published
        for drop in self._claimed(row, DropState.ACCEPTED):
            try:
                found = self._place.head(drop.key)
                if found is None or found.etag != drop.etag:
                    self._catalog.move_drop(drop, DropState.GONE)  # its rows are delivered; nobody wants its report
                    continue
                batch.read()
                batch.settle()
                reports = {name: batch.out / name for name in REPORTS}
                jobs = [each.job_id for each in self._catalog.drops(batch.place) if each.job_id]
                settler = Settler(self._place, self._settings, self._catalog)
                settler.publish_batch(drop, row.facts["folder"], reports, jobs)
                published += 1
            except BaseException:
                self._catalog.release_drop(drop)
                raise
        return published

    def _claimed(self, row: Drop, state: DropState) -> Iterator[Drop]:
        yield from self._catalog.claim_drops([row.id], state, self._owner, self._settings.drop_lease_s, 1)

    def _is_whole(self, row: Drop) -> bool:
        return self._place.whole or row.age_s >= self._settings.drop_min_age_s
