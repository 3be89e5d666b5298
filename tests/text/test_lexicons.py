"""Lexicons: how the words of a show are said."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechmill.errors import UnreadableScript
from tasks.text.lexicons import read_lexicon
from tasks.text.spoken import spoken_form


def lexicon(tmp_path: Path, text: str, name: str = "lexicon.csv") -> Path:
    file = tmp_path / name
    file.write_text(text, "utf-8")
    return file


def test_a_term_is_said_so_everywhere_or_in_its_language_only(tmp_path: Path) -> None:
    found = read_lexicon(lexicon(tmp_path, "term,said,language\nSQL,sequel,en\nSQL,ese cu ele,es\nnginx,engine ex\n"))
    assert spoken_form("SQL and nginx", "en", found.of("en")) == "sequel and engine ex"
    assert spoken_form("SQL y nginx", "es-MX", found.of("es-MX")) == "ese cu ele y engine ex"
    assert spoken_form("SQL", "de", found.of("de")) == "SQL"


def test_one_lexicon_goes_over_another(tmp_path: Path) -> None:
    show = read_lexicon(lexicon(tmp_path, "SQL,sequel\nGIF,jif\n"))
    own = read_lexicon(lexicon(tmp_path, "SQL,ess cue ell\n", "own.csv"))
    assert own.over(show).of("en") == {"SQL": "ess cue ell", "GIF": "jif"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("SQL\n", "row 1"),
        ("term,said\nSQL,[[s'i:kw@L]]\n", "markup"),
        ("SQL,<phoneme ph='x'>SQL</phoneme>\n", "markup"),
        ("SQL,sequel,en,more\n", "row 1"),
        ("SQL,sequel,nowhere!\n", "not a language"),
        ("SQL,sequel\nSQL,ess cue ell\n", "second way"),
        ("term,said\n", "no terms"),
    ],
)
def test_a_lexicon_that_is_wrong_is_refused_by_row(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(UnreadableScript) as refused:
        read_lexicon(lexicon(tmp_path, content))
    assert said in str(refused.value)
