"""What sends a delivery to a person, and is delivered all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
