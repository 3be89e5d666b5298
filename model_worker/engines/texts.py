"""Texts on their way into a voice."""

from __future__ import annotations

import re
import unicodedata

from speechmill.errors import EngineRefused

MOST_CHARACTERS = 4_000  # of one line; four minutes of speech, which nobody says in one breath


UNWANTED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
"""Categories of Unicode that are no text: control, formatting, half characters, private, not assigned."""
JOINERS = "\u200c\u200d"  # formatting that Persian and Indian scripts are spelled with


def clean(text: str) -> str:
    """The text without what is no text, and with single spaces."""
    kept = "".join(c if c in JOINERS or unicodedata.category(c) not in UNWANTED else " " for c in text)
    return re.sub(r"\s+", " ", kept).strip()


def sayable(text: str) -> str:
    """The text as an engine should say it.

    Raises ``EngineRefused`` where no letter or digit is left to say, or for a text longer than any line.
    """
    said = clean(text)
    if not any(c.isalnum() for c in said):
        raise EngineRefused("there is nothing to say in this text", hint="write at least one word")
    if len(said) > MOST_CHARACTERS:
        raise EngineRefused(
            f"the text has {len(said)} characters; a line has at most {MOST_CHARACTERS}", hint="split the line"
        )
    return said
