"""Profiles of one's own: as little as says what is asked, and mistakes told by their names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flows.admission import admit
from speechmill.errors import BadInput, ForbiddenSource
from speechmill.profiles import Profile, names, profile
from speechmill.requests import DubbingRequest
from speechmill.settings import Settings

DOC = Path(__file__).parents[2] / "docs" / "profiles.md"


def own(tmp_path: Path, text: str) -> Profile:
    file = tmp_path / "club.toml"
    file.write_text(text, "utf-8")
    return profile(str(file))


def test_a_target_and_a_peak_are_enough(tmp_path: Path) -> None:
    found = own(tmp_path, "[loudness]\nintegrated_lufs = -18\ntrue_peak_dbtp = -1.5\n")
    assert (found.name, found.loudness.integrated_lufs, found.loudness.tolerance_lu) == ("club", -18.0, 0.5)
    assert found.stretch == profile("youtube").stretch


def test_what_was_changed_in_the_file_is_read_again(tmp_path: Path) -> None:
    first = own(tmp_path, "[loudness]\nintegrated_lufs = -18\ntrue_peak_dbtp = -1.5\n")
    again = own(tmp_path, "[loudness]\nintegrated_lufs = -20\ntrue_peak_dbtp = -1.5\n")
    assert (first.loudness.integrated_lufs, again.loudness.integrated_lufs) == (-18.0, -20.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[loudnes]\nintegrated_lufs = -18\n", ["has “loudnes”", "loudness"]),
        ("[loudness]\nintegrated_lufs = -18\ntrue_peak = -1\n", ["loudness.true_peak”", "true_peak_dbtp"]),
        ("[loudness]\nintegrated_lufs = -18\n", ["loudness.true_peak_dbtp", "missing"]),
        ("[loudness]\nintegrated_lufs = 'loud'\ntrue_peak_dbtp = -1\n", ["loudness.integrated_lufs"]),
        ("[loudness\n", ["is not TOML"]),
    ],
)
def test_a_mistake_is_told_by_its_name(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(BadInput) as refused:
        own(tmp_path, text)
    for word in ["club.toml", *words]:
        assert word in str(refused.value)


def test_the_documentation_has_every_name_and_its_example_works(tmp_path: Path) -> None:
    told = DOC.read_text("utf-8")
    example = re.search(r"```toml\n(.*?)```", told, re.S)
    assert example is not None
    own(tmp_path, example[1])
    for part in ("loudness", "stretch", "timing", "subtitles", "encoding"):
        for field in Profile.model_fields[part].annotation.model_fields:  # type: ignore[union-attr]
            assert f"`{field}`" in told, f"{part}.{field}"
    assert all(f"`{name}`" in told for name in names())


def test_a_profile_that_a_form_names_is_held_to_the_roots(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    chosen = Settings(home=tmp_path / "home", source_roots=(str(tmp_path / "in"),))
    asked = {"source": str(tmp_path / "in" / "talk.mp4"), "targets": ("es",)}
    assert admit(DubbingRequest(**asked, profile="netflix"), chosen)
    assert admit(DubbingRequest(**asked, profile=str(tmp_path / "in" / "club.toml")), chosen)
    with pytest.raises(ForbiddenSource, match=r"club\.toml"):
        admit(DubbingRequest(**asked, profile=str(tmp_path / "club.toml")), chosen)
