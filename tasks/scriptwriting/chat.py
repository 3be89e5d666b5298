"""A language model asked for one JSON object: behind an OpenAI-compatible endpoint (Ollama, vLLM, llama.cpp, OpenAI),
or an engine's own.

A reply that does not fit its schema goes back with the parser's message. Nothing else of a reply is believed. What was
answered at last is kept under its recipe (the model, the prompt and the whole question, in which the document stands),
so a script that is written again is found, and one that was broken off goes on where it was.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from speechmill.abilities import Message, Writes
from speechmill.errors import BadInput, EngineRefused, Unavailable
from speechmill.recipes import Recipe, digest_of_bytes, digest_of_json
from speechmill.settings import Settings
from storage.artifacts import ArtifactStore
from tasks.documents.web import Reply, exchange

VERSION = "1"
TRIES = 3  # for one question; a model that failed three times goes on failing
RETRIES = 2  # of one request that a busy server turned away, or whose answer broke off
MOST_WAIT_S = 20.0
MOST_REPLY_BYTES = 4 * 2**20
TEMPERATURE = 0.7
ENDPOINT_CHARACTERS = 60_000  # of a document that fit a context of 32k tokens
SEED = 1
BUSY = frozenset({429, 500, 502, 503, 504})
THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
SAID_BACK = 2_000  # characters of a bad reply that go back with what is wrong with it

Shape = TypeVar("Shape", bound=BaseModel)


class Pen(Protocol):
    """Whoever answers, with a count of what it was asked."""

    model: str
    version: str  # changes whenever the same question could be answered otherwise
    calls: int
    tokens: int
    most_characters: int  # of a question that it can read

    def complete(self, messages: Sequence[Message], shape: type[BaseModel]) -> str:
        """The next message, in this shape where the model can be made to keep to it."""


class Chat:
    """Questions to a model, asked again until the reply can be used; ``store`` keeps what was answered."""

    def __init__(self, pen: Pen, store: ArtifactStore | None = None) -> None:
        self.pen = pen
        self._store = store

    def ask(
        self, system: str, question: dict[str, Any], shape: type[Shape], review: Callable[[Shape], list[str]]
    ) -> tuple[Shape, list[str]]:
        """The best reply in this shape, and what ``review`` still finds wrong with it (sentences).

        Raises ``Unavailable`` where no reply has the shape, or none comes; then nothing is kept.
        """
        if self._store is None:
            return self._asked(system, question, shape, review)
        recipe = Recipe(
            "ask language model",
            VERSION,
            inputs=[digest_of_bytes(system.encode()), digest_of_json(question)],
            model=self.pen.version,
            shape=shape.model_json_schema(),
        )

        def make(out: Path) -> None:
            out.write_text(self._asked(system, question, shape, review)[0].model_dump_json(), "utf-8")

        made = self._store.get_or_make(recipe, make, ".json")
        reply = shape.model_validate_json(self._store.path(made.sha256).read_bytes())
        return reply, review(reply)

    def _asked(
        self, system: str, question: dict[str, Any], shape: type[Shape], review: Callable[[Shape], list[str]]
    ) -> tuple[Shape, list[str]]:
        messages = [Message("system", system), Message("user", json.dumps(question, ensure_ascii=False))]
        best: tuple[Shape, list[str]] | None = None
        told = ""
        for _ in range(TRIES):
            text = self.pen.complete(messages, shape)
            try:
                reply = shape.model_validate(_json(text))
                problems = review(reply)
                if best is None or len(problems) < len(best[1]):
                    best = (reply, problems)
                if not problems:
                    return best
                told = " ".join(problems)
            except ValidationError as error:
                told = _first(error)
            except ValueError as error:
                told = f"The reply is not one JSON object: {error}."
            messages = [
                *messages[:2],
                Message("assistant", text[:SAID_BACK]),
                Message("user", f"This cannot be used. {told} Answer the first question again, whole."),
            ]
        if best is None:
            raise Unavailable(
                f"the language model {self.pen.model} gave no script that can be read in {TRIES} tries ({told[:200]})",
                hint="choose another model, or the format reading",
            )
        return best


class Endpoint:
    """One model at the settings' endpoint."""

    def __init__(self, settings: Settings) -> None:
        if not settings.llm_model:
            raise BadInput("the setting SPEECHMILL_LLM_MODEL is empty", hint="name the model of the endpoint")
        self._url = settings.llm_base_url.rstrip("/") + "/chat/completions"
        self._key = settings.llm_api_key.get_secret_value()
        self._deadline_s = settings.llm_timeout_s
        self._formats: list[str] = ["json_schema", "json_object", ""]  # the first that the endpoint takes
        self.model = settings.llm_model
        self.version: str = digest_of_json([self._url, self.model, TEMPERATURE, SEED])
        self.most_characters = ENDPOINT_CHARACTERS
        self.calls = 0
        self.tokens = 0

    def complete(self, messages: Sequence[Message], shape: type[BaseModel]) -> str:
        while True:
            body: dict[str, Any] = {
                "model": self.model, "messages": [{"role": one.role, "content": one.text} for one in messages],
                "temperature": TEMPERATURE, "seed": SEED, "stream": False,
            }  # fmt: skip
            if self._formats[0] == "json_schema":
                schema = {"name": shape.__name__, "schema": shape.model_json_schema()}
                body["response_format"] = {"type": "json_schema", "json_schema": schema}
            elif self._formats[0]:
                body["response_format"] = {"type": self._formats[0]}
            reply = self._send(body)
            if reply.status in (400, 422) and len(self._formats) > 1:
                del self._formats[0]  # it does not know this way to ask for JSON
                continue
            self._refuse(reply)
            return self._content(reply)

    def _send(self, body: dict[str, Any]) -> Reply:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        data = json.dumps(body, ensure_ascii=False).encode("utf-8")
        for attempt in range(RETRIES + 1):
            self.calls += 1
            began_s = time.monotonic()
            try:
                reply = exchange(
                    "POST", self._url, body=data, headers=headers, most_bytes=MOST_REPLY_BYTES,
                    deadline_s=self._deadline_s,
                )  # fmt: skip
            except Unavailable:
                if attempt == RETRIES or time.monotonic() - began_s >= self._deadline_s:
                    raise  # who has not answered in all that time will not do so in as much again
                time.sleep(2.0**attempt)
                continue
            if reply.status not in BUSY or attempt == RETRIES:
                return reply
            asked = reply.headers.get("retry-after", "")
            time.sleep(min(float(asked) if asked.isdecimal() else 2.0**attempt, MOST_WAIT_S))
        raise AssertionError("the last attempt returns")

    def _refuse(self, reply: Reply) -> None:
        if reply.status == 200:
            return
        if reply.status in (401, 403):
            raise Unavailable(
                f"the language model's endpoint refuses us ({reply.status})", hint="check SPEECHMILL_LLM_API_KEY"
            )
        hint = "check SPEECHMILL_LLM_BASE_URL and SPEECHMILL_LLM_MODEL" if reply.status == 404 else "see its log"
        raise Unavailable(f"the language model's endpoint answered {reply.status} for {self.model}", hint=hint)

    def _content(self, reply: Reply) -> str:
        try:
            body = json.loads(reply.body)
            text = body["choices"][0]["message"]["content"]
            used = (body.get("usage") or {}).get("total_tokens") or 0
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            raise Unavailable(
                "the language model's endpoint answered something that is no chat completion",
                hint="check SPEECHMILL_LLM_BASE_URL; it should end in /v1",
            ) from None
        self.tokens += used if isinstance(used, int) else 0
        return text if isinstance(text, str) else ""


