"""What a run does when the machine lets it down, and what it leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.flows.conftest import Speechmill
from tests.servers import missing, without_postgres

SECRETS = {
    "SPEECHMILL_LLM_API_KEY": "sk-planted-31415926",
    "AWS_SECRET_ACCESS_KEY": "planted+aws/27182818",
}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB, where scratch is."""
    disk = tmp_path / "home/scratch"
    disk.mkdir(parents=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)], capture_output=True).returncode:
        missing("this machine does not allow mounting a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_named_and_the_job_goes_on_when_there_is_room(
    speechmill: Speechmill, folder: Path, tmp_path: Path, small_disk: Path
) -> None:
    """Ten seconds of stereo take 3.8 MB of scratch."""
    asked = ["dub", str(folder / "talk.mp4"), "--to", "es", "--engine", "rehearsal", "--out", str(tmp_path / "out")]
    full = speechmill(*asked, "--no-prefect", "--json")
    assert full.code == 4, full.err
    assert "error[disk-full]" in full.err
    assert "free some space" in full.err
    assert not (tmp_path / "out").exists()
    assert [path for path in small_disk.rglob("*") if path.is_file() and path.stat().st_size] == []
    subprocess.run(["mount", "-o", "remount,size=1g", str(small_disk)], check=True)
    done = speechmill(*asked, "--no-prefect", "--json")
    assert done.code == 0, done.err
    assert "going on with job" in done.err


def test_a_database_that_restarts_under_a_job_is_waited_for(
    speechmill: Speechmill, folder: Path, tmp_path: Path, postgres: str, postgres_url: str
) -> None:
    speechmill.env["SPEECHMILL_DATABASE_URL"] = postgres_url
    asked = ("--engine", "rehearsal", "--out", tmp_path / "out", "--no-prefect", "--json")
    running = speechmill.start("dub", folder / "talk.mp4", "--to", "es", *asked)
    assert running.stderr is not None
    for line in running.stderr:
        if "speak es done" in line:
            break
    with without_postgres(postgres):
        time.sleep(2)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert "the database does not answer" in err
    assert "it is waited for" in err
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as database:
        for query, count in (
            ("SELECT count(*) FROM jobs WHERE state LIKE 'completed%'", 1),
            ("SELECT count(*) FROM deliveries", 1),
            ("SELECT count(DISTINCT line_id) FROM takes", 3),
            ("SELECT count(*) FROM lines WHERE language = 'es'", 3),
        ):
            assert database.execute(query).fetchone() == (count,), query
    assert nothing_half_made(speechmill.home)


HANGS = """#!/bin/sh
case "$*" in *pcm_f32le*) kill -STOP $$;; esac
exec {ffmpeg} "$@"
"""
"""An ffmpeg that stops for ever as soon as it is to decode the sound of a film."""


def test_a_program_that_hangs_is_ended_and_the_job_goes_on(
    speechmill: Speechmill, folder: Path, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "ffmpeg").write_text(HANGS.format(ffmpeg=shutil.which("ffmpeg")))
    (tools / "ffmpeg").chmod(0o755)
    asked = ["dub", str(folder / "talk.mp4"), "--to", "es", "--engine", "rehearsal", "--out", str(tmp_path / "out")]
    hung = speechmill(*asked, "--no-prefect", PATH=f"{tools}:{os.environ['PATH']}", SPEECHMILL_TOOL_TIMEOUT_S="2")
    assert hung.code == 4, hung.err
    assert "error[tool-failed]: ffmpeg did not end within 2 s" in hung.err
    assert str(tools) not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert not (tmp_path / "out").exists()
    assert [path for path in (speechmill.home / "scratch").rglob("*") if path.is_file()] == []
    done = speechmill(*asked, "--no-prefect")
    assert done.code == 0, done.err
    assert "going on with job" in done.err


SILENCE = ("-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "90")
NOISE = ("-f", "lavfi", "-i", "anoisesrc=d=4:r=16000:a=0.1")
PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=64x36:r=25:d=4", "-c:v", "libx264", "-preset", "ultrafast")


def cut(path: Path, share: float) -> None:
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share))


