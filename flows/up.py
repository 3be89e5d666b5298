"""Everything on this machine, until Ctrl-C: Prefect's server with its UI, the served deployments, the reports, the
watch over the drop folder, and a worker where the settings name a broker.

Each is a process of its own that ends with this one, even where this one is killed: the kernel tells it. One that ends
by itself is started again; one that keeps ending, and the server, end everything with a line that says so.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from flows.prefect_runs import address_file, answers
from flows.prefect_server import HOST, environment
from speechmill.errors import Conflict, ToolFailed, Unavailable
from speechmill.settings import Settings

REGISTERED = "deployments/name/batch/batch"  # the last one that `speechmill serve` registers
READY_S = 180.0  # a fresh database takes over a minute on a busy machine
LOOK_S = 0.5
ENDS_S = 35.0  # runs that are cancelled get 30 s of Prefect's runner to clean up
MOST_RESTARTS = 3
STEADY_S = 60.0  # who ran for this long may end once more
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(slots=True)
class Service:
    """One of the processes that are up together."""

    name: str
    argv: list[str]
    env: Mapping[str, str]
    log: Path
    vital: bool = False  # nothing goes on without it
    restarts: int = 0
    began: float = 0.0
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.argv,
                env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C is for this process, which ends the others in order
                preexec_fn=_end_with_parent,
            )
        self.began = time.monotonic()

    def tail(self) -> str:
        """The last thing it said."""
        lines = self.log.read_text("utf-8", "replace").strip().splitlines() if self.log.exists() else []
        return lines[-1][:300] if lines else "it said nothing"


def _end_with_parent() -> None:
    """In the child, before it becomes the program: the kernel is to send it SIGTERM when its parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def up(chosen: Settings, say: Callable[[str], None]) -> None:
    """Bring everything up and look after it until SIGINT or SIGTERM. Raises ``Unavailable`` where something does not
    start or does not stay."""
    with _alone(chosen):
        _up(chosen, say)


@contextmanager
def _alone(chosen: Settings) -> Iterator[None]:
    folder = chosen.home / "running"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "up").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("`speechmill up` runs already on this machine", hint="use that, or end it first") from None
        yield


def _up(chosen: Settings, say: Callable[[str], None]) -> None:
    ended = _signals()
    services: list[Service] = []
    named = os.environ.get("PREFECT_API_URL")
    try:
        reports = _free_port(chosen.reports_port)
        env = {"SPEECHMILL_REPORTS_PORT": str(reports)}
        if not chosen.reports_url:
            env["SPEECHMILL_REPORTS_URL"] = f"http://{HOST}:{reports}"
        if named:
            if not answers(named):
                raise Unavailable(f"the Prefect server {named} does not answer", hint="start it, or unset its address")
            api = named
            say(f"Prefect UI: {named.removesuffix('/api')} (the server that PREFECT_API_URL names)")
        else:
            port = _free_port(chosen.ui_port)
            api = f"http://{HOST}:{port}/api"
            say(f"Prefect UI: {chosen.ui_url or f'http://{HOST}:{port}'} (starting)")
            services.append(_server(chosen, port))
        env["PREFECT_API_URL"] = api
        _start(services, say)
        _wait_until("Prefect's server", lambda: answers(api), services, ended)
        if ended:
            return
        address_file(chosen).write_text(api, "utf-8")
        rest = [Service(name, argv, env, _log(chosen, name)) for name, argv in _commands(chosen)]
        services.extend(rest)
        _start(rest, say)
        _wait_until("the deployments", lambda: answers(api, REGISTERED), services, ended)
        say(f"reports: {env.get('SPEECHMILL_REPORTS_URL', chosen.reports_url)}; logs: {chosen.home / 'logs'}")
        say(f"films dropped into {chosen.drop_folder}/in are dubbed")
        say("everything is up; Ctrl-C ends it")
        _look_after(services, ended, say)
    finally:
        if not named:
            address_file(chosen).unlink(missing_ok=True)
        _end(services, say)


def _server(chosen: Settings, port: int) -> Service:
    argv = [sys.executable, "-m", "flows.cli", "serve-prefect"]
    return Service("server", argv, environment(chosen, port), _log(chosen, "server"), vital=True)


def _commands(chosen: Settings) -> list[tuple[str, list[str]]]:
    """What is up beside the server, by name: other commands of ours."""
    ours = [sys.executable, "-m", "flows.cli"]
    if "://" not in chosen.drop_folder:
        Path(chosen.drop_folder, "in").mkdir(parents=True, exist_ok=True)
    found = [
        ("serve", [*ours, "serve"]),
        ("reports", [*ours, "serve-reports"]),
        ("ingest", [*ours, "ingest", chosen.drop_folder]),
    ]
    if chosen.broker_url:
        found.append(("worker", [*ours, "worker"]))
    return found


def _log(chosen: Settings, name: str) -> Path:
    folder = chosen.home / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"up-{name}.log"


def _free_port(wanted: int) -> int:
    """The port that the settings name, or a free one where somebody else has it."""
    for port in (wanted, 0):
        with socket.socket() as asked, suppress(OSError):
            asked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            asked.bind((HOST, port))
            found: int = asked.getsockname()[1]
            return found
    raise Unavailable("no port is free on this machine", hint="end what holds them")


def _signals() -> list[int]:
    """The signals that came; a second one ends at once."""
    came: list[int] = []

    def note(number: int, _: object) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, note)
    return came


def _start(services: list[Service], say: Callable[[str], None]) -> None:
    for service in services:
        service.start()
        assert service.process is not None
        say(f"{service.name} started (process {service.process.pid})")


def _wait_until(what: str, ready: Callable[[], bool], services: list[Service], ended: list[int]) -> None:
    until = time.monotonic() + READY_S
    while not ended and not ready():
        for service in services:
            if service.process is not None and service.process.poll() is not None:
                raise Unavailable(f"{service.name} did not start: {service.tail()}", hint=f"its log is {service.log}")
        if time.monotonic() > until:
            raise Unavailable(f"{what} did not come up in {READY_S:.0f} s", hint="see the logs")
        time.sleep(LOOK_S)


def _look_after(services: list[Service], ended: list[int], say: Callable[[str], None]) -> None:
    while not ended:
        for service in services:
            if service.process is None or service.process.poll() is None:
                continue
            code = service.process.returncode
            if time.monotonic() - service.began > STEADY_S:
                service.restarts = 0
            if service.vital or service.restarts >= MOST_RESTARTS:
                raise ToolFailed(
                    f"{service.name} ended by itself ({code}): {service.tail()}", hint=f"its log is {service.log}"
                )
            service.restarts += 1
            say(f"{service.name} ended by itself ({code}) and is started again: {service.tail()}")
            service.start()
        time.sleep(LOOK_S)


def _end(services: list[Service], say: Callable[[str], None]) -> None:
    """End all, the server last; runs that are under way are cancelled first."""
    for service in reversed(services):
        if service.process is None or service.process.poll() is not None:
            continue
        with suppress(ProcessLookupError):
            service.process.terminate()
        try:
            service.process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            say(f"{service.name} did not end and is killed")
            with suppress(ProcessLookupError):
                os.killpg(service.process.pid, signal.SIGKILL)
            service.process.wait()
