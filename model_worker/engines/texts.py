"""Texts on their way into a voice."""

from __future__ import annotations

import re
import unicodedata

from speechmill.errors import EngineRefused

MOST_CHARACTERS = 4_000  # of one line; four minutes of speech, which nobody says in one breath


def sayable(text: str) -> str:
    """The text without control characters and with single spaces.

    Raises ``EngineRefused`` where no letter or digit is left to say, or for a text longer than any line.
    """
    kept = "".join(c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn") else " " for c in text)
    said = re.sub(r"\s+", " ", kept).strip()
    if not any(c.isalnum() for c in said):
        raise EngineRefused("there is nothing to say in this text", hint="write at least one word")
    if len(said) > MOST_CHARACTERS:
        raise EngineRefused(
            f"the text has {len(said)} characters; a line has at most {MOST_CHARACTERS}", hint="split the line"
        )
    return said
