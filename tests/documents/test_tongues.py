"""A document is not read in a language that has other characters than it is written in."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechmill.errors import BadInput
from speechmill.settings import Settings
from tasks.documents.reading import read_document

CHINESE = "水循环是水在地球上不断运动的过程。太阳加热海洋，水蒸发成云，然后变成雨落下来。"
JAPANESE = "川は海へ流れ、その岸には人々が住んでいます。"
KOREAN = "강은 바다로 흐르고 사람들은 강가에 산다."
RUSSIAN = "Это история о реке, которая течёт к морю, и о людях, которые живут на её берегах."
ENGLISH = "The train leaves at nine in the evening from the platform, and has done so for years with all of its tea."


@pytest.mark.parametrize(
    ("text", "language"),
    [(CHINESE, "en"), (RUSSIAN, "es"), (ENGLISH, "zh"), (CHINESE, "ru"), (KOREAN, "zh"), (JAPANESE, "zh")],
)
def test_other_characters_are_refused(tmp_path: Path, settings: Settings, text: str, language: str) -> None:
    (tmp_path / "a.txt").write_text(text, "utf-8")
    with pytest.raises(BadInput, match=r"a\.txt is written in .*, and .* is asked for") as refused:
        read_document(tmp_path / "a.txt", settings, language=language)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (CHINESE, "zh-Hant"), (CHINESE, "yue"), (CHINESE, "ja"), (RUSSIAN, "uk"), (ENGLISH, "de"), (ENGLISH, "sr"),
        ("12:30 U", "zh"),
    ],
)  # fmt: skip
def test_what_may_be_in_a_language_is_read(tmp_path: Path, settings: Settings, text: str, language: str) -> None:
    (tmp_path / "a.txt").write_text(text, "utf-8")
    assert read_document(tmp_path / "a.txt", settings, language=language).language == language


def test_a_document_that_says_its_language_is_read_in_that(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "a.md").write_text(f"---\nlang: zh\n---\n{CHINESE}", "utf-8")
    document = read_document(tmp_path / "a.md", settings, language="en")
    assert document.language == "zh"
    assert document.notes == ("a.md says that it is in Chinese, and is read as that.",)
