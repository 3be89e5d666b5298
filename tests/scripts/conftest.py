"""A document to write about, and an OpenAI-compatible endpoint on this machine that answers what a test wants."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from speechmill.settings import Settings
from tasks.documents.blocks import Document, assemble
from tasks.documents.markdown import pieces

ARTICLE = """# The Night Train

It leaves at nine in the evening from platform three, and has done so since 1931. Nobody remembers who asked for it.
Maria Lund has driven it for twenty years, and says: "We never stop in the dark."

## The Stops

The train stops at Aldea, at Rocca and at the harbour. In winter the harbour is closed, because ice covers the quay.
Passengers wait in a small hall with one lamp, and the keeper sells tea and bread until midnight.

## The Future

In 2030 the line may close. The region pays 40 percent of the cost, and wants to pay less. Many people in the valley
have written letters, since the bus takes four hours and the train only two.
"""

Answer = Callable[[dict[str, Any]], Any]


@dataclass
class Endpoint:
    """What was asked of the endpoint, and what it answers: by turns, the last for ever."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def settings(self, home: Path, **more: Any) -> Settings:
        return Settings(home=home, llm_base_url=self.url, llm_model="fake", **{"llm_timeout_s": 20, **more})


@dataclass(frozen=True)
class Status:
    """An answer that is no completion."""

    code: int
    body: bytes = b"{}"


@dataclass(frozen=True)
class Broken:
    """An answer whose connection is closed in the middle."""


@dataclass(frozen=True)
class Slow:
    wait_s: float


def question(request: dict[str, Any]) -> dict[str, Any]:
    """The question of a request: what stands in its first user message."""
    found: dict[str, Any] = json.loads(request["messages"][1]["content"])
    return found


def sentence(block: dict[str, str], words: int) -> str:
    """So many words of a block, so that every one of them is borne out; different ones each time."""
    pool = block["text"].replace('"', "").split()
    return " ".join((pool * (words // len(pool) + 1))[:words]).rstrip(".,") + "."


def willing(request: dict[str, Any]) -> Any:
    """A model that does what it is asked: an outline over all blocks, sections of the words that were wanted."""
    asked = question(request)
    if "sections" in asked:
        ids = [block["id"] for block in asked["document"]]
        count = min(asked["sections"], len(ids))
        shares = [ids[n::count] for n in range(count)]
        return {
            "sections": [{"title": f"Part {n}", "about": "", "blocks": s, "words": 100} for n, s in enumerate(shares)]
        }
    speakers, lines, left = list(asked["speakers"]), [], asked["words"]
    serial = sum(len(line["text"]) for line in asked["said"])
    while left > 0:
        block = asked["document"][len(lines) % len(asked["document"])]
        count = min(14, left)
        text = f"{chr(97 + serial % 26)}{chr(97 + len(lines) % 26)}, {sentence(block, max(1, count - 1))}"
        lines.append({"speaker": speakers[len(lines) % len(speakers)], "text": text, "blocks": [block["id"]]})
        left -= count
        serial += len(text)
    return {"lines": lines}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    known = Endpoint(answers=[willing])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known.asked.append(request)
            known.keys.append(self.headers.get("Authorization", ""))
            answer = known.answers.pop(0) if len(known.answers) > 1 else known.answers[0]
            said = answer(request)
            status, body = 200, b""
            if isinstance(said, Slow):
                time.sleep(said.wait_s)
            elif isinstance(said, Broken):
                body = b" " * 100
            elif isinstance(said, Status):
                status, body = said.code, said.body
            else:
                text = said if isinstance(said, str) else json.dumps(said)
                body = json.dumps(
                    {"choices": [{"message": {"role": "assistant", "content": text}}], "usage": {"total_tokens": 10}}
                ).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[:9] if isinstance(said, Broken) else body)
            except OSError:
                return

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    known.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    yield known
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def article() -> Document:
    return assemble("train.md", pieces(ARTICLE), language="en")


@pytest.fixture
def offline(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, llm_base_url="", llm_api_key=SecretStr(""))
