"""A Prefect server, as whoever asks it over HTTP meets it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

BUSY_RETRIES = 10  # SQLite under Prefect's server is busy now and then; Prefect's own clients ask again, too


@dataclass(frozen=True)
class Answer:
    """What the Prefect server said."""

    status: int
    body: Any


class PrefectApi:
    """The API of a server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.api = f"{url}/api"

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.api}/{path}", data, {"Content-Type": "application/json"})
        request.method = method or ("GET" if body is None else "POST")
        for _ in range(BUSY_RETRIES):
            try:
                with urllib.request.urlopen(request, timeout=90) as reply:
                    said = reply.read()
                    return Answer(reply.status, json.loads(said) if said else None)
            except urllib.error.HTTPError as error:
                with error:
                    refused = Answer(error.code, json.loads(error.read() or b"null"))
            if refused.status != 503:
                break
            time.sleep(1)
        return refused

    def create(self, deployment: str, **parameters: Any) -> Answer:
        """Fill in a form and press “Run”."""
        found = self.ask(f"deployments/name/{deployment}/{deployment}").body
        return self.ask(f"deployments/{found['id']}/create_flow_run", {"parameters": parameters})

    def run(self, deployment: str, **parameters: Any) -> str:
        answer = self.create(deployment, **parameters)
        assert answer.status == 201, answer.body
        return str(answer.body["id"])
