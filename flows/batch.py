"""Batches: a manifest becomes one job a row, so many at a time, and a report of what became of each.

Rows are kept in the ledger of drops, as if they had been dropped into a place of the batch's own: so each has one job
however often the batch is begun, a batch that was stopped goes on where it was, and one that is run again tries only
what failed, and what is new.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from flows.batch_reports import REPORTS, write_report
from flows.deliveries import where
from flows.examining import files_of, results_of
from flows.manifests import Manifest
from flows.relay import Relay
from flows.settling import RETRY_S, Settler, delivery_folder, reason_of, why_it_failed
from flows.start import refuse_unaskable
from speechmill.episodes import PodcastRequest
from speechmill.errors import BadInput, UnreadableManifest, is_retryable
from speechmill.recipes import digest_of_file, digest_of_json
from speechmill.requests import DubbingRequest
from speechmill.settings import Settings
from storage.catalog import (
    BATCH,
    BATCHES,
    PUBLISHED_IN,
    PUBLISHED_TO,
    WITHIN,
    Catalog,
    Drop,
    DropState,
    Job,
    JobState,
    Sighting,
    Wanted,
)
from storage.places import Place, ledger_key
from storage.s3 import S3Store
from tasks.dropping import layout
from tasks.dropping.layout import Role
from tasks.dropping.manifests import Entry, Row, read_manifest
from tasks.dropping.sidecars import make_request
from tasks.media.naming import safe_stem

POLL_S = 1.0
TOGETHER = 20  # rows that are examined and accepted at a time
MOVED = datetime(1970, 1, 1, tzinfo=UTC)  # rows have no time of change


@dataclass(frozen=True, slots=True)
class RowReport:
    """What became of a row."""

    line: int
    source: str
    languages: tuple[str, ...]
    state: str  # done, review, failed, cancelled, running or waiting
    job: str | None = None
    out: str | None = None
    report: str | None = None
    reason: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of a batch."""

    batch: str
    manifest: str
    out: str
    rows: tuple[RowReport, ...]

    @property
    def counts(self) -> Counter[str]:
        return Counter(row.state for row in self.rows)

    @property
    def is_over(self) -> bool:
        return not self.counts["waiting"] and not self.counts["running"]

    def as_json(self) -> dict[str, Any]:
        return {
            "batch": self.batch,
            "manifest": self.manifest,
            "out": self.out,
            "state": "finished" if self.is_over else "running",
            "counts": dict(sorted(self.counts.items())),
            "rows": [asdict(row) for row in self.rows],
        }

    def sentence(self) -> str:
        said = ", ".join(f"{count} {state}" for state, count in sorted(self.counts.items()))
        return f"{self.manifest}: {said}; see {self.out}/batch.md"


