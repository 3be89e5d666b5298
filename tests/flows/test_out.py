"""What lies in the folder of ``--out`` already: files of the user's are never written over, deliveries of other films
stay beside the new one, and only an earlier one of the same is replaced."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.flows.conftest import SCRIPT, SPANISH, Ran, Speechmill


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of ten seconds with one script."""
    made = tmp_path_factory.mktemp("season")
    for name, pitch in (("one", 220), ("two", 330)):
        command = ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", f"sine={pitch}:r=48000:d=10"]
        subprocess.run([*command, f"file:{made / name}.wav"], check=True)
    (made / "en.srt").write_text(SCRIPT, "utf-8")
    return made


def dub(speechmill: Speechmill, source: Path, out: Path, *more: str | Path, to: str = "es") -> Ran:
    return speechmill(
        "dub", source, "--to", to, "--engine", "rehearsal", "--script", source.parent / "en.srt",
        "--out", out, "--no-prefect", "--json", *more,
    )  # fmt: skip


def inside(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.startswith(".")}


def test_a_file_of_the_users_stops_a_dub_before_any_work(speechmill: Speechmill, season: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "one.es.srt").write_text("made by hand", "utf-8")
    ran = dub(speechmill, season / "one.wav", out)
    assert ran.code == 3
    assert "one.es.srt" in ran.err
    assert inside(out) == {"one.es.srt": b"made by hand"}
    assert json.loads(speechmill("jobs", "--json").out)["jobs"] == []