class Writer:
    """An engine that writes. It is told the shape in words, and its calls are seeded by their number."""

    def __init__(self, name: str, writes: Writes) -> None:
        self._writes = writes
        self.model = name
        self.version = f"{name} {writes.version}"
        self.most_characters = writes.most_characters
        self.calls = 0
        self.tokens = 0  # engines do not tell

    def complete(self, messages: Sequence[Message], shape: type[BaseModel]) -> str:
        """Raises ``Unavailable`` where the engine does not answer."""
        self.calls += 1
        schema = json.dumps(shape.model_json_schema(), ensure_ascii=False)
        told = Message("system", f"{messages[0].text}\n\nThe JSON schema of the reply: {schema}")
        try:
            return self._writes.write([told, *messages[1:]], self.calls)
        except EngineRefused as error:
            raise Unavailable(
                f"the engine {self.model} wrote no script: {error.message}",
                hint="set SPEECHMILL_LLM_BASE_URL and SPEECHMILL_LLM_MODEL, or choose reading, dialogue or lesson",
            ) from error


def _json(text: str) -> Any:
    """The first JSON object in a reply; what models think before it, or fence it with, is left out."""
    text = THOUGHT.sub("", text)
    start = text.find("{")
    if start < 0:
        raise ValueError("there is no { in it")
    try:
        return json.JSONDecoder().raw_decode(text, start)[0]
    except RecursionError:
        raise ValueError("it nests too deep") from None


def _first(error: ValidationError) -> str:
    return " ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}." for e in error.errors()[:3])
