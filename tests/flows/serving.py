"""A machine that serves: ``speechmill serve`` beside a Prefect server; it can be stopped, killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flows.studio import Studio
from tests.forge import Forge

ONE_SERVER = pytest.mark.xdist_group("serving")
"""Marks tests with a Prefect server of their own: one process of pytest runs them all, so that one is started."""
STOPS_S = 35.0  # what `speechmill up` waits for it


class Serving(Studio):
    """``speechmill serve``, of a machine with a home of its own."""

    def __init__(self, home: Path, url: str, forge: Forge, **settings: str) -> None:
        home.mkdir(parents=True)
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "SPEECHMILL_"))},
            "PREFECT_API_URL": f"{url}/api",
            "SPEECHMILL_HOME": str(home),
            "SPEECHMILL_ENGINE": "rehearsal",
            "SPEECHMILL_WORKERS": "2",
            "SPEECHMILL_LOG_FORMAT": "text",
            **settings,
        }
        self.log = home.parent / f"{home.name}.serve.log"
        super().__init__(home, url, self._started(env), env, forge)

    def _started(self, env: dict[str, str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-m", "flows.cli", "serve"], env=env, cwd=self.log.parent, stdout=out, stderr=out,
                start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )  # fmt: skip

    def start(self) -> None:
        """Start it again, and wait until it serves."""
        self.process = self._started(self.env)
        self.wait_until_it_serves()

    def wait_until_it_serves(self) -> None:
        told = self.log.read_text("utf-8").count("stopped; ")
        self.until(
            lambda: self.log.read_text("utf-8").count("serving dub, "),
            lambda count: count > told or self.process.poll() is not None,
        )
        assert self.process.poll() is None, self.logs()

    def stop(self) -> None:
        """Have it stop as containers do."""
        self.process.terminate()
        assert self.process.wait(STOPS_S) == 0, self.logs()

    def interrupt(self) -> None:
        """Press Ctrl-C in its terminal, which all its processes hear of."""
        os.killpg(self.process.pid, signal.SIGINT)
        assert self.process.wait(STOPS_S) == 0, self.logs()

    def logs(self) -> str:
        return self.log.read_text("utf-8")[-6000:]


@pytest.fixture(scope="module")
def serving(
    prefect_url: str, forge: Forge, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Serving]]:
    """Machines that serve, for the tests of a module."""
    made: list[Serving] = []

    def serve(name: str, **settings: str) -> Serving:
        made.append(Serving(tmp_path_factory.mktemp("serving") / name, prefect_url, forge, **settings))
        made[-1].wait_until_it_serves()
        return made[-1]

    yield serve
    for machine in made:
        machine.process.kill()
        machine.process.wait()
