"""Texts on their way into the model, and its answers on their way out."""

from __future__ import annotations

import re

from model_worker.engines.texts import clean

TOKEN = re.compile(r"<\|[^|<>]{1,32}\|>")
THOUGHT = re.compile(r".*</think>|<think>.*", re.DOTALL)


def harmless(text: str) -> str:
    """A user's text that cannot close a turn or open another: marks of the prompt's own language lose their form."""
    return text.replace("<|", "< |").replace("|>", "| >")


def answered(text: str) -> str:
    """What the model said, without what it thought before and without marks."""
    return clean(TOKEN.sub(" ", THOUGHT.sub("", text)).replace("\ufffd", " "))
