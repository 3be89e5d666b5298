"""Glossaries: what they say, and what is said of bad ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechmill.errors import UnreadableScript
from tasks.text.glossaries import Glossary, Term, read_glossary


def read(tmp_path: Path, text: str | bytes) -> Glossary:
    (tmp_path / "g.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_glossary(tmp_path / "g.csv")


@pytest.mark.parametrize(
    "text",
    [
        "source,target,spoken\nmill,molino\nSQL,SQL,ese cu ele\n",
        "mill,molino,\nSQL,SQL,ese cu ele",
        "mill;molino\r\nSQL;SQL;ese cu ele\r\n",
        'Source\tTarget\n\nmill\tmolino\n"SQL"\tSQL\tese cu ele\n',
    ],
)
def test_columns_and_headers_as_people_write_them(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text).terms == (Term("mill", "molino"), Term("SQL", "SQL", "ese cu ele"))


def test_a_term_may_be_of_one_language(tmp_path: Path) -> None:
    rows = ("SQL,SQL,,*", "SQL,SQL,ese cu ele,es", "bus,autobús,,es", "bus,colectivo,,es-AR", "bus,car,,fr")
    glossary = read(tmp_path, "\n".join(("source,target,spoken,language", *rows)))
    assert glossary.of("fr").terms == (Term("SQL", "SQL", "", "*"), Term("bus", "car", "", "fr"))
    assert glossary.of("es").targets() == {"SQL": "SQL", "bus": "autobús"}
    assert glossary.of("es").spoken("SQL", "es") == "ese cu ele"
    assert glossary.of("es-AR").targets()["bus"] == "colectivo"


def test_quotes_and_other_encodings(tmp_path: Path) -> None:
    assert read(tmp_path, '"mill, old","el ""molino"", señor"'.encode("cp1252")).targets() == {
        "mill, old": 'el "molino", señor'
    }


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("mill\n", "row 1 of g.csv"),
        ("mill,molino\n,x\n", "row 2 of g.csv"),
        ("a,b,c,es,e\n", "row 1 of g.csv"),
        ("a,b,c,klingonese\n", "row 1 of g.csv.*klingonese"),
        ("mill,molino,,es\nmill,moulin,,fr\nmill,aceña,,es\n", "row 3 of g.csv gives “mill” a second translation"),
        ("mill,molino\nmill,aceña\n", "row 2 of g.csv gives “mill” a second translation"),
        ("source,target\n", "no terms"),
        ('mill,"molino\n', "no CSV"),
        ("", "empty"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(UnreadableScript, match=what) as refused:
        read(tmp_path, text)
    assert refused.value.hint


def test_terms_are_found_as_whole_words_only() -> None:
    glossary = Glossary((Term("mill", "molino"), Term("gate house", "casa de la compuerta")))
    assert glossary.missed("The Mill turns", "La fábrica gira", "en", "es") == (Term("mill", "molino"),)
    assert glossary.missed("The mill turns", "El Molino gira", "en", "es") == ()
    assert glossary.missed("A million", "Un millón", "en", "es") == ()
    assert glossary.missed("the gate\nhouse", "la puerta", "en", "es") == (glossary.terms[1],)


def test_terms_are_found_where_there_are_no_spaces() -> None:
    assert Glossary((Term("mill", "水磨"),)).missed("the mill", "这个水磨很老", "en", "zh") == ()


def test_spoken_forms_replace_whole_words_the_longest_first() -> None:
    glossary = Glossary((Term("SQL", "SQL", "ese cu ele"), Term("SQL Server", "SQL Server", "síquel sérver")))
    assert glossary.spoken("El sql server y SQL, no MySQL.", "es") == "El síquel sérver y ese cu ele, no MySQL."
    assert Glossary().spoken("nada", "es") == "nada"
