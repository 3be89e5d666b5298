"""A service that stops is no person who cancels: what it ran goes on, by itself, when it is started again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flows.serving import ONE_SERVER, Serving
from tests.flows.test_studio import answered, film, long_dub, paused

pytestmark = ONE_SERVER


@pytest.fixture(scope="module")
def mill(serving: Callable[..., Serving]) -> Serving:
    return serving("mill", SPEECHMILL_RUNS="4")


def states(mill: Serving, run: str) -> list[tuple[str, str]]:
    """The states that a run was in, and why."""
    found: list[dict[str, Any]] = mill.ask(f"flow_run_states/?flow_run_id={run}").body
    told = sorted(found, key=lambda state: str(state["timestamp"]))
    return [(state["name"], f"{state['timestamp'][11:19]} {state['message']}") for state in told]


@pytest.mark.slow
@pytest.mark.parametrize("by", ["container", "terminal"])
def test_runs_go_on_when_the_service_that_was_stopped_runs_again(
    mill: Serving, folder: Path, long_recording: dict[str, str], by: str
) -> None:
    """One that works, one that waits for a person; in a container also one whose process is just being started."""
    language = {"container": "it", "terminal": "pt"}[by]
    working = mill.run("dub", request=long_dub(long_recording, language))
    waiting = mill.run("dub", request=film(folder, targets=[language], approve=["transcript"]))
    runs = [working, waiting]
    question = paused(mill, waiting)
    job = mill.job_of(working)
    mill.wait_for_stage(job, f"speak {language}")
    if by == "container":
        asked = {"source": str(folder / "talk.en.srt"), "engines": {"speak": "rehearsal"}}
        runs.append(mill.run("podcast", request=asked))
        mill.wait(runs[-1], "PENDING", "RUNNING")
        mill.stop()
    else:
        mill.interrupt()
    assert "stopped; runs that were under way go on when it is started again" in mill.logs()
    assert "never awaited" not in mill.logs()
    for run in runs:
        assert mill.processes(PREFECT__FLOW_RUN_ID=run) == []
        state = mill.of(run)["state"]
        assert (state["type"], state["name"]) == ("SCHEDULED", "PutBack"), (state["message"], mill.logs())
    assert mill.facts(job)["state"] == "queued"

    mill.start()
    paused(mill, waiting, after=question)
    assert answered(mill, waiting, decision="approve")
    for run in runs:
        ended = mill.wait(run)
        assert ended["state"]["type"] == "COMPLETED", ended["state"]
    report = mill.report(job)
    takes = sum(line["takes"] for line in report["targets"][language]["lines"])
    assert report["work"]["speak_calls"] < takes  # what was spoken before is not spoken again
    for run in (working, waiting):
        found = states(mill, run)
        assert not {"Crashed", "Cancelled"} & {name for name, _ in found}, found