def test_subtitles_that_were_corrected_after_their_delivery_are_not_written_over(
    speechmill: Speechmill, season: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    job = dub(speechmill, season / "one.wav", out).result["job"]
    (out / "one.es.srt").write_text("corrected by hand", "utf-8")
    assert speechmill("edit", job, "0002", "--text", "Gracias.").code == 0
    for again in (
        speechmill("retake", job, "--no-prefect"),
        dub(speechmill, season / "one.wav", out),
    ):
        assert again.code == 3
        assert "one.es.srt" in again.err
        assert (out / "one.es.srt").read_text("utf-8") == "corrected by hand"
    assert json.loads(speechmill("job", job, "--json").out)["state"] == "stale"
    (out / "one.es.srt").rename(out / "mine.srt")
    assert speechmill("retake", job, "--no-prefect").code == 0
    assert "Gracias." in (out / "one.es.srt").read_text("utf-8")
    assert (out / "mine.srt").read_text("utf-8") == "corrected by hand"


def test_what_a_person_made_of_lines_outlives_the_same_command(
    speechmill: Speechmill, season: Path, tmp_path: Path
) -> None:
    """Also where the film was cut anew meanwhile."""
    source, out = tmp_path / "one.wav", tmp_path / "out"
    source.write_bytes((season / "one.wav").read_bytes())
    (tmp_path / "en.srt").write_text(SCRIPT, "utf-8")
    job = dub(speechmill, source, out).result["job"]
    assert speechmill("edit", job, "0002", "--text", "Gracias.").code == 0
    assert speechmill("retake", job, "--no-prefect").code == 0
    first = inside(out)
    again = dub(speechmill, source, out)
    assert again.code == 0, again.err
    assert again.result["job"] == job
    assert "Gracias." in inside(out)["one.es.srt"].decode()
    assert inside(out)["one.es.flac"] == first["one.es.flac"]
    source.write_bytes((season / "two.wav").read_bytes())
    assert dub(speechmill, source, out).result["job"] == job
    assert "Gracias." in inside(out)["one.es.srt"].decode()
    assert inside(out)["one.es.flac"] != first["one.es.flac"]


def test_what_a_person_made_of_lines_is_not_written_over_by_another_request(
    speechmill: Speechmill, season: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    job = dub(speechmill, season / "one.wav", out).result["job"]
    assert speechmill("edit", job, "0002", "--text", "Gracias.").code == 0
    for _ in ("before it is made again", "and after"):
        first = inside(out)
        other = dub(speechmill, season / "one.wav", out, "--background", "drop")
        assert other.code == 3
        assert job in other.err
        assert "1 line" in other.err
        assert inside(out) == first
        assert speechmill("retake", job, "--no-prefect").code == 0
    assert dub(speechmill, season / "one.wav", tmp_path / "elsewhere", "--background", "drop").code == 0


@pytest.mark.parametrize("way", ["../one.wav", "one.wav"])
def test_a_film_is_the_same_however_its_folder_is_written(
    speechmill: Speechmill, season: Path, tmp_path: Path, way: str
) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    there = tmp_path / "in"
    (there / "one.wav").write_bytes((season / "one.wav").read_bytes())
    (there / "en.srt").write_text(SCRIPT, "utf-8")
    assert dub(speechmill, there / "one.wav", tmp_path / "out").code == 0
    asked = ("--to", "es", "--engine", "rehearsal", "--script", there / "en.srt", "--no-prefect", "--out")
    ran = speechmill("dub", way, *asked, tmp_path / "out", cwd=there / "deep" if ".." in way else there)
    assert ran.code == 0, ran.err


def test_what_is_read_is_not_written_over(speechmill: Speechmill, season: Path, tmp_path: Path) -> None:
    source = tmp_path / "one.wav"
    source.write_bytes((season / "one.wav").read_bytes())
    (tmp_path / "en.srt").write_text(SCRIPT, "utf-8")
    (tmp_path / "one.es.srt").write_text(SPANISH, "utf-8")
    ran = dub(speechmill, source, tmp_path, "--translation", f"es={tmp_path / 'one.es.srt'}")
    assert ran.code == 3
    assert "one.es.srt" in ran.err
    assert (tmp_path / "one.es.srt").read_text("utf-8") == SPANISH


def test_films_of_a_season_are_delivered_side_by_side(speechmill: Speechmill, season: Path, tmp_path: Path) -> None:
    out = tmp_path / "season"
    one = dub(speechmill, season / "one.wav", out)
    first = inside(out)
    two = dub(speechmill, season / "two.wav", out)
    assert two.code == 0, two.err
    assert {name: inside(out)[name] for name in first} == first
    assert one.report["source"]["name"] == "one.wav"
    assert two.report["source"]["name"] == "two.wav"
    assert Path(two.result["report"]).with_suffix(".html").exists()
    for ran in (one, two):
        rows = json.loads(speechmill("lines", ran.result["job"], "--lang", "es", "--json").out)["lines"]
        assert {row["verdict"] for row in rows} == {"passed"}
    second = {name: body for name, body in inside(out).items() if name not in first}
    # The same again, with one thing asked otherwise: it takes its own place, and nobody else's.
    again = dub(speechmill, season / "two.wav", out, "--background", "drop")
    assert again.code == 0, again.err
    now = inside(out)
    assert now.keys() == first.keys() | second.keys()
    assert {name: now[name] for name in first} == first
    assert now["two.es.flac"] != second["two.es.flac"]
    assert again.result["report"] == two.result["report"]


def test_a_language_that_is_dubbed_later_comes_beside_the_others(
    speechmill: Speechmill, season: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    spanish = dub(speechmill, season / "one.wav", out)
    french = dub(speechmill, season / "one.wav", out, to="fr")
    assert french.code == 0, french.err
    assert {"one.es.m4a", "one.es.srt", "one.fr.m4a", "one.fr.srt", "one.en.srt"} <= inside(out).keys()
    assert spanish.report["targets"].keys() == {"es"}
    assert french.report["targets"].keys() == {"fr"}
    both = dub(speechmill, season / "one.wav", out, "--to", "fr")
    assert both.code == 0, both.err
    assert both.report["targets"].keys() == {"es", "fr"}
    assert {name for name in inside(out) if "report" in name} == {"report.html", "report.json"}
    less = dub(speechmill, season / "one.wav", out)
    assert less.code == 3
    assert both.result["job"] in less.err


def test_an_episode_does_not_take_the_place_of_another(speechmill: Speechmill, tmp_path: Path) -> None:
    for name in ("walk", "talk"):
        (tmp_path / f"{name}.md").write_text(f"# A {name}\n\nIt was early.\n", "utf-8")
    command = ("--engine", "rehearsal", "--out", tmp_path / "out", "--no-prefect", "--json")
    walk = speechmill("podcast", tmp_path / "walk.md", *command)
    assert walk.code == 0, walk.err
    talk = speechmill("podcast", tmp_path / "talk.md", *command)
    assert talk.code == 3
    assert walk.result["job"] in talk.err
    assert walk.report["source"]["title"] == "A walk"
    assert speechmill("podcast", tmp_path / "walk.md", *command).code == 0
