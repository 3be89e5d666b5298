"""What the files of a dub are called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.media.naming import MOST_STEM_BYTES, film_name, safe_stem


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("talk.mp4", "talk"),
        ("My film (2024).final.mkv", "My film (2024).final"),
        ("-rf.mp4", "rf"),
        (".hidden.mp4", "hidden"),
        ("a/b\\c:d.mp4", "b_c_d"),
        ("new\nline.mp4", "new_line"),
        ("日本語.mp4", "日本語"),
        ("e\u0301t\u00e9.mp4", "été"),
        ("CON.mp4", "_CON"),
        ("...", "untitled"),
        ("what?.mp4", "what_"),
    ],
)
def test_safe_stems(name: str, stem: str) -> None:
    assert safe_stem(Path(name)) == stem


@given(st.text(min_size=1).filter(lambda name: "/" not in name and "\0" not in name))
@example("\udcff.mp4")
@example("x" * 119 + "é.mp4")
@example(". .mp4")
@example("nul.tar.mp4")
def test_a_safe_stem_is_safe(name: str) -> None:
    stem = safe_stem(Path(name))
    assert stem
    assert 0 < len(stem.encode()) <= MOST_STEM_BYTES + 1
    assert Path(stem).name == stem
    assert not stem.startswith(("-", ".", " "))
    assert not stem.endswith((".", " "))
    assert not set(stem) & set('<>:"/\\|?*\n\r\t\0')
    assert safe_stem(Path(stem + ".mp4")) == stem
    os.fsencode(stem).decode()


def test_names_of_films() -> None:
    assert film_name("talk", ["es"]) == "talk.es.mp4"
    assert film_name("talk", ["es", "fr"]) == "talk.dub.mp4"
