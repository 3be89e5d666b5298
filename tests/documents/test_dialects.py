# ruff: noqa: E501 - a row of a table is one line
"""Markdown as editors, wikis and site builders have it: its signs are not read, and no text is lost by them."""

from __future__ import annotations

import pytest

from tasks.documents.dialects import plainly
from tests.documents.test_reading import Read, kinds


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ('!!! note "Before you start"\n    You need a mill.\n\n    And water.\n\nGo.', ["Before you start: You need a mill.", "And water.", "Go."]),
        ("??? tip\n    You need a mill.\n", ["You need a mill."]),
        (":::tip Pro tip\nUse water.\n:::\n\nGo.", ["Pro tip: Use water.", "Go."]),
        (":::note[Mind the gap!]\n\nUse water.\n\n:::", ["Mind the gap!", "Use water."]),
        ("::: {.callout-note}\nUse water.\n:::", ["Use water."]),
        ("Weir\n:   A low dam.\n\nMill\n: A house.", ["Weir: A low dam.", "Mill: A house."]),
        ("The HTML of mills.\n\n*[HTML]: Hyper Text", ["The HTML of mills."]),
        ('It runs.\n\n{% include ads.html %}\n\n{{< youtube abc >}} It stops.', ["It runs.", "It stops."]),
        ("[TOC]\n\n[[_TOC_]]\n\nA ==bright== wheel :tada: in [[The Mill|the mill]], ![[wheel.png]] see [[Weirs]].", ["A bright wheel in the mill, see Weirs."]),
        ("## The wheel {#wheel .big}\n\nIt turns. {: .lead }", ["The wheel", "It turns."]),
        ("It turns.\n\n![A wheel](a.png)\n*Figure 2: The wheel.*", ["It turns."]),
        ("+++\ntitle = \"The Mill\"\ndate = 2026-01-01\n+++\nIt turns.", ["The Mill", "It turns."]),
        ("<p>It <b>turns</b>.</p>\n<figure><img src='a.png'><figcaption>A wheel.</figcaption></figure>\n\nGo.", ["It turns.", "Go."]),
        ("<?php echo 1 ?>\n\n<![CDATA[ x ]]>\n\n<script>\nlet a = '<p>b</p>'\n</script>\n\nGo.", ["Go."]),
        ("`{{ kept }}` and `==` are said, 5 == 5 as well.", ["{{ kept }} and == are said, 5 == 5 as well."]),
    ],
)  # fmt: skip
def test_signs_of_other_houses_are_not_read(read: Read, text: str, heard: list[str]) -> None:
    assert [said for kind, said in kinds(read("a.md", text)) if kind not in ("note", "code")] == heard


def test_code_is_left_as_it_is_and_lines_stay_where_they_are() -> None:
    text = "A\n\n```\n!!! note\n    {% raw %}\n: x\n```\n\n~~~\n:::\n~~~\n"
    assert plainly(text) == (text, [])


def test_what_is_taken_out_is_told(read: Read) -> None:
    document = read("a.md", "It runs.\n\n{% include ads.html %}\n")
    assert [(part.what, part.text, part.place) for part in document.skipped] == [
        ("markup", "{% include ads.html %}", "line 3")
    ]
