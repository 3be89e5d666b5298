"""The command line without the time that its imports take: one process has imported everything, and each command is a
fork of it, with arguments, environment, folder and output of its own.

    python -m tests.forge SOCKET

It ends with its standard input, which the process that tests holds.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

PATIENCE_S = 300.0
MOST_BYTES = 1 << 20  # of one request
IMPORTED = (
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "alembic.command",
    "alembic.config",
    "babel.dates",
    "babel.numbers",
    "celery.apps.worker",
    "celery.concurrency.thread",
    "celery.worker.components",
    "flows.clearing",
    "flows.cli",
    "flows.digesting",
    "flows.doctor",
    "flows.dubbing",
    "flows.listing",
    "flows.podcast",
    "flows.start",
    "kombu.transport.redis",
    "language_data.names",
    "language_data.population_data",
    "markdown_it",
    "model_worker.engines.offline",
    "model_worker.engines.rehearsal",
    "sqlite3",
    "tasks.queue",
    "tasks.report.page",
    "tasks.waiting",
)


class Forged:
    """A command that runs, as ``subprocess.Popen`` would show it."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._told = line.makefile("rb")
        self.pid = int(self._told.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._line], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._line], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = int(self._told.readline())
            self._told.close()
            self._line.close()
        return self.returncode

    def send_signal(self, sign: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sign)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forge:
    """Where commands are had from; any thread may ask."""

    def __init__(self, address: Path) -> None:
        self._address = str(address)

    def run(
        self,
        arguments: Sequence[str | Path],
        env: Mapping[str, str],
        cwd: Path,
        main: str = "flows.cli",
    ) -> subprocess.CompletedProcess[str]:
        """Run ``speechmill`` to its end."""
        with TemporaryDirectory(prefix="speechmill-forge-") as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            process = self.start(arguments, env, cwd, out, err, main)
            code = process.wait(PATIENCE_S)
            said = out.read_text("utf-8"), err.read_text("utf-8")
        return subprocess.CompletedProcess(list(map(str, arguments)), code, *said)

    def start(
        self,
        arguments: Sequence[str | Path],
        env: Mapping[str, str],
        cwd: Path,
        out: Path,
        err: Path,
        main: str = "flows.cli",
    ) -> Forged:
        """Start ``speechmill``, or what another module has as ``main``."""
        asked = {
            "arguments": list(map(str, arguments)),
            "env": dict(env),
            "cwd": str(cwd),
            "out": str(out),
            "err": str(err),
            "main": main,
        }
        line = socket.socket(socket.AF_UNIX)
        line.connect(self._address)
        line.sendall(json.dumps(asked).encode() + b"\n")
        return Forged(line)


@pytest.fixture(scope="session")
def forge() -> Iterator[Forge]:
    with TemporaryDirectory(prefix="speechmill-forge-") as folder:
        address = Path(folder, "socket")
        argv = [sys.executable, "-W", "error::ResourceWarning", "-m", "tests.forge", str(address)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield Forge(address)
            process.stdin.close()


def _serve(address: str) -> tuple[str, list[str]]:
    """Answer until the end; returns only in a process that is to run a command: its module and its arguments."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(16)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever waits for a command ends with it
        print("ready", flush=True)  # noqa: T201
        while True:
            if 0 in select.select([listener, 0], [], [])[0]:  # nobody tests any more
                os._exit(0)
            line, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                return _attend(line)
            line.close()


def _attend(line: socket.socket) -> tuple[str, list[str]]:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with line, line.makefile("rb") as asking:
        asked = json.loads(asking.readline(MOST_BYTES))
        command = os.fork()
        if command:
            line.sendall(f"{command}\n".encode())
            code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
            line.sendall(f"{code}\n".encode())
            os._exit(0)
    for stream, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, asked["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, asked["err"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        file = os.open(name, flags, 0o644)
        os.dup2(file, stream)
        os.close(file)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    return asked["main"], asked["arguments"]


if __name__ == "__main__":
    for name in IMPORTED:
        import_module(name)
    module, sys.argv[1:] = _serve(sys.argv[1])
    sys.argv[0] = "speechmill"
    import_module(module).main()
