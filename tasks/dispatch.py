"""Giving out work: the same operation on many orders, several at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from speechmill import programs
from speechmill.errors import Cancelled

Given = TypeVar("Given")
Result = TypeVar("Result")

CANCEL_POLL_S = 1.0  # a job that is cancelled starts nothing new after this


def in_process(
    operation: Callable[[Given], Result],
    orders: Iterable[Given],
    *,
    threads: int,
    done: Callable[[int], None],
    check: Callable[[], None],
) -> list[Result]:
    """Work on every order in this process, ``threads`` at a time; results in the order of the orders.

    ``done(1)`` is called after each; ``check`` is called every second and stops the work by raising. The first error
    stops what has not begun, and is raised once what runs has ended. Where it is a person who stops (``Cancelled``,
    Ctrl-C, a signal), programs that run are ended too.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="work")
    futures: list[Future[Result]] = [pool.submit(operation, order) for order in orders]
    try:
        waiting, checked = set(futures), time.monotonic()
        while waiting:
            ended, waiting = wait(waiting, timeout=CANCEL_POLL_S, return_when=FIRST_COMPLETED)
            for future in ended:
                future.result()
                done(1)
            if time.monotonic() - checked > CANCEL_POLL_S:
                check()
                checked = time.monotonic()
        return [future.result() for future in futures]
    except BaseException as error:
        if isinstance(error, Cancelled) or not isinstance(error, Exception):
            programs.stop_all()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
