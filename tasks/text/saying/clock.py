"""Times of day."""

from __future__ import annotations

import re

from tasks.text.saying.numerals import Gender
from tasks.text.saying.tongue import Kept, Tongue

HALF = r"(?:\s*([ap]\.\s?m\b(?:\.(?!\s*$|\s+[A-Z]))?|[ap]m\b))"
"""“p.m.”, whose last full stop may end the sentence too."""
LARGE_OH = 10


def said(text: str, tongue: Tongue, kept: Kept) -> str:
    words = tongue.part("clock")
    after = rf"(?:\s?(?:{words['after']})\b)?" if "after" in words else ""
    half = f"{HALF}?" if tongue.language == "en" else "()"
    if words.get("dotted"):  # “ore 9.30”
        text = re.sub(
            rf"(?P<before>\b(?:{words['dotted']})\s+)([0-2]?\d)\.([0-5]\d)(?!\d|[.,]\d)",
            lambda m: f"{m['before']}{m[2]}:{m[3]}",
            text,
        )
    text = re.sub(
        rf"(?<![\d:.,/])([0-2]?\d):([0-5]\d)(?::([0-5]\d))?(?![\d:/]|[.,]\d){half}{after}",
        lambda m: _time(m, tongue, kept, m[3] or "", m[4] or ""),
        text,
    )
    if words.get("colon"):  # “9.05 Uhr”
        text = re.sub(
            rf"(?<![\d:.,/])([0-2]?\d)\.([0-5]\d)\s?(?:{words['after']})\b",
            lambda m: _time(m, tongue, kept),
            text,
        )
    if "after" in words and "h" in words["after"].split("|"):  # “21h30”, “9 h 05”
        text = re.sub(
            r"(?<![\w:.,/])([0-2]?\d)\s?h\s?([0-5]\d)(?!\w)(?:\s?min\b)?", lambda m: _time(m, tongue, kept), text
        )
    if tongue.language == "en":  # “5pm”, “7.30pm”
        text = re.sub(rf"(?<![\w:.,/])([01]?\d)\.([0-5]\d){HALF}", lambda m: _time(m, tongue, kept, half=m[3]), text)
        text = re.sub(
            rf"(?<![\w:.,/])([01]?\d){HALF}(?!\w)",
            lambda m: kept.keep(f"{tongue.numbers.cardinal(int(m[1]))} {m[2][0].upper()} M"),
            text,
        )
    return text


def _time(found: re.Match[str], tongue: Tongue, kept: Kept, seconds: str = "", half: str = "") -> str:
    hour, minute = int(found[1]), int(found[2])
    if hour > 24:
        return found[0]
    words = tongue.part("clock")
    of_hours: Gender = "feminine" if words.get("feminine") else ""
    named = {"hour": tongue.numbers.cardinal(hour, of_hours), "minute": tongue.numbers.cardinal(minute)}
    if tongue.language == "en":
        bare = "" if half else "o'clock" if 0 < hour <= 12 else "hundred"
        spoken = f"{named['hour']} {bare if not minute else _oh(named['minute'], minute)}".strip()
    elif not minute:
        form = words.get("one", words.get("whole", "{hour}")) if hour == 1 else words.get("whole", "{hour}")
        spoken = form.replace("{minute}", "").format(**named).strip()
    else:
        form = words.get("full", "{hour} {minute}")
        form = words.get("oh", form) if minute < LARGE_OH else words.get("one", form) if hour == 1 else form
        spoken = form.format(**named)
    if seconds:
        spoken = tongue.joined(spoken, tongue.numbers.cardinal(int(seconds)))
    return kept.keep(f"{spoken} {half[0].upper()} M" if half else spoken)


def _oh(said_minute: str, minute: int) -> str:
    return f"oh {said_minute}" if minute < LARGE_OH else said_minute
