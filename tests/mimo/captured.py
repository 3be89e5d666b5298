"""Work as a CUDA graph has it, on a processor: the operations on tensors at their places, and nothing of Python's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
# what waits for the device
FORBIDDEN = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.item}


class Forbidden(Exception):
    """What CUDA would not record."""


class Captured(TorchDispatchMode):
    """As :class:`.queueing.Tape`, but values that Python decides are those of the recording for ever.

    Recording computes nothing: what is written in place is left as it is until the first replay.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__()
        self.replays = 0
        self._done: list[tuple[Any, Any, Any, list[Tensor]]] = []
        with self:
            work()

    def __torch_dispatch__(self, call: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        by_mask = call.overloadpacket in (aten.index, aten.index_put_) and any(
            isinstance(leaf, Tensor) and leaf.dtype == torch.bool for leaf in tree_leaves(args[1])
        )
        if call.overloadpacket in FORBIDDEN or by_mask:
            raise Forbidden(str(call))
        if call._schema.is_mutable:
            self._done.append((call, args, kwargs, []))
            return kwargs["out"] if "out" in kwargs else args[0]
        made = call(*args, **kwargs)
        places = {tensor.untyped_storage().data_ptr() for tensor in given}
        fresh = [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]
        if not any(tensor.untyped_storage().data_ptr() in places for tensor in fresh):  # else views of what is there
            self._done.append((call, args, kwargs, fresh))
        return made

    def replay(self) -> None:
        self.replays += 1
        for call, args, kwargs, places in self._done:
            made = call(*args, **kwargs)
            for place, tensor in zip(places, tree_leaves(made) if places else [], strict=True):
                place.copy_(tensor)
