"""Asides: what a text says of how it is said, and nobody says: “[laughs]”, “*sighs*”, “(Applause)”.

What people do (“sighs”) seldom stands in brackets otherwise. What is heard (“music”, “silence”) is an ordinary word as
well: it is a direction where it stands as a sentence does, and in square brackets, which no sentence has of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tasks.text.saying.tongue import Tongue, after, before

MARKED = re.compile(
    r"\s?(?:[\[【](?P<square>[^\[\]()*（）【】]{1,60})[\]】]|[(（](?P<round>[^\[\]()*（）【】]{1,60})[)）]"
    r"|\*(?P<star>[^\s\[\]()*（）【】](?:[^\[\]()*（）【】]{0,58}[^\s\[\]()*（）【】])?)\*)"
)
ENDED = tuple('.!?…。！？"”’»)]）】*')
GOES_ON = tuple(",;:，；：、")


def without(text: str, tongue: Tongue) -> str:
    """A text with only what is said in it."""
    return MARKED.sub(lambda found: "" if _is_direction(found, tongue) else found[0], text)


def of(text: str, tongue: Tongue) -> Iterator[str]:
    """What ``without`` leaves out, as written."""
    return (found[0].strip() for found in MARKED.finditer(text) if _is_direction(found, tongue))


def _is_direction(found: re.Match[str], tongue: Tongue) -> bool:
    done, heard = (frozenset(tongue.word(name).split()) for name in ("directions", "sounds"))
    words = re.findall(r"\w+", (found["square"] or found["round"] or found["star"]).casefold())
    doing = sum(word in done for word in words)
    known = doing + sum(word in heard for word in words)
    if not known:
        return False
    if found["square"]:  # “[soft music]” of its own, “[laughs softly]” and “[pause]” anywhere
        return known == len(words) or 2 * (known if _stands_alone(found) else doing) >= len(words)
    return doing == len(words) or (known == len(words) and found["round"] is not None and _stands_alone(found))


def _stands_alone(found: re.Match[str]) -> bool:
    """Whether a sentence has ended before it, and another begins after it."""
    above, below = before(found).rstrip(), after(found).lstrip()
    return (not above or above.endswith(ENDED)) and not (below[:1].islower() or below.startswith(GOES_ON))
