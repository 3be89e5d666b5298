"""What benchmarks measure with: a command's time, its largest process, its report, and rows of a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "flows.cli"]


@dataclass(frozen=True)
class Row:
    what: str
    measured: float
    most: float
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.measured <= self.most

    def line(self) -> str:
        met = "yes" if self.met else "NO"
        return f"| {self.what} | {self.measured:.2f}{self.unit} | {self.most:g}{self.unit} | {met} |"


@dataclass(frozen=True)
class Run:
    seconds: float
    peak_mb: float  # of the largest process
    result: dict[str, Any]


def timed(argv: list[str], env: dict[str, str] | None = None) -> Run:
    """Run a command to its end; its wall time, and the largest resident set of it and all it started."""
    began = time.monotonic()
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    assert process.stdout is not None
    assert process.stderr is not None
    peak = 0.0
    os.set_blocking(process.stdout.fileno(), False)
    os.set_blocking(process.stderr.fileno(), False)
    out, err = b"", b""
    while process.poll() is None:
        peak = max(peak, *(resident_mb(pid) for pid in family(process.pid)))
        out += process.stdout.read() or b""
        err += process.stderr.read() or b""
        time.sleep(0.1)
    os.set_blocking(process.stdout.fileno(), True)
    out += process.stdout.read() or b""
    if process.returncode not in (0, 5):
        sys.exit(f"{argv[:3]} failed ({process.returncode}): {err.decode()[-2000:]}")
    return Run(time.monotonic() - began, peak, json.loads(out) if out.strip().startswith(b"{") else {})


def family(pid: int) -> list[int]:
    """A process and all its descendants, as far as they still run."""
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += family(int(child))
    except OSError:
        pass
    return found


def resident_mb(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def report(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(run.result["report"]).read_text("utf-8"))
    return found


def stages(run: Run) -> str:
    return ", ".join(f"{stage['name']} {stage['seconds']:.1f}" for stage in report(run)["stages"])


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def table(rows: Sequence[Row]) -> int:
    """Print the rows; the exit status: whether one was missed."""
    say("")
    say("| what | measured | at most | met |\n|---|---|---|---|\n" + "\n".join(row.line() for row in rows))
    return 0 if all(row.met for row in rows) else 1
