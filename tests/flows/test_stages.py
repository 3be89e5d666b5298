"""Killed or cancelled in every stage, one after the other, a job is delivered once and whole, and nothing is left."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.forge import Forge

pytestmark = pytest.mark.xdist_group("lives")  # in one process, so that they are lived once
ENGINES = {"transcribe": "rehearsal", "translate": "rehearsal", "speak": "rehearsal"}
ARTICLE = "# Boats\n\nThe harbour has twelve boats. Two of them are red.\n"
NEW_AFTER_S = 2.0  # nothing is begun later than this after a person cancelled
ENDED_AFTER_S = 5.0  # what runs then is ended or comes to its end; what is not ended takes a minute


class Lived:
    """A job, life after life, and what there is in the end."""

    def __init__(self, forge: Forge, folder: Path, act: str, kind: str, request: dict[str, Any]) -> None:
        self.out = folder / "out"
        self.home = folder / "home"
        asked = json.dumps({**request, "engines": ENGINES, "out": str(self.out)})
        env = {**os.environ, "SPEECHMILL_HOME": str(self.home), "SPEECHMILL_WORKERS": "2"}
        ran = forge.run([act, kind, asked], env, folder, "tests.flows.lives")
        assert ran.returncode == 0, ran.stderr
        *self.lives, self.last = map(json.loads, ran.stdout.splitlines())
        self.report: dict[str, Any] = json.loads((self.out / "report.json").read_text("utf-8"))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.home / "catalog.db") as database:
            return database.execute(query).fetchall()


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, folder: Path, forge: Forge) -> Callable[[str, str], Lived]:
    """The lives of a job, lived once for all tests that look at them."""

    @cache
    def live(act: str, kind: str) -> Lived:
        here = tmp_path_factory.mktemp(f"{act}-{kind}")
        (here / "boats.md").write_text(ARTICLE, "utf-8")
        film = {"source": str(folder / "talk.mp4"), "targets": ["es"]}
        return Lived(forge, here, act, kind, film if kind == "dub" else {"source": str(here / "boats.md")})

    return live


def check(job: Lived) -> None:
    """By SQL and by listing: one delivery, each line once in it, and nothing else."""
    assert (job.last["said"], job.last["out"], job.last["scratch"]) == ("", ["out"], [])
    stages = {stage["name"] for stage in job.report["stages"]}
    assert stages <= {life["stage"] for life in job.lives}  # it ended once in each
    ((state,),) = job.rows("SELECT state FROM jobs")
    assert state.startswith("completed")
    assert job.rows("SELECT count(*) FROM deliveries") == [(1,)]
    twice = "SELECT line_id FROM takes GROUP BY language, line_id HAVING count(DISTINCT number) <> count(*)"
    assert job.rows(twice) == []
    silent = (
        "SELECT line_id FROM lines l WHERE language = (SELECT max(language) FROM takes) AND NOT EXISTS "
        "(SELECT 1 FROM takes t WHERE t.line_id = l.line_id AND t.language = l.language)"
    )
    assert job.rows(silent) == []
    kept = [path for path in (job.home / "objects" / "artifacts").rglob("*") if path.is_file()]
    assert len(kept) > 5
    assert [path for path in kept if hashlib.sha256(path.read_bytes()).hexdigest() != path.name] == []


@pytest.mark.parametrize("kind", ["dub", "podcast"])
def test_a_job_that_is_killed_in_every_stage_is_delivered_once(lived: Callable[[str, str], Lived], kind: str) -> None:
    job = lived("kill", kind)
    for life in job.lives:
        assert life["status"] == -9, life
        assert "out" not in life["out"], life  # nothing of it is where it is to be published
    assert sum(life["where"] == "half way" for life in job.lives) > len(job.lives) / 2
    check(job)
    assert job.report["work"]["speak_calls"] == 0  # the last life found everything spoken


def test_a_job_that_is_cancelled_in_any_stage_begins_nothing_more_and_leaves_nothing(
    lived: Callable[[str, str], Lived],
) -> None:
    job = lived("cancel", "dub")
    for life in job.lives:
        assert (life["said"], life["out"], life["scratch"]) == ("cancelled", [], []), life
        assert life["begun_s"] < NEW_AFTER_S, life
        assert life["took_s"] < ENDED_AFTER_S, life
    check(job)
    ended = job.rows("SELECT detail FROM events WHERE kind = 'state' ORDER BY id")
    assert sum(json.loads(detail).get("to") == "cancelled" for (detail,) in ended) == len(job.lives)


def test_what_was_killed_and_what_was_cancelled_is_the_same_in_the_end(lived: Callable[[str, str], Lived]) -> None:
    killed, cancelled = lived("kill", "dub"), lived("cancel", "dub")
    for name in ("talk.es.flac", "talk.es.dialogue.wav", "talk.es.m4a", "talk.es.srt"):
        assert (killed.out / name).read_bytes() == (cancelled.out / name).read_bytes(), name
