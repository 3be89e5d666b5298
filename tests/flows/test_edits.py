"""What a person makes of a line stays theirs, and what no longer goes with it is told."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import SCRIPT, SPANISH, Ran, Speechmill


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("recording")
    command = ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", "sine=220:r=48000:d=10"]
    subprocess.run([*command, f"file:{made / 'talk.wav'}"], check=True)
    (made / "en.srt").write_text(SCRIPT, "utf-8")
    (made / "es.srt").write_text(SPANISH, "utf-8")
    return made


def dub(speechmill: Speechmill, recording: Path, *more: str | Path) -> str:
    ran = speechmill(
        "dub", recording / "talk.wav", "--to", "es", "--engine", "rehearsal", "--script", recording / "en.srt",
        "--no-prefect", "--json", *more,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    return str(ran.result["job"])


def second_line(ran: Ran) -> dict[str, Any]:
    line: dict[str, Any] = ran.report["targets"]["es"]["lines"][1]
    return line


def test_a_translation_by_a_person_outlives_a_correction_of_the_transcript(
    speechmill: Speechmill, recording: Path
) -> None:
    job = dub(speechmill, recording)
    assert speechmill("edit", job, "0002", "--text", "Gracias, señora.").code == 0
    corrected = speechmill("edit", job, "0002", "--lang", "en", "--text", "Thank you, madam.")
    assert "es" in corrected.err.split(";")[1]
    ran = speechmill("retake", job, "--no-prefect", "--json")
    assert ran.result["state"] == "completed_with_review"
    assert second_line(ran)["text"] == "Gracias, señora."
    assert second_line(ran)["source_text"] == "Thank you, madam."
    assert "source-changed" in second_line(ran)["reasons"]
    rows = json.loads(speechmill("lines", job, "--lang", "es", "--json").out)["lines"]
    assert rows[1]["reasons"] == second_line(ran)["reasons"]
    assert speechmill("edit", job, "0002", "--text", "Gracias, señora mía.").code == 0
    assert "source-changed" not in second_line(speechmill("retake", job, "--no-prefect", "--json"))["reasons"]


def test_a_translation_that_was_given_is_to_be_looked_at_where_the_transcript_was_corrected(
    speechmill: Speechmill, recording: Path
) -> None:
    job = dub(speechmill, recording, "--translation", f"es={recording / 'es.srt'}")
    corrected = json.loads(speechmill("edit", job, "0002", "--lang", "en", "--text", "Thank you, madam.", "--json").out)
    assert corrected["translations"] == {"es": "given"}
    ran = speechmill("retake", job, "--no-prefect", "--json")
    assert second_line(ran)["text"] == "Gracias. Me llevo dos billetes."
    assert "source-changed" in second_line(ran)["reasons"]


def test_a_translation_by_an_engine_is_made_anew(speechmill: Speechmill, recording: Path) -> None:
    job = dub(speechmill, recording)
    before = json.loads(speechmill("lines", job, "--lang", "es", "--json").out)["lines"][1]["text"]
    corrected = speechmill("edit", job, "0002", "--lang", "en", "--text", "Thank you, madam.", "--json")
    assert json.loads(corrected.out)["translations"] == {"es": "anew"}
    again = second_line(speechmill("retake", job, "--no-prefect", "--json"))
    assert again["text"] != before
    assert again["verdict"] == "passed"
