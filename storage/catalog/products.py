"""Products: what orders make, known to all threads of a worker before the database has it.

What the recipe of an order makes is written down with the order's end, by one statement. Until then other orders of
the same recipe, of other jobs say, find it here, and write it down for themselves.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from speechmill.recipes import Artifact, Digest
from storage.catalog.uses import JobUses

MOST_KNOWN = 4096


@dataclass(frozen=True, slots=True)
class Product:
    """What the recipe of an order has made."""

    operation: str
    artifact: Artifact


class Products:
    """The products of a worker, the latest."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._known: OrderedDict[Digest, Product] = OrderedDict()

    def get(self, recipe: Digest) -> Product | None:
        with self._guard:
            return self._known.get(recipe)

    def put(self, recipe: Digest, product: Product) -> None:
        with self._guard:
            self._known[recipe] = product
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)


class OrderArtifacts:
    """The artifacts for the work on one order: an ``ArtifactIndex``. ``made`` is what is to be written down with its
    end; everything else is written down at once."""

    def __init__(self, uses: JobUses, own: Digest, products: Products, *, is_made: bool) -> None:
        self.made: Product | None = None
        self._uses, self._own, self._products, self._is_made = uses, own, products, is_made

    def recall(self, recipe: Digest) -> Artifact | None:
        if recipe != self._own or self._is_made:
            return self._uses.recall(recipe)
        self.made = self._products.get(recipe)
        return self.made.artifact if self.made else None

    def remember(self, recipe: Digest, operation: str, artifact: Artifact) -> None:
        if recipe != self._own:
            self._uses.remember(recipe, operation, artifact)
            return
        self.made = Product(operation, Artifact(artifact.sha256, artifact.size_bytes))
        self._products.put(recipe, self.made)

    def settle(self) -> None:
        self._uses.settle()
