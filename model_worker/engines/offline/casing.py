"""English as it is written, from words as they are heard.

A recogniser writes everything small and without marks. A translator that gets ``i`` or ``monday`` does not know them,
and reads a sentence otherwise than a question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

ALWAYS_CAPITAL = frozenset({
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
    "january", "february", "april", "june", "july", "september", "october", "november", "december",
    "english", "spanish", "french", "german", "italian", "chinese", "american", "british",
    "europe", "america", "england", "spain", "france", "germany", "london", "paris",
    "christmas", "easter", "mr", "mrs",
})  # fmt: skip
"""Not ``march``, ``may`` or ``august``, which are everyday words as well."""

AUXILIARIES = frozenset({
    "do", "does", "did", "is", "are", "was", "were", "am", "has", "have", "had", "can", "could", "will", "would",
    "shall", "should", "may", "don't", "doesn't", "didn't", "isn't", "aren't", "wasn't", "can't", "won't",
})  # fmt: skip
SUBJECTS = frozenset({
    "i", "you", "he", "she", "it", "we", "they", "this", "that", "these", "those", "there", "anybody", "anyone",
    "somebody", "someone", "the", "my", "your", "his", "her", "our", "their",
})  # fmt: skip
ASKING = frozenset({"what", "where", "who", "when", "why", "how", "which", "whose"})
MEASURES = frozenset({"many", "much", "long", "old", "far", "often"})  # how …

_FIRST_PERSON = re.compile(r"i('(m|ll|ve|d))?")


def written(word: str) -> str:
    """One English word as it is written inside a sentence (``i'm`` → ``I'm``, ``monday`` → ``Monday``)."""
    if _FIRST_PERSON.fullmatch(word) or word.removesuffix("'s") in ALWAYS_CAPITAL:
        return word[0].upper() + word[1:]
    return word


def is_question(words: Sequence[str]) -> bool:
    """Whether English words in a row are a question, by how they begin: ``do you …``, ``where is …``, ``how many …``.

    What is left open counts as none.
    """
    if len(words) < 2:
        return False
    first, second = words[0].lower(), words[1].lower()
    if first in AUXILIARIES:
        # “have you” asks, “have the” orders.
        return second in SUBJECTS and not (first in ("do", "have") and second not in ("i", "you", "we", "they"))
    return first in ASKING and (second in AUXILIARIES or (first == "how" and second in MEASURES))


def sentence(text: str) -> str:
    """The text with a capital at its beginning."""
    first = next((index for index, c in enumerate(text) if c.isalpha()), None)
    return text if first is None else text[:first] + text[first].upper() + text[first + 1 :]
