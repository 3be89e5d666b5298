"""Noises: what a script describes and nobody says: [door slams], ♪ la la ♪, (LAUGHS)."""

from __future__ import annotations

import re

SOUND = re.compile(r"\[[^\[\]]*\]|【[^】]*】|[♪♫♬♩][^♪♫♬♩]*[♪♫♬♩]?")
ASIDE = re.compile(r"\(([^()]*)\)|（([^（）]*)）")
WHOLE = re.compile(r"^\s*(?:\([^()]*\)|（[^（）]*）)\s*$")
MOST_WORDS = 4  # of an aside that describes a sound; more are said by the way
LOUD_LETTERS = 4  # in capitals, at the beginning of a line: (GRUNTS), and not (UK)
WORDS = frozenset(
    re.findall(
        r"\w+",
        """applause beep beeping beeps chattering cheering chuckles chuckling coughs coughing crowd crying exhales
        gasps giggles groaning groans grunts inaudible indistinct inhales laugh laughing laughs laughter moans mumbles
        murmurs music mutters noise panting ringing rings screams shouting shouts sigh sighing sighs silence singing
        sniffles sniffs sobbing sobs static thunder throat whimpers whispering whispers whistling yawns yells
        aplausos grita gritos música ríe risa risas suspira suspirando suspiro susurra tose
        applaudissements crie musique rires soupire soupirs applaus gelächter hustet lacht musik schreit seufzt""",
    )
)


def without(text: str) -> tuple[str, list[str]]:
    """A text with only what is said in it, and the sounds that were left out of it."""
    sounds: list[str] = []

    def left_out(found: re.Match[str]) -> str:
        sounds.append(found[0].strip())
        return " "

    def aside(found: re.Match[str]) -> str:
        return left_out(found) if _is_sound(found) else found[0]

    said = " ".join(ASIDE.sub(aside, SOUND.sub(left_out, text)).split())
    return (said if sounds else text), sounds


def _is_sound(aside: re.Match[str]) -> bool:
    """Whether what stands in round brackets describes a sound; else it is said by the way."""
    inside = aside[1] or aside[2] or ""
    begins = not aside.string[: aside.start()].strip()
    if begins and inside.isupper() and sum(map(str.isalpha, inside)) >= LOUD_LETTERS:
        return True
    words = re.findall(r"\w+", inside.casefold())
    return len(words) <= MOST_WORDS and any(word in WORDS for word in words)
