"""Elements of XML and HTML as every reader asks them: by local names, whatever their namespaces."""

from __future__ import annotations

import re
from typing import Any

HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?:[a-z%]*\s*(?:;|$))")


def local(element: Any) -> str:
    """The name of an element without its namespace; empty for comments and instructions."""
    return element.tag.rpartition("}")[2].lower() if isinstance(element.tag, str) else ""


def attribute(element: Any, name: str) -> str:
    """An attribute by its local name."""
    for key, value in element.attrib.items():
        if str(key).rpartition("}")[2].lower() == name:
            return str(value)
    return ""


def is_hidden(element: Any) -> bool:
    """Whether a browser would not show it."""
    return (
        "hidden" in element.attrib
        or attribute(element, "aria-hidden").lower() == "true"
        or HIDDEN_STYLE.search(attribute(element, "style").lower()) is not None
    )
