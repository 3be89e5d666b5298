"""What numba lacks for our kernel: counters that all threads see at once, bfloat16, and asking memory ahead of time.

Importing this module imports numba, and has it compile for vectors of 512 bits where there are any: LLVM would take
half of them, for code that mixes them with other work.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic
from numpy.typing import NDArray

if config.CPU_FEATURES is None and config.CPU_NAME is None and "+avx512f" in get_host_cpu_features():
    config.CPU_FEATURES = f"{get_host_cpu_features()},-prefer-256-bit"

Ints = NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., Any])

SPINS = 2000  # before a waiting thread offers its core to others
NEXT, DONE = 0, 8  # places of the counters: tickets taken, pieces done; each on a cache line of its own
RELAXED = {"reassoc", "contract", "arcp", "nsz"}  # sums may be reordered; infinities and NaN stay what they are


def compiled(signature: str | list[str] | None = None) -> Callable[[Function], Function]:
    """Compile a function now (or, without a signature, into those that call it), kept on disk where that can be."""

    def wrap(function: Function) -> Function:
        if signature is None:
            return cast(Function, njit(nogil=True, fastmath=RELAXED)(function))
        try:
            made = njit(nogil=True, fastmath=RELAXED, cache=True)(function)
            _forget_older(Path(made.stats.cache_path))
        except (RuntimeError, OSError):  # no folder can be written to
            made = njit(nogil=True, fastmath=RELAXED)(function)
        for one in [signature] if isinstance(signature, str) else signature:
            made.compile(one)
        made.disable_compile()
        return cast(Function, made)

    return wrap


def _forget_older(folder: Path) -> None:
    """Lists of code that was compiled before this file was written: numba looks at the file of the function only."""
    written = Path(__file__).stat().st_mtime
    for kept in folder.glob("*.nbi"):
        if kept.stat().st_mtime < written:
            kept.unlink(missing_ok=True)


def counters() -> Ints:
    """No ticket taken, no piece done: what every shared call begins with."""
    return np.zeros(16, np.int64)


def _pointer(_context: Any, address: Any, like: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.inttoptr(given[0], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(address, like), build


def _widened(_context: Any, half: Any) -> Any:
    def build(_context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        whole = ir.IntType(32)
        return builder.bitcast(builder.shl(builder.zext(given[0], whole), ir.Constant(whole, 16)), ir.FloatType())

    return types.float32(half), build


def _ask_for(_context: Any, array: Any, place: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, given[0]).data
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        reading, level_2, data_cache = (ir.Constant(number, value) for value in (0, 2, 1))
        where = builder.bitcast(builder.gep(data, [given[1]]), byte)
        builder.call(ask, [where, reading, level_2, data_cache])
        return context.get_dummy_value()

    return types.void(array, place), build


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
pointer: Callable[[int, Any], Any] = intrinsic(_pointer)  # an address as a pointer to what an array like this holds
widened: Callable[[Any], Any] = intrinsic(_widened)  # the float32 of a bfloat16, which comes as its 16 bits
ask_for: Callable[[Any, int], None] = intrinsic(_ask_for)  # have memory bring a place of a flat array, or behind it
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
