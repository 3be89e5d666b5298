"""Prefect's server and its services as infra/compose.yaml starts them, with its settings and its commands: the page is
in a folder that can be written to, nobody is answered who does not know the login, and schedules are kept."""

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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from sqlalchemy.engine import make_url

from tests.flows.conftest import folder as folder
from tests.flows.studio import REHEARSAL
from tests.operations.handed import INFRA
from tests.servers import free_port, new_database

pytestmark = pytest.mark.xdist_group("compose")  # in one process, so that its server is started once
COMPOSE: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text("utf-8"))
PATIENCE_S = 150.0
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@dataclass(frozen=True)
class Server:
    """The server of Compose, on this machine."""

    url: str
    secrets: Path
    folder: Path  # what stands for the container's /tmp
    messages: str  # the URL of the Redis that its processes talk by

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
        """The environment of a service that is Prefect's, with paths and servers of this machine."""
        found = COMPOSE["services"][service]["environment"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "SPEECHMILL_"))}
        kept |= {name: self.here(value) for name, value in found.items() if name.startswith("PREFECT_")}
        messages = urlsplit(self.messages)
        there = {"PREFECT_REDIS_MESSAGING_HOST": messages.hostname, "PREFECT_REDIS_MESSAGING_PORT": str(messages.port)}
        return kept | {name: value for name, value in there.items() if value}

    def here(self, words: str) -> str:
        there = {"/run/secrets/": f"{self.secrets}/", "/tmp/": f"{self.folder}/", "$$": "$"}
        return re.sub(r"/run/secrets/|/tmp/|\$\$", lambda found: there[found[0]], words)

    @contextmanager
    def started(self, service: str, log: Path, **variables: str) -> Iterator[None]:
        """A service of Compose that runs here, until the end of the context."""
        told = COMPOSE["services"][service]
        words = [*told.get("entrypoint", ()), *(self.here(word) for word in told["command"])]
        if service == "serve":
            words = [sys.executable, "-m", "flows.cli", *words]
        else:
            port = f"--host 127.0.0.1 --port {self.url.rpartition(':')[2]}"
            words[-1] = words[-1].replace("exec prefect", f"exec {sys.executable} -m prefect")
            words[-1] = words[-1].replace("--host 0.0.0.0", port)
        with log.open("ab") as out:
            env = {**self.variables(service), **variables}
            process = subprocess.Popen(words, env=env, cwd=self.folder, stdout=out, stderr=out)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)

    @contextmanager
    def serving(self, log: Path, **settings: str) -> Iterator[None]:
        """`speechmill serve` that has registered its deployments, with settings of its own."""
        said = log.read_text("utf-8").count("serving dub") if log.exists() else 0
        given = {f"SPEECHMILL_{name}": value for name, value in settings.items()}
        home = {"SPEECHMILL_HOME": str(log.parent / "home"), "SPEECHMILL_WORKERS": "2"}
        with self.started("serve", log, PREFECT_API_URL=f"{self.url}/api", **home, **given):
            wait(lambda: self.ask("/api/deployments/name/batch/batch")[0] == 200, log)
            wait(lambda: log.read_text("utf-8").count("serving dub") > said, log)
            yield

    def deployment(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ask(f"/api/deployments/name/{name}/{name}")[1]
        return found

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        asked = {"deployments": {"id": {"any_": [self.deployment(deployment)["id"]]}}}
        found: list[dict[str, Any]] = self.ask("/api/flow_runs/filter", asked)[1]
        return found


def wait(good: Callable[[], Any], log: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while not good():
        assert time.monotonic() < until, log.read_text("utf-8")[-3000:]
        time.sleep(0.3)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, postgres: str, redis: str) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("prefect")
    subprocess.run([INFRA / "secrets.sh", folder / "secrets"], check=True, capture_output=True)
    made = Server(f"http://127.0.0.1:{free_port()}", folder / "secrets", folder, redis)
    with ExitStack() as stack:
        database = make_url(stack.enter_context(new_database(postgres))).set(drivername="postgresql+asyncpg")
        (folder / "secrets/prefect_database_url").write_text(database.render_as_string(hide_password=False))
        stack.enter_context(made.started("prefect", folder / "log"))
        wait(lambda: made.ask("/api/health", login=False)[0] == 200, folder / "log")
        stack.enter_context(made.started("prefect-services", folder / "services.log"))
        yield made


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
    with server.serving(log, SOURCE_ROOTS=str(folder)):
        film = {"source": f"{folder}/talk.mp4", "script": f"{folder}/talk.en.srt", "targets": ["es"]}
        asked = {"parameters": {"request": {**film, "engines": REHEARSAL}}}
        run = server.ask(f"/api/deployments/{server.deployment('dub')['id']}/create_flow_run", asked)[1]["id"]
        wait(lambda: server.ask(f"/api/flow_runs/{run}")[1]["state"]["type"] in ENDED, log)
        assert server.ask(f"/api/flow_runs/{run}")[1]["state"]["type"] == "COMPLETED", log.read_text("utf-8")
        logged = {"logs": {"flow_run_id": {"any_": [run]}}}
        wait(lambda: server.ask("/api/logs/filter", logged)[1], log)
        assert server.ask("/api/automations/count", {})[1] == 1
    login = (server.secrets / "prefect_login").read_text("utf-8")
    assert login not in log.read_text("utf-8")


@pytest.mark.slow
def test_a_batch_begins_by_the_clock_and_schedules_of_people_stay(server: Server, folder: Path, tmp_path: Path) -> None:
    log, manifest = tmp_path / "log", tmp_path / "tonight.jsonl"
    options = {"script": f"{folder}/talk.en.srt", "engines": REHEARSAL}
    rows = [{"source": f"{folder}/talk.mp4", "languages": [to], "options": options} for to in ("es", "fr")]
    manifest.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    named = {"BATCH_MANIFEST": str(manifest)}

    def scheduled() -> list[tuple[bool, str, str | None]]:
        found = server.deployment("batch")["schedules"]
        return sorted((each["active"], each["schedule"]["cron"], each["slug"]) for each in found)

    with server.serving(log, **named, BATCH_CRON="* * * * *"):
        assert scheduled() == [(True, "* * * * *", "nightly")]
        wait(lambda: any(run["state"]["type"] in ENDED for run in server.runs("batch")), log)
        (ended, *_) = (run for run in server.runs("batch") if run["state"]["type"] in ENDED)
        assert ended["state"]["type"] == "COMPLETED", f"{ended['state']}\n{log.read_text('utf-8')[-3000:]}"
        report = json.loads(next((tmp_path / "home").glob("**/batch.json")).read_text("utf-8"))
        assert [row["state"] for row in report["rows"]] == ["done", "done"]
        of_a_person = [{"schedule": {"cron": "0 5 * * 1"}, "active": True, "parameters": {"request": named}}]
        assert server.ask(f"/api/deployments/{server.deployment('batch')['id']}/schedules", of_a_person)[0] == 201
    with server.serving(log, **named, BATCH_CRON="0 2 * * *"):
        assert scheduled() == [(True, "0 2 * * *", "nightly"), (True, "0 5 * * 1", None)]
    with server.serving(log):
        assert scheduled() == [(False, "0 0 * * *", "nightly"), (True, "0 5 * * 1", None)]


@pytest.mark.parametrize(
    ("wrong", "name"), [({"BATCH_CRON": "at night"}, "CRON"), ({"BATCH_TIMEZONE": "Mars"}, "TIME")]
)
def test_times_that_are_none_are_told_in_one_line(
    server: Server, tmp_path: Path, wrong: dict[str, str], name: str
) -> None:
    given = {"BATCH_MANIFEST": "/a.csv", "BATCH_CRON": "0 2 * * *", **wrong}
    variables = {f"SPEECHMILL_{name}": value for name, value in given.items()} | {"SPEECHMILL_HOME": str(tmp_path)}
    env = {**server.variables("serve"), **variables, "PREFECT_API_URL": f"{server.url}/api"}
    ran = subprocess.run([sys.executable, "-m", "flows.cli", "serve"], env=env, capture_output=True, text=True)
    assert ran.returncode == 3
    assert f"SPEECHMILL_BATCH_{name}" in ran.stderr.splitlines()[-1]
