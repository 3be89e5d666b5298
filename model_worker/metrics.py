"""Metrics: what a service tells Prometheus of itself. Safe to use from any thread.

Counters count what this process did. What is true of all processes together (jobs, orders) is read from the catalog
when somebody asks, by ``CatalogFigures``: each ``serve`` and ``ingest`` tells the same, so a query takes their maximum.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from model_worker.messages import Queue, queue_of
from speechmill.errors import LeaseLost, SpeechmillError
from speechmill.lines import seconds
from speechmill.takes import Take
from storage.catalog import Catalog
from storage.catalog.census import Census

log = logging.getLogger("speechmill.worker")

WORK_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
CENSUS_KEPT_S = 5.0  # several who scrape cost the database one query

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

LINES = Counter("speechmill_lines_spoken", "Takes spoken, by what was found.", ["engine", "verdict"], registry=REGISTRY)
CHUNKS = Counter("speechmill_chunks_heard", "Chunks of sources transcribed.", ["engine"], registry=REGISTRY)
AUDIO = Counter("speechmill_audio_made_seconds", "Seconds of speech made.", ["engine"], registry=REGISTRY)
WORK = Histogram(
    "speechmill_work_seconds",
    "Time for one order, by how it ended: done, lost, failed.",
    ["kind", "outcome"],
    buckets=WORK_S,
    registry=REGISTRY,
)
FAILED = Counter("speechmill_attempts_failed", "Attempts on orders that failed.", ["kind", "code"], registry=REGISTRY)
LOST = Counter("speechmill_leases_lost", "Leases that were lost to others while work went on.", registry=REGISTRY)
TAKEN = Counter("speechmill_orders_taken", "Orders that workers have begun with.", ["queue"], registry=REGISTRY)
for queue in Queue:
    TAKEN.labels(queue)  # from nothing on: the first one is an increase
AT_WORK = Gauge("speechmill_at_work", "Orders that this worker works on now.", registry=REGISTRY)


@contextmanager
def measured(kind: str, engine: str) -> Iterator[Callable[[Take | None], None]]:
    """Measure the work on one order, and log its end: figures, never what was said. Yields what is to be called with
    its take once it is done; errors go on up."""
    began_s = time.perf_counter()
    outcome, facts = "failed", dict[str, object]()

    def done(take: Take | None) -> None:
        nonlocal outcome
        outcome = "done"
        if take is None:
            CHUNKS.labels(engine).inc()
            return
        facts.update(take=take.number, verdict=str(take.verdict))
        LINES.labels(engine, take.verdict).inc()
        if take.measured is not None:
            AUDIO.labels(engine).inc(seconds(take.measured.length_samples))

    TAKEN.labels(queue_of(engine)).inc()
    AT_WORK.inc()
    try:
        yield done
    except LeaseLost:
        outcome = "lost"
        LOST.inc()
        raise
    except Exception as error:
        FAILED.labels(kind, error.code if isinstance(error, SpeechmillError) else "internal").inc()
        raise
    finally:
        took_s = time.perf_counter() - began_s
        AT_WORK.dec()
        WORK.labels(kind, outcome).observe(took_s)
        log.info(outcome, extra=facts | {"dur_ms": round(took_s * 1000)})


class CatalogFigures(Collector):
    """What the catalog says of all jobs and orders, at most once in five seconds."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._guard = threading.Lock()
        self._census: Census | None = None
        self._counted_s = 0.0

    def describe(self) -> Iterable[Metric]:
        return list(_catalog_families(None))

    def collect(self) -> Iterable[Metric]:
        with self._guard:
            if self._census is None or time.monotonic() - self._counted_s > CENSUS_KEPT_S:
                try:
                    self._census, self._counted_s = self._catalog.census(), time.monotonic()
                except SpeechmillError:
                    self._census = None  # no figures are better than old ones; readiness tells what is wrong
            return list(_catalog_families(self._census))


def _catalog_families(census: Census | None) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("speechmill_jobs", "Jobs, by state.", labels=["state"])
    orders = GaugeMetricFamily("speechmill_orders", "Orders for workers, by state.", labels=["state"])
    drops = GaugeMetricFamily("speechmill_drops", "Files in drop folders, by state.", labels=["state"])
    lag = GaugeMetricFamily("speechmill_outbox_lag_seconds", "How long the oldest accepted job waits to be handed on.")
    oldest = GaugeMetricFamily(
        "speechmill_oldest_order_seconds", "How long the oldest order waits for a worker.", labels=["queue"]
    )
    if census is not None:
        for state, count in census.jobs.items():
            jobs.add_metric([state], count)
        for order_state, count in census.orders.items():
            orders.add_metric([order_state], count)
        for drop_state, count in census.drops.items():
            drops.add_metric([drop_state], count)
        lag.add_metric([], census.outbox_lag_s)
        waits = dict.fromkeys(Queue, 0.0)
        for engine, oldest_s in census.oldest_order_s.items():
            waits[queue_of(engine)] = max(waits[queue_of(engine)], oldest_s)
        for queue, oldest_s in waits.items():
            oldest.add_metric([queue], oldest_s)
    yield from (jobs, orders, drops, lag, oldest)


class EngineFigures(Collector):
    """What MiMo-Audio's engines are at, where this process has loaded any."""

    def describe(self) -> Iterable[Metric]:
        return list(_engine_families())

    def collect(self) -> Iterable[Metric]:
        return list(_engine_families())


def stalled_s() -> float:
    """How long the engine that stalls longest has not got on with work that it has."""
    return max((figures["stalled"] for figures in _engines().values()), default=0.0)


def _engines() -> dict[str, dict[str, float]]:
    service = sys.modules.get("model_worker.engines.mimo.service")
    return {} if service is None else service.figures()


def _engine_families() -> Iterator[Metric]:
    named: dict[str, GaugeMetricFamily | CounterMetricFamily] = {
        "slots": GaugeMetricFamily("speechmill_engine_slots", "Requests that may run at once.", labels=["model"]),
        "running": GaugeMetricFamily("speechmill_engine_running", "Requests in the batch.", labels=["model"]),
        "waiting": GaugeMetricFamily("speechmill_engine_waiting", "Requests that wait for a slot.", labels=["model"]),
        "stalled": GaugeMetricFamily(
            "speechmill_engine_stalled_seconds", "Time since the last step of an engine with work.", labels=["model"]
        ),
        "steps": CounterMetricFamily("speechmill_engine_steps", "Steps of the whole batch.", labels=["model"]),
    }
    for model, figures in _engines().items():
        for name, family in named.items():
            family.add_metric([model], figures[name])
    yield from named.values()


REGISTRY.register(EngineFigures())
