"""What numba lacks for threads that share work without its own scheduler: counters that all of them see at once.

Importing this module imports numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., Any])

SPINS = 2000  # before a waiting thread offers its core to others
NEXT, DONE = 0, 8  # places of the counters: tickets taken, pieces done; each on a cache line of its own
RELAXED = {"reassoc", "contract", "arcp", "nsz"}  # sums may be reordered; infinities and NaN stay what they are


def compiled(signature: str | None = None) -> Callable[[Function], Function]:
    """Compile a function now (or, without a signature, into those that call it), kept on disk where that can be."""

    def wrap(function: Function) -> Function:
        try:
            made = njit(signature, nogil=True, fastmath=RELAXED, cache=signature is not None)(function)
        except (RuntimeError, OSError):  # no folder can be written to
            made = njit(signature, nogil=True, fastmath=RELAXED)(function)
        return cast(Function, made)

    return wrap


def counters() -> Ints:
    """No ticket taken, no piece done: what every shared call begins with."""
    return np.zeros(16, np.int64)


def _floats_at(_context: Any, address: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.inttoptr(given[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float32)(address), build


def _count(_context: Any, counters: Any, place: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        one = ir.Constant(ir.IntType(64), 1)
        return builder.atomic_rmw("add", _counter(context, builder, signature, given), one, "acq_rel")

    return types.int64(counters, place), build


def _counted(_context: Any, counters: Any, place: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.load_atomic(_counter(context, builder, signature, given), "acquire", 8)

    return types.int64(counters, place), build


def _counter(context: Any, builder: Any, signature: Any, given: Any) -> Any:
    counters = cgutils.create_struct_proxy(signature.args[0])(context, builder, given[0])
    return builder.gep(counters.data, [given[1]])


# for use in compiled functions only
floats_at: Callable[[int], Any] = intrinsic(_floats_at)  # an address as a pointer to float32
count: Callable[[Ints, int], int] = intrinsic(_count)  # add one to a counter; the number before
counted: Callable[[Ints, int], int] = intrinsic(_counted)  # what others wrote before counting can be read after
_yield_core = types.ExternalFunction("sched_yield", types.int32())


@compiled()
def wait(counters: Ints, pieces: int) -> None:
    """Until so many pieces are done."""
    spins = 0
    while counted(counters, DONE) < pieces:
        spins += 1
        if spins > SPINS:
            _yield_core()
