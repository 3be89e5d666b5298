"""Prefect's server as infra/compose.yaml starts it, with its settings and its command: it shows its page from a folder
that it may write to, and answers nobody who does not know its login."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.flows.conftest import folder as folder
from tests.flows.studio import REHEARSAL
from tests.operations.handed import INFRA
from tests.servers import free_port

COMPOSE: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text("utf-8"))
READY_S = 150.0


@dataclass(frozen=True)
class Server:
    """The server of Compose, on this machine."""

    url: str
    secrets: Path
    folder: Path  # what stands for the container's /tmp

    def ask(self, path: str, body: Any = None, *, login: bool = True) -> tuple[int, Any]:
        request = urllib.request.Request(f"{self.url}{path}", None if body is None else json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        if login:
            known = base64.b64encode((self.secrets / "prefect_login").read_bytes()).decode()
            request.add_header("Authorization", f"Basic {known}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                said = answer.read()
                return answer.status, json.loads(said) if "json" in answer.headers["Content-Type"] else said
        except urllib.error.HTTPError as error:
            with error:
                return error.code, None
        except OSError:
            return 0, None

    def variables(self, service: str) -> dict[str, str]:
        """The environment of a service, with paths of this machine. What other servers it would use is left out."""
        found = COMPOSE["services"][service]["environment"]
        return {
            name: self.here(value)
            for name, value in found.items()
            if name.startswith("PREFECT_") and "redis" not in f"{name}{value}".lower()
        }

    def here(self, words: str) -> str:
        there = {"/run/secrets/": f"{self.secrets}/", "/tmp/": f"{self.folder}/", "$$": "$"}
        return re.sub(r"/run/secrets/|/tmp/|\$\$", lambda found: there[found[0]], words)


def wait(good: Any, log: Path) -> None:
    until = time.monotonic() + READY_S
    while not good():
        assert time.monotonic() < until, log.read_text("utf-8")[-3000:]
        time.sleep(0.3)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, port = tmp_path_factory.mktemp("prefect"), free_port()
    subprocess.run([INFRA / "secrets.sh", folder / "secrets"], check=True, capture_output=True)
    (folder / "secrets/prefect_database_url").write_text(f"sqlite+aiosqlite:///{folder}/prefect.db")
    made = Server(f"http://127.0.0.1:{port}", folder / "secrets", folder)
    shell, option, script = COMPOSE["services"]["prefect"]["command"]
    script = made.here(script).replace("exec prefect", f"exec {sys.executable} -m prefect")
    script = script.replace("--host 0.0.0.0 --no-services", f"--host 127.0.0.1 --port {port}")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "SPEECHMILL_"))}
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [shell, option, script], env={**kept, **made.variables("prefect")}, cwd=folder, stdout=out, stderr=out
        )
    try:
        wait(lambda: made.ask("/api/health", login=False)[0] == 200, log)
        yield made
    finally:
        process.terminate()
        process.wait(60)


def test_the_page_is_there_and_calls_where_it_came_from(server: Server) -> None:
    status, page = server.ask("/", login=False)
    assert (status, b"<html" in page) == (200, True)
    assert (server.folder / "prefect/ui/v1/index.html").exists(), "not in the image, which is read-only"
    told = server.ask("/ui-settings", login=False)[1]
    assert (told["api_url"], told["auth"]) == ("/api", "BASIC")


def test_whoever_does_not_know_the_login_is_told_nothing(server: Server) -> None:
    assert server.ask("/api/flows/count", {}, login=False)[0] == 401
    assert server.ask("/api/flows/count", {})[0] == 200


@pytest.mark.slow
def test_serve_runs_jobs_for_it(server: Server, folder: Path, tmp_path: Path) -> None:
    """With nothing of the login but the file that it is in; nor is it in any log."""
    log = tmp_path / "log"
    variables = {
        **server.variables("serve"),
        "PREFECT_API_URL": f"{server.url}/api",
        "SPEECHMILL_HOME": str(tmp_path / "home"),
        "SPEECHMILL_SOURCE_ROOTS": str(folder),
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *COMPOSE["services"]["serve"]["command"]],
            env={**os.environ, **variables}, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        wait(lambda: server.ask("/api/deployments/name/batch/batch")[0] == 200, log)
        deployment = server.ask("/api/deployments/name/dub/dub")[1]["id"]
        film = {"source": f"{folder}/talk.mp4", "script": f"{folder}/talk.en.srt", "targets": ["es"]}
        asked = {"parameters": {"request": {**film, "engines": REHEARSAL}}}
        run = server.ask(f"/api/deployments/{deployment}/create_flow_run", asked)[1]["id"]
        ended = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
        wait(lambda: server.ask(f"/api/flow_runs/{run}")[1]["state"]["type"] in ended, log)
        assert server.ask(f"/api/flow_runs/{run}")[1]["state"]["type"] == "COMPLETED", log.read_text("utf-8")
        logged = {"logs": {"flow_run_id": {"any_": [run]}}}
        wait(lambda: server.ask("/api/logs/filter", logged)[1], log)
        assert server.ask("/api/automations/count", {})[1] == 1
    finally:
        process.terminate()
        process.wait(60)
    login = (server.secrets / "prefect_login").read_text("utf-8")
    assert login not in log.read_text("utf-8")
