"""Dialects of Markdown, as CommonMark: boxes, definitions, links of wikis and tags of templates, as site builders and
editors have them. Pure; every line stays on its line."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tasks.documents.blocks import Dropped

FENCE = re.compile(r"^\s{0,3}(`{3,}|~{3,})")
BOX = re.compile(r"^(?:!!!|\?\?\?\+?)\s+[\w\s-]*?(?:\"(?P<title>[^\"]*)\")?\s*$")  # of MkDocs; its text is indented
INDENT = re.compile(r"^(?: {4}|\t)")
DIVISION = re.compile(r"^\s{0,3}:{3,}\s*(?:\{[^}]*\}|[\w-]*)(?:\[(?P<inside>[^\]]*)\])?\s*(?P<after>[^:{]*?)\s*:*\s*$")
DEFINITION = re.compile(r"^\s{0,3}:\s+(?=\S)")
MEANING = re.compile(r"^\*\[[^\]]{1,60}\]:.*$")  # of an abbreviation, which browsers show where a mouse points
CONTENTS = re.compile(r"^\s*\[{1,2}_?toc_?\]{1,2}\s*$", re.IGNORECASE)
TEMPLATE = re.compile(r"(?<!`)(?:\{%.{0,500}?%\}|\{\{.{0,500}?\}\})(?!`)")
EMBEDDED = re.compile(r"!\[\[[^\[\]]{1,200}\]\]\s?")
WIKI = re.compile(r"\[\[(?=\S)(?:[^\[\]|]{1,200}\|)?([^\[\]|]{1,200})\]\]")
ENDS = tuple(".!?:…。！？：")


def plainly(text: str) -> tuple[str, list[Dropped]]:
    """A text as CommonMark would have it, and what was taken out that would be seen as text there."""
    lines = text.split("\n")
    told: list[Dropped] = []
    fence = ""
    boxed = False
    for at, line in enumerate(lines):
        if boxed and (not line.strip() or INDENT.match(line)):
            line = lines[at] = f"> {INDENT.sub('', line)}"
            continue
        boxed = False
        mark = FENCE.match(line)
        if fence:
            fence = "" if mark and mark[1].startswith(fence) else fence
        elif mark:
            fence = mark[1]
        elif box := BOX.match(line):
            boxed, lines[at] = True, _announced(box["title"] or "", "> ")
        else:
            lines[at] = _plain(lines, at, told)
    return "\n".join(lines), told


def _plain(lines: Sequence[str], at: int, told: list[Dropped]) -> str:
    line = lines[at]
    if division := DIVISION.match(line):
        return _announced(division["inside"] or division["after"] or "")
    if MEANING.match(line) or CONTENTS.match(line):
        return ""
    for tag in TEMPLATE.findall(line):
        told.append(Dropped("markup", "It is a tag of a template.", tag, f"line {at + 1}"))
    line = WIKI.sub(r"\1", EMBEDDED.sub("", TEMPLATE.sub("", line)))
    if at + 1 < len(lines) and line.strip() and DEFINITION.match(lines[at + 1]) and not DEFINITION.match(line):
        return _announced(line)
    return DEFINITION.sub("", line) if at and lines[at - 1].strip() else line


def _announced(title: str, before: str = "") -> str:
    """A title that is said right before what it is the title of."""
    title = title.rstrip()
    return before + title + (":" if title and not title.endswith(ENDS) else "")
