"""Steps of a flow, and the questions on the way: with Prefect a task run and a paused run, without it just the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from speechmill.errors import Unaskable

Given = ParamSpec("Given")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Question:
    """Something that a person is to approve before a job goes on."""

    of: str  # “transcript”, “translation es”
    job: str
    rows: Sequence[dict[str, str]]  # what is to be approved, line by line
    folder: Path | None = None  # the delivery that is to be approved, with its report


class Step(Protocol):
    """Runs one step of the flow."""

    def __call__(self, name: str, work: Callable[Given, Made], *args: Given.args, **options: Given.kwargs) -> Made: ...

    def ask(self, question: Question) -> None:
        """Wait until a person has approved; raises ``Cancelled`` with the person's reason where it is rejected."""


class Plainly:
    """Steps without Prefect."""

    def __call__(self, name: str, work: Callable[Given, Made], *args: Given.args, **options: Given.kwargs) -> Made:  # noqa: ARG002
        return work(*args, **options)

    def ask(self, question: Question) -> None:
        raise Unaskable(
            f"the {question.of} of job {question.job} is to be approved, and nobody can be asked here",
            hint=f"run it where a Prefect server is: `speechmill up`, then `speechmill retake {question.job}`",
        )


plainly = Plainly()
