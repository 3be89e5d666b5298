"""What services say: one object a line, about which job and line, and nothing that gives access to anything."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from speechmill import logs
from speechmill.settings import Settings

SIGNED = (
    "https://objects.example/studio/talk.es.mp4?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA1%2F2026"
    "&X-Amz-Signature=5f0e5ac7"
)


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """A service's log, with secrets that it knows; the root logger is put back afterwards."""
    monkeypatch.setattr(logs, "_secrets", set())
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    stream = io.StringIO()
    chosen = Settings(
        home=tmp_path, database_url="postgresql+psycopg://mill:horse%20battery@db/mill", llm_api_key="sk-staple-31"
    )
    logs.configure("worker", chosen, stream)
    yield stream
    root.handlers[:] = kept
    root.setLevel(level)
    logging.captureWarnings(False)


def told(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_says_when_what_and_about_which_line(logged: io.StringIO) -> None:
    with logs.about(job="j1", stage="speak"), logs.about(line="7", flow_run=None):
        logging.getLogger("model_worker.app").info("take spoken", extra={"dur_ms": 120, "verdict": "passed"})
    logging.getLogger("model_worker.app").info("idle")
    spoken, idle = told(logged)
    assert list(spoken)[:3] == ["ts", "level", "event"]
    assert spoken["event"] == "take spoken"
    assert (spoken["job"], spoken["stage"], spoken["line"], spoken["dur_ms"]) == ("j1", "speak", "7", 120)
    assert spoken["service"] == "worker"
    assert "flow_run" not in spoken
    assert "job" not in idle


def test_threads_do_not_speak_about_each_others_jobs(logged: io.StringIO) -> None:
    """Worker threads work on different jobs at the same time."""
    both = threading.Barrier(2)

    def work(job: str) -> None:
        with logs.about(job=job):
            both.wait(5)
            logging.getLogger("w").info(job)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("j1", "j2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((record["event"], record["job"]) for record in told(logged)) == [("j1", "j1"), ("j2", "j2")]


@pytest.mark.parametrize(
    ("said", "gone"),
    [
        (f"report at {SIGNED} for a week", ["AKIA1", "5f0e5ac7"]),
        ("cannot reach redis://:hunter22@broker:6379/0", ["hunter22"]),
        ("postgresql+psycopg://mill:horse%20battery@db/mill refused", ["battery"]),
        ("it sent Authorization: Bearer eyJhbGciOi.J9-x", ["eyJhbGciOi"]),
        ("refused: bearer eyJhbGciOi.J9-y is too old", ["eyJhbGciOi"]),
        ("{'Authorization': 'Basic dXNlcjpwYXNz'}", ["dXNlcjpwYXNz"]),
        ("aws_secret_access_key=wJalrXUtnFEMI/K7MDENG", ["wJalrXUtnFEMI"]),
        ("the endpoint was given sk-staple-31", ["sk-staple-31"]),
        ("the password horse battery was wrong", ["battery"]),
        ("https://x.blob.core.example/a?sv=2024&sig=abcdefgh%3D", ["abcdefgh"]),
    ],
)
def test_what_gives_access_is_blotted_out(logged: io.StringIO, said: str, gone: list[str]) -> None:
    log = logging.getLogger("w")
    log.info(said)
    log.info("something: %s", said, extra={"link": said, "several": [said]})
    try:
        raise RuntimeError(said)
    except RuntimeError:
        log.exception("it failed")
    assert len(told(logged)) == 3
    for part in gone:
        assert part not in logged.getvalue()


def test_ordinary_words_stay(logged: io.StringIO) -> None:
    said = "job 12 of s3://studio/in/talk.mp4 done: https://host/report?page=2, basic checks passed, secrets are kept"
    logging.getLogger("w").info(said)
    assert told(logged)[0]["event"] == said


def test_a_person_at_a_terminal_reads_sentences(tmp_path: Path, logged: io.StringIO) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    logs.configure("up", Settings(home=tmp_path), stream)
    with logs.about(job="j1"):
        logging.getLogger("w").info("dubbing")
        logging.getLogger("w").warning("a tool is old")
    first, second = stream.getvalue().splitlines()
    assert first.endswith("  dubbing  job=j1")
    assert second.endswith("  warning: a tool is old  job=j1")
    assert logged.getvalue() == ""


def test_a_line_of_json_stays_one_line(logged: io.StringIO) -> None:
    logging.getLogger("w").error("two\nlines")
    assert told(logged)[0]["event"] == "two\nlines"


def test_libraries_that_speak_of_every_message_are_hushed(logged: io.StringIO) -> None:
    logging.getLogger("botocore.hooks").info("Event before-parameter-build")
    logging.getLogger("botocore.hooks").warning("clock skew")
    assert [record["event"] for record in told(logged)] == ["clock skew"]
