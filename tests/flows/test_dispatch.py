"""Giving out work in this process."""

from __future__ import annotations

import threading
import time

import pytest

from speechmill.errors import Cancelled
from tasks.dispatch import InProcess, in_process


def test_results_come_in_the_order_of_the_orders() -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.05 if number == 0 else 0)
        return number * 10

    counted: list[int] = []
    found = in_process(slow_first, range(8), threads=4, done=counted.append, check=lambda: None)
    assert found == [0, 10, 20, 30, 40, 50, 60, 70]
    assert sum(counted) == 8


def test_the_first_error_stops_what_has_not_begun() -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 0:
            raise ValueError("broken")
        time.sleep(0.05)

    with pytest.raises(ValueError, match="broken"):
        in_process(work, range(100), threads=2, done=lambda _: None, check=lambda: None)
    assert len(begun) < 10


def test_a_cancelled_job_starts_nothing_new() -> None:
    begun: list[int] = []
    stop = threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        time.sleep(0.3)
        stop.set()

    def check() -> None:
        if stop.is_set():
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        in_process(work, range(100), threads=2, done=lambda _: None, check=check)
    assert len(begun) < 14


def test_an_engine_that_serves_many_gets_many_lines_at_once() -> None:
    class Batching:
        at_once = 3

    class Work:
        able = Batching()
        together = threading.Barrier(3)

        def do(self, given: int) -> int:
            self.together.wait(20)  # nobody goes on before three are here
            return given

        def keep(self, results: object) -> None:
            pass

    def nothing(*_: object) -> None:
        pass

    assert InProcess(1)(Work(), [1, 2, 3], done=nothing, check=nothing) == [1, 2, 3]
