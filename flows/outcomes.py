"""Outcomes: how a job ended, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from flows.deliveries import where
from speechmill.takes import Verdict
from storage.catalog import Job, JobState
from tasks.media.shelf import page_of, report_of

MOST_NAMED = 5  # lines, in a sentence


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended."""

    job: str
    state: str
    folder: Path  # of this machine
    out: str  # where the results were asked for

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(job.id, job.state, Path(job.out), where(job))

    @property
    def needs_person(self) -> bool:
        return self.state == JobState.COMPLETED_WITH_REVIEW

    @property
    def report(self) -> Path:
        """Of this machine."""
        return report_of(self.folder, self.job)

    def as_json(self) -> dict[str, str]:
        return {
            "job": self.job,
            "state": self.state,
            "out": self.out,
            "report": f"{self.out}/{self.report.name}",
        }

    def sentence(self) -> str:
        review = f"; a person should look at {_for_a_person(self.job, self.report)}" if self.needs_person else ""
        return f"speechmill: done{review}: {self.out}/{page_of(self.report.name)}"


def _for_a_person(job: str, written: Path) -> str:
    """``2 lines (0002, 0005; `speechmill lines JOB` has all), loudness (-15.4, and -14 ± 0.5 LUFS is asked)``."""
    try:
        report = json.loads(written.read_bytes())
        parts = [report["episode"]] if "episode" in report else list(report["targets"].values())
        lines = [line["id"] for part in parts for line in part["lines"] if line["verdict"] != Verdict.PASSED]
        checks = [
            f"{check['id']} ({check['measured']}, and {check['required']} is asked)"
            for part in parts
            for check in part["checks"]
            if not check["passed"] and not check["advisory"]
        ]
    except (OSError, ValueError, KeyError):
        return "it"
    said = [_lines_for_a_person(job, lines)] if lines else []
    return ", ".join(said + checks) or "what its script says that the document does not"


def _lines_for_a_person(job: str, ids: Sequence[str]) -> str:
    first = ", ".join(dict.fromkeys(ids[:MOST_NAMED]))
    more = " …" if len(ids) > MOST_NAMED else ""
    return f"{len(ids)} line{'s' * (len(ids) != 1)} ({first}{more}; `speechmill lines {job}` has all)"
