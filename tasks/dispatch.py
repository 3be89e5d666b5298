"""Giving out work: the same operation on many orders, in this process or by workers elsewhere.

An operation is a kind of work with all it needs to be done here, to be written down for others, and to find what came
of it. What it does is one function, wherever it runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol, TypeVar

from speechmill import programs
from speechmill.abilities import Engine, ServesMany
from speechmill.errors import Cancelled
from speechmill.recipes import Recipe
from storage.catalog import Order, OrderKey

Given = TypeVar("Given")
Result = TypeVar("Result")
Taken = TypeVar("Taken", contravariant=True)

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
    with programs.stoppable():  # a program that a thread was about to start is not started after a stop
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


def checked(given: Iterable[Given], check: Callable[[], None]) -> Iterator[Given]:
    """The same, with a look every second whether the job is cancelled."""
    looked = time.monotonic()
    for each in given:
        if time.monotonic() - looked > CANCEL_POLL_S:
            check()
            looked = time.monotonic()
        yield each


class Operation(Protocol[Taken, Result]):
    """A kind of work on many things."""

    @property
    def chosen(self) -> Engine:
        """The engine that does it: what a worker must have."""

    @property
    def kind(self) -> str: ...

    @property
    def language(self) -> str: ...

    @property
    def able(self) -> object:
        """The ability of the engine that does it."""

    def do(self, given: Taken) -> Result:
        """Do it here, or find it done."""

    def keep(self, results: Sequence[Result]) -> None:
        """Write down what was done here; nothing, where it is artifacts and no more."""

    def recipe(self, given: Taken) -> Recipe:
        """The recipe that names what is made."""

    def order(self, given: Taken) -> Order:
        """All that somebody elsewhere needs to know to do it."""

    def recall(self, given: Sequence[Taken], given_up: Mapping[OrderKey, str]) -> list[Result]:
        """What workers have done; ``given_up`` are those that went wrong too often, each with its last error."""


class Dispatch(Protocol):
    """Has work done."""

    def __call__(
        self,
        operation: Operation[Given, Result],
        given: Sequence[Given],
        *,
        done: Callable[[int], None],
        check: Callable[[], None],
    ) -> list[Result]:
        """Results in the order of what was given. ``done`` counts what is done, ``check`` is called every second and
        stops the work by raising."""


class InProcess:
    """Has work done by threads of this process."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def __call__(
        self,
        operation: Operation[Given, Result],
        given: Sequence[Given],
        *,
        done: Callable[[int], None],
        check: Callable[[], None],
    ) -> list[Result]:
        threads = max(self._threads, operation.able.at_once if isinstance(operation.able, ServesMany) else 0)
        results = in_process(operation.do, given, threads=threads, done=done, check=check)
        operation.keep(results)
        return results
