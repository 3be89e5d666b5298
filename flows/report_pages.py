"""The reports of this machine's jobs over HTTP, since a browser follows no link from the Prefect UI to a file.

``/JOB/NAME`` is a file of the job's delivery, ``/JOB/to-approve/NAME`` one of a delivery that waits for approval.
Only names in that folder itself are served, and nothing is listed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flows.door import Door, behind
from speechmill.errors import UnknownName
from speechmill.settings import Settings
from storage.catalog import WAITS_FOR, Catalog

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response


def application(catalog: Catalog) -> Starlette:
    """The web application that serves the deliveries of a catalog's jobs."""
    from starlette.applications import Starlette
    from starlette.responses import FileResponse, PlainTextResponse
    from starlette.routing import Route

    def delivered(request: Request) -> Response:
        return _file(Path(catalog.job(request.path_params["job"]).out), request)

    def waiting(request: Request) -> Response:
        waits = catalog.job(request.path_params["job"]).facts.get(WAITS_FOR) or {}
        return _file(Path(waits["folder"]), request) if waits.get("folder") else _missing()

    def _file(folder: Path, request: Request) -> Response:
        name = request.path_params["name"]
        file = folder / name
        if name.startswith(".") or file.is_symlink() or not file.is_file():
            return _missing()
        return FileResponse(file)

    def _missing(*_: object) -> Response:
        return PlainTextResponse("There is no such file (any more).\n", status_code=404)

    return Starlette(
        routes=[Route("/{job}/{name}", delivered), Route("/{job}/to-approve/{name}", waiting)],
        exception_handlers={UnknownName: _missing},
    )


def serve_reports(chosen: Settings, catalog: Catalog) -> None:
    """Serve reports on this machine, to this machine, until a signal ends it."""
    import uvicorn

    pages = behind(Door(chosen.reports_url), application(catalog))
    uvicorn.run(pages, host="127.0.0.1", port=chosen.reports_port, log_level="error")
