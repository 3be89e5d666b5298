"""What a person makes of a line stays theirs, and what no longer goes with it is told."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.flows.conftest import SCRIPT, SPANISH, Ran, Speechmill


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("recording")
    command = ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", "sine=5237:r=48000:d=10"]
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
    assert "its translation into es was edited and stays, marked for review" in corrected.err
    ran = speechmill("retake", job, "--no-prefect", "--json")
    assert ran.result["state"] == "completed_with_review"
    assert second_line(ran)["text"] == "Gracias, señora."
    assert second_line(ran)["source_text"] == "Thank you, madam."
    assert "source-changed" in second_line(ran)["reasons"]
    rows = json.loads(speechmill("lines", job, "--lang", "es", "--json").out)["lines"]
    assert rows[1]["reasons"] == second_line(ran)["reasons"]
    assert speechmill("edit", job, "2", "--text", "Gracias, señora mía.").code == 0
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


def test_what_is_asked_of_a_job_is_found_as_people_write_it(speechmill: Speechmill, recording: Path) -> None:
    job = dub(speechmill, recording)
    changed = speechmill("edit", job, "2", "--text", "Gracias.", "--json")
    assert json.loads(changed.out)["line"] == "0002"
    assert speechmill("retake", job, "3", "--no-prefect").code == 0
    none = speechmill("lines", job, "--lang", "de")
    assert none.code == 3
    assert "German" in none.err
    assert "en, es" in none.err
    facts = json.loads(speechmill("job", job, "--json").out)
    assert not facts.keys() & {"gains_db", "coding_lu", "run", "approved"}
    assert [event["what"] for event in facts["events"] if event["what"].startswith(("edit", "retake"))] == [
        "edited: language es, line 0002, text Gracias.", "retake: language es, lines 0003",
    ]  # fmt: skip
    assert json.loads(speechmill("jobs", "--json").out)["jobs"][0]["out"] == facts["out"]


def test_the_end_names_the_lines_for_a_person(speechmill: Speechmill, recording: Path, tmp_path: Path) -> None:
    (tmp_path / "es.srt").write_text("\n".join(SPANISH.splitlines()[:4]), "utf-8")
    ran = speechmill(
        "dub", recording / "talk.wav", "--to", "es", "--engine", "rehearsal", "--script", recording / "en.srt",
        "--translation", f"es={tmp_path / 'es.srt'}", "--no-prefect",
    )  # fmt: skip
    assert "2 lines (0002, 0003; `speechmill lines " in ran.err.splitlines()[-1]


def test_a_translation_by_an_engine_is_made_anew(speechmill: Speechmill, recording: Path) -> None:
    job = dub(speechmill, recording)
    before = json.loads(speechmill("lines", job, "--lang", "es", "--json").out)["lines"][1]["text"]
    corrected = speechmill("edit", job, "0002", "--lang", "en", "--text", "Thank you, madam.", "--json")
    assert json.loads(corrected.out)["translations"] == {"es": "anew"}
    again = second_line(speechmill("retake", job, "--no-prefect", "--json"))
    assert again["text"] != before
    assert again["verdict"] == "passed"


def levels_db(sound: Path, *spans_s: tuple[float, float]) -> list[float]:
    """How loud the tone of the original is in spans of a dub, and between them."""
    master, rate = soundfile.read(sound)
    tone = np.exp(-2j * np.pi * 5237 * np.arange(len(master)) / rate) * master
    return [20 * np.log10(1e-6 + 2 * abs(tone[round(a * rate) : round(b * rate)].mean())) for a, b in spans_s]


AWAY, THIRD = (9.5, 9.9), (7.4, 8.8)  # where nobody speaks, and inside the third line


@pytest.mark.parametrize("under", ["duck", "drop", "bed"])
def test_a_line_may_be_left_in_the_original(
    speechmill: Speechmill, recording: Path, tmp_path: Path, under: str
) -> None:
    more = ["--background", "drop"] if under == "drop" else []
    if under == "bed":
        soundfile.write(tmp_path / "bed.wav", np.zeros(480_000, np.float32), 48_000)
        more = ["--bed", str(tmp_path / "bed.wav")]
    job = dub(speechmill, recording, "--out", tmp_path / "out", *more)
    wrong = speechmill("edit", job, "0003", "--keep", "--text", "No.")
    assert wrong.code == 2
    kept = speechmill("edit", job, "0003", "--keep")
    assert kept.code == 0, kept.err
    assert "left in the original" in kept.err
    ran = speechmill("retake", job, "--no-prefect", "--json")
    line = ran.report["targets"]["es"]["lines"][2]
    assert (line["verdict"], line["reasons"], line["placed_start_s"]) == ("passed", ["kept-original"], None)
    away, third, first = levels_db(tmp_path / "out" / "talk.es.flac", AWAY, THIRD, (1.0, 2.0))
    if under == "duck":
        assert third == pytest.approx(away, abs=0.1)
        assert first < away - 12
    else:
        assert third > -40
        assert max(away, first) < third - 40
    assert line["text"] in " ".join((tmp_path / "out" / "talk.es.srt").read_text("utf-8").split())
    assert speechmill("edit", job, "0003", "--text", "No olvides el mapa.").code == 0
    spoken = speechmill("retake", job, "--no-prefect", "--json").report["targets"]["es"]["lines"][2]
    assert spoken["placed_start_s"] is not None


def test_what_has_no_translation_is_never_spoken_in_the_language_of_the_source(
    speechmill: Speechmill, recording: Path, tmp_path: Path
) -> None:
    """One Spanish cue over the first two lines, and none for the third."""
    text = "1\n00:00:00,800 --> 00:00:06,500\nBuenos días. El tren sale a las nueve. Gracias, dos billetes.\n"
    (tmp_path / "es.srt").write_text(text, "utf-8")
    job = dub(speechmill, recording, "--translation", f"es={tmp_path / 'es.srt'}", "--out", tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    first, second, third = report["targets"]["es"]["lines"]
    assert first["text"].endswith("dos billetes.")
    assert (first["start_s"], first["end_s"], first["verdict"]) == (0.8, 6.5, "passed")
    assert (second["verdict"], second["reasons"], second["placed_start_s"]) == ("passed", ["joined"], None)
    assert (third["verdict"], third["reasons"], third["placed_start_s"]) == ("review", ["untranslated"], None)
    away, at_third = levels_db(tmp_path / "out" / "talk.es.flac", AWAY, THIRD)
    assert at_third == pytest.approx(away, abs=0.1)
    assert report["work"]["speak_calls"] == 1
    assert job


def test_a_source_that_was_moved_is_named_and_its_job_stays_as_it_was(
    speechmill: Speechmill, recording: Path, tmp_path: Path
) -> None:
    source = tmp_path / "talk.wav"
    source.write_bytes((recording / "talk.wav").read_bytes())
    (tmp_path / "en.srt").write_text(SCRIPT, "utf-8")
    job = dub(speechmill, tmp_path)
    assert speechmill("edit", job, "0002", "--text", "Gracias, señora.").code == 0
    source.rename(tmp_path / "moved.wav")
    ran = speechmill("retake", job, "--no-prefect")
    assert ran.code == 3
    assert str(source) in ran.err
    assert json.loads(speechmill("job", job, "--json").out)["state"] == "stale"


def test_a_retake_finds_a_profile_of_ones_own_from_any_folder(
    speechmill: Speechmill, recording: Path, tmp_path: Path
) -> None:
    (tmp_path / "club.toml").write_text("[loudness]\nintegrated_lufs = -20.0\ntrue_peak_dbtp = -2.0\n", "utf-8")
    asked = ("--to", "es", "--engine", "rehearsal", "--script", recording / "en.srt", "--no-prefect", "--json")
    ran = speechmill("dub", recording / "talk.wav", *asked, "--profile", "club.toml", cwd=tmp_path)
    assert ran.code == 0, ran.err
    ran = speechmill("retake", ran.result["job"], "0002", "--no-prefect", "--json", cwd=recording)
    assert ran.code == 0, ran.err
    assert ran.report["targets"]["es"]["profile"] == "club"
