"""Numbers in a text: ordinals, ratios, ranges, versions, and all that are only numbers."""

from __future__ import annotations

import re

from tasks.text.saying import units
from tasks.text.saying.tongue import DONE, Kept, Tongue, after, any_of, before

YEARS = re.compile(r"(?:1[1-9]|20)\d\d")
FIRST_YEARS = re.compile(r"10\d\d")  # only where a word says that it is a year
COUNTED = re.compile(r"\s+[a-z]+s\b")
OF_YEARS = re.compile(
    r"\b(?:in|since|by|until|till|from|of|year|early|late|mid|circa|before|after|between|and|to|around|summer|winter|"
    r"spring|autumn|fall|the)\s+$",
    re.IGNORECASE,
)
MODEL = re.compile(r"\b[A-Z][\w-]*\s+$")
MONTH_OR_PAGE = re.compile(
    r"\b(?:[Pp]ages?|[Cc]hapters?|[Ll]ines?|[Ss]teps?|[Pp]arts?|[Ww]eeks?|[Dd]ays?|[Gg]rades?)\s+$"
)
MOST_WORDS = 15  # digits of a number that is said as one
ORDINALS = {
    "en": r"(?:st|nd|rd|th)", "es": r"\.?(?:º|ª|er\b)", "pt": r"\.?(?:º|ª)", "it": r"(?:º|ª|°)",
    "fr": r"(?:er|re|ère|e|ème|ᵉ)", "nl": r"(?:e|ste|de)",
}  # fmt: skip


def ordinals(text: str, tongue: Tongue, kept: Kept) -> str:
    mark = ORDINALS.get(tongue.language)
    if mark is not None:
        text = re.sub(rf"(?<![\w.,])(\d{{1,6}})({mark})(?!\w)", lambda m: kept.keep(_ordinal(m, tongue)), text)
    if tongue.language == "de":
        rules = tongue.part("ordinals")
        nouns = "|".join(str(rules["nouns"]).split())
        dotted = r"(?P<before>\b[^\W\d_]+\s+)?(?<![\w.,])(?P<number>\d{1,2})\.(?=\s+(?P<noun>[A-ZÄÖÜa-zäöü]\w+))"
        text = re.sub(dotted, lambda m: _dotted(m, tongue, kept, nouns), text)
        text = re.sub(r"(?<![\w.,])(\d{2,4})er(?!\w)", lambda m: kept.keep(years(m[1], tongue) + "er"), text)
    return text


def _ordinal(found: re.Match[str], tongue: Tongue) -> str:
    mark = found[2].lstrip(".")
    form = "feminine" if mark in ("ª", "re", "ère") else "masculine-adjective" if mark == "er" else ""
    return tongue.numbers.ordinal(int(found[1]), "" if tongue.language == "fr" and mark == "er" else form)


def _dotted(found: re.Match[str], tongue: Tongue, kept: Kept, nouns: str) -> str:
    """“am 2. Platz”, “das 21. Jahrhundert”: not the number that ends a sentence."""
    form = tongue.ordinal_after(found["before"] or "")
    if form is None and (re.fullmatch(nouns, found["noun"]) or found["noun"][0].islower()):
        form = "r"
    if form is None:
        return found[0]
    return f"{found['before'] or ''}{kept.keep(tongue.numbers.ordinal(int(found['number']), form))}"


def years(digits: str, tongue: Tongue) -> str:
    return tongue.numbers.year(int(digits)) if YEARS.fullmatch(digits) else tongue.numbers.cardinal(int(digits))


def ratios(text: str, tongue: Tongue, kept: Kept) -> str:
    """“3:2”, “1920×1080”, “3x faster”, “+5”, “~10”, “#3”."""
    if not tongue.word("ratio"):
        return text

    def two(form: str, found: re.Match[str]) -> str:
        a, b = (tongue.numbers.cardinal(tongue.numbers.value(found[n])) for n in (1, 2))
        return kept.keep(form.format(a=a, b=b))

    number = tongue.number
    ratio = rf"{tongue.before}(?!0:)({number})\s?:\s?({number}){tongue.after}"
    text = re.sub(ratio, lambda m: two(tongue.word("ratio"), m), text)
    by = tongue.joined("{a}", tongue.word("by"), "{b}")
    known = tongue.units
    unit = rf"\s?(?P<unit>{any_of(known)})(?!\w)(?:\.(?=\s[a-z]))?"
    sides = rf"{tongue.before}({number})\s?[x×]\s?({number})(?:{unit})?(?![\w²³⁰-⁹^])"

    def area(found: re.Match[str]) -> str:
        unit = units.name(known[found["unit"]], 2, tongue) if found["unit"] else ""
        return tongue.joined(two(by, found), kept.keep(unit) if unit else "")

    text = re.sub(sides, area, text)
    text = re.sub(
        rf"{tongue.before}({number})[x×](?!\w)",
        lambda m: kept.keep(
            tongue.joined(tongue.counted(tongue.numbers.value(m[1]), tongue.word("times")), tongue.word("times"))
        ),
        text,
    )
    text = re.sub(r"(?<![\w~])[~∼]\s?(?=\d)", f"{tongue.word('about')}{tongue.joint}", text)
    return re.sub(r"(?<![\w&])#\s?(?=\d)", f"{tongue.word('number')}{tongue.joint}", text)


