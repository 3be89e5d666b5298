"""Runs under Prefect: each step of a flow is one task run. Prefect's cache and result storage stay off; facts are in
the catalog and results are artifacts.

Without ``PREFECT_API_URL``, and without a ``speechmill up`` on this machine, Prefect's temporary server runs beside the
job; its database is kept in ``$SPEECHMILL_HOME/prefect``, so that past runs are there to be shown.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from flows.kinds import runner
from flows.steps import Question
from speechmill.errors import BadInput, Cancelled, ServiceRefused, SpeechmillError, Unavailable
from speechmill.settings import Settings, in_file
from storage.catalog import Catalog, JobState
from tasks.stages import Progress

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

Given = ParamSpec("Given")
Made = TypeVar("Made")

LOGIN = "PREFECT_API_AUTH_STRING"  # Prefect's own; of us it may be in a file, as any secret
SERVER_STARTUP_S = "120"  # a fresh database takes 12 s on a quick machine, over a minute on a slow one
ANSWERS_S = 5.0  # a busy one takes two for its first answer; one that is not there refuses at once


def home(chosen: Settings) -> Path:
    """Prefect's own folder. Prefect makes it, but not the one above it."""
    folder = chosen.home / "prefect"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def address_file(chosen: Settings) -> Path:
    """Where ``speechmill up`` notes the address of its server's API, for commands beside it."""
    return home(chosen) / "server.url"


def answers(api_url: str, path: str = "health") -> bool:
    """Whether a Prefect server answers there, and has what is asked for."""
    request = urllib.request.Request(f"{api_url.rstrip('/')}/{path}", headers=_credentials())
    try:
        with urllib.request.urlopen(request, timeout=ANSWERS_S) as reply:
            return bool(reply.status == 200)
    except (OSError, ValueError):
        return False


def _credentials() -> dict[str, str]:
    """What Prefect's own clients say of themselves to a server that asks."""
    key, password = os.environ.get("PREFECT_API_KEY"), os.environ.get("PREFECT_API_AUTH_STRING")
    if password:  # which goes before a key, as with these
        return {"Authorization": f"Basic {b64encode(password.encode()).decode()}"}
    return {"Authorization": f"Bearer {key}"} if key else {}


def lasting_server(chosen: Settings) -> str | None:
    """The API of the server that runs are reported to and stays when they end: that of ``PREFECT_API_URL``, or of the
    ``speechmill up`` on this machine. ``None`` where there is none."""
    named = os.environ.get("PREFECT_API_URL")
    if named:
        return named
    with suppress(OSError):
        noted = address_file(chosen).read_text("utf-8").strip()
        if noted and answers(noted):
            return noted
    return None


@contextmanager
def reached() -> Iterator[None]:
    """What goes wrong between us and Prefect's server, in our words: ``Unavailable`` where it is away or not ready for
    us, ``ServiceRefused`` where it does not know us, ``BadInput`` for what it does not take."""
    import httpx
    from prefect.exceptions import ObjectNotFound

    try:
        yield
    except ObjectNotFound:
        raise Unavailable("Prefect's server has no such deployment", hint="run `speechmill serve`, or `up`") from None
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        said = f"Prefect's server answers {status} ({error.response.reason_phrase})"
        if status in (401, 403):
            raise ServiceRefused(said, hint="set PREFECT_API_KEY, or PREFECT_API_AUTH_STRING") from error
        if status in (409, 413, 422):
            raise BadInput(f"{said}: it does not take what is asked", hint="see its log") from error
        raise Unavailable(said, hint="see its log; it is asked again") from error
    except httpx.HTTPError as error:
        where = os.environ.get("PREFECT_API_URL", "")
        raise Unavailable(
            f"the Prefect server {where} does not answer ({type(error).__name__})", hint="start it; it is asked again"
        ) from error


def prepare(chosen: Settings, *, logging: str = "CRITICAL") -> None:
    """Prefect reads its settings when it is imported, so this comes first."""
    server, login = lasting_server(chosen), in_file(LOGIN)
    defaults = {
        **({"PREFECT_API_URL": server} if server else {}),
        **({LOGIN: login} if login else {}),
        "PREFECT_HOME": str(home(chosen)),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": SERVER_STARTUP_S,
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": "",  # of the temporary server, which no browser is to read
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
        # Its temporary server complains at every end about events it could not flush any more; errors of ours are
        # told by us.
        "PREFECT_LOGGING_LEVEL": logging,
        "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


class PrefectSteps:
    """Steps as task runs, questions as paused runs."""

    def __init__(self, chosen: Settings, catalog: Catalog) -> None:
        self._settings = chosen
        self._catalog = catalog

    def __call__(self, name: str, work: Callable[Given, Made], *args: Given.args, **options: Given.kwargs) -> Made:
        from prefect import task
        from prefect.cache_policies import NO_CACHE
        from prefect.states import Failed

        made: list[Made] = []
        failed: list[SpeechmillError] = []

        # A closure without parameters: Prefect is told the name of the step, not the film.
        @task(name=name, cache_policy=NO_CACHE, persist_result=False)
        def run() -> State[Any] | None:
            try:
                made.append(work(*args, **options))
            except SpeechmillError as error:
                failed.append(error)  # a message, not a traceback
                return Failed(message=str(error))
            return None

        state = run(return_state=True)
        if failed:
            raise failed[0]
        if not made:
            state.result()  # raises what nobody planned
        return made[0]

    def ask(self, question: Question) -> None:
        from flows.gates import ask_by_prefect

        ask_by_prefect(question, self._settings, self._catalog)


def run_with_prefect(job_id: str, chosen: Settings, catalog: Catalog, progress: Progress) -> JobState:
    """Run a job as a Prefect flow run, in this process; the state that this amounts to."""
    prepare(chosen)
    from prefect import flow
    from prefect.states import Cancelled as CancelledState
    from prefect.states import Failed

    ended: list[JobState] = []
    stopped: list[SpeechmillError] = []

    def whole(job: str) -> State[Any] | None:
        try:
            ended.append(in_flow_run(job, chosen, catalog, progress))
        except Cancelled as error:
            stopped.append(error)
            return CancelledState(message=str(error))
        except SpeechmillError as error:
            stopped.append(error)
            return Failed(message=str(error))
        return None

    kind = catalog.job(job_id).kind
    options: dict[str, Any] = {"name": kind, "flow_run_name": job_id, "persist_result": False}
    with reached():
        state = flow(whole, **options)(job_id, return_state=True)
    if stopped:
        raise stopped[0]
    if not ended:
        state.result()  # raises what nobody planned
    return ended[0]


def in_flow_run(job_id: str, chosen: Settings, catalog: Catalog, progress: Progress) -> JobState:
    """Run a job inside a flow run of Prefect's: its progress, the lines to review and the report are shown there. The
    state that this amounts to."""
    from flows.artifacts import Shown

    with Shown(job_id, chosen, catalog, progress) as shown:
        run = runner(catalog.job(job_id))
        shown.became = run(job_id, chosen, catalog, shown, PrefectSteps(chosen, catalog))
    return shown.became
