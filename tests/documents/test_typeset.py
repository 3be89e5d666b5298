"""Print is read by how it is set: sizes make headings, distances paragraphs, columns tables."""

from __future__ import annotations

from collections.abc import Callable

from tasks.documents.blocks import Document, Dropped, Piece
from tasks.documents.typeset import Row, pieces
from tests.documents.conftest import pdf_bytes

Read = Callable[..., Document]
LEADING = 14.0
TOWNS = ("Aldea", "Rocca", "Villa", "Porto")


def page(*rows: str | tuple[str, dict[str, object]]) -> list[Row]:
    """Rows below one another in 11 points; an empty one is a distance."""
    found, y = [], 700.0
    for row in rows:
        text, how = row if isinstance(row, tuple) else (row, {})
        y -= LEADING
        if text:
            measures: dict[str, object] = {"size_pt": 11.0, "x_pt": 72.0, "y_pt": y, **how}
            found.append(Row(text, **measures))  # type: ignore[arg-type]
    return found


def kinds(*pages: list[Row]) -> list[tuple[str, str]]:
    return [(p.what if isinstance(p, Dropped) else p.kind, p.text) for p in pieces(pages)]


LINE = "The train leaves the station at nine, and nobody on the platform knows"


def test_larger_type_makes_headings_by_their_size() -> None:
    large, middle = {"size_pt": 20.0}, {"size_pt": 14.0}
    found = pieces([page(("The Night", large), ("Train", large), "", LINE, "why.", "", ("Stops", middle), "", LINE)])
    assert [(p.text, p.level) for p in found if isinstance(p, Piece) and p.kind == "heading"] == [
        ("The Night Train", 1),
        ("Stops", 2),
    ]


def test_a_heavy_row_apart_is_a_heading_and_a_heavy_word_is_none() -> None:
    heavy = {"bold": True}
    assert kinds(page(LINE, "why.", "", ("Stops", heavy), LINE, ("really", heavy), "why it does.")) == [
        ("body", f"{LINE} why."),
        ("heading", "Stops"),
        ("body", f"{LINE} really why it does."),
    ]


def test_numbered_rows_beside_each_other_are_a_list() -> None:
    assert kinds(page("1. Departure", "", LINE, "why.", "", "1. Look", "2. Wait", "3. Go home")) == [
        ("heading", "1. Departure"),
        ("body", f"{LINE} why."),
        ("list", "Look"),
        ("list", "Wait"),
        ("list", "Go home"),
    ]


def test_distance_and_indent_part_paragraphs_but_never_a_sentence() -> None:
    first = {"x_pt": 84.0}
    assert kinds(page(LINE, "the reason at all for it, as far as is known to us.", (LINE, first), "why.")) == [
        ("body", f"{LINE} the reason at all for it, as far as is known to us."),
        ("body", f"{LINE} why."),
    ]
    assert kinds(page(LINE, LINE, "", LINE)) == [("body", f"{LINE} {LINE}"), ("body", LINE)]
    assert kinds(page(LINE, "the", "", "reason.")) == [("body", f"{LINE} the reason.")]


def test_columns_are_a_table_and_typewriting_is_code() -> None:
    rows = [(f"{a} {b}", {"cells": ((72.0, a), (140.0, b))}) for a, b in (("Port", "Range"), ("Dover", "6.8 m"))]
    code = {"typewriter": True}
    assert kinds(page(LINE, "why.", *rows, LINE, ("print(1)", code), ("print(2)", code))) == [
        ("body", f"{LINE} why."),
        ("table", "Port | Range\nDover | 6.8 m"),
        ("body", LINE),
        ("code", "print(1)\nprint(2)"),
    ]


def test_small_type_at_the_foot_is_a_note() -> None:
    small = {"size_pt": 8.0}
    assert kinds(page(LINE, "why.", ("¹ The timetable of 1990, which was", small), ("never changed.", small)))[1:] == [
        ("note", "¹ The timetable of 1990, which was never changed.")
    ]


def test_heads_that_carry_the_number_of_their_page_are_no_text() -> None:
    pages = [
        page(f"Chapter {n}: Stops {n + 3}", f"In {t}", LINE, f"why {t} waits", f"for {t}.")
        for n, t in enumerate(TOWNS, 1)
    ]
    assert [kind for kind, _ in kinds(*pages)].count("running head") == 4
    assert not any("Chapter" in text for kind, text in kinds(*pages) if kind != "running head")


def test_a_sentence_that_has_the_number_of_its_page_is_read() -> None:
    tops = ["1 guard stood there", "Nobody counted the 2", "3 people came to hear it", "They had read up to chapter 4"]
    pages = [
        page(f"{top} in {town}" if n % 2 else top, f"and in {town} they waited", f"for the boat to {town}", f"– {n} –")
        for n, (top, town) in enumerate(zip(tops, TOWNS, strict=True), 1)
    ]
    found = kinds(*pages)
    assert all(top in " ".join(text for kind, text in found if kind == "body") for top in tops)
    assert [text for kind, text in found if kind == "running head"] == ["– 1 –", "– 2 –", "– 3 –", "– 4 –"]


def test_heads_of_two_pages_and_more_are_no_text() -> None:
    pages = [
        page(f"{n} The Night {'Train' if n < 3 else 'Boat'}", f"In {town}", f"they waited in {town}", f"for {town}.")
        for n, town in enumerate(TOWNS, 1)
    ]
    assert [kind for kind, _ in kinds(*pages)].count("running head") == 4


def test_what_a_browser_prints_around_a_page_is_no_text() -> None:
    head, foot = "11/27/26, 7:57 AM The Night Train – Example News", "https://example.org/night-train?a=b"
    assert kinds(page(head, LINE, "it waits.", f"{foot} 1/2"), page(head, LINE, "it goes.", foot, "2/2")) == [
        ("running head", head), ("body", f"{LINE} it waits."), ("running head", f"{foot} 1/2"),
        ("running head", head), ("body", f"{LINE} it goes."), ("running head", foot), ("running head", "2/2"),
    ]  # fmt: skip
    alone = kinds(page(LINE, "it waits.", "27.11.2026, 07:57 Der Nachtzug", "ﬁle:///tmp/a.html 1/1"))
    assert [kind for kind, _ in alone] == ["body", "running head", "running head"]


def test_a_pdf_has_its_headings(read: Read) -> None:
    text = ["It leaves at nine in the evening from platform three,", "they say."]
    assert [
        (b.kind, b.text) for b in read("a.pdf", pdf_bytes([[(24, "Trains"), (18, "The Night Train"), *text]])).blocks
    ] == [
        ("heading", "Trains"),
        ("heading", "The Night Train"),
        ("body", "It leaves at nine in the evening from platform three, they say."),
    ]


def test_letters_that_were_set_as_one_are_letters(read: Read) -> None:
    assert read("a.txt", "The ﬁrst oﬃce of the ﬂeet.").text == "The first office of the fleet."
