"""A service that stops is no person who cancels: what it ran goes on, by itself, when it is started again."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.flows.serving import ONE_SERVER, Serving
from tests.flows.test_studio import answered, film, long_dub, paused
from tests.forge import Forge
from tests.servers import free_port, prefect_served

pytestmark = ONE_SERVER
AWAY_S = 30.0  # by then a runner of Prefect has given up to listen for cancels


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
    places = mill.ask("deployments/name/dub/dub").body["global_concurrency_limit"]
    assert places["active_slots"] == 0


@pytest.mark.parametrize("deployment", ["ingest", "digest"])
def test_schedules_that_people_have_given_stay_as_they_are_when_it_starts_again(mill: Serving, deployment: str) -> None:
    """By a clock that is set forward and back twice a year, and paused or not."""
    found = mill.ask(f"deployments/name/{deployment}/{deployment}").body
    nightly = {"cron": "30 2 * * *", "timezone": "Europe/Madrid"}
    for active in (True, False):
        given = [{"schedule": nightly, "active": active, "slug": f"mine-{active}"}]
        assert mill.ask(f"deployments/{found['id']}/schedules", given).status == 201

    def schedules() -> list[tuple[str, str, bool]]:
        now = mill.ask(f"deployments/name/{deployment}/{deployment}").body["schedules"]
        return sorted((each["slug"], each["schedule"].get("timezone", ""), each["active"]) for each in now)

    before = schedules()
    assert ("mine-True", "Europe/Madrid", True) in before
    assert ("mine-False", "Europe/Madrid", False) in before
    mill.stop()
    mill.start()
    assert schedules() == before


@pytest.mark.slow
def test_a_prefect_server_that_restarts_costs_no_run(
    forge: Forge, tmp_path: Path, long_recording: dict[str, str]
) -> None:
    """Its runs go on meanwhile, others are begun afterwards, and who cancels one is heard."""
    folder, port = tmp_path / "prefect", free_port()
    folder.mkdir()
    with ExitStack() as first:
        url = first.enter_context(prefect_served(port, folder))
        machine = Serving(tmp_path / "machine", url, forge)
        try:
            machine.wait_until_it_serves()
            run = machine.run("dub", request=long_dub(long_recording, "sv", "da"))
            job = machine.job_of(run)
            machine.wait_for_stage(job, "speak sv")
            first.close()
            time.sleep(AWAY_S)
            assert machine.process.poll() is None, machine.logs()
            with prefect_served(port, folder):
                ended = machine.wait(run)
                assert ended["state"]["type"] == "COMPLETED", ended["state"]
                assert machine.facts(job)["state"].startswith("completed")
                begun = [event["what"] for event in machine.facts(job)["events"] if "→ running" in event["what"]]
                assert len(begun) == 1
                other = machine.run("dub", request=long_dub(long_recording, "nb"))
                machine.wait_for_stage(machine.job_of(other), "speak nb")
                machine.ask(f"flow_runs/{other}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})
                machine.until(lambda: machine.processes(PREFECT__FLOW_RUN_ID=other), lambda found: not found, 40)
                assert machine.wait(other)["state"]["type"] == "CANCELLED", (
                    f"{states(machine, other)}\n{machine.logs()}"
                )
        finally:
            machine.process.kill()
            machine.process.wait()
