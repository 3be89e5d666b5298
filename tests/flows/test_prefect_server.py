"""Prefect's server as `speechmill up` starts it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

from flows.prefect_server import environment
from speechmill.settings import Settings
from tests.prefect_api import PrefectApi
from tests.servers import PREFECT_START_S, free_port, served, with_prefect_tables


@contextmanager
def server(home: Path, port: int) -> Iterator[tuple[PrefectApi, Popen[bytes]]]:
    env = os.environ | environment(Settings(home=home), port) | {"SPEECHMILL_HOME": str(home)}
    argv = [sys.executable, "-m", "flows.cli", "serve-prefect"]
    with served(argv, port, home, env=env, start_s=PREFECT_START_S) as process:
        yield PrefectApi(f"http://127.0.0.1:{port}"), process


def test_a_server_that_was_killed_knows_who_has_which_place(tmp_path: Path) -> None:
    """Else the place of a run that ended meanwhile, or was killed with it, is never given back."""
    port = free_port()
    with_prefect_tables(tmp_path / "prefect")
    with server(tmp_path, port) as (api, process):
        assert api.ask("v2/concurrency_limits/", {"name": "places", "limit": 1}).status == 201
        taken = {"names": ["places"], "slots": 1, "mode": "concurrency", "lease_duration": 60}
        lease = api.ask("v2/concurrency_limits/increment-with-lease", taken).body["lease_id"]
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    with server(tmp_path, port) as (api, _):
        assert api.ask("v2/concurrency_limits/places").body["active_slots"] == 1
        assert api.ask(f"v2/concurrency_limits/leases/{lease}/renew", {"lease_duration": 60}).status == 204
