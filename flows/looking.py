"""Commands that look: what was asked, where it stands, whether the machine and a feed are well; and the one that
changes a line. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--most", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="How many, newest first."
)
def jobs(as_json: bool, most: int) -> None:
    """What was asked, newest first."""
    from flows.listing import job_rows

    rows = job_rows(most)
    if as_json:
        click.echo(json.dumps({"jobs": rows}, ensure_ascii=False))
        return
    for row in rows:
        into = f" → {', '.join(row['targets'])}" if row["targets"] else ""
        click.echo(f"{row['job']}  {row['state']:<22} {row['created']}  {row['source']}{into}")
    if not rows:
        click.echo("no jobs yet; try `speechmill dub FILM --to LANG`", err=True)


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def job(job_id: str, as_json: bool) -> None:
    """Where one job stands."""
    from flows.listing import job_facts

    facts = job_facts(job_id)
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    for name in ("job", "kind", "state", "created", "source", "out"):
        click.echo(f"{name:<10} {facts[name]}")
    for language in facts["targets"]:
        click.echo(f"{'into':<10} {language}")
    for language, delivery in facts["deliveries"].items():
        click.echo(f"{'delivered':<10} {language}: {', '.join(name for name in delivery['outputs'].values() if name)}")
    for event in facts["events"]:
        click.echo(f"  {event['at']}  {event['what']}")


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--lang", "language", metavar="LANG", help="One language only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def lines(job_id: str, language: str | None, as_json: bool) -> None:
    """The lines of a job, with what became of them."""
    from flows.listing import line_rows

    rows = line_rows(job_id, language)
    if as_json:
        click.echo(json.dumps({"job": job_id, "lines": rows}, ensure_ascii=False))
        return
    width = max((len(row["id"]) for row in rows), default=0)
    for row in rows:
        marks = " ".join(filter(None, [row["verdict"], *row["reasons"], "edited" if row["edited"] else ""]))
        marks = f"  [{marks}]" if marks else ""
        start = f"{row['start_s']:8.2f}" if row["start_s"] is not None else " " * 8
        click.echo(f"{row['language']:<5} {row['id']:<{width}}  {start}  {row['speaker']:<8} {row['text']}{marks}")


@click.command()
@click.argument("job_id", metavar="ID")
@click.argument("line_id", metavar="LINE")
@click.option("--text", help="What is to be said instead.")
@click.option("--keep", is_flag=True, help="Have the original heard here: a song, say, or a line in another language.")
@click.option("--lang", "language", metavar="LANG", help="Which language; needed where the job has several.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def edit(job_id: str, line_id: str, text: str | None, keep: bool, language: str | None, as_json: bool) -> None:
    """Change one line; the job becomes stale until `speechmill retake`."""
    if (text is None) != keep:
        raise click.UsageError("say what is to be heard: --text “…”, or --keep for the original")
    from flows.listing import edit_line

    facts = edit_line(job_id, line_id, text, language)
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
    else:
        click.echo(
            f"speechmill: line {facts['line']} ({facts['language']}) is {'left in the original' if keep else 'changed'}"
            f"{_followed(facts['translations'])}; "
            f"run `speechmill retake {job_id}` to render it",
            err=True,
        )


def _followed(translations: dict[str, str]) -> str:
    """``; it is translated anew into fr; its translation into es was edited and stays, marked for review``."""
    ways = {
        "anew": "it is translated anew into {}",
        "edited": "its translation into {} was edited and stays, marked for review",
        "given": "its translation into {} was given in a file and stays, marked for review",
    }
    into = {way: [tag for tag, how in translations.items() if how == way] for way in ways}
    return "".join(f"; {said.format(', '.join(into[way]))}" for way, said in ways.items() if into[way])


@click.command("lint-feed")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def lint_feed(file: Path, as_json: bool) -> int:
    """Check any podcast feed against the rules of apps and directories."""
    from dataclasses import asdict

    from tasks.episode.lint import Severity
    from tasks.episode.lint import lint_feed as lint

    findings = lint(file)
    if as_json:
        click.echo(json.dumps({"findings": [asdict(finding) for finding in findings]}, ensure_ascii=False))
    else:
        for finding in findings:
            click.echo(str(finding))
    return 3 if any(finding.severity is Severity.ERROR for finding in findings) else 0


@click.command()
@click.option("--engine", help="The engine to look at, in place of the settings' own.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(engine: str | None, as_json: bool) -> int:
    """Check every tool, service and version that the settings need."""
    from flows.doctor import examine

    findings = examine(engine)
    if as_json:
        click.echo(json.dumps({"findings": [finding.as_json() for finding in findings]}, ensure_ascii=False))
    else:
        for finding in findings:
            click.echo(finding.line())
    return 0 if all(finding.well for finding in findings) else 4


COMMANDS = (jobs, job, lines, edit, lint_feed, doctor)
