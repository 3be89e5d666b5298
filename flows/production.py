"""Commands of a studio's machines: what serves, watches, works, stops and clears up. Everything heavy is imported by
the command that needs it."""

from __future__ import annotations

import json
import logging
from functools import partial

import click

from flows.endings import EXIT_REVIEW, ends_in_order

QUEUES = ("gpu.mimo", "cpu.speech")  # as model_worker/messages.py has them, which is not imported only for --help


def _say(sentence: str) -> None:
    click.echo(f"speechmill: {sentence}", err=True)


@click.command()
def serve() -> None:
    """Register the deployments with the Prefect server of PREFECT_API_URL and serve them."""
    from flows.serving import serve as serve_deployments
    from flows.serving import server_answers
    from flows.watching import watched_over
    from speechmill import logs
    from speechmill.settings import settings

    chosen = settings()
    logs.configure("serve", chosen)
    with watched_over(chosen, {"prefect": partial(server_answers, chosen)}):
        serve_deployments(chosen, logging.getLogger("speechmill.serve").info)


@click.command()
def migrate() -> None:
    """Make the tables of the database, or bring them up to date: before the services of a new version start."""
    from speechmill.settings import settings
    from tasks.workplace import open_catalog

    open_catalog(settings()).close()
    _say("the tables are up to date")


@click.command()
def up() -> None:
    """Start everything on this machine until Ctrl-C: Prefect with its UI, the deployments, reports, workers."""
    from flows.up import up as bring_up
    from speechmill.settings import settings

    bring_up(settings(), _say)


@click.command("serve-prefect", hidden=True)
def serve_prefect() -> None:
    """Run Prefect's server for this machine's browsers; `speechmill up` does this."""
    from flows.prefect_server import serve_prefect as serve_server
    from speechmill.settings import settings

    serve_server(settings())


@click.command("serve-reports", hidden=True)
def serve_reports() -> None:
    """Serve the reports of this machine's jobs to its browsers; `speechmill up` does this."""
    from flows.report_pages import serve_reports as serve_pages
    from speechmill.settings import settings
    from tasks.workplace import open_catalog

    chosen = settings()
    catalog = open_catalog(chosen)
    try:
        serve_pages(chosen, catalog)
    finally:
        catalog.close()


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


@click.command()
@click.option("--queue", "queues", multiple=True, type=click.Choice(QUEUES), help="Queue to serve; repeatable.")
@click.option(
    "--threads", type=click.IntRange(1, 1024), metavar="N", help="Lines at a time; default: what the engine serves."
)
@click.option("--events", is_flag=True, help="Tell Celery's monitors what is done.")
def worker(queues: tuple[str, ...], threads: int | None, events: bool) -> int:
    """Work on what jobs put on the queue, until told to stop."""
    from model_worker.messages import Queue
    from speechmill import logs
    from speechmill.errors import BadInput
    from speechmill.settings import settings
    from tasks.queue import default_queues
    from tasks.queue import serve as work

    chosen = settings()
    logs.configure("worker", chosen)
    if not chosen.broker_url:
        raise BadInput("there is no queue to work on", hint="set SPEECHMILL_BROKER_URL to redis://host:6379/0")
    named = [Queue(name) for name in queues] or default_queues(chosen)
    return work(chosen, named, threads=threads, events=events)


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option(
    "--grace", "grace_days", type=click.FloatRange(min=0), default=7.0, show_default=True, metavar="DAYS",
    help="How long nothing must have referred to what is removed.",
)  # fmt: skip
@click.option(
    "--finished", "finished_days", type=click.FloatRange(min=0), metavar="DAYS",
    help="Also what only jobs need that were completed so long ago; deliveries stay, a retake makes all again.",
)  # fmt: skip
@click.option(
    "--forget", "forget_days", type=click.FloatRange(min=0), metavar="DAYS",
    help="Also forget jobs that ended so long ago: they are listed no more, and cannot be retaken; deliveries stay.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def gc(grace_days: float, finished_days: float | None, forget_days: float | None, dry_run: bool, as_json: bool) -> None:
    """Remove artifacts that nothing refers to, never one that a job needs."""
    from flows import clearing

    cleared = clearing.clear(
        grace_days=grace_days, finished_days=finished_days, forget_days=forget_days, dry_run=dry_run
    )
    if as_json:
        click.echo(json.dumps(clearing.as_json(cleared, dry_run=dry_run)))
    else:
        click.echo(clearing.sentence(cleared, dry_run=dry_run), err=True)


@click.command()
@click.argument("where")
@click.option("--once", is_flag=True, help="End when all that is there is dealt with.")
@click.option("--no-prefect", is_flag=True, help="Run jobs here, without any Prefect server.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def ingest(where: str, once: bool, no_prefect: bool, as_json: bool) -> None:
    """Sweep a drop folder: a directory, or s3://bucket/prefix."""
    from flows.sweeping import ingest as watch
    from flows.watching import watched_over
    from speechmill import logs
    from speechmill.settings import settings
    from tasks.workplace import open_catalog

    chosen = settings()
    logs.configure("ingest", chosen)
    catalog = open_catalog(chosen)
    try:
        with watched_over(chosen, {}), ends_in_order():
            swept = watch(where, chosen, catalog, _say, once=once, prefect=not no_prefect)
    finally:
        catalog.close()
    if as_json:
        click.echo(json.dumps(swept.as_json(), ensure_ascii=False))
    else:
        _say(swept.sentence())


@click.command()
@click.argument("manifest", metavar="FILE")
@click.option("--out", metavar="DIR", help="Folder, or s3://…, for the results; default ./out/<name of the manifest>.")
@click.option("--at-once", type=click.IntRange(1, 256), metavar="N", help="Jobs under way at a time.")
@click.option("--no-prefect", is_flag=True, help="Run jobs here, without any Prefect server.")
@click.option("--strict", is_flag=True, help="Exit 5 also when lines of a row need a person.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def batch(manifest: str, out: str | None, at_once: int | None, no_prefect: bool, strict: bool, as_json: bool) -> int:
    """Make one job of every row of a manifest: CSV or JSON lines of source, languages, options."""
    from flows.batch_runs import run_batch
    from speechmill.settings import settings
    from tasks.workplace import open_catalog

    chosen = settings()
    catalog = open_catalog(chosen)
    try:
        report = run_batch(manifest, out, "out", chosen, catalog, _say, prefect=not no_prefect, at_once=at_once or 0)
    finally:
        catalog.close()
    for row in report.rows:
        if row.reason is not None:
            why = "; ".join(filter(None, (row.reason["message"], row.reason["hint"])))
            _say(f"line {row.line}, {row.source or manifest}: {why}")
    if as_json:
        click.echo(json.dumps(report.as_json(), ensure_ascii=False))
    counts = report.counts
    return EXIT_REVIEW if counts["failed"] or counts["cancelled"] or (strict and counts["review"]) else 0


COMMANDS = (serve, up, serve_prefect, serve_reports, ingest, batch, migrate, cancel, worker, gc)
