"""Addresses of the web and of mail, and names that begin with an at sign: their host, as one says it."""

from __future__ import annotations

import re

from tasks.text.saying.tongue import Kept, Tongue

LETTER = r"(?:(?![\u3040-\u30ff\u3400-\u9fff])[\w-])"  # of a host; Chinese text stands right beside addresses
HOST = rf"{LETTER}+(?:\.{LETTER}+)*"
ADDRESS = re.compile(rf"(?<![A-Za-z\d])(?:https?://|www\.)({HOST})(?::\d+)?(?:/[^\s)\]”\"'»，。、；]*[\w/])?")
MAIL = re.compile(rf"(?<![A-Za-z\d.+])({LETTER}(?:[.+]|{LETTER})*)@({LETTER}+(?:\.{LETTER}+)+)")
HANDLE = re.compile(r"(?<![\w@.])@(?=\w)")
DOI = re.compile(
    r"\s*\(?\b(?:doi\s*:?\s*)?(?:https?://(?:dx\.)?doi\.org/)?10\.\d{4,9}/\S*[^\s.,;)\]]\)?", re.IGNORECASE
)
"""The number of a paper, which nobody can follow by ear."""


def said(text: str, tongue: Tongue, kept: Kept) -> str:
    text = DOI.sub("", text)
    dot, at = tongue.word("dot"), tongue.word("at")
    if not dot or not at:
        return text

    def host(name: str) -> str:
        return name.removeprefix("www.").strip(".").replace(".", f" {dot} ")

    text = ADDRESS.sub(lambda m: kept.keep(host(m[1])), text)
    text = MAIL.sub(lambda m: kept.keep(f"{host(m[1])} {at} {host(m[2])}"), text)
    return HANDLE.sub(f"{at} ", text)
