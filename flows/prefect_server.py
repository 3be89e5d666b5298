"""Prefect's server as `speechmill up` runs it: on this machine, for this machine, behind a door."""

from __future__ import annotations

from flows.door import Door, behind
from flows.prefect_runs import home
from speechmill.settings import Settings

HOST = "127.0.0.1"


def environment(chosen: Settings, port: int) -> dict[str, str]:
    """The variables that its process is started with: Prefect reads its settings when it is imported."""
    return {
        "SPEECHMILL_UI_PORT": str(port),
        "PREFECT_HOME": str(home(chosen)),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_UI_API_URL": "/api",  # its page calls where it came from, by whatever name that was reached
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": "",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",  # SQLite has one writer; on a busy machine others wait
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
        # Who has taken a place of a deployment is known after a restart too: else nobody ever gets that place again.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "DO_NOT_TRACK": "1",
    }


def serve_prefect(chosen: Settings) -> None:
    """Run the server until a signal ends it."""
    import uvicorn
    from prefect.server.api.server import create_app

    server = behind(Door(chosen.ui_url), create_app())
    uvicorn.run(server, host=HOST, port=chosen.ui_port, log_level="warning", lifespan="on")
