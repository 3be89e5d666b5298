"""The relay: jobs of the outbox are started, by Prefect where there is a server that stays, else in this process.

At least once: a relay that is killed leaves a claim that runs out, and the next one starts the job again. Prefect takes
the same idempotency key for the same run; in this process a job that is finished is not run again.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from flows.keeping import kept
from flows.progress import StreamProgress
from flows.running import by_a_service
from flows.start import run_job
from speechmill.errors import BadInput, Conflict, LeaseLost, SpeechmillError
from speechmill.settings import Settings
from storage.catalog import Catalog, DropState, Errand, Job, JobState
from storage.places import place_at
from tasks.stages import Progress

BUSY_S = 5.0  # a job that another process of this machine runs is looked at again after this


class Relay:
    """Starts the jobs of one place (or of all), for one process."""

    def __init__(self, chosen: Settings, catalog: Catalog, place: str, *, prefect: bool, at_once: int = 0) -> None:
        self._settings = chosen
        self._catalog = catalog
        self._place = place
        self._prefect = prefect
        self._at_once = at_once or chosen.drop_jobs
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"

    def next(self, progress: Progress | None = None) -> bool:
        """Start the next job that is due, and in this process run it to its end; whether there was one.

        What stops a job is kept in the catalog and not raised; being interrupted is, and leaves the job to be gone on
        with.
        """
        errand = self._catalog.claim_errand(self._owner, self._settings.drop_lease_s, self._place, self._at_once)
        if errand is None:
            return False
        with self._kept(errand), suppress(LeaseLost):
            try:
                run = self._start(errand, progress or StreamProgress())
            except Conflict:  # somebody else runs it just now
                self._catalog.errand_left(errand, BUSY_S)
            except BaseException:
                with suppress(SpeechmillError):
                    self._catalog.errand_left(errand)
                raise
            else:
                self._catalog.errand_done(errand, run)
        return True

    def _start(self, errand: Errand, progress: Progress) -> str | None:
        """Start a job, and in this process run it to its end; the flow run that Prefect has made for it, if it has.
        Raises ``Conflict`` where the job is run by somebody already."""
        job = self._catalog.job(errand.job_id)
        if job.state.is_completed or job.state is JobState.CANCELLED or self._was_replaced(job):
            return None
        if self._prefect:
            try:
                return start_by_prefect(errand, job.kind, job.request, self._settings)
            except BadInput as error:
                self._catalog.move_job(job.id, JobState.FAILED, code=error.code, message=str(error))
                return None
        progress.say(f"job {job.id}: {job.kind} of {job.request['source']}")
        try:
            run_job(job.id, self._settings, self._catalog, progress, prefect=False, interrupted=by_a_service)
        except Conflict:
            raise
        except SpeechmillError as error:
            progress.say(f"job {job.id}: {error}")
        return None

    def _was_replaced(self, job: Job) -> bool:
        """Whether what was dropped is no longer what the job is for: then nothing is made of it, and what lies there
        now has a row of its own."""
        drop = self._catalog.drop_of(job.id)
        if drop is None or "://" not in drop.place or job.state is not JobState.QUEUED:
            return False
        found = place_at(drop.place, self._settings).head(drop.key)
        if found is not None and found.etag == drop.etag:
            return False
        claimed = self._catalog.claim_drops([drop.id], DropState.ACCEPTED, self._owner, self._settings.drop_lease_s, 1)
        for each in claimed:
            self._catalog.move_job(job.id, JobState.CANCELLED, reason="what was dropped was taken away or replaced")
            self._catalog.move_drop(each, DropState.GONE)
        return bool(claimed)

    @contextmanager
    def _kept(self, errand: Errand) -> Iterator[None]:
        """Keep a claim while the work goes on."""
        lease_s = self._settings.drop_lease_s
        with kept(lambda: self._catalog.renew_errand(errand, lease_s), lease_s / 4):
            yield


def start_by_prefect(errand: Errand, kind: str, request: dict[str, object], chosen: Settings) -> str:
    """Have Prefect run a job, by the deployment of its kind; asking twice is asking once. The flow run; raises
    ``Unavailable``."""
    from flows.prefect_runs import prepare, reached

    prepare(chosen, logging="WARNING")
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import DeploymentFlowRunCreate
    from prefect.states import Scheduled, to_state_create

    name = errand.name if errand.attempt == 1 else f"{errand.name}#{errand.attempt}"
    # What was asked is judged already, and may be more than the form has: a profile of one's own, say.
    run = DeploymentFlowRunCreate(
        name=errand.job_id,
        parameters={"request": request, "job": errand.job_id},
        enforce_parameter_schema=False,
        idempotency_key=name,
        state=to_state_create(Scheduled()),
    )
    with reached(), get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(f"{kind}/{kind}")
        begun = client.request(
            "POST",
            "/deployments/{id}/create_flow_run",
            path_params={"id": deployment.id},
            json=run.model_dump(mode="json", exclude_unset=True),
        )
    return str(begun.json()["id"])
