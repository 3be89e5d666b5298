# ruff: noqa: E501 - a row of a table is one line
"""What is shown and what is said: numbers, dates, times, money, units, abbreviations and signs by language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.text.spoken import spoken_form


@pytest.mark.parametrize(
    ("language", "shown", "said"),
    [
        ("en", "It leaves at 21:30 on 3 May 2024.", "It leaves at twenty-one thirty on the third of May, twenty twenty-four."),
        ("en", "2024-05-03 at 9:05 a.m.", "May third, twenty twenty-four at nine oh five A M."),
        ("en", "$3.50, $3.5M and €20 million", "three dollars fifty, three point five million dollars and twenty million euros"),
        ("en", "45% of 1,234 people, 10–20 km away, -5 °C", "forty-five percent of one thousand two hundred thirty-four people, ten to twenty kilometers away, minus five degrees Celsius"),
        ("en", "In 1984, in the 1990s, 1500 lines", "In nineteen eighty-four, in the nineteen nineties, one thousand five hundred lines"),
        ("en", "the 21st of 007, Chapter IV, v1.2.3", "the twenty-first of zero zero seven, Chapter four, one point two point three"),
        ("en", "Dr. Drum & drôle, e.g. this, etc.", "Doctor Drum and drôle, for example this, and so on."),
        ("en", "See https://example.org/a?b or a@b.org", "See example dot org or a at b dot org"),
        ("en", "x > y, *bold* snake_case 🙂", "x y, bold snake case"),
        ("en", "B2B and COVID", "B2B and COVID"),
        ("es", "a las 21:30 cuesta 3,50 € o 1.234,5 km", "a las veintiuno treinta cuesta tres euros cincuenta o mil doscientos treinta y cuatro coma cinco kilómetros"),
        ("es", "21 libros del Sr. Pérez, 45 %", "veintiún libros del señor Pérez, cuarenta y cinco por ciento"),
        ("de", "Am 3. Mai um 21:30 kostet es 5 €, z. B. 12 %", "Am dritten Mai um einundzwanzig Uhr dreißig kostet es fünf Euro, zum Beispiel zwölf Prozent"),
        ("fr", "1 234,5 km et 3,50 €", "mille deux cent trente-quatre virgule cinq kilomètres et trois euros cinquante"),
        ("zh", "今天有25%的人，2024年", "今天有百分之二十五的人，二零二四年"),
        ("eu", "bederatzi 3,5 dira", "bederatzi 3,5 dira"),
    ],
)  # fmt: skip
def test_spoken(language: str, shown: str, said: str) -> None:
    assert spoken_form(shown, language) == said


def test_a_lexicon_goes_before_everything() -> None:
    lexicon = {"SQL": "sequel", "GPT-4": "gee pee tee four", "C++": "see plus plus"}
    assert spoken_form("SQL, GPT-4, C++ and SQLish", "en", lexicon) == (
        "sequel, gee pee tee four, see plus plus and SQLish"
    )


def test_what_is_said_as_it_is_written_stays() -> None:
    for text in ("Nobody remembers who asked for it.", "“We never stop,” she said — and laughed."):
        assert spoken_form(text, "en") == text


@given(st.text(max_size=300), st.sampled_from(["en", "es", "de", "fr", "zh", "ru", "eu", "xx"]))
def test_any_text_has_a_spoken_form(text: str, language: str) -> None:
    said = spoken_form(text, language)
    assert "\n" not in said
    assert sum(c.isalpha() and c.isascii() for c in said) >= 0


@given(st.integers(0, 10**12), st.sampled_from(["en", "es", "de", "fr", "it", "pt"]))
def test_no_digit_is_left(number: int, language: str) -> None:
    assert not any(c.isdigit() for c in spoken_form(f"a {number} b", language))
