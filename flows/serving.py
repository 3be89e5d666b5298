"""Serving: the deployments are registered with a Prefect server, and their runs are run in processes of their own.

The automation that this keeps on the server marks runs crashed whose process and runner are both gone: Prefect sends
signs of life of runs but, by itself, draws no conclusion from their absence.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flows.prefect_runs import answers, lasting_server, prepare, reached
from flows.schedules import schedules
from flows.settling import settle_here
from flows.stopping import PUT_BACK
from speechmill.errors import Unavailable
from speechmill.settings import Settings
from tasks.workplace import open_catalog

if TYPE_CHECKING:
    from prefect.automations import AutomationCore
    from prefect.deployments.runner import RunnerDeployment

    from flows.deployments import Deployed

POLL_S = 2  # a person who pressed “Run” waits for this; Prefect's own default is 10
SETTLE_S = 10.0
AUTOMATION = "speechmill: lost runs have crashed"
ENDS = ("Completed", "Failed", "Cancelled", "Crashed", PUT_BACK)  # after which no sign of life is to be expected


def serve(chosen: Settings, say: Callable[[str], None]) -> None:
    """Register the deployments and run what is asked of them, until a signal ends it. Raises ``Unavailable`` where
    there is no server."""
    server = server_answers(chosen)
    os.environ.setdefault("PREFECT_RUNNER_POLL_FREQUENCY", str(POLL_S))
    os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", str(chosen.heartbeat_s))
    prepare(chosen, logging="INFO")
    from flows.deployments import DEPLOYMENTS, TAG
    from flows.runners import Served, run_until_told

    # A batch waits for runs of its own: with one limit for both, batches could take every place that these need.
    lookers = sum(deployed.most_runs for deployed in DEPLOYMENTS if deployed.looks_after)
    jobs, looks = (
        Served(name=name, limit=limit, query_seconds=POLL_S, pause_on_shutdown=False)
        for name, limit in ((TAG, chosen.runs), (f"{TAG} looking after", lookers))
    )
    with reached():
        keep_automation(chosen)
        for deployed in DEPLOYMENTS:
            (looks if deployed.looks_after else jobs).add_deployment(_registered(deployed, chosen))
    threading.Thread(target=_settle_on, args=(chosen, say), name="lost runs", daemon=True).start()
    serves = f"serving {', '.join(deployed.name for deployed in DEPLOYMENTS)} for {server}"
    asyncio.run(run_until_told([jobs, looks], lambda: say(serves)))
    say("stopped; runs that were under way go on when it is started again")


def _registered(deployed: Deployed, chosen: Settings) -> RunnerDeployment:
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.deployments.runner import RunnerDeployment
    from prefect.types.entrypoint import EntrypointType

    from flows.deployments import TAG

    on_collision = ConcurrencyLimitStrategy.CANCEL_NEW if deployed.skips else ConcurrencyLimitStrategy.ENQUEUE
    registered = deployed.flow.to_deployment(
        deployed.name,
        description=deployed.description,
        tags=[TAG, *deployed.tags],
        concurrency_limit=ConcurrencyLimitConfig(limit=deployed.most_runs, collision_strategy=on_collision),
        entrypoint_type=EntrypointType.MODULE_PATH,
        schedules=schedules(deployed.name, chosen),
    )
    assert isinstance(registered, RunnerDeployment)  # a coroutine only inside an event loop
    return registered


def server_answers(chosen: Settings) -> str:
    """The server to register with; raises ``Unavailable`` where there is none, or it does not answer."""
    server = lasting_server(chosen)
    if server is None:
        raise Unavailable(
            "there is no Prefect server to register with", hint="set PREFECT_API_URL, or run `speechmill up` instead"
        )
    if not answers(server):
        raise Unavailable(f"the Prefect server {server} does not answer", hint="start it, or correct PREFECT_API_URL")
    return server


def _settle_on(chosen: Settings, say: Callable[[str], None]) -> None:
    """Keep looking for jobs whose run ended when nobody was there to say so, and for what is not published yet."""
    from flows.lost_runs import Lookout

    catalog = open_catalog(chosen)
    lookout = Lookout(chosen, catalog)
    while True:
        with suppress(Exception):  # a server or a database that is away for a moment is asked again
            for job in lookout.look():
                say(f"the run of job {job} was lost; if nobody else does, `speechmill retake {job}` goes on with it")
        with suppress(Exception):
            settle_here(chosen, catalog)
        time.sleep(SETTLE_S)


def keep_automation(chosen: Settings) -> None:
    """Create the automation that marks lost runs crashed, or bring it up to date."""
    from prefect.automations import AutomationCore, EventTrigger, Posture
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState

    from flows.deployments import TAG

    wanted = AutomationCore(
        name=AUTOMATION,
        description=f"A run of Speechmill's without a sign of life for {chosen.lost_after_s} s has crashed.",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            match_related={"prefect.resource.id": [f"prefect.tag.{TAG}"], "prefect.resource.role": "tag"},
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{end}" for end in ENDS)},
            for_each={"prefect.resource.id"},
            within=timedelta(seconds=chosen.lost_after_s),
            threshold=1,
        ),
        actions=[
            ChangeFlowRunState(
                name="Crashed",
                state=StateType.CRASHED,
                force=True,
                message=f"no sign of life for {chosen.lost_after_s} s; the deployment retake goes on with the job",
            )
        ],
    )
    with get_client(sync_client=True) as client:
        existing = client.read_automations_by_name(AUTOMATION)
        if not existing:
            client.create_automation(wanted)
        elif _essence(existing[0]) != _essence(wanted):
            # Only then: an automation that is changed forgets the runs whose signs of life it waits for.
            client.update_automation(existing[0].id, wanted)


def _essence(automation: AutomationCore) -> dict[str, Any]:
    """What we decide about an automation, without what the server adds."""
    return automation.model_dump(
        include={"name": True, "description": True, "enabled": True}
        | {"trigger": {"match", "match_related", "after", "expect", "for_each", "posture", "within", "threshold"}}
        | {"actions": {"__all__": {"type", "name", "state", "message", "force"}}}
    )
