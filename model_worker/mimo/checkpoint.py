"""Weights from the official folders, by memory map, straight into the parameters that use them.

A module is built on the ``meta`` device (no memory), given storage on its own device and dtype, and filled tensor
by tensor, so the weights are held once. A module whose parameters are laid out differently from the file (one
matrix for q, k and v, one table for all codebooks) says so in a method ``parts(prefix)`` that yields, for each
key of the file, the view of its own parameter that the tensor belongs into.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from .config import Family
from .errors import CheckpointError, ConfigError
from .files import weight_files
from .gate import GATE
from .projection import Projection

Parts = Iterator[tuple[str, torch.Tensor]]


@runtime_checkable
class HasParts(Protocol):
    """A module that lays its parameters out in its own way."""

    def parts(self, prefix: str) -> Parts:
        """Yield (key in the file, view of the parameter) for all the file has to give."""
        ...


Module = TypeVar("Module", bound=nn.Module)


class Checkpoint:
    """The safetensors files of one folder: one ``model.safetensors``, or shards with their index."""

    def __init__(self, folder: Path) -> None:
        """Open the files of ``folder``; raises :class:`CheckpointError` for one that is missing or truncated."""
        self.folder = folder
        self._open: list[Any] = []  # safetensors handles, which carry no types
        self._where: dict[str, Any] = {}
        for path in weight_files(folder):
            try:
                handle: Any = safe_open(path, framework="pt", device="cpu")
                handle.__enter__()
            except FileNotFoundError:
                raise CheckpointError(path, "there is no such file") from None
            except (SafetensorError, OSError) as error:
                raise CheckpointError(path, f"this is not a whole safetensors file ({error})") from error
            self._open.append(handle)
            for key in handle.keys():  # noqa: SIM118 (the handle is no mapping)
                self._where[key] = handle

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._open:
            handle.__exit__(kind, error, trace)

    def check_counts(self, families: tuple[Family, ...]) -> None:
        """See whether the files hold more of something than the config asks for: a model of fewer layers runs, and
        says nonsense. Raises :class:`ConfigError` naming the field."""
        for key in self._where:
            for family in families:
                number = key.removeprefix(family.prefix).partition(".")[0]
                if key.startswith(family.prefix) and number.isdecimal() and int(number) >= family.count:
                    problem = f"is {family.count}, but the weights have '{key}'"
                    raise ConfigError(self.folder / "config.json", family.field, problem)

    def check(self, module: nn.Module, prefix: str = "") -> None:
        """See whether every tensor that ``module`` needs is there in its shape, before memory is taken for it: the
        module may be on ``meta``.

        Raises :class:`CheckpointError` naming all missing keys, or the key whose shape contradicts the config.
        """
        wanted = list(parts_of(module, prefix))
        missing = [key for key, _ in wanted if key not in self._where]
        if missing:
            named = ", ".join(missing[:8]) + (" …" if len(missing) > 8 else "")
            raise CheckpointError(self.folder, f"{len(missing)} of {len(wanted)} tensors are missing: {named}")
        for key, view in wanted:
            shape = self._where[key].get_slice(key).get_shape()
            if shape != list(view.shape):
                raise CheckpointError(
                    self.folder,
                    f"tensor '{key}' is {shape}, but config.json asks for {list(view.shape)}",
                    hint="config.json and the weights belong to different models",
                )

    def kinds(self, module: nn.Module, prefix: str = "") -> set[str]:
        """The dtypes, as safetensors names them, of the matrices that ``module`` needs, and ``check`` found."""
        matrices = [key for key, view in parts_of(module, prefix) if view.dim() == 2]
        return {self._where[key].get_slice(key).get_dtype() for key in matrices}

    def fill(self, module: nn.Module, prefix: str = "") -> None:
        """Copy every tensor that ``module`` needs, and that ``check`` found; other tensors are ignored."""
        for key, view in parts_of(module, prefix):
            with GATE.at_work():  # tensor by tensor: who records a graph meanwhile need not wait for the whole model
                view.copy_(self._where[key].get_tensor(key))


def parts_of(module: nn.Module, prefix: str = "") -> Parts:
    """All (key, view) pairs of a module and what is in it; its own names unless it has ``parts``."""
    if isinstance(module, HasParts):
        yield from module.parts(prefix)
        return
    for name, parameter in module.named_parameters(recurse=False):
        yield prefix + name, parameter.data
    for name, child in module.named_children():
        yield from parts_of(child, f"{prefix}{name}.")


def settle(module: Module, device: torch.device, dtype: torch.dtype, held: torch.dtype | None = None) -> Module:
    """Give a module built on ``meta`` uninitialised storage on ``device``, frozen, in ``dtype``; the matrices of
    projections in ``held``, if given."""
    for owner in module.modules():
        for name, parameter in list(owner.named_parameters(recurse=False)):
            widens = held is not None and isinstance(owner, Projection) and name == "weight"
            storage = torch.empty(parameter.shape, device=device, dtype=held if widens else dtype)
            owner.register_parameter(name, nn.Parameter(storage, requires_grad=False))
    return module.eval()