def ranges(text: str, tongue: Tongue, kept: Kept) -> str:
    """“10–20”, “1939-1945”; “7 - 3 = 4” is none."""
    to, minus = tongue.word("to"), str(tongue.part("signs").get("−", ""))
    if not to:
        return text
    del kept
    text = re.sub(r"(?<=\d)\s[-−–]\s(?=\d+(?:[.,]\d+)?\s*=)", f" {minus} ", text)
    text = re.sub(rf"(?<={DONE[1]})\s?[–-]\s?(?={DONE[0]})", tongue.joint + to + tongue.joint, text)
    if tongue.unspaced:
        return re.sub(r"(?<=\d)\s?[–~～—-]\s?(?=\d)", to, text)
    text = re.sub(r"(?<=\d)\s?–\s?(?=\d)|(?<=\d)\s-\s(?=\d)", f" {to} ", text)
    return re.sub(r"(?<![\w.,:/-])(\d{1,4})-(\d{1,4})(?![\w/-]|[.,:]\d)", lambda m: _range(m, to), text)


def _range(found: re.Match[str], to: str) -> str:
    """Numbers that rise are a range, unless they are the name of a thing (“a Boeing 737-800”, “the 100-200 series”)."""
    name = before(found)
    first, last = found[1], found[2]
    ends = first[:2] + last if YEARS.fullmatch(first) and len(last) == 2 else last  # 1914-18
    rises = int(first) < int(ends) and not last.startswith("0")
    model = MODEL.search(name) and not MONTH_OR_PAGE.search(name) and len(first) > 2 and not YEARS.fullmatch(first)
    return f"{first} {to} {last}" if rises and not model else found[0]


def plain(text: str, tongue: Tongue, kept: Kept) -> str:
    """What is left: versions, years, numbers."""
    point = tongue.word("point")
    if point:

        def version(found: re.Match[str]) -> str:
            if not found[1] and re.fullmatch(tongue.number, found[2]):
                return found[0]  # “1.000.000”
            joint = f"{tongue.joint}{point}{tongue.joint}"
            numbers = joint.join(tongue.numbers.cardinal(int(part)) for part in found[2].split("."))
            return kept.keep(tongue.joined(tongue.word("version") if found[1] else "", numbers))

        text = re.sub(r"(?<![\w./])(v\s?)(\d+(?:\.\d+)*)(?![\w.]*\d)", version, text)
        text = re.sub(r"(?<![\w.])()(\d+(?:\.\d+){2,})(?![\w.]*\d)", version, text)
        text = re.sub(
            rf"(?<![\w.{DONE[1]}])\.(\d+)(?!\w)", lambda m: kept.keep(f"{point} {tongue.numbers.digits(m[1])}"), text
        )
    pattern = rf"(?:(?<!\w)['’])?(?<!{DONE[1]}){tongue.before}(?:(?<![\w)])[-−])?{tongue.number}{tongue.after}"
    return re.sub(pattern, lambda m: kept.keep(_number(m, tongue)), text)


def _number(found: re.Match[str], tongue: Tongue) -> str:
    written, rest = found[0].lstrip("'’"), after(found)
    digits = written.lstrip("-−")
    if digits == written and _is_year(found, digits, rest, tongue):
        return tongue.numbers.year(int(digits))
    if digits.isdecimal() and (len(digits) > MOST_WORDS or (len(digits) > 1 and digits.startswith("0"))):
        return tongue.numbers.digits(digits)
    value = tongue.numbers.value(written)
    if tongue.unspaced and before(found).endswith("第"):
        return tongue.numbers.cardinal(value)
    noun = re.match(r"\s*([^\W\d_]+)" if tongue.unspaced else r"\s+([^\W\d_]+)", rest)
    return tongue.counted(value, noun[1]) if noun else tongue.numbers.cardinal(value)


def _is_year(found: re.Match[str], digits: str, rest: str, tongue: Tongue) -> bool:
    said_so = OF_YEARS.search(before(found)) is not None
    if not YEARS.fullmatch(digits):
        return said_so and FIRST_YEARS.fullmatch(digits) is not None
    if tongue.unspaced:
        return rest.lstrip().startswith(("年", "到"))
    return said_so or tongue.language != "en" or not COUNTED.match(rest)
