"""Formulas: TeX between dollars or brackets, powers and indices, Greek letters, as one reads them from a blackboard."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tasks.text.saying.tongue import DONE, Kept, Tongue, after, before

MARKED = re.compile(
    r"(?<![\\\w$])\$(?=\S)(?P<one>[^$\n]{1,400}?)(?<=\S)\$(?![\d$])|\$\$(?P<two>[^$]{1,1000}?)\$\$"
    r"|\\\((?P<round>.{1,400}?)\\\)|\\\[(?P<square>.{1,1000}?)\\\]",
    re.DOTALL,
)
MATHEMATICAL = re.compile(r"[\\^_=+<>≤≥≠±×·√∑∫∞∈{}]|^[A-Za-z](?:\([a-z]\))?['′]?$|^\w{1,3}\s?[-/]\s?\w{1,3}$")
"""What makes text between two dollars a formula."""
COMMANDS = {
    "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "approx": "≈", "sim": "≈", "times": "×",
    "cdot": "·", "div": "÷", "pm": "±", "to": "→", "rightarrow": "→", "infty": "∞", "sum": "∑", "prod": "∏",
    "int": "∫", "partial": "∂", "in": "∈", "sqrt": "√", "lt": "<", "propto": "∝", "gt": ">",
}  # fmt: skip
GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ",
    "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "omicron": "ο", "pi": "π", "rho": "ρ",
    "sigma": "σ", "tau": "τ", "upsilon": "υ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω",
}  # fmt: skip
COMMANDS |= GREEK | {name.capitalize(): letter.upper() for name, letter in GREEK.items()}
COMMANDS |= {"varepsilon": "ε", "varphi": "φ", "vartheta": "θ"}
LAYOUT = re.compile(
    r"\\(?:left|right|big+|Big+|displaystyle|limits|q?quad|(?:begin|end)\{\w+\*?\}|label\{[^}]*\}|[,;:! ])|&|\\\\"
)
FONT = re.compile(
    r"\\(?:text|mathrm|mathbf|mathit|mathcal|mathbb|operatorname|textbf|textit|vec|hat|bar|overline)\b\*?"
)
TOKEN = re.compile(r"\\([A-Za-z]+)|(\d+(?:[.,]\d+)?)|([A-Za-z]+)|(\S)")
UP = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱ", "0123456789+-=()ni", strict=True))
DOWN = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎", "0123456789+-=()", strict=True))
"""The signs that Unicode has raised, and lowered."""
LETTERS_OF_A_SYMBOL = 3  # a raised digit after a longer word is the mark of a note


def said(text: str, tongue: Tongue, kept: Kept) -> str:
    """Formulas between marks of TeX, in words."""
    if not tongue.part("powers"):
        return text
    return MARKED.sub(lambda m: kept.keep(tex(_formula(m), tongue)) if is_formula(m) else m[0], text)


def is_formula(found: re.Match[str]) -> bool:
    """Whether what ``MARKED`` found is a formula, and not two prices."""
    return found["one"] is None or MATHEMATICAL.search(found["one"]) is not None


def _formula(found: re.Match[str]) -> str:
    return next(part for part in found.groups() if part is not None)


def shifted(text: str, tongue: Tongue, kept: Kept) -> str:
    """Raised and lowered digits: powers (“10⁶”, “x^2”), indices (“CO₂”); marks of notes are not said."""
    if not tongue.part("powers"):
        return text
    up, down = "".join(UP), "".join(DOWN)
    text = re.sub(rf"(?:{tongue.before}(\d+))?([{up}]+)", lambda m: _raised(m, tongue, kept), text)

    def power(found: re.Match[str]) -> str:
        return tongue.joined(_base(found[1], tongue, kept), kept.keep(_power(found[2], tongue)))

    text = re.sub(r"(?<![\w^])(\w{1,3}|\([^()]{1,40}\))\^\{?([-−+]?\w+)\}?(?!\w)", power, text)

    def index(found: re.Match[str]) -> str:
        digits = _plain(found[0], DOWN)
        follows = after(found)[:1]
        return f"{tongue.joint}{kept.keep(_tokens(digits, tongue))}{tongue.joint if follows.isalnum() else ''}"

    return re.sub(rf"[{down}]+", index, text)


def _raised(found: re.Match[str], tongue: Tongue, kept: Kept) -> str:
    """A power, or nothing where it is the mark of a note: after a word, a full stop, a quotation."""
    power = _plain(found[2], UP)
    if not power:
        return found[1] or ""
    text, follows = before(found), after(found)[:1]
    symbol = re.search(rf"(?<![^\W\d_])[^\W\d_]{{1,{LETTERS_OF_A_SYMBOL}}}$", text)
    if found[1] is None and (power == "1" or not (symbol or text.endswith((")", DONE[1])))):
        return ""
    base = _base(found[1], tongue, kept) if found[1] else ""
    joint = tongue.joint if found[1] is None else ""
    if found[1] is None and power[-1] in "+-":  # Na⁺, Ca²⁺
        return joint + kept.keep(_tokens(power, tongue))
    return joint + tongue.joined(base, kept.keep(_power(power, tongue))) + (tongue.joint if follows.isalnum() else "")


def _plain(shifted: str, signs: Mapping[str, str]) -> str:
    """Raised or lowered signs as they are on the line, without brackets, which nobody says."""
    return "".join(sign for c in shifted if (sign := signs[c]) not in "()")


def _base(text: str, tongue: Tongue, kept: Kept) -> str:
    return kept.keep(tongue.numbers.cardinal(int(text))) if text.isdecimal() and tongue.numbers.known else text


def _power(power: str, tongue: Tongue) -> str:
    words = tongue.part("powers")
    of_its_own = words.get(power) if power.isdecimal() else None  # “squared”
    return str(of_its_own or str(words["n"]).format(n=_tokens(power, tongue)))


def greek(text: str, tongue: Tongue) -> str:
    """Greek letters that stand alone, by their names."""
    names = str(tongue.part("greek").get("names", "")).split()
    if not names:
        return text
    called = dict(zip(GREEK.values(), names, strict=True))
    letter = re.compile(r"(?<![^\W\d_])[α-ωΑ-Ωµ](?![^\W\d_])")
    return letter.sub(lambda m: f"{tongue.joint}{called.get(m[0].lower().replace('µ', 'μ'), m[0])}{tongue.joint}", text)


def tex(formula: str, tongue: Tongue) -> str:
    """A formula in words."""
    plain = FONT.sub("", LAYOUT.sub(" ", formula))
    return re.sub(r"(?<=\() | (?=[),])", "", " ".join(_tokens(plain, tongue).split()))


def _tokens(formula: str, tongue: Tongue) -> str:
    return tongue.joined(*_words(formula, tongue))


def _words(formula: str, tongue: Tongue) -> Iterator[str]:
    signs = tongue.part("signs")
    at = 0
    while (found := TOKEN.search(formula, at)) is not None:
        at = found.end()
        command, number, letters, sign = found.groups()
        if command in ("frac", "dfrac", "tfrac"):
            top, at = _group(formula, at)
            bottom, at = _group(formula, at)
            yield tongue.word("over").format(a=_tokens(top, tongue), b=_tokens(bottom, tongue))
        elif command == "sqrt":
            inside, at = _group(formula, at)
            yield from (str(signs.get("√", "")), _tokens(inside, tongue))
        elif sign in ("^", "_"):
            inside, at = _group(formula, at)
            limit = _is_limit(formula, found.start())
            if sign == "^" and not limit:
                yield _power(inside.strip(), tongue)
            else:
                yield from (tongue.word("to") if sign == "^" else "", _tokens(inside, tongue))
        elif number:
            value = tongue.numbers.value(number.replace(",", tongue.numbers.point).replace(".", tongue.numbers.point))
            yield tongue.numbers.cardinal(value) if tongue.numbers.known else number
        elif letters:
            yield " ".join(letters) if len(letters) < LETTERS_OF_A_SYMBOL else letters
        else:
            yield _sign(COMMANDS.get(command or "", command or "") or sign, tongue)


def _sign(sign: str, tongue: Tongue) -> str:
    said = {"-": "−", "*": "×", "/": "÷"}.get(sign, sign)
    if said in "{}|'′!\\":
        return ""
    if len(said) == 1 and said.lower() in GREEK.values():
        return greek(said, tongue).strip()
    return str(tongue.part("signs").get(said, said))


def _is_limit(formula: str, at: int) -> bool:
    """Whether what is raised is the upper end of a sum or an integral rather than a power."""
    return re.search(r"(?:\\(?:sum|prod|int)|[∑∏∫])\s*(?:_(?:\{[^{}]*\}|\w))?\s*$", formula[:at]) is not None


def _group(formula: str, at: int) -> tuple[str, int]:
    """What stands in the braces at a place, or the next sign; and where it ends."""
    while at < len(formula) and formula[at].isspace():
        at += 1
    if formula[at : at + 1] != "{":
        found = re.compile(r"\\[A-Za-z]+|.", re.DOTALL).match(formula, at)
        return (found[0], found.end()) if found else ("", at)
    depth = 0
    for end in range(at, len(formula)):
        depth += {"{": 1, "}": -1}.get(formula[end], 0)
        if depth == 0:
            return formula[at + 1 : end], end + 1
    return formula[at + 1 :], len(formula)
