"""Running other people's programs: always a list of arguments, a deadline, limits, and the tail of what they said.

Every external program of the house runs through ``run``; ffmpeg's argument lists are built in ``tasks.media.ffmpeg``.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechmill.errors import DiskFull, MissingTool, ToolFailed

STDERR_TAIL_BYTES = 2_000
TERMINATE_GRACE_S = 3.0

PACKAGES = {"ffmpeg": "ffmpeg", "ffprobe": "ffmpeg", "espeak-ng": "espeak-ng", "apertium": "apertium", "flite": "flite"}
"""Debian's package for each program that a hint may name."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use. ``None`` leaves the system's own limit."""

    wall_s: float = 4 * 3600
    file_bytes: int | None = None  # largest file it may write
    memory_bytes: int | None = None  # address space
    cpu_s: int | None = None

    def apply(self) -> None:
        """Set the limits in the child, before it becomes the program."""
        for what, value in (
            (resource.RLIMIT_FSIZE, self.file_bytes),
            (resource.RLIMIT_AS, self.memory_bytes),
            (resource.RLIMIT_CPU, self.cpu_s),
            (resource.RLIMIT_CORE, 0),
        ):
            if value is not None:
                resource.setrlimit(what, (value, value))


UNLIMITED = Limits()


@dataclass(frozen=True, slots=True)
class Ran:
    """A program that ended."""

    returncode: int
    stdout: bytes
    stderr: str


def find(program: str) -> str:
    """The path of a program; raises ``MissingTool`` naming the package that has it."""
    path = shutil.which(program)
    if path is None:
        package = PACKAGES.get(program, program)
        raise MissingTool(f"the program {program} is not installed", hint=f"install it: apt-get install {package}")
    return path


def run(
    argv: Sequence[str],
    *,
    stdin: bytes | None = None,
    limits: Limits = UNLIMITED,
    check: bool = True,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ran:
    """Run a program to its end, in a process group of its own that is killed whole at the deadline.

    Raises ``MissingTool``, ``ToolFailed`` (with the tail of stderr; also at the deadline) or ``DiskFull``. With
    ``check=False`` an exit status other than 0 is returned rather than raised.
    """
    with start(
        argv,
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        limits=limits,
        cwd=cwd,
        environment=environment,
    ) as process:
        try:
            stdout, stderr = process.communicate(stdin, timeout=limits.wall_s)
        except subprocess.TimeoutExpired:
            kill(process)
            raise ToolFailed(
                f"{argv[0]} did not end within {limits.wall_s:.0f} s", hint="run again, or raise the limit"
            ) from None
        except BaseException:
            kill(process)
            raise
    ran = Ran(process.returncode, stdout, stderr[-STDERR_TAIL_BYTES:].decode(errors="replace").strip())
    if check:
        raise_for(argv[0], ran)
    return ran


def start(
    argv: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    limits: Limits = UNLIMITED,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program whose pipes the caller feeds or reads; the caller ends it with ``kill`` if it must."""
    return subprocess.Popen(
        [find(argv[0]), *argv[1:]],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=cwd,
        env={**os.environ, **environment} if environment is not None else None,
        start_new_session=True,
        preexec_fn=limits.apply if limits is not UNLIMITED else None,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and everything it started."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(TERMINATE_GRACE_S)
            break
        except subprocess.TimeoutExpired:
            continue


def raise_for(program: str, ran: Ran) -> None:
    """Turn a bad end into our words."""
    if ran.returncode == 0:
        return
    if "No space left on device" in ran.stderr or ran.returncode == -signal.SIGXFSZ or "File too large" in ran.stderr:
        raise DiskFull(
            f"the disk is full ({program} could not write)",
            hint="free some space and run the same command again; finished work is kept",
        )
    last = ran.stderr.splitlines()[-1] if ran.stderr else "it said nothing"
    raise ToolFailed(
        f"{program} failed ({ran.returncode}): {last}",
        hint="run again; if it fails again, see `speechmill doctor`",
        stderr=ran.stderr,
    )
