"""Notes of HTML and XHTML texts: the small marks that lead to them, and the elements that they lead to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tasks.documents.elements import attribute, local

TYPES = re.compile(r"(?:foot|end|rear)notes?\b|\bbibliography\b|\bdoc-(?:foot|end)notes?\b")
REFERENCE_TYPES = re.compile(r"\b(?:doc-)?(?:noteref|pagebreak)\b")
MARK = re.compile(r"[\[(]?\s*(?:\d{1,4}|[a-z]|[*†‡§]{1,3})\s*[\])]?", re.IGNORECASE)
"""What a small raised link says: “1”, “[12]”, “†”."""
ROUND = re.compile(r"\(\s*(?:\d{1,4}|[*†‡§]{1,3})\s*\)")  # of raised text; “(2)” on the line is an equation too
BRACKETED = re.compile(r"\[\s*(?:\d{1,4}|[a-z]|[*†‡§]{1,3})\s*\]", re.IGNORECASE)


def is_reference(element: Any) -> bool:
    """Whether it is the small mark that leads to a note, however it is written."""
    name = local(element)
    if REFERENCE_TYPES.search(f"{attribute(element, 'type')} {attribute(element, 'role')}"):
        return True
    if name not in ("a", "sup"):
        return False
    text = "".join(element.itertext()).strip()
    if name == "sup":
        leads = any(local(inner) == "a" for inner in element.iterdescendants())
        bracketed = BRACKETED.fullmatch(text) or ROUND.fullmatch(text)
        return not text or bracketed is not None or (leads and MARK.fullmatch(text) is not None)
    raised = any(local(inner) == "sup" for inner in element.iterdescendants())
    within = "#" in attribute(element, "href")
    return within and (MARK if raised else BRACKETED).fullmatch(text) is not None


def targets(root: Any) -> frozenset[str]:
    """Where the marks of a text lead to: ids of its elements."""
    return frozenset(_targets(root))


def _targets(root: Any) -> Iterator[str]:
    for element in root.iter():
        if local(element) in ("a", "sup") and is_reference(element):
            for link in element.iter():
                _, within, id = attribute(link, "href").partition("#")
                if within and id:
                    yield id


def is_note(element: Any, led_to: frozenset[str]) -> bool:
    """Whether an element is a note: by its type, or since a mark leads to it or to where it begins."""
    if TYPES.search(f"{attribute(element, 'type')} {attribute(element, 'role')}"):
        return True
    while element is not None:
        if led_to and {attribute(element, "id"), attribute(element, "name")} & led_to:
            return True
        if (element.text or "").strip():
            return False
        element = next(iter(element), None)
    return False
