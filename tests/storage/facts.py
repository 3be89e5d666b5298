"""Lines, takes and jobs as tests put them into a catalog."""

from __future__ import annotations

from speechmill.lines import Anchor, Doubt, Line, Word
from speechmill.recipes import Digest, digest_of_bytes
from speechmill.takes import Measurements, Reason, Take, Verdict
from storage.catalog import Catalog, Job, JobState

MEASURED = Measurements(96_000, 480, 90_000, loudness_lufs=-23.04, peak_dbfs=-3.1, error_rate=0.125)


def digest(text: str) -> Digest:
    return digest_of_bytes(text.encode())


def line(number: int, language: str = "es", text: str = "") -> Line:
    return Line(
        f"L{number:04}",
        "A",
        language,
        text or f"línea {number} “dicha”",
        spoken="",
        anchor=Anchor(number * 48_000, number * 48_000 + 40_000),
        words=(Word("línea", number * 48_000, number * 48_000 + 20_000, 0.9),),
        doubts=(Doubt.UNKNOWN_WORDS,),
    )


def take(number: int, recipe: str, try_number: int = 1) -> Take:
    return Take(
        f"L{number:04}", try_number, digest(recipe), digest(f"audio {recipe}"), MEASURED, Verdict.REVIEW,
        (Reason.FAST, Reason.UNKNOWN_WORDS),
    )  # fmt: skip


def completed(catalog: Catalog, job: Job) -> None:
    catalog.move_job(job.id, JobState.RUNNING)
    catalog.move_job(job.id, JobState.COMPLETED)