class Batch:
    """One manifest, whose results go to one folder."""

    def __init__(
        self,
        batch_id: str,
        manifest: Manifest,
        out: Path,
        chosen: Settings,
        catalog: Catalog,
        *,
        prefect: bool,
        results: str = "",  # where they were asked for, if not in that folder: ``s3://bucket/folder``
        published_in: Place | None = None,  # where rows are delivered to, and whose sweepers start them
    ) -> None:
        self.id = batch_id
        self.manifest = manifest
        self.out = out
        self.asked = results or str(out)
        self._bucket = S3Store(results, chosen) if results else None
        self.place = ledger_of(batch_id)
        self._settings, self._catalog, self._prefect, self._published_in = chosen, catalog, prefect, published_in
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._entries: list[tuple[Entry, str, str]] = []  # with its key and etag in the ledger
        self._taken: set[str] = set()  # names of folders for results

    def read(self) -> None:
        """Read the manifest, for what a report says of its rows. Raises ``UnreadableManifest``."""
        self._entries = _numbered(read_manifest(self.manifest.name, self.manifest.read()))

    def begin(self) -> None:
        """Read the manifest and give its rows jobs. Raises ``UnreadableManifest``."""
        self.read()
        self._accept()

    def go_on(self) -> None:
        """The same; rows that failed or were stopped in an earlier run are tried again, and those whose film was
        replaced since."""
        self.read()
        jobs = self._catalog.jobs_at(self.place)
        for row in self._rows().values():
            if row.state is DropState.QUARANTINED:
                self._catalog.reopen(row)
            elif row.state is DropState.DONE and row.job_id and self._published_in is None:
                if _is_replaced(jobs[row.job_id]):
                    self._catalog.reopen(row)
            elif row.job_id and jobs[row.job_id].state is JobState.CANCELLED:
                self._catalog.send_again(row.job_id, 0.0, reason="the batch is run again")
        self._accept()

    def settle(self) -> BatchReport:
        """Note which jobs have ended, and how, and write the report."""
        self.settle_rows()
        return self.write()

    def write(self) -> BatchReport:
        """Write what became of each row."""
        report = self.report()
        write_report(report.as_json(), self.out)
        if self._bucket is not None:
            for name in REPORTS:
                self._bucket.put_file(name, self.out / name)
        return report

    def settle_rows(self) -> int:
        """Note which jobs have ended, and how; publish what is to be published: how many deliveries."""
        published = 0
        for drop_id in self._catalog.due_drops(self.place):
            for state in (DropState.ACCEPTED, DropState.REJECTED):
                for drop in self._catalog.claim_drops([drop_id], state, self._owner, self._settings.drop_lease_s, 1):
                    published += self._settle(drop)
        return published

    def report(self) -> BatchReport:
        rows, jobs = self._rows(), self._catalog.jobs_at(self.place)
        said = tuple(self._said(entry, rows.get((key, etag)), jobs) for entry, key, etag in self._entries)
        return BatchReport(self.id, self.manifest.where, self.asked, said)

    def relay(self, at_once: int) -> Relay:
        return Relay(self._settings, self._catalog, self.place, prefect=self._prefect, at_once=at_once)

    def _rows(self) -> dict[tuple[str, str], Drop]:
        return {(row.key, row.etag): row for row in self._catalog.drops(self.place)}

    def _accept(self) -> None:
        good = {(key, etag): entry for entry, key, etag in self._entries if entry.row is not None}
        seen = self._catalog.see(self.place, [Sighting(key, etag, 0, MOVED) for key, etag in good])
        ids = [row.id for row in seen if row.state is DropState.SEEN]
        self._taken = self._names_there() if ids else set()
        lease_s = self._settings.drop_lease_s
        while claimed := self._catalog.claim_drops(ids, DropState.SEEN, self._owner, lease_s, TOGETHER):
            wanted = []
            for drop in claimed:
                entry = good[drop.key, drop.etag]
                assert entry.row is not None
                try:
                    wanted.append(self._examine(drop, entry.line, entry.row))
                except BadInput as error:
                    self._catalog.move_drop(drop, DropState.REJECTED, reason_of(error))
            if wanted:
                self._catalog.accept(wanted)

    def _examine(self, drop: Drop, line: int, row: Row) -> Wanted:
        """The job that a row asks for; raises ``BadInput``."""
        name = f"line {line} of {self.manifest.name}"
        kind = layout.role(row.source)
        if kind not in (Role.FILM, Role.DOCUMENT):
            raise UnreadableManifest(f"{name}: {row.source} is no film or document", hint="name one")
        asked: dict[str, Any] = dict(row.options)
        model: type[DubbingRequest] | type[PodcastRequest] = DubbingRequest
        languages = row.languages or self._settings.drop_targets
        if kind is Role.DOCUMENT:
            model = PodcastRequest
            asked |= {"language": row.languages[0]} if row.languages else {}
        elif "targets" not in asked:
            if not languages:
                raise UnreadableManifest(f"{name} names no languages", hint="fill the column languages: es pt-BR")
            asked["targets"] = list(languages)
        asked |= {field: self.manifest.whole(name) for field, name in files_of(asked).items()}
        if isinstance(asked.get("show"), str):
            asked["show"] = self.manifest.show(asked["show"])
        if isinstance(asked.get("translations"), dict):
            asked["translations"] = {tag: self.manifest.whole(str(file)) for tag, file in asked["translations"].items()}
        request = make_request(model, name, asked, UnreadableManifest, source=self.manifest.whole(row.source))
        within = self.manifest.admit(request)
        refuse_unaskable(request.approve, self._settings, prefect=self._prefect)
        if isinstance(request, DubbingRequest):
            from flows.dubbing import foresee

            foresee(request, self._settings, within)
        elif "://" not in request.source and not Path(request.source).is_file():
            raise UnreadableManifest(f"{name}: there is no file {row.source}", hint="check the name and the folder")
        body = request.model_dump(mode="json")
        job_facts: dict[str, Any] = {BATCH: self.id} | ({} if within is None else {WITHIN: list(within)})
        job_kind = "podcast" if kind is Role.DOCUMENT else "dub"
        fingerprint = digest_of_json([drop.name, body])
        url = self._published_in.url if self._published_in else ""
        facts = {PUBLISHED_IN: url} if url else {}
        called = "" if url else self._called(safe_stem(Path(row.source)))
        if self._bucket is not None:
            job_facts[PUBLISHED_TO] = f"{self.asked}/{called}"
        out = results_of(request, str(self.out)) if url else str(self.out)
        return Wanted(drop, job_kind, body, fingerprint, out, facts, job_facts, url, called)

    def _names_there(self) -> set[str]:
        """Names of folders that rows before have, or that others have put there."""
        taken = {Path(job.out).name for job in self._catalog.jobs_at(self.place).values()}
        if self._bucket is not None:
            return taken | {each.key.partition("/")[0] for each in self._bucket.list()}
        return taken | ({each.name for each in self.out.iterdir()} if self.out.is_dir() else set())

    def _called(self, stem: str) -> str:
        """A folder for a row's results that nobody has: by its source, numbered where several have one name."""
        called = next(name for n in count(1) if (name := stem if n == 1 else f"{stem}-{n}") not in self._taken)
        self._taken.add(called)
        return called

    def _settle(self, drop: Drop) -> bool:
        """Whether it was a delivery that is published now."""
        if drop.state is DropState.REJECTED:
            self._catalog.move_drop(drop, DropState.QUARANTINED)
            return False
        assert drop.job_id is not None
        if self._catalog.job(drop.job_id).state is not JobState.FAILED:
            if self._published_in is not None:
                settler = Settler(self._published_in, self._settings, self._catalog)
                return settler.publish(drop) is DropState.DONE
            self._catalog.move_drop(drop, DropState.DONE)
            return False
        reason = why_it_failed(self._catalog, drop.job_id)
        attempts = self._catalog.attempts(drop.job_id)
        if is_retryable(reason["code"]) and attempts < self._settings.drop_attempts:
            self._catalog.send_again(drop.job_id, RETRY_S * 2**attempts)
            self._catalog.release_drop(drop)
        else:
            self._catalog.move_drop(drop, DropState.REJECTED, reason)
        return False

    def _said(self, entry: Entry, drop: Drop | None, jobs: Mapping[str, Job]) -> RowReport:
        if entry.row is None or drop is None:
            error = entry.error or UnreadableManifest(f"line {entry.line} is not read yet", hint="run the batch again")
            return RowReport(entry.line, entry.source, (), "failed", reason=reason_of(error))
        given = entry.line, entry.row.source, entry.row.languages
        if drop.job_id is None:
            state = "failed" if drop.reason else "waiting"
            return RowReport(*given, state, reason=drop.reason)
        job = jobs[drop.job_id]
        state = _STATES[job.state]
        if drop.state is DropState.ACCEPTED and state == "failed":
            state = "waiting"  # for another try
        made = job.state in (JobState.COMPLETED, JobState.COMPLETED_WITH_REVIEW, JobState.STALE)
        if not made:
            return RowReport(*given, state, job.id, reason=drop.reason)
        if self._published_in is None:
            return RowReport(*given, state, job.id, where(job), f"{where(job)}/report.html")
        out = self._published_in.source(delivery_folder(job))
        return RowReport(*given, state, job.id, out, f"{out}/report.html")


