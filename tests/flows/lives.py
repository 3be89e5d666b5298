"""One job in many lives: a process of its own for each, which ends in the first stage that none before it ended in.

    kill|cancel dub|podcast REQUEST

It is started by the forge, and every life is a fork. What became of each is one line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.start import absolute, job_for, run_job
from speechmill.episodes import PodcastRequest
from speechmill.errors import SpeechmillError
from speechmill.recipes import Recipe
from speechmill.requests import DubbingRequest
from speechmill.settings import settings
from storage.artifacts import Artifact, ArtifactStore
from tasks.workplace import open_catalog

SLOW_S = 0.5  # of everything that is made in the stage in which a person cancels: as long as in a film of two hours
MOST_LIVES = 60


@dataclass
class Fate:
    """Progress of a life, and its end."""

    act: str
    met: frozenset[str]  # stages that an earlier life has ended in
    tell: Callable[[dict[str, Any]], None]
    cancel: Callable[[], None]
    now: str = ""
    asked_s: float = 0.0
    begun_s: list[float] = field(default_factory=list)  # after the job was cancelled

    def say(self, sentence: str) -> None: ...

    def stage(self, name: str, done: int, total: int | None) -> None:  # noqa: ARG002
        if self.asked_s and done == 0:
            self.begun_s.append(time.monotonic() - self.asked_s)
        if name != self.now and name not in self.met and self.act == "cancel" and not self.asked_s:
            self.tell({"stage": name})
            self.cancel()
            self.asked_s = time.monotonic()
        self.now = name

    def stage_ended(self, name: str, seconds: float, made: int, reused: int) -> None:  # noqa: ARG002
        self.die("at its end")

    def die(self, where: str) -> None:
        if self.act == "kill" and self.now not in self.met:
            self.tell({"stage": self.now, "where": where})
            os.kill(os.getpid(), signal.SIGKILL)

    def making(self, make: Callable[[Path], None], out: Path) -> None:
        """Something is made; nothing of it is kept yet when this returns."""
        if self.asked_s:
            self.begun_s.append(time.monotonic() - self.asked_s)
            time.sleep(SLOW_S)
        make(out)
        self.die("half way")


def live(fate: Fate, job: str) -> None:
    """Run the job until its fate is met, or to its end."""
    make = ArtifactStore._make

    def _make(self: ArtifactStore, recipe: Recipe, made: Callable[[Path], None], suffix: str) -> Artifact:
        return make(self, recipe, lambda out: fate.making(made, out), suffix)

    ArtifactStore._make = _make  # type: ignore[method-assign]
    catalog = open_catalog(settings())
    fate.cancel = lambda: catalog.request_cancel(job)
    said = ""
    try:
        run_job(job, settings(), catalog, fate, prefect=False)
    except SpeechmillError as error:
        said = error.code
    took_s = time.monotonic() - fate.asked_s if fate.asked_s else 0.0
    fate.tell({"said": said, "took_s": took_s, "begun_s": max(fate.begun_s, default=0.0)})


def main() -> None:
    act, kind, asked = sys.argv[1:4]
    request = (DubbingRequest if kind == "dub" else PodcastRequest).model_validate_json(asked)
    met: set[str] = set()
    job = ""
    for _ in range(MOST_LIVES):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            with os.fdopen(writing, "w", buffering=1) as out:

                def tell(fact: dict[str, Any], out: Any = out) -> None:
                    out.write(f"{json.dumps(fact)}\n")

                if not job:
                    catalog = open_catalog(settings())
                    job = job_for(
                        kind, absolute(request), settings(), catalog, "out", Fate("", frozenset(), tell, list)
                    ).id
                    catalog.close()
                    tell({"job": job})
                live(Fate(act, frozenset(met), tell, list), job)
            os._exit(0)
        os.close(writing)
        life: dict[str, Any] = {}
        with os.fdopen(reading) as told:
            for line in told:
                life |= json.loads(line)
        life["status"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out = Path(request.out or "")
        life["out"] = sorted(path.name for path in out.parent.iterdir() if path.name.startswith((out.name, ".")))
        scratch = settings().scratch
        life["scratch"] = [str(path) for path in scratch.rglob("*") if path.is_file() and path.stat().st_size]
        job = life.get("job", job)
        print(json.dumps(life), flush=True)  # noqa: T201
        if "stage" not in life:
            return
        met.add(life["stage"])
