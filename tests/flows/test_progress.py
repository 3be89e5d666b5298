"""Progress: what a person reads while a job runs."""

from __future__ import annotations

import io

import pytest

from flows.progress import StreamProgress, clock, status


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (75.4, "1:15"), (3700, "1:01:40")])
def test_time_is_shown_as_on_a_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


@pytest.mark.parametrize(
    ("done", "total", "elapsed", "shown"),
    [
        (0, 900, 0.0, "speak es 0/900"),
        (90, 900, 1.0, "speak es 90/900"),  # too early to say how long
        (90, 900, 10.0, "speak es 90/900, 1:30 left"),
        (900, 900, 100.0, "speak es 900/900"),
        (0, None, 0.5, "speak es …"),
        (0, None, 65.0, "speak es … 1:05"),
    ],
)
def test_time_left_is_said_once_it_was_measured(done: int, total: int | None, elapsed: float, shown: str) -> None:
    assert status("speak es", done, total, elapsed) == shown


def test_a_log_gets_few_plain_lines() -> None:
    stream = io.StringIO()
    progress = StreamProgress(stream)
    for done in range(900):
        progress.stage("speak es", done, 900)
    progress.stage_ended("speak es", 12.0, 880, 20)
    assert stream.getvalue() == "  speak es 0/900\n  speak es done in 0:12, 20 of 900 reused\n"


def test_a_terminal_line_is_rewritten_in_place() -> None:
    stream = Terminal()
    progress = StreamProgress(stream)
    progress.stage("mix es", 0, 12)
    progress.stage_ended("mix es", 3.21, 12, 0)
    assert stream.getvalue() == "\r\x1b[K  mix es 0/12\r\x1b[K  mix es done in 3.2 s\n"
