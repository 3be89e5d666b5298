"""Deliveries: where a job leaves its results. In a folder of this machine; or, for ``s3://bucket/folder``, there as
well, whole: what lists the files of a delivery comes last, and goes first where another delivery takes its place.
"""

from __future__ import annotations

from pathlib import Path

from flows.steps import Step
from speechmill.episodes import PodcastRequest
from speechmill.errors import BadInput
from speechmill.requests import DubbingRequest
from speechmill.settings import Settings
from storage.catalog import PUBLISHED_TO, Job
from storage.places import DELIVERY, BucketPlace
from storage.s3 import S3Store
from tasks.foresight import look_at_out
from tasks.media.publishing import try_out
from tasks.sources import S3


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
    S3Store(out, chosen).head(DELIVERY)


def placed(out: str, job_id: str, chosen: Settings) -> tuple[str, str | None]:
    """The folder of this machine where the results of a job lie that are to go to ``out``, and where they are published
    to from there, if that is somewhere else."""
    return (str(chosen.home / "out" / job_id), out.rstrip("/")) if out.startswith(S3) else (out, None)


def where(job: Job) -> str:
    """What a person calls the place of a job's results."""
    return str(job.facts.get(PUBLISHED_TO) or job.out)


def publish(step: Step, job: Job, chosen: Settings) -> None:
    """Have the results of a job appear where they were asked for, if that is not the folder where they are."""
    if PUBLISHED_TO in job.facts:
        step("publish", _publish, Path(job.out), str(job.facts[PUBLISHED_TO]), job.id, chosen)


def _publish(out: Path, to: str, job_id: str, chosen: Settings) -> None:
    files = {path.name: path for path in sorted(out.iterdir()) if not path.name.startswith(".") and path.is_file()}
    above, _, folder = to.rpartition("/")
    BucketPlace(above, chosen).settle(folder, files, {}, DELIVERY, {"job": job_id})
