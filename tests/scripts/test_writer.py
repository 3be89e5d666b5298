"""Scripts written by an engine's own model, where no endpoint is set."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from speechmill.abilities import Engine, Message
from speechmill.episodes import Format
from speechmill.errors import EngineRefused, Unavailable
from speechmill.settings import Settings
from tasks.documents.blocks import Document
from tasks.scriptwriting.writing import write_script

from .conftest import willing


@dataclass
class Author:
    """Writes what ``answer`` says, and keeps what it was asked."""

    answer: Callable[[dict[str, Any]], Any] = willing
    version: str = "author-1"
    languages: frozenset[str] = frozenset({"en"})
    most_characters: int = 900
    asked: list[Sequence[Message]] = field(default_factory=list)

    def write(self, messages: Sequence[Message], seed: int) -> str:
        self.asked.append(messages)
        assert seed == len(self.asked)
        request = {"messages": [{"role": one.role, "content": one.text} for one in messages]}
        return json.dumps(self.answer(request))


def engine(author: Author) -> Engine:
    return Engine("author", "1", writes=author)


def test_a_talkshow_is_written_by_the_engine(article: Document, offline: Settings) -> None:
    author = Author()
    script = write_script(article, Format.TALKSHOW, offline, minutes=2, engine=engine(author))
    assert script.writing
    assert script.writing.writer == "author"
    assert script.writing.calls == len(author.asked) > 1
    assert len(script.speakers) == 3
    system, question = author.asked[0]
    assert system.role == "system"
    assert "JSON schema" in system.text
    assert len(question.text) < 2_500  # the article was shortened to what the engine can read


def test_rules_and_endpoints_come_first(article: Document, offline: Settings, endpoint: Any, tmp_path: Any) -> None:
    author = Author()
    for format in (Format.READING, Format.DIALOGUE, Format.LESSON):
        write_script(article, format, offline, engine=engine(author))
    write_script(article, Format.TALKSHOW, endpoint.settings(tmp_path), minutes=2, engine=engine(author))
    assert author.asked == []
    assert endpoint.asked


def test_an_engine_that_cannot_write_the_language_is_no_writer(article: Document, offline: Settings) -> None:
    with pytest.raises(Unavailable, match="no endpoint is set"):
        write_script(article, Format.TALKSHOW, offline, engine=engine(Author(languages=frozenset({"zh"}))))
    with pytest.raises(Unavailable, match="no endpoint is set"):
        write_script(article, Format.TALKSHOW, offline, engine=Engine("mute", "1"))


def test_an_engine_that_refuses_is_named(article: Document, offline: Settings) -> None:
    def refuse(_: dict[str, Any]) -> Any:
        raise EngineRefused("the prompt is too long")

    with pytest.raises(Unavailable, match=r"author wrote no script: the prompt is too long.*SPEECHMILL_LLM"):
        write_script(article, Format.DEBATE, offline, engine=engine(Author(refuse)))