def test_cut_films_and_bombs_that_are_dropped_lie_in_quarantine_and_the_others_are_delivered(
    speechmill: Speechmill, tmp_path: Path
) -> None:
    place = tmp_path / "drop"
    (place / "in").mkdir(parents=True)

    def make(name: str, *arguments: str) -> Path:
        path = place / "in" / name
        subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *arguments, f"file:{path}"], check=True)
        return path

    cut(make("cut.flac", *NOISE), 0.5)  # its header is whole: only what is decoded tells
    cut(make("cut at its end.mp4", *NOISE, *PICTURE), 0.9)  # without its list of contents
    cut(make("cut.mp4", *NOISE, *PICTURE, "-movflags", "+faststart"), 0.5)  # with it, of which half is there
    bomb = make("bomb.flac", *SILENCE)
    head = bytearray(bomb.read_bytes())
    head[22:26] = (36_000 * 8000).to_bytes(4, "big")  # ten hours, by its header
    bomb.write_bytes(head)
    make("bomb.aac", *SILENCE)  # nothing in it says how long it is
    make("whole.wav", "-f", "lavfi", "-i", "sine=d=1")
    ran = speechmill(
        "ingest", place, "--once", "--no-prefect", SPEECHMILL_DROP_MIN_AGE_S="0", SPEECHMILL_SIDECAR_GRACE_S="0",
        SPEECHMILL_DROP_TARGETS="es", SPEECHMILL_ENGINE="rehearsal", SPEECHMILL_MAX_DURATION_S="60",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "Traceback" not in ran.err
    reasons = [json.loads(file.read_text("utf-8")) for file in (place / "quarantine").glob("*/reason.json")]
    assert {reason["key"].removeprefix("in/"): reason["code"] for reason in reasons} == {
        "cut.flac": "truncated-media",
        "cut at its end.mp4": "truncated-media",
        "cut.mp4": "truncated-media",
        "bomb.flac": "limit-exceeded",
        "bomb.aac": "limit-exceeded",
    }
    assert all(reason["message"] and reason["hint"] for reason in reasons)
    assert len(list((place / "quarantine").iterdir())) == 5
    assert [path for path in (place / "in").rglob("*") if path.is_file()] == []
    [done] = (place / "done").glob("*/*")
    assert (done / "whole.es.m4a").exists()
    assert (done / "source" / "whole.wav").exists()
    assert nothing_half_made(speechmill.home)
    assert [path.name for path in (speechmill.home / "out").glob("*")] in ([], [done.name])


def nothing_half_made(home: Path) -> bool:
    return not [path for path in (home / "scratch").rglob("*") if path.is_file() and path.stat().st_size]


def holding(folder: Path, secret: str) -> list[Path]:
    """The files under a folder that hold a secret."""
    return [
        path
        for root, _, names in os.walk(folder)
        for path in (Path(root) / name for name in names)
        if path.is_file() and secret.encode() in path.read_bytes()
    ]


def test_nothing_that_a_run_leaves_behind_holds_a_secret(speechmill: Speechmill, folder: Path, tmp_path: Path) -> None:
    """A run that is well; and a complaint about a database that is not there, told by a library that knows the
    password."""
    dub = ["dub", str(folder / "talk.mp4"), "--to", "es", "--engine", "rehearsal", "--script"]
    ran = speechmill(*dub, str(folder / "talk.en.srt"), "--out", str(tmp_path / "out"), "--no-prefect", **SECRETS)
    assert ran.code == 0, ran.err
    password = "planted-horse-16180339"
    lost = speechmill("doctor", **SECRETS, SPEECHMILL_DATABASE_URL=f"postgresql+psycopg://m:{password}@127.0.0.1:9/m")
    assert lost.code == 4
    assert "127.0.0.1" in lost.out
    for secret in (*SECRETS.values(), password):
        assert secret not in ran.out + ran.err + lost.out + lost.err
        assert holding(tmp_path, secret) == []
