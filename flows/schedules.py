"""Schedules that the settings ask for: the drop folder is looked at every so often, a batch begins at some time of the
day. What people gave a deployment in Prefect's UI stays beside them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from speechmill.errors import BadInput
from speechmill.settings import Settings

if TYPE_CHECKING:
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.objects import DeploymentSchedule

SLUGS = {"ingest": "drop-folder", "batch": "nightly"}
"""Of each deployment that may have a schedule of ours, how that is told from those of people."""


def schedules(deployment: str, chosen: Settings) -> list[DeploymentScheduleCreate] | None:
    """The schedules that a deployment is to have: what people gave it, and ours, by the settings. ``None`` where it has
    these: schedules that are written anew lose the runs that were planned by them. Raises ``BadInput`` for times that
    are none."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate

    if deployment not in SLUGS:
        return None
    wanted, there = _wanted(deployment, chosen), _there(deployment)
    ours = [each for each in there if each.slug == wanted.slug]
    if [_essence(each) for each in ours] == [_essence(wanted)] or (not wanted.active and not any(_on(ours))):
        return None
    # One that is off stays, switched off: a list without any is taken for one that was not given.
    kept = [
        DeploymentScheduleCreate(schedule=each.schedule, active=each.active, parameters=each.parameters, slug=each.slug)
        for each in there
        if each.slug != wanted.slug
    ]
    return [*kept, wanted]


def _wanted(deployment: str, chosen: Settings) -> DeploymentScheduleCreate:
    """Our own schedule of a deployment; one that is off where the settings ask for none."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
    from pydantic import ValidationError

    slug = SLUGS[deployment]
    if deployment == "ingest":
        every = timedelta(seconds=chosen.drop_schedule_s) or timedelta(hours=1)
        return DeploymentScheduleCreate(
            schedule=IntervalSchedule(interval=every), active=chosen.drop_schedule_on, slug=slug
        )
    try:
        cron = CronSchedule(cron=chosen.batch_cron or "0 0 * * *", timezone=chosen.batch_timezone)
    except ValidationError as error:
        name = f"SPEECHMILL_BATCH_{str(error.errors()[0]['loc'][-1]).upper()}"
        raise BadInput(
            f"the setting {name} is wrong: {error.errors()[0]['msg']}", hint="write “0 2 * * *” for two o'clock"
        ) from None
    parameters: dict[str, Any] = {"request": {"manifest": chosen.batch_manifest}} if chosen.batch_manifest else {}
    return DeploymentScheduleCreate(
        schedule=cron, active=bool(chosen.batch_cron and chosen.batch_manifest), parameters=parameters, slug=slug
    )


def _there(deployment: str) -> list[DeploymentSchedule]:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            return client.read_deployment_by_name(f"{deployment}/{deployment}").schedules
        except ObjectNotFound:
            return []


def _on(schedules: list[DeploymentSchedule]) -> list[bool | None]:
    return [each.active for each in schedules]


def _essence(schedule: DeploymentSchedule | DeploymentScheduleCreate) -> tuple[object, ...]:
    """What we decide about a schedule: not since when it counts."""
    when = schedule.schedule
    return (
        schedule.active,
        getattr(when, "interval", None),
        getattr(when, "cron", None),
        getattr(when, "timezone", None) if hasattr(when, "cron") else None,
        schedule.parameters or {},
    )
