"""A worker as whoever runs it sees it: its logs, its figures, its health."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.flows.conftest import SCRIPT, SPANISH, Speechmill, make_film
from tests.forge import Forge
from tests.servers import free_port


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


@contextmanager
def working(env: dict[str, str], log: Path) -> Iterator[int]:
    """A worker that is ready; yields its port. It is told to stop afterwards, and ends well."""
    port = free_port()
    with log.open("wb") as file:
        worker = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "worker", "--threads", "2"],
            env={**os.environ, **env, "SPEECHMILL_METRICS_PORT": str(port)},
            stderr=file,
        )
        try:
            until = time.monotonic() + 60
            while ask(port, "/health/ready")[0] != 200:
                assert worker.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.1)
            yield port
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(30) == 0
        finally:
            worker.kill()
            worker.wait()


def test_a_worker_tells_what_it_does_and_nothing_of_what_is_said(tmp_path: Path, redis: str, forge: Forge) -> None:
    film = make_film(tmp_path)
    (tmp_path / "en.srt").write_text(SCRIPT, "utf-8")
    (tmp_path / "es.srt").write_text(SPANISH, "utf-8")
    speechmill = Speechmill(tmp_path / "home", forge)
    speechmill.env |= {"SPEECHMILL_BROKER_URL": redis, "SPEECHMILL_ENGINE": "rehearsal"}
    assert speechmill("migrate").code == 0
    log = tmp_path / "worker.log"
    with working(speechmill.env, log) as port:
        given = ["--script", tmp_path / "en.srt", "--translation", f"es={tmp_path / 'es.srt'}"]
        ran = speechmill("dub", film, "--to", "es", *given, "--no-prefect", "--json", "--out", tmp_path / "out")
        assert ran.code == 0, ran.err
        told = ask(port, "/metrics")[1]
    figures = {
        sample.name: sample.value
        for family in text_string_to_metric_families(told)
        for sample in family.samples
        if sample.labels.get("verdict", "passed") == "passed"
    }
    assert figures["speechmill_lines_spoken_total"] == 3
    assert figures["speechmill_audio_made_seconds_total"] > 3
    assert figures["speechmill_at_work"] == 0
    records = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert all(list(record)[:3] == ["ts", "level", "event"] for record in records)
    done = [record for record in records if record["event"] == "done"]
    assert len(done) == 3
    assert {record["job"] for record in done} == {ran.result["job"]}
    assert len({record["line"] for record in done}) == 3
    assert all(record["kind"] == "speak" and record["dur_ms"] >= 0 for record in done)
    for said in ("train", "tickets", "tren", "billetes", "mapa"):
        assert said not in log.read_text("utf-8")
