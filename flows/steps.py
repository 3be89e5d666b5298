"""Steps of a flow: with Prefect each is a task run, without it just its work."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

Given = ParamSpec("Given")
Made = TypeVar("Made")


class Step(Protocol):
    """Runs one step of the flow."""

    def __call__(self, name: str, work: Callable[Given, Made], *args: Given.args, **options: Given.kwargs) -> Made: ...


def plainly(name: str, work: Callable[Given, Made], *args: Given.args, **options: Given.kwargs) -> Made:  # noqa: ARG001
    """A step without Prefect."""
    return work(*args, **options)
