"""Keys and values of prompt prefixes that recur: templates, voice prompts, few-shot examples.

A prefix is read alone, whether it is found here or not, so a request's numbers do not depend on what came before.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor

from .groups import Groups

FEWEST_GROUPS = 16  # a shorter prefix is read faster than looked up and copied


class PrefixCache:
    """The most recently used prefixes, up to ``limit_bytes`` of keys and values."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._kept: OrderedDict[bytes, Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, prefix: Groups) -> bool:
        return prefix.key() in self._kept

    def find(self, prefix: Groups) -> Tensor | None:
        key = prefix.key()
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
        return kept

    def keep(self, prefix: Groups, kept: Tensor) -> None:
        """Keep a prefix; the least recently used ones make room. One larger than the whole cache is not kept."""
        size = kept.nbytes
        if size > self.limit_bytes:
            return
        key = prefix.key()
        if key in self._kept:
            return
        self._kept[key] = kept
        self.bytes += size
        while self.bytes > self.limit_bytes:
            _, dropped = self._kept.popitem(last=False)
            self.bytes -= dropped.nbytes

    def clear(self) -> None:
        """Forget everything: memory is needed elsewhere."""
        self._kept.clear()
        self.bytes = 0
