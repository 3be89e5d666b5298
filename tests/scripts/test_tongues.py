"""A document is not read in a language that has other characters than it is written in."""

from __future__ import annotations

import pytest

from speechmill.errors import BadInput
from tasks.manuscripts import refuse_other_script

CHINESE = "水循环是水在地球上不断运动的过程。太阳加热海洋，水蒸发成云，然后变成雨落下来。"
RUSSIAN = "Это история о реке, которая течёт к морю, и о людях, которые живут на её берегах."
ENGLISH = "The train leaves at nine in the evening from the platform, and has done so for years with all of its tea."


@pytest.mark.parametrize(("text", "language"), [(CHINESE, "en"), (RUSSIAN, "es"), (ENGLISH, "zh"), (CHINESE, "ru")])
def test_other_characters_are_refused(text: str, language: str) -> None:
    with pytest.raises(BadInput, match=f"--language {language}") as refused:
        refuse_other_script(text, language)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("text", "language"),
    [(CHINESE, "zh-Hant"), (CHINESE, "ja"), (RUSSIAN, "uk"), (ENGLISH, "de"), (ENGLISH, "sr"), ("12:30", "zh")],
)
def test_what_may_be_in_a_language_is_read(text: str, language: str) -> None:
    refuse_other_script(text, language)
