"""What a service shows of itself: figures, whether it lives, and whether it can be given work."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from model_worker import health, metrics
from model_worker.health import Loading, shown
from speechmill.errors import LeaseLost, ToolFailed, Unavailable
from speechmill.recipes import Digest
from speechmill.settings import Settings
from speechmill.takes import Measurements, Take, Verdict
from storage.catalog import Catalog
from tests.servers import free_port

TAKE = Take("1", 1, Digest("0" * 64), Digest("1" * 64), Measurements(96_000, 0, 96_000, -16.0, -3.0), Verdict.PASSED)


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(health, "READY_KEPT_S", 0.0)
    return Settings(home=tmp_path, metrics_port=free_port())


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}")
    yield catalog
    catalog.close()


def ask(chosen: Settings, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{chosen.metrics_port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def figure(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_service_is_ready_when_all_that_it_needs_is_well(chosen: Settings) -> None:
    loading, away = Loading("the engine"), threading.Event()

    def database() -> None:
        if away.is_set():
            raise Unavailable("redis://:hunter2222@db does not answer")

    with shown(chosen, CollectorRegistry(), {"engine": loading, "database": database}):
        assert ask(chosen, "/health/live")[0] == 200, "it lives while it loads"
        status, said = ask(chosen, "/health/ready")
        assert (status, json.loads(said)) == (503, {"engine": "the engine is being loaded", "database": "ok"})
        loading.done.set()
        assert ask(chosen, "/health/ready")[0] == 200
        away.set()
        status, said = ask(chosen, "/health/ready")
        assert status == 503
        assert "hunter2222" not in said
        assert ask(chosen, "/health/live")[0] == 200, "whoever restarts it for that makes it no better"
        assert ask(chosen, "/other")[0] == 404


def test_without_a_port_nothing_listens(tmp_path: Path) -> None:
    with shown(Settings(home=tmp_path), CollectorRegistry(), {}) as port:
        assert port == 0


def test_several_services_of_a_machine_show_themselves_at_ports_in_a_row(chosen: Settings) -> None:
    with shown(chosen, CollectorRegistry(), {}) as first, shown(chosen, CollectorRegistry(), {}) as second:
        assert first == chosen.metrics_port
        assert first < second < first + health.PORTS
        assert ask(chosen, "/health/live")[0] == 200


def test_an_address_that_is_not_of_this_machine_is_named(chosen: Settings) -> None:
    elsewhere = chosen.model_copy(update={"metrics_host": "192.0.2.1"})
    with pytest.raises(Unavailable, match="SPEECHMILL_METRICS_HOST"), shown(elsewhere, CollectorRegistry(), {}):
        pass


def test_what_is_done_is_counted_by_all_threads() -> None:
    """Threads of a worker count at the same time, and none of it is lost."""
    before = figure("speechmill_lines_spoken_total", engine="e", verdict="passed")
    seconds = figure("speechmill_audio_made_seconds_total", engine="e")

    def work() -> None:
        for _ in range(200):
            with metrics.measured("speak", "e") as done:
                done(TAKE)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert figure("speechmill_lines_spoken_total", engine="e", verdict="passed") - before == 1600
    assert figure("speechmill_audio_made_seconds_total", engine="e") - seconds == 3200
    assert figure("speechmill_at_work") == 0


def test_how_work_ended_is_told_apart() -> None:
    heard = figure("speechmill_chunks_heard_total", engine="e")
    with metrics.measured("transcribe", "e") as done:
        done(None)
    with pytest.raises(ToolFailed), metrics.measured("speak", "e"):
        raise ToolFailed("it fell over")
    with pytest.raises(ZeroDivisionError), metrics.measured("speak", "e"):
        _ = 1 / 0
    lost = figure("speechmill_leases_lost_total")
    with pytest.raises(LeaseLost), metrics.measured("speak", "e"):
        raise LeaseLost("somebody else has it")
    assert figure("speechmill_chunks_heard_total", engine="e") == heard + 1
    assert figure("speechmill_attempts_failed_total", kind="speak", code="tool-failed") == 1
    assert figure("speechmill_attempts_failed_total", kind="speak", code="internal") == 1
    assert figure("speechmill_leases_lost_total") == lost + 1
    assert figure("speechmill_work_seconds_count", kind="speak", outcome="lost") == 1
    assert figure("speechmill_at_work") == 0


def test_all_jobs_are_counted_by_their_state(chosen: Settings, catalog: Catalog) -> None:
    catalog.add_job("dub", {}, "0" * 64, "/out")
    registry = CollectorRegistry()
    registry.register(metrics.CatalogFigures(catalog))
    with shown(chosen, registry, {"database": catalog.check}):
        assert ask(chosen, "/health/ready")[0] == 200
        told = ask(chosen, "/metrics")[1]
    samples = {
        (sample.name, sample.labels.get("state")): sample.value
        for family in text_string_to_metric_families(told)
        for sample in family.samples
    }
    assert samples["speechmill_jobs", "queued"] == 1
    assert samples["speechmill_jobs", "failed"] == 0, "an alert needs the nought to compare with"
    assert samples["speechmill_orders", "ordered"] == 0
    assert samples["speechmill_drops", "quarantined"] == 0
    assert samples["speechmill_outbox_lag_seconds", None] == 0
    assert samples["speechmill_oldest_order_seconds", None] == 0


def test_figures_are_only_loaded_by_services() -> None:
    """Somebody who asks for help waits for no library of metrics."""
    said = "import sys, flows.cli, flows.start; print([m for m in ('prometheus_client', 'celery') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True).stdout == "[]\n"
