"""HTML pages: the article by trafilatura, what is around it told; a page that is no article as a browser shows it."""

from __future__ import annotations

import codecs
import logging
import re
from typing import Any

from tasks.documents.archives import parse_html
from tasks.documents.blocks import Dropped, Kind, Piece, clean
from tasks.documents.markup import attribute, inline, is_hidden, local, pieces

CHARSET = re.compile(rb"<meta[^>]{1,200}?charset\s*=\s*[\"']?([\w-]{2,40})", re.IGNORECASE)
ARTICLE_SHARE = 0.3  # an extraction that keeps less of the page's running text than this has lost the article
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
    language = attribute(root, "lang")
    body = next((e for e in root.iter() if local(e) == "body"), root)
    whole = list(pieces(body, "page"))
    _prune_hidden(root)
    article, metadata = _article(root, address)
    if language:
        metadata["language"] = language
    kept = list(pieces(article, "page")) if article is not None else []
    known = {clean(piece.text) for piece in kept if isinstance(piece, Piece)}
    running = sum(len(p.text) for p in whole if isinstance(p, Piece) and p.kind == Kind.BODY)
    if sum(len(text) for text in known) < ARTICLE_SHARE * running or not kept:
        return whole, metadata
    places = {clean(piece.text): piece.place for piece in whole if isinstance(piece, Piece)}
    found: list[Piece | Dropped] = [
        Piece(p.kind, p.text, places.get(clean(p.text), "page"), p.level, links=p.links)
        for p in kept
        if isinstance(p, Piece)
    ]
    shown = " ".join(known)
    for piece in whole:
        if isinstance(piece, Dropped):
            found.append(piece)
        elif clean(piece.text) not in shown:
            if piece.kind in (Kind.TABLE, Kind.CODE, Kind.NOTE):
                found.append(piece)  # told with the reason of its kind
            else:
                found.append(Dropped("page", "It is not part of the article.", piece.text, piece.place))
    return found, metadata


def _prune_hidden(root: Any) -> None:
    for element in list(root.iter()):
        if local(element) and element is not root and is_hidden(element) and element.getparent() is not None:
            tail, before, parent = element.tail, element.getprevious(), element.getparent()
            if tail and before is not None:
                before.tail = (before.tail or "") + tail
            elif tail:
                parent.text = (parent.text or "") + tail
            parent.remove(element)


def _article(root: Any, address: str) -> tuple[Any, dict[str, str]]:
    """The article as an HTML element, where there is one, and what the page says of itself."""
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
    article = trafilatura.extract(
        page,
        output_format="html",
        include_comments=False,
        include_tables=True,
        include_links=True,
        include_formatting=True,
        favor_recall=True,
    )
    if not article:
        return None, metadata
    parsed = parse_html(article, "page")
    body = next((e for e in parsed.iter() if local(e) == "body"), None)
    if body is None or not inline(body).text:
        return None, metadata
    return body, metadata
