"""In an interview everybody says what is theirs; other texts with colons stay as they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from speechmill.episodes import Format
from speechmill.settings import Settings
from tasks.documents.blocks import Document
from tasks.scriptwriting.writing import write_script

Read = Callable[..., Document]

TALK = """# A talk

We met on a rainy Tuesday in Århus.

**The Weekly:** You wrote your first book at nineteen, and did not tell anybody of it.

**Zoë Müller:** By accident, and nobody would have believed me anyway.

And then I wrote another.

**TW:** And since then, what have you been doing all these years?

**ZM:** Since then, thirteen more of them: some of them good.

*This interview has been edited for length and clarity.*
"""


def said(document: Document) -> list[tuple[str, str]]:
    return [(block.speaker, block.text.split(",")[0]) for block in document.spoken_blocks]


def test_paragraphs_are_said_by_whom_they_name_in_full_or_short(read: Read) -> None:
    assert said(read("talk.md", TALK)) == [
        ("", "A talk"),
        ("", "We met on a rainy Tuesday in Århus."),
        ("The Weekly", "You wrote your first book at nineteen"),
        ("Zoë Müller", "By accident"),
        ("Zoë Müller", "And then I wrote another."),
        ("The Weekly", "And since then"),
        ("Zoë Müller", "Since then"),
        ("Zoë Müller", "This interview has been edited for length and clarity."),
    ]


@pytest.mark.parametrize("format", [Format.READING, Format.DIALOGUE])
def test_each_has_a_voice_and_whoever_asks_first_says_the_rest(read: Read, settings: Settings, format: Format) -> None:
    script = write_script(read("talk.md", TALK), format, settings)
    assert [who.name for who in script.speakers.values()] == ["The Weekly", "Zoë Müller"]
    assert [line.speaker for line in script.lines][:4] == ["The Weekly", "The Weekly", "The Weekly", "Zoë Müller"]
    assert not any("Weekly:" in line.text for line in script.lines)


@pytest.mark.parametrize(
    "text",
    [
        "# Cake\n\nPrep time: 15 minutes\n\nCook time: 45 minutes\n\nServes: eight people\n",
        "# Tips\n\nNote: keep it dry.\n\nNote: keep it cool.\n\nIt is easy to keep, and lasts for years.\n",
        "# Two\n\nPros: it is cheap.\n\nCons: it is slow.\n\nPros: it is light.\n\nCons: it is loud.\n",
        "# Two\n\nMyth: it is flat.\n\nFact: it is round.\n\nMyth: it is big.\n\nFact: it is not.\n",
        "# Zwei\n\nVorteile: leicht.\n\nNachteile: laut.\n\nVorteile: billig.\n\nNachteile: langsam.\n",
        "# Tips\n\nOne thing is sure: it rains.\n\nOne thing is sure: it rains.\n\nBut: we go.\n\nBut: we go.\n\nGo.\n",
    ],
)
def test_other_colons_name_nobody(read: Read, text: str) -> None:
    document = read("a.md", text)
    assert not any(block.speaker for block in document.blocks)
    assert all(block.text in text for block in document.blocks)
