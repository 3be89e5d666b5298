"""What sends a delivery to a person, and is delivered all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.flows.conftest import Ran, Speechmill


def failed(checks: list[dict[str, Any]]) -> dict[str, Any]:
    return {check["id"]: check["measured"] for check in checks if not check["passed"]}


def test_two_speakers_with_one_voice_are_delivered_and_told(speechmill: Speechmill, tmp_path: Path) -> None:
    (tmp_path / "walk.md").write_text("# A walk\n\nIt was early. The streets were empty.\n\nWe walked on.\n", "utf-8")
    (tmp_path / "cast.toml").write_text('[HOST]\nvoice = "f2"\n\n[GUEST]\nvoice = "f2"\n', "utf-8")
    ran: Ran = speechmill(
        "podcast", tmp_path / "walk.md", "--format", "dialogue", "--cast", tmp_path / "cast.toml", "--no-prefect",
        "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.result["state"] == "completed_with_review"
    assert failed(ran.report["episode"]["checks"]) == {"voices": "shared by HOST, GUEST"}


def test_a_bed_that_is_narrower_and_shorter_than_the_film(speechmill: Speechmill, folder: Path, tmp_path: Path) -> None:
    """It is heard in the middle of the film's two channels, and where it ends a person is told."""
    rate = 48_000
    bed = np.random.default_rng(7).normal(0, 0.03, 5 * rate).astype(np.float32)
    soundfile.write(tmp_path / "bed.wav", bed, rate, subtype="FLOAT")
    ran = speechmill(
        "dub", folder / "talk.mp4", "--to", "es", "--engine", "rehearsal", "--script", folder / "talk.en.srt",
        "--bed", tmp_path / "bed.wav", "--out", tmp_path / "out", "--no-prefect", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.result["state"] == "completed_with_review"
    assert failed(ran.report["targets"]["es"]["checks"]) == {"bed": 5.0}
    master, _ = soundfile.read(tmp_path / "out" / "talk.es.flac", dtype="float32")
    stem, _ = soundfile.read(tmp_path / "out" / "talk.es.dialogue.wav", dtype="float32")
    assert master.shape == (10 * rate, 2)
    before_speech = master[: rate // 2]
    gain = before_speech[:, 0].std() / bed[: rate // 2].std()
    assert np.allclose(before_speech, gain * bed[: rate // 2, None], atol=1e-5)
    assert np.abs(master - stem)[6 * rate :].max() < 1e-6  # nothing under the dub once the bed has ended


@pytest.mark.parametrize("background", ["duck", "drop"])
def test_a_film_in_which_nobody_speaks_is_not_simply_done(
    speechmill: Speechmill, tmp_path: Path, background: str
) -> None:
    noise = np.random.default_rng(3).normal(0, 0.05, 8 * 48_000).astype(np.float32)
    soundfile.write(tmp_path / "rain.wav", noise, 48_000)
    ran = speechmill(
        "dub", tmp_path / "rain.wav", "--to", "es", "--engine", "rehearsal", "--background", background,
        "--out", tmp_path / "out", "--no-prefect", "--json", "--strict",
    )  # fmt: skip
    assert ran.code == 5, ran.err
    assert "nobody" in ran.err
    target = ran.report["targets"]["es"]
    assert list(failed(target["checks"])) == ["speech"]
    assert (target["loudness"] is None) == (background == "drop")  # there is nothing to measure
