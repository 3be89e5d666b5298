# ruff: noqa: E501 - a row of a table is one line
"""What stands around a text is told and not read: who wrote it, sources, contents, captions; sentences are never taken."""

from __future__ import annotations

import pytest

from tasks.documents.apparatus import apart
from tasks.documents.blocks import Dropped, Kind, Link, Piece

TEXT = Piece(Kind.BODY, "The river brought water, food and trade to the people who lived there.", "line 9")
TITLE = Piece(Kind.HEADING, "The Price of Water", "line 1", 1)


def body(text: str, kind: Kind = Kind.BODY, **more: object) -> Piece:
    return Piece(kind, text, "line 3", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "By Ana Prat · 20 Nov 2026 · 5 min read"),
        ("en", "By Ana Prat"),
        ("en", "By Jean-Luc O’Neill and Maria de la Cruz"),
        ("en", "Published 20 November 2026, 10:30"),
        ("en", "Ana Prat | 20 November 2026"),
        ("en", "Paris, 20 November 2026"),
        ("en", "7 min read"),
        ("es", "Por Ana Prat · 20 de noviembre de 2026 · 5 min de lectura"),
        ("de", "Von Ana Prat, 20. November 2026"),
        ("fr", "Par Ana Prat — Publié le 20 novembre 2026"),
        ("it", "Di Ana Prat, 20 novembre 2026"),
        ("pt", "Por Ana Prat, 20/11/2026 10h30"),
        ("nl", "Door Ana Prat · leestijd 5 min."),
        ("en", "By Ana Prat, science correspondent"),
        ("en", "Published Nov 2026"),
        ("en", "By Ana Prat, the author of “Water” · Updated 3 May 2026"),
        ("zh", "作者：王小明"),
        ("zh", "来源：新华社 2026-11-20"),
    ],
)
def test_a_byline_is_told_and_not_read(language: str, text: str) -> None:
    found = apart([TITLE, body(text), TEXT], language)
    assert isinstance(found[1], Dropped)
    assert found[1].what == "byline"


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "By morning the water had risen."),
        ("en", "By 2030 the line may close"),
        ("en", "It began in 1666."),
        ("en", "Twenty years ago there were warehouses here, in 2006"),
        ("en", "London, Paris and Rome were built on rivers"),
        ("de", "Von hier sieht man 3 Brücken"),
        ("es", "Por la mañana el agua había subido"),
        ("fr", "Par exemple, en 2026"),
        ("en", "By Grand Central Station I Sat Down and Wept"),
        ("en", "Updated Rules for 2026"),
        ("en", "By Monday, everything had changed"),
        ("en", "By March"),
        ("en", "London, 1666"),
        ("en", "10:30 AM – Breakfast"),
        ("de", "Von Peking nach Paris"),
        ("zh", "1666年，大火烧了四天。"),
    ],
)
def test_a_sentence_is_no_byline(language: str, text: str) -> None:
    assert apart([TITLE, body(text), TEXT], language)[1] == body(text)


@pytest.mark.parametrize("kind", [Kind.LIST, Kind.BODY])
@pytest.mark.parametrize(
    "lines",
    [
        ["10:30 AM – Breakfast", "11:00 – Opening talk", "12:00 – Lunch", "14:30 – Walk"],
        ["London, 1666", "Paris, 1789", "Berlin, 1989"],
        ["3 May 2026, 10:30", "4 May 2026, 11:00", "5 May 2026, 9:30", "6 May 2026, 10:30"],
    ],
)
def test_agendas_and_timelines_are_read(lines: list[str], kind: Kind) -> None:
    pieces = [TITLE, *(body(line, kind) for line in lines)]
    assert apart(pieces, "en") == pieces


def test_items_of_a_list_are_no_bylines() -> None:
    listed = [body(f"{n} May 2026, 10:30", Kind.LIST) for n in range(1, 3)]
    assert apart([TITLE, *listed], "en") == [TITLE, *listed]


def test_the_author_alone_is_a_byline() -> None:
    told = apart([TITLE, body("Ana Prat"), TEXT], "en", author="Ana Prat")[1]
    assert isinstance(told, Dropped)
    assert told.what == "byline"
    assert apart([TITLE, body("Ana Prat"), TEXT], "en")[1] == body("Ana Prat")


@pytest.mark.parametrize("title", ["References", "4. Bibliography", "Notes", "Sources"])
def test_lists_of_sources_are_told_with_their_heading(title: str) -> None:
    section = [
        Piece(Kind.HEADING, title, "line 20", 2),
        body("Smith, J. (2025). Water. https://doi.org/10.1/x", Kind.LIST),
        body("Prat, A. Rivers. London, 2001, pp. 3-7.", Kind.LIST),
    ]
    found = apart([TITLE, TEXT, *section, Piece(Kind.HEADING, "Epilogue", "line 30", 2), TEXT], "en")
    assert [piece.kind for piece in found if isinstance(piece, Piece)] == [
        "heading", "body", "reference", "reference", "reference", "heading", "body",
    ]  # fmt: skip


def test_notes_that_are_prose_are_read() -> None:
    section = [Piece(Kind.HEADING, "Notes", "line 20", 2), body("Keep the bread in a paper bag for three days.")]
    assert apart([TITLE, TEXT, *section], "en")[2:] == section


def test_a_table_of_contents_is_told() -> None:
    contents = [Piece(Kind.HEADING, "Contents", "line 2", 2), body("History", Kind.LIST), body("Now", Kind.LIST)]
    found = apart([TITLE, *contents, Piece(Kind.HEADING, "History", "line 8", 2), TEXT], "en")
    assert [piece.what for piece in found if isinstance(piece, Dropped)] == ["contents"] * 3
    told = apart([TITLE, body("1 History ........ 5"), TEXT], "en")[1]
    assert isinstance(told, Dropped)
    assert told.what == "contents"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Figure 1. The river in spate.", Kind.NOTE),
        ("Table 2: Prices by country", Kind.NOTE),
        ("Figure 1 shows the river in spate.", Kind.BODY),
        ("Table 2 is long.", Kind.BODY),
    ],
)
def test_captions_are_not_read(text: str, kind: Kind) -> None:
    found = apart([TITLE, TEXT, body(text), TEXT], "en")[2]
    assert isinstance(found, Piece)
    assert found.kind == kind


def test_what_leads_elsewhere_is_not_read() -> None:
    pointer = body("Read more: Ten beaches", links=(Link("Ten beaches", "https://example.org/"),))
    found = apart([TITLE, TEXT, pointer, body("Advertisement"), body("Read more books, she said."), TEXT], "en")
    assert [isinstance(piece, Dropped) for piece in found] == [False, False, True, True, False, False]


@pytest.mark.parametrize(
    "text", ["© 2026 Memo LLC, 548 Market Street", "Copyright © 2026 Ana Prat. All rights reserved."]
)
def test_whose_a_text_is_and_what_a_mail_client_does_is_not_read(text: str) -> None:
    around = [TITLE, body("View in browser"), TEXT, body(text), body("Unsubscribe")]
    assert [isinstance(piece, Dropped) for piece in apart(around, "en")] == [False, True, False, True, True]


def test_links_beside_headings_are_no_part_of_them() -> None:
    found = apart([Piece(Kind.HEADING, "History[edit]", "line 1", 2), Piece(Kind.HEADING, "C#", "line 2", 2)], "en")
    assert [piece.text for piece in found] == ["History", "C#"]
