"""Deliveries: where a job leaves its results. In a folder of this machine; or, for ``s3://bucket/folder``, there as
well, whole: what lists the files of a delivery comes last, and goes first where another delivery takes its place.

A folder of a bucket holds one delivery. Its objects are marked with whose they are; what bears no such mark, or that of
another delivery, is not written over.
"""

from __future__ import annotations

from pathlib import Path

from flows.steps import Step
from speechmill.episodes import PodcastRequest
from speechmill.errors import BadInput, Conflict
from speechmill.requests import DubbingRequest
from speechmill.settings import Settings
from storage.catalog import PUBLISHED_TO, Job
from storage.places import DELIVERY, BucketPlace
from storage.s3 import S3Store
from tasks.foresight import claimed, look_at_out
from tasks.media.publishing import try_out
from tasks.media.shelf import PAGE, REPORT, Claim, Shelf
from tasks.sources import S3

JOB, SOURCE, TARGETS = "speechmill-job", "speechmill-source", "speechmill-targets"  # marks of an object


def try_place(out: str, chosen: Settings, request: DubbingRequest | PodcastRequest | None = None) -> None:
    """Refuse, before any work, a place that nothing can be put into; for ``request`` also a folder where its results
    would be written over what is not theirs."""
    scheme, separator, rest = out.partition("://")
    if not separator:
        if request is None:
            try_out(Path(out))
        else:
            look_at_out(request, Path(out))
        return
    if scheme != "s3":
        raise BadInput(f"results cannot go to {out}", hint="name a folder, or s3://bucket/folder")
    if not rest.partition("/")[2].strip("/"):
        raise BadInput(f"results need a folder in the bucket, and {out} names none", hint=f"name {out.rstrip('/')}/out")
    if request is None:
        S3Store(out, chosen).head(DELIVERY)
        return
    _refuse_taken(out, *claimed(request), chosen)


def refuse_taken(job: Job, request: DubbingRequest | PodcastRequest, chosen: Settings) -> None:
    """Refuse, before any work, to go on with a job whose results would be written over what is not theirs."""
    look_at_out(request, Path(job.out), job.id)
    if PUBLISHED_TO in job.facts:
        _refuse_taken(str(job.facts[PUBLISHED_TO]), *claimed(request, job.id), chosen)


def replaced(out: str, request: DubbingRequest | PodcastRequest, chosen: Settings) -> tuple[str, ...]:
    """The jobs whose deliveries give way to that of ``request``, where it goes to ``out``."""
    claim, _ = claimed(request)
    if not out.startswith(S3):
        return tuple(each.job for each in Shelf.of(Path(out)).replaced(claim))
    marks = S3Store(out, chosen).marks(DELIVERY) or {}
    return tuple(marks[mark] for mark in (JOB,) if mark in marks)


def placed(out: str, job_id: str, chosen: Settings) -> tuple[str, str | None]:
    """The folder of this machine where the results of a job lie that are to go to ``out``, and where they are published
    to from there, if that is somewhere else."""
    return (str(chosen.home / "out" / job_id), out.rstrip("/")) if out.startswith(S3) else (out, None)


def where(job: Job) -> str:
    """What a person calls the place of a job's results."""
    return str(job.facts.get(PUBLISHED_TO) or job.out)


def publish(step: Step, job: Job, request: DubbingRequest | PodcastRequest, chosen: Settings) -> None:
    """Have the results of a job appear where they were asked for, if that is not the folder where they are."""
    if PUBLISHED_TO in job.facts:
        step("publish", _publish, job, request, str(job.facts[PUBLISHED_TO]), chosen)


def _publish(job: Job, request: DubbingRequest | PodcastRequest, to: str, chosen: Settings) -> None:
    out = Path(job.out)
    files = {path.name: path for path in sorted(out.iterdir()) if not path.name.startswith(".") and path.is_file()}
    claim, _ = claimed(request, job.id)
    _refuse_taken(to, claim, frozenset(files), chosen)
    above, _, folder = to.rpartition("/")
    BucketPlace(above, chosen, _marks(claim)).settle(folder, files, {}, DELIVERY, {"job": job.id})


def _marks(claim: Claim) -> dict[str, str]:
    marks = {JOB: claim.job, SOURCE: claim.origin, TARGETS: " ".join(claim.targets)}
    return {name: mark for name, mark in marks.items() if mark}


def _refuse_taken(out: str, claim: Claim, names: frozenset[str], chosen: Settings) -> None:
    """Raise ``Conflict`` for objects in a folder of a bucket that a delivery may not write over."""
    folder = S3Store(out, chosen)
    for name in (DELIVERY, *sorted(names | {REPORT, PAGE})):
        marks = folder.marks(name)
        if marks is None:
            continue
        where = f"{out.rstrip('/')}/{name}"
        if SOURCE not in marks:
            raise Conflict(
                f"{where} would be written over, and no delivery has put it there",
                hint="take it away, or name another folder with --out",
            )
        job = marks.get(JOB, "")
        if not claim.replaces(job, marks[SOURCE], marks.get(TARGETS, "").split()):
            raise Conflict(f"{where} was delivered by job {job}", hint="name another folder with --out")
