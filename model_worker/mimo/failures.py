"""What an exception of the engine's thread means, and what is said of it to whoever waits for a request.

A device that is out of memory goes on once some is given back; after any other error of its own nothing can be computed
on it any more. All other exceptions are one request's fault, or ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from .errors import EngineError, MimoError, OutOfMemory

# as PyTorch says it of a GPU and of a CPU, and CUDA's libraries of their own rooms
OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED")
BROKEN = ("CUDA error", "CUDA driver error", "cuDNN error", "CUBLAS_STATUS", "CUFFT_")

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Failed:
    """What was raised, without its frames: they would keep alive what the work that failed had made so far."""

    error: Exception

    @property
    def out_of_memory(self) -> bool:
        return is_out_of_memory(self.error)


def attempt(work: Callable[[], Result]) -> Result | Failed:
    """What ``work`` gives, or how it failed; raises where the device itself broke."""
    try:
        return work()
    except Exception as error:
        if is_broken(error):
            raise
        failed = error
    _let_go(failed)
    return Failed(failed)


def is_out_of_memory(error: BaseException) -> bool:
    said = isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)
    return said or isinstance(error, torch.OutOfMemoryError | MemoryError)


def is_broken(error: BaseException) -> bool:
    """Whether the device cannot be used any more: CUDA keeps such an error for every later call of the process."""
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    its_own = getattr(torch, "AcceleratorError", None)  # from PyTorch 2.8 on
    return (its_own is not None and isinstance(error, its_own)) or any(words in str(error) for words in BROKEN)


def refusal(error: Exception) -> MimoError:
    """The error of this package that a request ends with."""
    if isinstance(error, MimoError):
        return error
    refused: MimoError
    if is_out_of_memory(error):
        refused = OutOfMemory("the request does not fit into memory", hint="give shorter recordings or less text")
    else:
        refused = EngineError(f"the request failed: {type(error).__name__}: {error}")
    refused.__cause__ = error
    return refused


def _let_go(error: BaseException | None) -> None:
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
