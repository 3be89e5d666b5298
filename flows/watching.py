"""Watching: what ``serve`` and ``ingest`` show of themselves and of all jobs, where a port is set for that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from model_worker.health import Check, shown
from model_worker.metrics import REGISTRY, CatalogFigures
from speechmill.settings import Settings
from tasks.workplace import open_catalog


@contextmanager
def watched_over(chosen: Settings, checks: Mapping[str, Check]) -> Iterator[None]:
    """Answer for a service while the block runs; it is ready when the database and its own ``checks`` are well."""
    if not chosen.metrics_port:
        yield
        return
    catalog = open_catalog(chosen)
    figures = CatalogFigures(catalog)
    REGISTRY.register(figures)
    try:
        with shown(chosen, REGISTRY, {"database": catalog.check, **checks}):
            yield
    finally:
        REGISTRY.unregister(figures)
        catalog.close()
