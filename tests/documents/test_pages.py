"""Pages are read as their article: every piece as what it is, short pages too; what stands around it is told, once."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from speechmill.episodes import Format
from speechmill.settings import Settings
from tasks.documents.blocks import Document, Piece
from tasks.documents.pages import read as read_page
from tasks.documents.pages import standing
from tasks.scriptwriting.writing import write_script

Read = Callable[..., Document]

LONGER = "".join(
    f"<p>{text}</p>"
    for text in (
        "The tide is the rise and fall of the sea, caused by the pull of the Moon and of the Sun and by the turning of "
        "the Earth. Tide tables say for any given place when it will rise, and how far, many years before it does.",
        "Dover has had a tide gauge since 1924, and it has been read by hand ever since, every morning and every "
        "evening, in every weather, by the same family, who live in the house above the harbour.",
    )
)


def page(more: str = "") -> str:
    return f"""<!doctype html><html lang="en-GB"><head><title>The Tide Tables — Example News</title></head>
<body><nav><a href="/">Home</a></nav><div class="menu"><a href="/t">The tide</a> <a href="/m">The moon</a></div>
<header><h1>The Tide Tables</h1></header><div id="cookies">We use cookies. <button>Accept</button></div>
<article><p>The tide at Dover rises 6.8&nbsp;m twice a day.<sup><a href="#fn1">1</a></sup> It&rsquo;s the moon.</p>
<figure><img src="a.png" alt="A chart"><figcaption>Figure 1. A chart of the tide.</figcaption></figure>{more}
<h2>How it works</h2><p>Gravity pulls water.<br>It bulges.</p><aside>Related: <a href="x">Ten beaches</a></aside>
<blockquote>Time and tide wait for no man.</blockquote>
<table><tr><th>Port</th><th>Range</th></tr><tr><td>Dover</td><td>6.8 m</td></tr></table>
<ol><li>Look</li><li>Wait</li></ol><p id="fn1">1. Admiralty, 2024.</p></article>
<section class="comments"><h3>Comments</h3><p>User1: first!</p></section><footer>© Example News.</footer></body>
</html>"""


@pytest.mark.parametrize("more", ["", LONGER], ids=["short", "long"])
def test_every_piece_of_an_article_is_what_it_is(read: Read, more: str) -> None:
    document = read("tide.html", page(more))
    spoken = [(block.kind, block.text) for block in document.spoken_blocks if block.text not in more]
    assert spoken == [
        ("heading", "The Tide Tables"),
        ("body", "The tide at Dover rises 6.8 m twice a day. It’s the moon."),
        ("heading", "How it works"),
        ("body", "Gravity pulls water. It bulges."),
        ("quote", "Time and tide wait for no man."),
        ("list", "Look"),
        ("list", "Wait"),
    ]
    told = [(part.what, part.text) for part in document.skipped]
    assert {
        ("note", "Figure 1. A chart of the tide."),
        ("note", "Related: Ten beaches"),
        ("note", "1. Admiralty, 2024."),
        ("table", "Port | Range Dover | 6.8 m"),
        ("page", "We use cookies."),
        ("page", "User1: first!"),
    } <= set(told)
    assert len(told) == len(set(told))


@pytest.mark.parametrize("more", ["", LONGER], ids=["short", "long"])
def test_nothing_is_both_read_and_told_as_not_read(read: Read, more: str) -> None:
    document = read("tide.html", page(more))
    heard = {block.text for block in document.spoken_blocks}
    assert not heard & {part.text for part in document.skipped}


def test_the_host_introduces_a_page_by_its_title(read: Read, settings: Settings) -> None:
    script = write_script(read("tide.html", page()), Format.DIALOGUE, settings)
    assert (script.lines[0].speaker, script.lines[0].text) == ("HOST", "Today: The Tide Tables.")


def test_a_page_without_a_heading_begins_with_its_title(read: Read) -> None:
    document = read("tide.html", page(LONGER).replace("<h1>The Tide Tables</h1>", ""))
    assert [b.text for b in document.spoken_blocks][:1] == ["The Tide Tables"]


ARTICLE = (
    "The train leaves the town at nine. Nobody knows why it does so every day. "
    "Stops Aldea and Rocca, but never the harbour in winter."
)


@pytest.mark.parametrize(
    ("text", "stands"),
    [
        ("The train leaves the town at nine. Nobody knows why it does so every day.", True),
        ("The train leaves the town at nine. [Edit] Nobody knows why it does so every day.", True),
        ("Stops", True),  # at its place
        ("Aldea and Rocca, but never the harbour in winter.", True),
        ("Aldea", False),  # a word of the text, but not there
        ("Trains of the world: subscribe to our letter today", False),
    ],
)
def test_a_text_stands_in_an_article(text: str, stands: bool) -> None:
    before = ["The train leaves the town at nine. Nobody knows why it does so every day."] if text == "Stops" else []
    assert standing([*before, text], ARTICLE)[-1] is stands


def test_a_long_page_is_read_in_time() -> None:
    article = [f"{n} " + " ".join(f"wave{n * k % 9973}" for k in range(50)) for n in range(1, 4_000)]
    comments = [text.replace("wave", "boat") for text in article]
    began = time.monotonic()
    stands = standing([text for pair in zip(article, comments, strict=True) for text in pair], " ".join(article))
    assert stands == [True, False] * len(article)
    assert time.monotonic() - began < 10  # 34 s when each probe was looked for by itself


@pytest.mark.parametrize(
    ("mark", "note"),
    [
        ('<sup><a href="#n1">1</a></sup>', '<p id="n1">1. Closed in 1990.</p>'),
        ('<a href="#n1"><sup>1</sup></a>', '<div id="n1"><p>1. Closed in 1990.</p></div>'),
        ('<sup id="r1"><a href="#n1">[1]</a></sup>', '<ol><li id="n1"><a href="#r1">^</a> Closed in 1990.</li></ol>'),
        ("<sup>(1)</sup>", "<aside>(1) Closed in 1990.</aside>"),
        ('<a id="r1" href="#n1">[1]</a>', '<p><a id="n1" href="#r1">[1]</a> Closed in 1990.</p>'),
        ('<a href="#n1" role="doc-noteref">*</a>', '<p><a name="n1"></a>* Closed in 1990.</p>'),
    ],
)
def test_notes_are_told_apart_however_they_are_marked(read: Read, mark: str, note: str) -> None:
    document = read(
        "a.html", f"<html lang='en'><body><p>It leaves from platform 3.{mark} We wait.</p>{note}</body></html>"
    )
    assert [block.text for block in document.spoken_blocks] == ["It leaves from platform 3. We wait."]
    assert [(part.what, "1990" in part.text) for part in document.skipped] == [("note", True)]


def test_links_and_raised_letters_are_no_notes(read: Read) -> None:
    text = (
        'The 1<sup>st</sup> of <a href="#part2">part 2</a> is 3 m<sup>2</sup>, by <a href="#part2">(2)</a>, '
        'as <a href="https://a.org/1">1</a> says.'
    )
    document = read("a.html", f"<html lang='en'><body><p>{text}</p><h2 id='part2'>Part</h2><p>Two.</p></body></html>")
    assert document.spoken_blocks[0].text == "The 1st of part 2 is 3 m², by (2), as 1 says."
    assert [block.kind for block in document.blocks] == ["body", "heading", "body"]


def test_links_of_a_page_lead_on_from_it_and_not_to_itself() -> None:
    html = (
        b"<p>See <a href='#s2'>part two</a>, <a href='/t#x'>the tide</a>, "
        b"<a href='https://a.org/p?q=1#s3'>part three</a> and the sea.<a href='#n1'>[1]</a></p>"
        b"<p id='s2'>It rises.</p><p id='n1'>[1] Closed in 1990.</p>"
    )
    found, _ = read_page(html, "p", "https://a.org/p?q=1")
    assert [piece.kind for piece in found if isinstance(piece, Piece)] == ["body", "body", "note"]
    assert [(link.text, link.address) for piece in found if isinstance(piece, Piece) for link in piece.links] == [
        ("the tide", "https://a.org/t#x")
    ]


NEWSLETTER = """<html lang="en"><body><table width="100%"><tr><td align="center"><table width="600"><tr><td>
<h1>The Monday Memo</h1><p>The central bank cut its rate by a quarter of a point on Wednesday.</p>
<table><tr><td>Rents fell again, as they have since the autumn.</td></tr></table>
<table><tr><td><img src="chart.png" alt=""></td>
<td><p>The robots are coming.</p><p>They weigh 61 kilograms.</p></td></tr>
</table><table><tr><th>City</th><th>Rent</th></tr><tr><td>Paris</td><td>1,200</td></tr></table>
<table><tr><td>Lyon</td><td>900</td></tr><tr><td>Lille</td><td>700</td></tr></table>
</td></tr></table></td></tr></table></body></html>"""


def test_a_newsletter_that_is_set_in_tables_is_read_and_its_figures_are_not(read: Read) -> None:
    document = read("memo.html", NEWSLETTER)
    assert [block.text for block in document.spoken_blocks] == [
        "The Monday Memo",
        "The central bank cut its rate by a quarter of a point on Wednesday.",
        "Rents fell again, as they have since the autumn.",
        "The robots are coming.",
        "They weigh 61 kilograms.",
    ]
    assert [part.text for part in document.skipped] == ["City | Rent Paris | 1,200", "Lyon | 900 Lille | 700"]


def test_a_paragraph_of_formulas_belongs_to_its_article(read: Read) -> None:
    said = "CO<sub>2</sub>, N<sub>2</sub>O and CH<sub>4</sub> rose by 10<sup>6</sup> t a year, H<sub>2</sub>O did not."
    document = read("gas.html", page(f"{LONGER}<p>{said}</p>"))
    assert "CO₂, N₂O and CH₄ rose by 10⁶ t a year, H₂O did not." in [block.text for block in document.spoken_blocks]


def test_verse_is_read_line_by_line_and_typewriting_is_not(read: Read) -> None:
    verse = '<pre class="wp-block-verse">The water comes,\nthe water goes</pre><pre>22:15 Wien\n06:32 Zurich</pre>'
    document = read("tide.html", page(verse))
    assert "The water comes, the water goes" in [block.text for block in document.spoken_blocks]
    assert ("code", "22:15 Wien 06:32 Zurich") in [(part.what, part.text) for part in document.skipped]
