"""Links to reports, for the Prefect UI: over HTTP where reports are served, else signed links to S3, where objects are
kept there, else the file itself."""

from __future__ import annotations

from pathlib import Path

from speechmill.settings import Settings
from storage.catalog import Job
from storage.stores import object_store
from tasks.media.shelf import PAGE, page_of, report_of

REPORTS = "reports/"  # where objects are that only links lead to
LINK_S = 7 * 86_400  # the longest that S3 allows


def report_link(job: Job, chosen: Settings) -> str:
    """Where the report of a job can be read."""
    page = page_of(report_of(Path(job.out), job.id).name)
    return _link(job.id, Path(job.out) / page, page, chosen)


def staged_link(job_id: str, folder: Path, chosen: Settings) -> str:
    """Where the report of a delivery can be read that waits for approval."""
    return _link(job_id, folder / PAGE, f"to-approve/{PAGE}", chosen)


def _link(job_id: str, report: Path, path: str, chosen: Settings) -> str:
    if chosen.reports_url:
        return f"{chosen.reports_url.rstrip('/')}/{job_id}/{path}"
    if not chosen.objects_url.startswith("s3://"):
        return report.absolute().as_uri()
    store = object_store(chosen.objects_url, chosen)
    key = f"{REPORTS}{job_id}/{path}"
    store.put_file(key, report)  # one file that needs no other
    return store.link(key, expires_s=LINK_S, name=PAGE)
