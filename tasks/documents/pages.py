"""HTML pages: trafilatura says which of a page's pieces are its article, and what is around it is told; a page that is
no article is read as a browser shows it."""

from __future__ import annotations

import codecs
import logging
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from typing import Any
from urllib.parse import urldefrag, urljoin

from tasks.documents.archives import parse_html
from tasks.documents.blocks import Dropped, Kind, Piece, clean
from tasks.documents.elements import attribute, is_hidden, local
from tasks.documents.markup import pieces
from tasks.documents.notes import is_reference

CHARSET = re.compile(rb"<meta[^>]{1,200}?charset\s*=\s*[\"']?([\w-]{2,40})", re.IGNORECASE)
ARTICLE_SHARE = 0.3  # an extraction that keeps less of the page's running text than this has lost the article
PROBE = 24  # letters and digits in a row: about four words, which two texts rarely share by chance
PROBES_SHARE = 0.5  # of a text that must stand in the article, which trims here and there
SLACK = 12  # letters and digits that it may have between one short text and the next: a number, a button
FIELDS = {"title": "title", "author": "author", "date": "date", "sitename": "site", "description": "description",
          "image": "image", "url": "address", "language": "language"}  # fmt: skip


def decoded(data: bytes, charset: str = "") -> str:
    """The text of a page, as the server, its mark, the page itself or its bytes say that it is encoded."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    declared = CHARSET.search(data[:4096])
    for encoding in filter(None, (charset, declared and declared[1].decode("ascii", "ignore"), "utf-8-sig")):
        try:
            return data.decode(encoding)
        except (LookupError, UnicodeDecodeError):
            continue  # pages often claim what they are not
    return data.decode("cp1252", "replace")


def read(data: bytes, name: str, address: str = "", charset: str = "") -> tuple[list[Piece | Dropped], dict[str, str]]:
    """The pieces of a page and its metadata. Raises ``UnreadableDocument``."""
    root = parse_html(decoded(data, charset), name)
    if address:
        _make_whole(root, address)
    language = attribute(root, "lang")
    body = next((e for e in root.iter() if local(e) == "body"), root)
    whole = list(pieces(body, "page"))
    _prune(root)
    article, metadata = _article(root, address)
    if language:
        metadata["language"] = language
    return list(_apart(whole, article, metadata.get("title", ""))), metadata


def _make_whole(root: Any, address: str) -> None:
    """Have links lead on from where the page was, but for those that lead into the page itself."""
    here = urldefrag(address).url
    for element in root.iter():
        if local(element) == "a" and attribute(element, "href"):
            whole = urldefrag(urljoin(address, attribute(element, "href")))
            within = whole.url == here and whole.fragment
            element.set("href", f"#{whole.fragment}" if within else urljoin(address, attribute(element, "href")))


def _apart(whole: Sequence[Piece | Dropped], article: str, title: str) -> Iterator[Piece | Dropped]:
    """The pieces, those around the article dropped; all of them where the article is too little of the page."""
    found = [piece for piece in whole if isinstance(piece, Piece)]
    stands = standing([piece.text for piece in found], article)
    running = sum(len(piece.text) for piece in found if piece.kind == Kind.BODY)
    kept = sum(len(piece.text) for piece, stood in zip(found, stands, strict=True) if stood)
    if not kept or kept < ARTICLE_SHARE * running:
        yield from whole
        return
    belongs = iter(_with_headings(found, stands, title))
    for piece in whole:
        # Tables, code and notes are told with the reason of their kind.
        if isinstance(piece, Dropped) or next(belongs) or piece.kind in (Kind.TABLE, Kind.CODE, Kind.NOTE):
            yield piece
        else:
            yield Dropped("page", "It is not part of the article.", piece.text, piece.place)


def standing(texts: Sequence[str], article: str) -> list[bool]:
    """Which texts of a page stand in the text of its article. A long one does so wherever most of it is found; a short
    one, which chance may find anywhere, only where the text before it ends."""
    run = _letters(article)
    all_letters = [_letters(text) for text in texts]
    known = _places(frozenset(probe for letters in all_letters for probe in _probes(letters)), run)
    found: list[bool] = []
    at = 0
    for letters in all_letters:
        if len(letters) < PROBE:
            place = run.find(letters, at, at + len(letters) + SLACK) if letters else -1
            found.append(place >= 0)
            at = place + len(letters) if place >= 0 else at
            continue
        probes = [known.get(probe, ()) for probe in _probes(letters)]
        found.append(sum(map(bool, probes)) >= PROBES_SHARE * len(probes))
        if found[-1] and (last := probes[-1]):
            following = bisect_left(last, at)  # first looked for from where the last text ended
            at = last[following if following < len(last) else 0] + PROBE
    return found


def _probes(letters: str) -> list[str]:
    """The letters in probes, the last of which overlaps the one before it; none of what is shorter than one."""
    starts = [*range(0, len(letters) - PROBE, PROBE), len(letters) - PROBE] if len(letters) >= PROBE else []
    return [letters[start : start + PROBE] for start in starts]


def _places(probes: Collection[str], run: str) -> dict[str, list[int]]:
    """Where probes stand: one walk over the run finds all, however long it is."""
    found: dict[str, list[int]] = {}
    for at in range(len(run) - PROBE + 1):
        if (probe := run[at : at + PROBE]) in probes:
            found.setdefault(probe, []).append(at)
    return found


def _with_headings(pieces: Sequence[Piece], stands: Sequence[bool], title: str) -> list[bool]:
    """What belongs to the article, its headings with it: the page's own title before it (many pages have that in their
    header), and what stands over a piece of it."""
    belongs = list(stands)
    first = belongs.index(True)
    before = [at for at in range(first) if pieces[at].kind == Kind.HEADING]
    called = [at for at in before if _letters(pieces[at].text) == _letters(title)]
    highest = [at for at in before if pieces[at].level == 1]
    if pieces[first].level != 1:
        for at in (called or highest)[-1:]:
            belongs[at] = True
    for at in reversed(range(first, len(pieces) - 1)):
        if pieces[at].kind == Kind.HEADING:
            belongs[at] = belongs[at] or belongs[at + 1]
    return belongs


def _letters(text: str) -> str:
    """Letters and digits; what is raised or lowered (CO₂) as what it is, since an extraction knows no such thing."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def _prune(root: Any) -> None:
    """Take out what our pieces lack too: what is hidden, and the marks of notes."""
    for element in list(root.iter()):
        if element is root or not local(element) or element.getparent() is None:
            continue
        if is_hidden(element) or is_reference(element):
            tail, before, parent = element.tail, element.getprevious(), element.getparent()
            if tail and before is not None:
                before.tail = (before.tail or "") + tail
            elif tail:
                parent.text = (parent.text or "") + tail
            parent.remove(element)


def _article(root: Any, address: str) -> tuple[str, dict[str, str]]:
    """The text of the article, empty where there is none, and what the page says of itself."""
    import trafilatura
    from lxml import etree

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # what it cannot find is told by us
    page = etree.tostring(root, encoding="unicode", method="html")
    fields = trafilatura.extract_metadata(page, default_url=address or None)
    metadata = {
        ours: clean(str(value))
        for theirs, ours in FIELDS.items()
        if fields is not None and (value := getattr(fields, theirs, None))
    }
    article = trafilatura.extract(page, include_comments=False, include_tables=True, favor_recall=True)
    return article or "", metadata
