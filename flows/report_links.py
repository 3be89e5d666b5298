"""Links to reports, for the Prefect UI: over HTTP where reports are served, else the file itself."""

from __future__ import annotations

from pathlib import Path

from speechmill.settings import Settings
from storage.catalog import Job

REPORT = "report.html"


def report_link(job: Job, chosen: Settings) -> str:
    """Where the report of a job can be read."""
    if chosen.reports_url:
        return f"{chosen.reports_url.rstrip('/')}/{job.id}/{REPORT}"
    return (Path(job.out) / REPORT).absolute().as_uri()


def staged_link(job_id: str, folder: Path, chosen: Settings) -> str:
    """Where the report of a delivery can be read that waits for approval."""
    if chosen.reports_url:
        return f"{chosen.reports_url.rstrip('/')}/{job_id}/to-approve/{REPORT}"
    return (folder / REPORT).absolute().as_uri()
