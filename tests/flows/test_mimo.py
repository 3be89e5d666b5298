"""MiMo-Audio from the command line, on the tiny random checkpoint: every stage runs, whatever its noise says."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis as redis_client

pytest.importorskip("torch", reason="the extra 'mimo' is not installed")

from model_worker.mimo.files import digest
from tests.engines.mimo import ENV
from tests.flows.conftest import Speechmill
from tests.forge import Forge

CAST = """
[READER]
reference = "ana.wav"
consent = {who = "Ana Prat", when = 2026-05-01, scope = "this show"}
"""
TINY_WAVS = Path(ENV["SPEECHMILL_MIMO_MODEL_DIR"]).parent / "wavs"
TINY = {**ENV, "SPEECHMILL_MIMO_GROUPS": "256", "OMP_NUM_THREADS": "1"}


def test_a_film_is_dubbed_into_chinese(speechmill: Speechmill, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = speechmill(
        "dub", folder / "talk.mp4", "--to", "zh", "--engine", "mimo", "--no-prefect", "--json", "--out", out, **TINY
    )
    assert ran.code == 0, ran.err
    assert ran.result["state"] == "completed_with_review"
    lines = ran.report["targets"]["zh"]["lines"]
    assert lines
    assert all("no-word-times" in line["reasons"] for line in lines)
    assert any(line["placed_start_s"] is not None for line in lines)
    assert all(line["lost_ms"] == 0 for line in lines)
    assert {stage["name"].split()[0] for stage in ran.report["stages"]} > {"transcribe", "translate", "speak", "pack"}
    assert all(version.startswith("mimo ") for version in ran.report["engine"]["abilities"].values())
    assert any(isinstance(line["seed"], int) for line in lines)
    made = ran.report["engine"]["made_with"]
    assert made["speak"]["version"] != made["transcribe"]["version"]
    weights = digest(Path(ENV["SPEECHMILL_MIMO_MODEL_DIR"]))[:16]
    assert {one["means"]["XiaomiMiMo/MiMo-Audio-7B-Instruct"] for one in made.values()} == {weights}
    assert weights in made["speak"]["version"]  # which is in the recipe of every take
    assert "请将这段文字转换为语音" in made["speak"]["means"]["speak: template"]
    assert "temperature 0.6" in made["speak"]["means"]["speak: sampling"]
    page = (out / "report.html").read_text("utf-8")
    assert weights in page
    assert "请将这段文字转换为语音" in page
    assert (out / "talk.zh.mp4").stat().st_size > 10_000


def until(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    until_s = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until_s, "waited too long"
        time.sleep(0.05)


@pytest.fixture
def services(postgres_url: str, redis: str) -> dict[str, str]:
    """What flows and workers on several machines have in common."""
    redis_client.Redis.from_url(redis).flushall()
    return {"SPEECHMILL_DATABASE_URL": postgres_url, "SPEECHMILL_BROKER_URL": redis}


def test_a_machine_without_weights_and_torch_has_all_of_it_done_by_a_worker_that_has_them(
    speechmill: Speechmill, folder: Path, tmp_path: Path, services: dict[str, str], forge: Forge
) -> None:
    out, log = tmp_path / "out", tmp_path / "worker.log"
    log.touch()
    env = {**speechmill.env, **services}
    asked = ("dub", folder / "talk.mp4", "--to", "zh", "--engine", "mimo", "--no-prefect", "--json", "--out", out)

    def dub() -> subprocess.CompletedProcess[str]:
        return forge.run(asked, env, tmp_path, "tests.flows.without_torch")

    speechmill("migrate", **services)
    nobody = dub()
    assert nobody.returncode == 4
    assert "no worker has told yet what its engine mimo is; start one" in nobody.stderr
    assert "FAIL  engine       no worker has told yet" in speechmill("doctor", "--engine", "mimo", **services).out
    there = {**env, **TINY, "SPEECHMILL_MIMO_BASE_DIR": ""}
    worker = forge.start(["worker", "--queue", "gpu.mimo"], there, tmp_path, log, log)
    try:
        until(lambda: "ready" in log.read_text())
        ran = dub()
        examined = speechmill("doctor", "--engine", "mimo", **services)
        assert "hears en, zh; translates en→zh, zh→en; speaks 2 languages; not here, but where" in examined.out
    finally:
        worker.kill()
        worker.wait()
    assert ran.returncode == 0, ran.stderr + log.read_text()
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert {" float32 " in one["version"] for one in report["engine"]["made_with"].values()} == {True}
    assert report["work"]["speak_calls"] >= len(report["targets"]["zh"]["lines"]) > 0
    assert report["work"]["transcribe_calls"] > 0
    assert report["work"]["translate_calls"] > 0
    (tmp_path / "cast.toml").write_text(CAST, "utf-8")
    (tmp_path / "rivers.md").write_text("# Rivers\n\nRivers carry water to the sea.\n", "utf-8")
    (tmp_path / "ana.wav").write_bytes((TINY_WAVS / "en_24k.wav").read_bytes())
    imitated = forge.run(
        ["podcast", "rivers.md", "--engine", "mimo", "--cast", "cast.toml", "--no-prefect"], env, tmp_path
    )
    assert imitated.returncode == 4
    assert "they have told no imitation version" in imitated.stderr


def test_a_document_becomes_an_episode(speechmill: Speechmill, tmp_path: Path) -> None:
    (tmp_path / "rivers.md").write_text("# Rivers\n\nRivers carry water to the sea.\n", "utf-8")
    asked = ["podcast", tmp_path / "rivers.md", "--engine", "mimo", "--out", tmp_path / "out"]
    ran = speechmill(*asked, "--no-prefect", "--json", **TINY)
    assert ran.code == 0, ran.err
    assert ran.report["episode"]["lines"]
    assert (tmp_path / "out" / "episode.mp3").stat().st_size > 5_000
    script = json.loads((tmp_path / "out" / "script.json").read_text("utf-8"))
    assert script["language"] == "en"


@pytest.mark.parametrize(
    ("env", "arguments", "code", "words"),
    [
        ({}, ["--to", "zh"], 4, ["missing-weights", "MIMO_MODEL_DIR is not set", "hf download", "16 GB", "5 GB"]),
        ({**TINY, "SPEECHMILL_MIMO_TOKENIZER_DIR": "/nowhere"}, ["--to", "zh"], 4, ["/nowhere, which is no folder"]),
        (TINY, ["--to", "es"], 3, ["unsupported-language", "offline"]),
        (TINY, ["--to", "zh", "--from", "de"], 3, ["unsupported-language", "German"]),
        ({**TINY, "SPEECHMILL_MIMO_DEVICE": "tpu"}, ["--to", "zh"], 3, ["SPEECHMILL_MIMO_DEVICE"]),
        ({**TINY, "SPEECHMILL_MIMO_DEVICE": "cuda:99"}, ["--to", "zh"], 4, ["no device cuda:99", "MIMO_DEVICE"]),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(
    speechmill: Speechmill, folder: Path, env: dict[str, str], arguments: list[str], code: int, words: list[str]
) -> None:
    ran = speechmill("dub", folder / "talk.mp4", *arguments, "--engine", "mimo", "--no-prefect", **env)
    assert ran.code == code, ran.err
    assert all(word in ran.err for word in words), ran.err
    assert "Traceback" not in ran.err
    assert len([line for line in ran.err.splitlines() if "error[" in line]) == 1
    assert not (speechmill.home / "objects").exists()


def test_doctor_names_the_weights_that_are_missing(speechmill: Speechmill) -> None:
    ran = speechmill("doctor", SPEECHMILL_ENGINE="mimo")
    assert ran.code == 4
    assert "FAIL  engine       MiMo-Audio's weights are not there" in ran.out
    assert speechmill("doctor", "--engine", "mimo").out.count("MiMo-Audio's weights are not there") == 1
    swapped = {
        "SPEECHMILL_MIMO_MODEL_DIR": ENV["SPEECHMILL_MIMO_TOKENIZER_DIR"],
        "SPEECHMILL_MIMO_TOKENIZER_DIR": ENV["SPEECHMILL_MIMO_MODEL_DIR"],
    }
    mixed = speechmill("doctor", "--engine", "mimo", **swapped)
    assert mixed.code == 4
    assert "tokenizer/config.json: field" in mixed.out
    assert "which folder each setting names" in mixed.out
    well = speechmill("doctor", SPEECHMILL_ENGINE="mimo", **TINY)
    assert "ok    engine       mimo mimo-1: hears en, zh" in well.out
