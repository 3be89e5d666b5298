"""What cannot be done is refused in one line that says what to do, before any work and with nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.flows.conftest import Speechmill


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["missing.mp4", "--to", "es"], 3, ["missing.mp4"]),
        (["talk.mp4", "--to", "xx-nonsense"], 3, ["xx-nonsense", "BCP-47"]),
        (["talk.mp4", "--to", "ja", "--engine", "offline"], 3, ["Japanese", "rehearsal"]),
        (["talk.mp4", "--to", "es", "--profile", "loud"], 3, ["loud", "youtube"]),
        (["talk.mp4", "--to", "es", "--engine", "parrot"], 3, ["parrot", "offline"]),
        (["talk.mp4", "--to", "es", "--script", "missing.srt"], 3, ["missing.srt"]),
        (["talk.mp4", "--to", "es", "--audio-track", "3"], 3, ["--audio-track"]),
        (["s3://bucket/talk.mp4", "--to", "es"], 4, ["AWS_ACCESS_KEY_ID"]),
        (["talk.mp4"], 2, ["--to"]),
        (["talk.mp4", "--to", "es", "--nonsense"], 2, ["--nonsense"]),
        ([f"{'long' * 80}.mp4", "--to", "es"], 3, ["name is too long", "longlong"]),
        (["talk.mp4", "--to", "es", "--script", f"{'long' * 80}.srt"], 3, ["name is too long"]),
        (["talk.mp4", "--to", "es", f"-{'long' * 80}"], 2, ["No such option"]),
        (["~$talk.mp4", "--to", "es"], 3, ["there is no file", "~$talk.mp4"]),  # a file of an office program
        (["talk.mp4", "--to", "es", "--script", "~who-is-that/talk.srt"], 3, ["there is no file"]),
    ],
)
def test_a_request_that_cannot_be_met(
    speechmill: Speechmill, folder: Path, tmp_path: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    out = tmp_path / "out"
    given = [str(folder / "talk.mp4") if part == "talk.mp4" else part for part in arguments]
    ran = speechmill("dub", *given, "--out", out, "--no-prefect", "--json")
    assert ran.code == code
    complaint = ran.err.strip().splitlines()[-1]
    assert complaint.startswith("speechmill: error[")
    assert "Traceback" not in ran.err
    for word in words:
        assert word in complaint
    assert json.loads(ran.out).keys() == {"error"}
    assert not out.exists()


def test_a_job_that_does_not_exist(speechmill: Speechmill) -> None:
    for command in (["job", "nope"], ["lines", "nope"], ["edit", "nope", "1", "--text", "x"], ["retake", "nope"]):
        ran = speechmill(*command)
        assert ran.code == 3
        assert "there is no job “nope”" in ran.err


def test_a_setting_that_is_wrong_is_named(speechmill: Speechmill) -> None:
    ran = speechmill("jobs", SPEECHMILL_WORKERS="many")
    assert ran.code == 3
    assert "SPEECHMILL_WORKERS" in ran.err


def test_the_doctor_says_what_is_there_and_how_to_mend_what_is_not(speechmill: Speechmill) -> None:
    well = speechmill("doctor")
    assert well.code == 0, well.out
    assert "ffmpeg" in well.out
    ill = speechmill("doctor", PATH="/nowhere")
    assert ill.code == 4
    assert "apt-get install ffmpeg" in ill.out
    assert "apt-get install util-linux" in ill.out
