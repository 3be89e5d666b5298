"""Answering: the next message of a written conversation by an engine, as work for anybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from model_worker.engines.registry import engine, other_version
from speechmill.abilities import Ability, Engine, Message, Writes
from speechmill.errors import EngineRefused
from speechmill.recipes import Json, Recipe
from speechmill.settings import Settings
from storage.artifacts import ArtifactStore
from storage.catalog import Order, OrderKey
from tasks.workplace import Workplace


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation that an answer is wanted to."""

    messages: tuple[Message, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Answering:
    """Answering questions, as work for anybody."""

    place: Workplace
    chosen: Engine
    kind = Ability.WRITE
    language = ""  # whatever the conversation is in

    @property
    def able(self) -> Writes:
        return writes_of(self.chosen)

    def do(self, given: Question) -> str:
        return answer(self.place.store, given, self.able)

    def keep(self, results: Sequence[str]) -> None:
        """They are artifacts."""

    def recipe(self, given: Question) -> Recipe:
        return _recipe(given, self.able)

    def order(self, given: Question) -> Order:
        recipe = self.recipe(given).digest
        # No question is asked before the one before it is answered: its recipe is all the name that it has.
        key = OrderKey(self.place.job, self.kind, recipe[:12], 1, recipe)
        messages: list[Json] = [dict[str, Json](asdict(message)) for message in given.messages]
        return Order(key, self.language, {"engine": self.chosen.name, "messages": messages, "seed": given.seed})

    def recall(self, given: Sequence[Question], given_up: Mapping[OrderKey, str]) -> list[str]:
        """Raises ``EngineRefused`` for what went wrong too often."""
        for error in given_up.values():
            raise EngineRefused(error)
        store = self.place.store.apart()  # workers have counted them
        return [answer(store, question, self.able) for question in given]


@dataclass(frozen=True, slots=True)
class Correspondent:
    """An engine's writing, done wherever the work of a job is done."""

    answering: Answering

    @property
    def version(self) -> str:
        return self.answering.able.version

    @property
    def languages(self) -> frozenset[str]:
        return self.answering.able.languages

    @property
    def most_characters(self) -> int:
        return self.answering.able.most_characters

    def write(self, messages: Sequence[Message], seed: int) -> str:
        place, question = self.answering.place, Question(tuple(messages), seed)
        (text,) = place.dispatch(self.answering, [question], done=lambda _: None, check=place.stop_if_cancelled)
        return text


def by_anybody(place: Workplace, chosen: Engine) -> Engine:
    """The engine, its writing done wherever the work of the job is done."""
    return replace(chosen, writes=Correspondent(Answering(place, chosen))) if chosen.writes else chosen


def answer_ordered(settings: Settings, store: ArtifactStore, order: Order) -> None:
    """Answer the question that an order holds, so that the answer is there to be found."""
    payload: dict[str, Any] = dict(order.payload)
    able = writes_of(engine(payload["engine"], settings))
    question = Question(tuple(Message(**message) for message in payload["messages"]), payload["seed"])
    if _recipe(question, able).digest != order.key.recipe:
        raise other_version(payload["engine"])
    answer(store, question, able)


def answer(store: ArtifactStore, question: Question, able: Writes) -> str:
    """Answer a question, or find it answered."""

    def make(out: Path) -> None:
        out.write_text(able.write(question.messages, question.seed), "utf-8")

    return store.path(store.get_or_make(_recipe(question, able), make, ".txt").sha256).read_text("utf-8")


def writes_of(chosen: Engine) -> Writes:
    assert chosen.writes is not None
    return chosen.writes


def _recipe(question: Question, able: Writes) -> Recipe:
    said: list[Json] = [[message.role, message.text] for message in question.messages]
    return Recipe("write", able.version, messages=said, seed=question.seed)
