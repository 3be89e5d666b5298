"""Running other people's programs: always a list of arguments, a deadline, limits, and the tail of what they said.

Every external program of the house runs through ``run``; ffmpeg's argument lists are built in ``tasks.media.ffmpeg``.

Limits are set by util-linux's ``prlimit`` and the network is taken away by its ``unshare``, each of which becomes the
program it starts. Nothing of ours runs between fork and exec, which in a process with threads may wait for ever, and
which makes a process that holds a model copy its page tables. Together they cost about 2 ms a program. Where
``unshare`` may not be used ``speechmill/confined.py`` is started in its place, for about 17 ms.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol

from speechmill.errors import Cancelled, DiskFull, MissingTool, ToolFailed, Unavailable

STDERR_TAIL_BYTES = 2_000
TERMINATE_GRACE_S = 3.0
LAUNCHER = re.compile(r"(\S*/)?(prlimit|unshare|confined): ")  # how their complaints begin
FULL = re.compile(r": (No space left on device|Disk quota exceeded|File too large)$", re.MULTILINE)
CPU_GRACE_S = 5  # between the signal that says why and the one that cannot be missed
PASSED_ON = re.compile(
    r"PATH|LD_LIBRARY_PATH|PYTHONPATH|PYTHONHOME|HOME|TMPDIR|XDG_\w+|LANG|LANGUAGE|LC_\w+|TZ|"
    r"FONTCONFIG_\w+|ESPEAK_DATA_PATH|APERTIUM_\w+"
)
"""The variables that programs are told: where things are, and how people write here. The rest of ours gives access to
databases, buckets and services, which is no business of a program that reads strangers' files."""

PACKAGES = {
    "ffmpeg": "ffmpeg",
    "ffprobe": "ffmpeg",
    "espeak-ng": "espeak-ng",
    "apertium": "apertium",
    "flite": "flite",
    "prlimit": "util-linux",
}
"""Debian's package for each program that a hint may name."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use. ``None`` leaves the system's own limit."""

    wall_s: float = 4 * 3600
    file_bytes: int | None = None  # largest file it may write
    memory_bytes: int | None = None  # address space
    cpu_s: int | None = None
    network: bool = False  # whether it may reach any other machine, or this one by its network

    def words(self) -> list[str]:
        """What stands before the program's own arguments."""
        bounds = (("fsize", self.file_bytes), ("as", self.memory_bytes), ("core", 0))
        words = [find("prlimit"), *(f"--{name}={value}" for name, value in bounds if value is not None)]
        if self.cpu_s is not None:
            words.append(f"--cpu={self.cpu_s}:{self.cpu_s + CPU_GRACE_S}")
        return words if self.network else [*words, *without_network()]


UNLIMITED = Limits()


class Stoppable(Protocol):
    """Work inside this process that a person may stop as a program is stopped."""

    def stop(self) -> None:
        """Give up what runs, from any thread, without waiting for it; whoever waits for it gets ``Cancelled``."""


@dataclass(slots=True)
class _Running:
    """The programs of this process, and what else runs in it. Weakly: what nobody holds any more has ended."""

    programs: weakref.WeakSet[subprocess.Popen[bytes]] = field(default_factory=weakref.WeakSet)
    others: weakref.WeakSet[Stoppable] = field(default_factory=weakref.WeakSet)
    stoppable: int = 0  # how many are inside ``stoppable``
    stopped: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


_running = _Running()


def stop_all() -> None:
    """End every program that runs, whichever thread waits for it (it gets ``ToolFailed``), and what else runs here.
    Inside ``stoppable`` nothing is started then: ``start`` raises ``Cancelled`` until it is left."""
    with _running.lock:
        _running.stopped = _running.stoppable > 0
        running = [process for process in _running.programs if process.poll() is None]
        others = tuple(_running.others)
    for other in others:
        other.stop()
    for process in running:
        kill(process)


def stopped_with_programs(other: Stoppable) -> None:
    """Have ``stop_all`` stop this too, as long as somebody holds it."""
    with _running.lock:
        _running.others.add(other)


def raise_if_stopped() -> None:
    """Raise ``Cancelled`` where nothing is to be started any more."""
    if _running.stopped:
        raise stopped()


def stopped() -> Cancelled:
    """What is raised by whatever ``stop_all`` stopped."""
    return Cancelled("the work was cancelled", hint="start it again to go on from here")


