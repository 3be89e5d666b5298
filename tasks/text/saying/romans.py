"""Roman numerals: of chapters and wars, of kings and popes, and of centuries."""

from __future__ import annotations

import re

from tasks.text.saying.tongue import Kept, Tongue

NUMERAL = r"(?:X{0,3}(?:IX|IV|V?I{0,3})|[XL]{1,4}[IVX]{0,4})"
LIST = re.compile(
    r"\b[IVX]{1,5}(?:, [IVX]{1,5})+\b(?:,? \w{1,3} [IVX]{1,5}\b)?|\b[IVX]{1,5} (?:and|y|e|et|und|en) [IVX]{2,5}\b"
)
FIRST = "of|and|was|were|had|is|died|became|ruled|reigned|who"  # “Charles I was”, where a person would say “I am”
VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}


def said(text: str, tongue: Tongue, kept: Kept) -> str:
    rules = tongue.part("roman")
    if not rules:
        return text
    if "century_after" in rules:  # “siglo XXI”
        pattern = rf"\b({rules['century_after']})\s+([IVX]{{1,5}})\b"
        text = re.sub(pattern, lambda m: f"{m[1]} {kept.keep(_century(value(m[2]), tongue))}", text)
    if "century_before" in rules:  # “XXIe siècle”
        pattern = rf"\b([IVX]{{1,5}})(?:er|ème|e|ᵉ)?(?=\s(?:{rules['century_before']}))"
        text = re.sub(pattern, lambda m: kept.keep(tongue.numbers.ordinal(value(m[1]))), text)
    numbered = "|".join(f"[{word[0]}{word[0].lower()}]{word[1:]}" for word in str(rules["numbered"]).split())
    text = LIST.sub(lambda m: _list(m[0], tongue, kept), text)
    text = re.sub(rf"\b({numbered})\s+([IVX]+|[XLC]{{2,}}[IVX]*)\b(?!\.\w)", lambda m: _numbered(m, tongue, kept), text)
    regnal = "|".join(str(rules["regnal"]).split())
    end = r"(?:er|ᵉʳ)?(?![\w'’])" if tongue.language == "fr" else r"(?:\.(?=[,;:]|\s+[a-zäöüß])|(?!\w|['’](?!s\b)))"
    single = "" if tongue.language != "en" else rf"(?!I\b(?![,.;:)]|['’]s\b|\s(?:{FIRST})\b))"
    return re.sub(
        rf"\b({regnal})\s+{single}({NUMERAL}){end}",
        lambda m: f"{m[1]} {kept.keep(_regnal(m[1], value(m[2]), tongue))}" if m[2] else m[0],
        text,
    )


def _numbered(found: re.Match[str], tongue: Tongue, kept: Kept) -> str:
    """“Chapter IV”, “type II”; but “in part I think”."""
    if found[2] == "I" and found[1].islower():
        return found[0]
    return f"{found[1]} {kept.keep(tongue.numbers.cardinal(value(found[2])))}"


def _list(text: str, tongue: Tongue, kept: Kept) -> str:
    """“I, II and III”; one after the other they are no words."""
    if not re.search(r"[IVX]{2}", text):
        return text
    return re.sub(r"\b[IVX]+\b", lambda m: kept.keep(tongue.numbers.cardinal(value(m[0]))), text)


def _regnal(name: str, number: int, tongue: Tongue) -> str:
    """“Henry the eighth”; in Spanish “Felipe sexto”, but “Alfonso trece”."""
    rules = tongue.part("roman")
    if number == 1 and "regnal_first" in rules:
        return str(rules["regnal_first"])
    woman = name in str(rules.get("queens", "")).split()
    form = str(rules["regnal_form_of_queens" if woman and "regnal_form_of_queens" in rules else "regnal_form"])
    if number > int(rules.get("ordinals_to", number)):
        form = "{cardinal}"
    ordinal = tongue.numbers.ordinal(number, "feminine" if woman else "")
    if tongue.language == "de":
        ordinal = ordinal.capitalize()
    return form.format(ordinal=ordinal, cardinal=tongue.numbers.cardinal(number))


def _century(number: int, tongue: Tongue) -> str:
    ordinal = number <= int(tongue.part("roman").get("ordinals_to", 0))
    return tongue.numbers.ordinal(number) if ordinal else tongue.numbers.cardinal(number)


def value(numeral: str) -> int:
    total = 0
    for this, following in zip(numeral, [*numeral[1:], ""], strict=True):
        number = VALUES[this]
        total += -number if following and VALUES[following] > number else number
    return total
