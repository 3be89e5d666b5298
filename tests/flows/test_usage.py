"""What is typed wrong is told at once, in words of ours, in the form that was asked for."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.flows.conftest import Speechmill

MANY = [f"x{letter}" for letter in "abcdefghijklmnopqrstu"]  # how many they are is looked at first
TO = ("talk.mp4", "--to", "es")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dub", *TO, "--audio-track", "-1"], ["--audio-track", "-1"]),
        (["dub", *TO, "--speakers", "0"], ["--speakers", "0"]),
        (["dub", *TO, "--speakers", "21"], ["--speakers", "20 or less"]),
        (["podcast", "note.md", "--minutes", "0"], ["--minutes", "0"]),
        (["podcast", "note.md", "--minutes", "-3"], ["--minutes", "-3"]),
        (["dub", "", "--to", "es"], ["SOURCE: must be named"]),
        (["dub", "talk.mp4", *(f"--to={tag}" for tag in MANY)], ["--to: at most 20"]),
        (["dub", *TO, "--translation", "es=a.srt", "--translation", "es=b.srt"], ["--translation", "two for es"]),
        (["dub", *TO, "--engine", "speak=mimo", "--engine", "speak=offline"], ["--engine", "two for speak"]),
        (["dub", *TO, "--engine", "mimo", "--engine", "offline"], ["--engine", "mimo and offline"]),
        (["podcast", "note.md", "--m4a", "--m4b"], ["--m4a", "--m4b"]),
        (["dub", "-dash talk.wav", "--to", "es"], ["./-dash talk.wav"]),
    ],
)
def test_a_wrong_use_is_told_as_such(
    speechmill: Speechmill, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    for name in ("talk.mp4", "note.md", "-dash talk.wav"):
        (tmp_path / name).write_text("there")
    ran = speechmill(*arguments, "--no-prefect")
    assert ran.code == 2, ran.err
    assert ran.err.startswith("speechmill: error[usage]: ")
    assert len(ran.err.splitlines()) == 1
    for word in words:
        assert word in ran.err
    for theirs in ("input should be", "Input should", "validation", "tuple"):
        assert theirs not in ran.err


def test_a_language_that_is_named_twice_is_one(speechmill: Speechmill, folder: Path, tmp_path: Path) -> None:
    ran = speechmill(
        "dub", folder / "talk.mp4", "--to", "es", "--to", "es", "--engine", "rehearsal", "--script",
        folder / "talk.en.srt", "--out", tmp_path / "out", "--no-prefect", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "into es\n" in ran.err
    assert (tmp_path / "out" / "talk.es.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "called"),
    [
        (["dub", "gone.mp4", "--to", "es"], 3, "unreadable-media"),
        (["dub", "gone.mp4"], 2, "usage"),
        (["job", "gone"], 3, "unknown-name"),
        (["lines", "gone"], 3, "unknown-name"),
        (["podcast", "gone.md", "--preview"], 3, "unreadable-document"),
    ],
)
def test_an_error_is_an_object_where_one_was_asked_for(
    speechmill: Speechmill, arguments: list[str], code: int, called: str
) -> None:
    ran = speechmill(*arguments, "--json")
    assert ran.code == code
    error = json.loads(ran.out)["error"]
    assert error["code"] == called
    assert error["message"]
    assert f"error[{called}]: {error['message']}" in ran.err
    assert error["hint"] in ran.err


def test_a_preview_is_an_object_where_one_was_asked_for(speechmill: Speechmill, tmp_path: Path) -> None:
    (tmp_path / "note.md").write_text("# Note\n\nIt was early.\n\n```\ncode\n```\n", "utf-8")
    ran = speechmill("podcast", tmp_path / "note.md", "--preview", "--json", "--engine", "rehearsal")
    assert ran.code == 0, ran.err
    shown = json.loads(ran.out)
    assert [line["text"] for line in shown["script"]["lines"]][-1] == "It was early."
    assert [part["what"] for part in shown["writing"]["left_out"]] == ["code"]
    assert shown["document"]["name"] == "note.md"


def test_nothing_but_the_name_shows_what_there_is(speechmill: Speechmill) -> None:
    ran = speechmill()
    assert ran.code == 2
    assert "Commands:" in ran.out
    assert "  dub " in ran.out
    assert ran.err == ""


def test_a_mistake_in_a_name_is_told_before_anything_else(speechmill: Speechmill, folder: Path) -> None:
    took = []
    for _ in range(3):
        began = time.monotonic()
        with speechmill.start("dub", folder / "talk.mp4", "--to", "es", "--script", "gone.srt") as running:
            _, err = running.communicate(timeout=60)
            took.append(time.monotonic() - began)
        assert running.returncode == 3
        assert err.startswith("speechmill: error[unreadable-script]")
        assert "gone.srt" in err
    assert min(took) < 1.0
