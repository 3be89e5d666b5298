"""English as it is written, from words as they are heard.

A recogniser writes everything small. Some English words have a capital wherever they stand; a translator that gets
``i`` or ``monday`` does not know them.
"""

from __future__ import annotations

import re

ALWAYS_CAPITAL = frozenset({
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
    "january", "february", "april", "june", "july", "september", "october", "november", "december",
    "english", "spanish", "french", "german", "italian", "chinese", "american", "british",
    "europe", "america", "england", "spain", "france", "germany", "london", "paris",
    "christmas", "easter", "mr", "mrs",
})  # fmt: skip
"""Not ``march``, ``may`` or ``august``, which are everyday words as well."""

_FIRST_PERSON = re.compile(r"i('(m|ll|ve|d))?")


def written(word: str) -> str:
    """One English word as it is written inside a sentence (``i'm`` → ``I'm``, ``monday`` → ``Monday``)."""
    if _FIRST_PERSON.fullmatch(word) or word.removesuffix("'s") in ALWAYS_CAPITAL:
        return word[0].upper() + word[1:]
    return word


def sentence(text: str) -> str:
    """The text with a capital at its beginning."""
    first = next((index for index, c in enumerate(text) if c.isalpha()), None)
    return text if first is None else text[:first] + text[first].upper() + text[first + 1 :]
