"""Commands of a studio's machines: what serves, watches, works and stops. Everything heavy is imported by the command
that needs it."""

from __future__ import annotations

import json

import click


def _say(sentence: str) -> None:
    click.echo(f"speechmill: {sentence}", err=True)


@click.command()
def serve() -> None:
    """Register the deployments with the Prefect server of PREFECT_API_URL and serve them."""
    from flows.serving import serve as serve_deployments
    from speechmill.settings import settings

    serve_deployments(settings(), _say)


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def cancel(job_id: str, as_json: bool) -> None:
    """Ask a job to stop; `speechmill retake` goes on with it."""
    from flows.cancelling import cancel as cancel_job

    job = cancel_job(job_id)
    if as_json:
        click.echo(json.dumps({"job": job.id, "state": job.state, "cancel_requested": job.cancel_requested}))
    else:
        _say(f"job {job.id} is asked to stop; `speechmill retake {job.id}` goes on with it")


COMMANDS = (serve, cancel)