_STATES = {
    JobState.QUEUED: "waiting",
    JobState.RUNNING: "running",
    JobState.COMPLETED: "done",
    JobState.COMPLETED_WITH_REVIEW: "review",
    JobState.STALE: "review",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}


def ledger_of(batch_id: str) -> str:
    """The place that the ledger has the rows of a batch under."""
    return f"{BATCHES}{batch_id}"


def _numbered(entries: list[Entry]) -> list[tuple[Entry, str, str]]:
    """Rows by what they say, not where they stand: so a line may be put in before them. The same row twice is two."""
    times: Counter[str] = Counter()
    found = []
    for entry in entries:
        body: dict[str, Any] = entry.row.model_dump(mode="json") if entry.row else {"line": entry.line}
        digest = digest_of_json(body)
        times[digest] += 1
        found.append((entry, _key(body), f"{digest[:32]}-{times[digest]}"))
    return found


def _is_replaced(job: Job) -> bool:
    """Whether the film of a job is another file of this machine since; only what was touched is read."""
    known = job.facts.get("sha256")
    with suppress(OSError):  # it was taken away
        source = Path(str(job.request["source"]))
        return bool(known) and source.stat().st_ctime > job.created_at.timestamp() and digest_of_file(source) != known
    return False


def _key(body: dict[str, Any]) -> str:
    return ledger_key(str(body.get("source", f"line {body.get('line')}")))
