"""A studio: ``speechmill up`` on this machine, as a producer meets it over HTTP. One for all tests of a session."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.forge import Forge
from tests.prefect_api import PrefectApi
from tests.servers import free_port, with_prefect_tables

ONE_STUDIO = pytest.mark.xdist_group("studio")
"""Marks tests with a studio: one process of pytest runs them all, so that one is started."""
REHEARSAL = {"transcribe": "rehearsal", "translate": "rehearsal", "speak": "rehearsal"}
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
PATIENCE_S = 150.0  # of one wait: a busy machine takes its time, a broken one for ever
LOST_AFTER_S = 40

SECRETS = {"in a file": "sk-planted-27182818", "in the environment": "planted+aws/31415926"}
"""What a studio is given and may leave nowhere."""


class Studio(PrefectApi):
    """The Prefect server and the command line of one ``speechmill up``."""

    def __init__(
        self, home: Path, url: str, process: subprocess.Popen[bytes], env: dict[str, str], forge: Forge
    ) -> None:
        super().__init__(url)
        self.home, self.process, self.env, self._forge = home, process, env, forge

    def of(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ask(f"flow_runs/{run}").body
        return found

    def wait(self, run: str, *states: str) -> dict[str, Any]:
        """The run, once it is in one of these states (types, as the API has them), or has ended otherwise."""
        return self.until(lambda: self.of(run), lambda found: found["state"]["type"] in {*states, *FINAL})

    def until(self, look: Callable[[], Any], good: Callable[[Any], bool], patience_s: float = PATIENCE_S) -> Any:
        until = time.monotonic() + patience_s
        while not good(found := look()):
            assert time.monotonic() < until, f"{found}\n{self.logs()}"
            time.sleep(0.2)
        return found

    def job_of(self, run: str) -> str:
        """The job of a run, once it has one."""
        named = self.until(lambda: self.of(run), lambda found: found["name"][:2] == "20" or self._ended(found))
        return str(named["name"])

    @staticmethod
    def _ended(found: dict[str, Any]) -> bool:
        return found["state"]["type"] in FINAL

    def wait_for_stage(self, job: str, name: str) -> None:
        """Until the progress of a job has come to a stage."""
        self.until(
            lambda: [a["description"] or "" for a in self.artifacts(f"progress-{job}")],
            lambda said: any(line.startswith(name) for line in said),
        )

    def artifacts(self, key: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("artifacts/filter", {"artifacts": {"key": {"any_": [key]}}}).body
        return found

    def task_runs(self, run: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}}).body
        return found

    def command(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return self._forge.run(arguments, self.env, self.home.parent)

    def facts(self, job: str) -> dict[str, Any]:
        ran = self.command("job", job, "--json")
        assert ran.returncode == 0, ran.stderr
        found: dict[str, Any] = json.loads(ran.stdout)
        return found

    def report(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "out" / job / "report.json").read_text("utf-8"))
        return found

    def processes(self, **variables: str) -> list[int]:
        """Processes with these variables in their environment, by which runs and services can be found."""
        wanted = [f"{name}={value}".encode() for name, value in variables.items()]
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != os.getpid():
                try:
                    environ = (folder / "environ").read_bytes().split(b"\0")
                except OSError:
                    continue
                if all(pair in environ for pair in wanted):
                    found.append(int(folder.name))
        return found

    def logs(self) -> str:
        """The end of what every service said."""
        return "\n".join(f"{log.name}: {log.read_text('utf-8')[-1500:]}" for log in self.home.glob("logs/*"))


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory, forge: Forge) -> Iterator[Studio]:
    """``speechmill up``, with nothing set but where it keeps its things; for Prefect's server not the first time."""
    home = tmp_path_factory.mktemp("studio") / "home"
    home.mkdir()
    with_prefect_tables(home / "prefect")
    port = free_port()
    key = home.parent / "key"
    key.write_text(SECRETS["in a file"])
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "SPEECHMILL_"))},
        "SPEECHMILL_HOME": str(home),
        "SPEECHMILL_LLM_API_KEY_FILE": str(key),
        "AWS_SECRET_ACCESS_KEY": SECRETS["in the environment"],
        "SPEECHMILL_WORKERS": "2",
        "SPEECHMILL_UI_PORT": str(port),
        "SPEECHMILL_REPORTS_PORT": str(free_port()),
        "SPEECHMILL_DROP_INTERVAL_S": "1",
        "SPEECHMILL_DROP_MIN_AGE_S": "1",
        "SPEECHMILL_LOST_AFTER_S": str(LOST_AFTER_S),
    }
    said = home.parent / "up.log"
    with said.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "up"], env=env, cwd=home.parent, stdout=out, stderr=out,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
    made = Studio(home, f"http://127.0.0.1:{port}", process, env, forge)
    try:
        made.until(
            lambda: said.read_text("utf-8"), lambda text: "everything is up" in text or process.poll() is not None
        )
        assert process.poll() is None, said.read_text("utf-8")
        yield made
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(90)
