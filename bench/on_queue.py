"""The row of the queue: 2,000 lines of `rehearsal` through Redis and PostgreSQL, two workers of eight threads.

    python bench/on_queue.py [--lines 2000] [--workers 2] [--threads 8]

Everything runs on this machine: both servers, the workers, and the flow that waits. Lines a second count from the
first order to the last result in hand; the waiting flow's share of a core is its CPU time over the same time, after
what it takes to order everything and to send the messages, which is once and is printed beside it.
"""

from __future__ import annotations

import argparse
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from flows.progress import StreamProgress
from model_worker.app import Sender
from model_worker.engines.registry import engine
from speechmill.abilities import Utterance
from speechmill.lines import Line
from speechmill.settings import Settings
from speechmill.takes import Verdict
from speechmill.voices import Voice
from storage.catalog import JobState
from tasks.speaking import assign, speak_takes, speaks_of
from tasks.waiting import OnQueue
from tasks.workplace import Workplace, open_catalog, workplace

LEAST_LINES_PER_S = 150.0
MOST_OF_A_CORE = 0.10
START_S = 60.0
WORDS = [
    "the",
    "train",
    "leaves",
    "at",
    "nine",
    "and",
    "we",
    "take",
    "two",
    "tickets",
    "for",
    "the",
    "last",
    "carriage",
]


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL server on a socket, with its own settings, as it comes."""
    programs = Path(subprocess.check_output(["pg_config", "--bindir"], text=True).strip())
    user = None
    if os.getuid() == 0:  # the server refuses to run as root
        user = "postgres"
        pwd.getpwnam(user)
        shutil.chown(folder, user)
    data = folder / "data"

    def run(*argv: str) -> None:
        subprocess.run(argv, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)

    run(str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", "speechmill", "-E", "UTF8")
    control = [str(programs / "pg_ctl"), "-D", str(data), "-w", "-s", "-l", str(folder / "log")]
    run(*control, "-o", f"-c listen_addresses='' -k {folder}", "start")
    try:
        yield f"postgresql+psycopg://speechmill@/postgres?host={folder}"
    finally:
        run(*control, "-m", "immediate", "stop")


@contextmanager
def running(argv: list[str], log: Path, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, env=env)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def until(what: str, is_so: Callable[[], bool], log: Path) -> None:
    """Wait for a server; where it does not start, its log says why."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > START_S:
            sys.exit(f"{what} did not start in {START_S:.0f} s; its log ends so:\n{log.read_text()[-2000:]}")
        time.sleep(0.1)


def until_says(what: str, word: bytes, log: Path) -> None:
    """Wait for a word in the log of a server."""
    until(what, lambda: word in log.read_bytes(), log)


def ordered(place: Workplace, count: int) -> list[object]:
    """A job with so many short lines, two speakers, and what is asked of each."""
    chosen = engine("rehearsal", place.settings)
    voices = [Voice("tone a", "rehearsal", {"pitch_hz": 110.0}), Voice("tone b", "rehearsal", {"pitch_hz": 205.0})]
    texts = [f"{number}: " + " ".join(WORDS[(number + n) % len(WORDS)] for n in range(6)) for number in range(count)]
    lines = [Line(f"{number:04}", "AB"[number % 2], "es", text) for number, text in enumerate(texts)]
    place.catalog.put_lines(place.job, "es", lines)
    return [
        assign(line.id, voices[number % 2], Utterance(line.text, "es"), 1, speaks_of(chosen))
        for number, line in enumerate(lines)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=8)
    chosen = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="speechmill-queue-")))
        folder.chmod(0o755)
        (folder / "pg").mkdir()
        database = stack.enter_context(postgres(folder / "pg"))
        socket = folder / "redis.sock"
        broker = stack.enter_context(
            running(["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", ""], folder / "redis.log")
        )
        until("Redis", socket.exists, folder / "redis.log")
        env = {
            **os.environ,
            "SPEECHMILL_HOME": str(folder / "home"),
            "SPEECHMILL_DATABASE_URL": database,
            "SPEECHMILL_BROKER_URL": f"unix://{socket}",
            "SPEECHMILL_ENGINE": "rehearsal",
        }
        settings = Settings(
            home=folder / "home", database_url=database, broker_url=f"unix://{socket}", engine="rehearsal"
        )
        catalog = open_catalog(settings)
        logs = [folder / f"worker{number}.log" for number in range(chosen.workers)]
        argv = [sys.executable, "-m", "flows.cli", "worker", "--queue", "cpu.speech", "--threads", str(chosen.threads)]
        workers = [stack.enter_context(running(argv, log, env)) for log in logs]
        for log in logs:
            until_says("a worker", b"ready", log)
        job = catalog.add_job("dub", {}, "bench")
        catalog.move_job(job.id, JobState.RUNNING)
        place = workplace(settings, catalog, job.id, StreamProgress())
        given = ordered(place, chosen.lines)
        servers = {"Redis": [broker.pid], "PostgreSQL": _backends(folder / "pg")}
        spent = [_cpu_s(each.pid) for each in workers]
        served = {name: sum(map(_cpu_s, pids)) for name, pids in servers.items()}
        sent = _time_sending()
        own, began = time.process_time(), time.monotonic()
        takes = speak_takes(place, "es", given, lambda *_: None, engine("rehearsal", settings), None)  # type: ignore[arg-type]
        seconds, ordering = time.monotonic() - began, sum(sent)
        waiting = time.process_time() - own - ordering
        passed = sum(take.verdict is Verdict.PASSED for tried in takes.values() for take in tried)
        each = [_cpu_s(worker.pid) - before for worker, before in zip(workers, spent, strict=True)]
        servers["PostgreSQL"] = _backends(folder / "pg")
        served = {name: sum(map(_cpu_s, pids)) - served[name] for name, pids in servers.items()}
        catalog.close()
    rate, share = chosen.lines / seconds, waiting / seconds
    sys.stdout.write(
        f"{passed} of {chosen.lines} lines passed in {seconds:.1f} s; CPU: "
        f"flow {ordering:.1f} s to order and send, {waiting:.1f} s to wait, "
        f"workers {', '.join(f'{s:.1f} s' for s in each)}, "
        f"{', '.join(f'{name} {s:.1f} s' for name, s in served.items())}\n\n"
        "| what | measured | at least / at most | met |\n|---|---|---|---|\n"
        f"| lines a second, end to end | {rate:.0f} | {LEAST_LINES_PER_S:.0f} | {_met(rate >= LEAST_LINES_PER_S)} |\n"
        f"| the waiting flow, of a core | {share:.0%} | {MOST_OF_A_CORE:.0%} | {_met(share <= MOST_OF_A_CORE)} |\n"
    )
    return 0 if passed == chosen.lines and rate >= LEAST_LINES_PER_S and share <= MOST_OF_A_CORE else 1


def _time_sending() -> list[float]:
    """Where the CPU seconds of every ordering and sending of messages will be."""
    spent: list[float] = []

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **named: Any) -> Any:
            began = time.process_time()
            try:
                return function(*args, **named)
            finally:
                spent.append(time.process_time() - began)

        return run

    Sender.send = timed(Sender.send)  # type: ignore[method-assign]
    OnQueue._ordered = timed(OnQueue._ordered)  # type: ignore[method-assign]
    return spent


def _backends(folder: Path) -> list[int]:
    """The processes of a database server that are there now: one for each connection, and its own."""
    first = int((folder / "data" / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    return [first, *map(int, children)]


def _cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _met(met: bool) -> str:
    return "yes" if met else "NO"


if __name__ == "__main__":
    sys.exit(main())