@contextmanager
def stoppable() -> Iterator[None]:
    """Work that ``stop_all`` stops for good; afterwards programs may be started again."""
    with _running.lock:
        _running.stoppable += 1
    try:
        yield
    finally:
        with _running.lock:
            _running.stoppable -= 1
            _running.stopped = _running.stopped and _running.stoppable > 0


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


SECRETS = "/run/secrets"  # where Compose and our chart mount them
EMPTY_NETWORK = (("unshare", "--net"), ("unshare", "--user", "--map-current-user", "--net"))
"""As root, who would lose the right to other people's files in a user namespace; as anybody."""
CONFINED = ((sys.executable, "-I", "-S", str(Path(__file__).with_name("confined.py")), SECRETS),)


@cache
def without_network() -> tuple[str, ...]:
    """The words that start a program without any network: in an empty one, or, where this machine refuses that (as most
    containers do) or there are secrets to be hidden, confined. None where it refuses both. Found out once."""
    for tool, *options in (*CONFINED, *EMPTY_NETWORK) if Path(SECRETS).exists() else (*EMPTY_NETWORK, *CONFINED):
        path, nothing = shutil.which(tool), shutil.which("true")
        if path is None or nothing is None:
            continue
        tried = subprocess.run(
            [path, *options, nothing],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if tried.returncode == 0:
            return (path, *options)
    return ()


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
            raise too_late(argv[0], limits) from None
        except BaseException:
            kill(process)
            raise
    ran = ended(argv[0], process.returncode, stdout, stderr)
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
    """Start a program whose pipes the caller feeds or reads; the caller ends it with ``kill`` if it must. Of our
    environment it is told ``PASSED_ON``, and ``environment`` besides."""
    program = find(argv[0])
    with _running.lock:
        raise_if_stopped()
        process = subprocess.Popen(
            [*limits.words(), program, *argv[1:]],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd,
            env={**_passed_on(), **(environment or {})},
            start_new_session=True,
        )
        _running.programs.add(process)
    return process


def _passed_on() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}


@contextmanager
def deadline(process: subprocess.Popen[bytes], program: str, limits: Limits) -> Iterator[None]:
    """End a program at its deadline even where the caller is stuck in feeding or reading it.

    Raises ``ToolFailed`` then, whatever the caller noticed of it.
    """
    late = threading.Event()

    def end() -> None:
        late.set()
        kill(process)

    alarm = threading.Timer(limits.wall_s, end)
    alarm.daemon = True
    alarm.start()
    try:
        yield
    except Exception:
        if not late.is_set():
            raise
    finally:
        alarm.cancel()
    if late.is_set():
        raise too_late(program, limits)


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


def ended(program: str, returncode: int, stdout: bytes, stderr: bytes) -> Ran:
    """What is known of a program that ended. Raises ``Unavailable`` where it never began: a machine that is out of
    network namespaces says so in the words of a full disk, and neither the disk nor the user's file is at fault."""
    tail = stderr[-STDERR_TAIL_BYTES:].decode(errors="replace").strip()
    if returncode != 0 and LAUNCHER.match(tail):
        raise Unavailable(f"{program} could not be started ({tail})", hint="run again; see `speechmill doctor`")
    return Ran(returncode, stdout, tail)


def too_late(program: str, limits: Limits) -> ToolFailed:
    return ToolFailed(f"{program} did not end within {limits.wall_s:.0f} s", hint="run again, or raise the limit")


def raise_for(program: str, ran: Ran) -> None:
    """Turn a bad end into our words."""
    # ffmpeg ends well where it could write all but the end of a file, which no player opens then.
    if ran.returncode == 0 and not FULL.search(ran.stderr):
        return
    if FULL.search(ran.stderr) or ran.returncode == -signal.SIGXFSZ:
        raise DiskFull(
            f"the disk is full ({program} could not write)",
            hint="free some space and run the same command again; finished work is kept",
        )
    if ran.returncode == -signal.SIGXCPU:
        raise ToolFailed(f"{program} used more processor time than it may", hint="check the file that it was given")
    last = ran.stderr.splitlines()[-1] if ran.stderr else "it said nothing"
    raise ToolFailed(
        f"{program} failed ({ran.returncode}): {last}",
        hint="run again; if it fails again, see `speechmill doctor`",
        stderr=ran.stderr,
    )
