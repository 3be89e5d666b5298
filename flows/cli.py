"""The command line. Answers at once: everything heavy is imported by the command that needs it.

stdout belongs to the result (one JSON object with ``--json``); progress and errors go to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from flows import production
from speechmill import __version__
from speechmill.errors import BadInput, SpeechmillError, from_os_error

EXIT_REVIEW = 5
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every ending is an exit code and at most one line on stderr."""
    try:
        code = cli.main(args=arguments, prog_name="speechmill", standalone_mode=False)
    except click.exceptions.Abort:
        code = interrupted()
    except click.ClickException as error:
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "speechmill"
        click.echo(f"speechmill: error[usage]: {error.format_message().rstrip('.')}; see `{command} --help`", err=True)
        code = error.exit_code
    except KeyboardInterrupt:
        code = interrupted()
    except SpeechmillError as error:
        code = complain(error)
    except OSError as error:
        code = complain(from_os_error(error))
    except Exception:
        code = complain(unplanned())
    sys.stdout.flush()
    sys.exit(code or 0)


def complain(error: SpeechmillError) -> int:
    from speechmill.logs import redacted

    line = " ".join(f"speechmill: error[{error.code}]: {error}".split())
    click.echo(redacted(line), err=True)
    return error.exit_code


def interrupted() -> int:
    click.echo("speechmill: interrupted; run the same command again to go on from here", err=True)
    return EXIT_INTERRUPTED


def unplanned() -> SpeechmillError:
    """An error of ours: the traceback goes to a file, the user gets one line that names it."""
    from speechmill.logs import redacted
    from speechmill.settings import settings

    folder = settings().home / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"error-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.log"
    log.write_text(redacted(traceback.format_exc()), "utf-8")
    kind = sys.exc_info()[0]
    return SpeechmillError(
        f"something went wrong that we did not plan for ({kind.__name__ if kind else 'error'})",
        hint=f"the details are in {log}; please report it",
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="speechmill")
def cli() -> None:
    """A production line for speech: dubs films, makes podcasts."""


def _engines(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """``--engine NAME`` for every ability, ``--engine ABILITY=NAME`` for one."""
    from speechmill.abilities import Ability

    chosen: dict[str, str] = {}
    for value in values:
        ability, separator, name = value.partition("=")
        if not separator:
            chosen = {**dict.fromkeys(Ability, value), **chosen}
        elif ability in list(Ability):
            chosen[ability] = name
        else:
            raise click.BadParameter(f"“{ability}” is not an ability; choose one of {', '.join(Ability)}")
    return chosen


def _files_by_language(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for value in values:
        language, separator, file = value.partition("=")
        if not separator or not file:
            raise click.BadParameter(f"“{value}” should be LANG=FILE, such as es=talk.es.srt")
        found[language] = file
    return found


def _result_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that every command with a delivery has."""
    for option in (
        click.option("--no-prefect", is_flag=True, help="Run without any Prefect server."),
        click.option("--strict", is_flag=True, help="Exit 5 when lines need a person."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end."),
    ):
        command = option(command)
    return command


@cli.command()
@click.argument("source")
@click.option("--to", "targets", multiple=True, required=True, metavar="LANG", help="Language to dub into; repeatable.")
@click.option("--from", "language", default="en", show_default=True, metavar="LANG", help="Language of the source.")
@click.option(
    "--engine", "engines", multiple=True, metavar="NAME", callback=_engines, help="Engine, or ABILITY=NAME; repeatable."
)
@click.option("--audio-track", default=0, show_default=True, metavar="N", help="Which audio track is dubbed.")
@click.option("--speakers", type=int, metavar="N", help="How many people speak, if you know.")
@click.option("--script", metavar="FILE", help="Transcript (SRT/VTT): nothing is transcribed.")
@click.option(
    "--translation",
    "translations",
    multiple=True,
    metavar="LANG=FILE",
    callback=_files_by_language,
    help="Translation (SRT/VTT): nothing is translated; repeatable.",
)
@click.option("--glossary", metavar="FILE.csv", help="Terms: source, target, spoken form.")
@click.option(
    "--background",
    type=click.Choice(["duck", "drop"]),
    default="duck",
    show_default=True,
    help="Keep the original under the dub, or drop it.",
)
@click.option("--bed", metavar="FILE", help="Music-and-effects track to lay under the dub, untouched.")
@click.option("--profile", default="youtube", show_default=True, metavar="NAME", help="What the delivery must measure.")
@click.option("--out", metavar="DIR", help="Folder of this machine for the results; default ./out/<job>.")
@click.option(
    "--approve",
    multiple=True,
    type=click.Choice(["transcript", "translation", "final"]),
    help="What a person is to approve in the Prefect UI before the job goes on; repeatable.",
)
@_result_options
def dub(as_json: bool, strict: bool, no_prefect: bool, **asked: Any) -> int:
    """Dub a film, clip or recording."""
    click.echo(f"speechmill: dubbing {asked['source']} into {', '.join(asked['targets'])}", err=True)
    from speechmill.requests import DubbingRequest

    request = _request(DubbingRequest, asked)
    from flows.start import start_dubbing

    return _finish(start_dubbing(request, prefect=not no_prefect), as_json=as_json, strict=strict)


def _request(kind: Any, asked: dict[str, Any]) -> Any:
    """What was asked, as a request of its kind; options that were not given are left out."""
    from pydantic import ValidationError

    try:
        return kind.model_validate({name: value for name, value in asked.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"the request is wrong at {where}: {first['msg']}", hint="see the command's --help") from None


def _finish(outcome: Any, *, as_json: bool, strict: bool) -> int:
    """Say what came out; ``outcome`` is a ``flows.start.Outcome``."""
    if as_json:
        click.echo(json.dumps(outcome.as_json(), ensure_ascii=False))
    else:
        click.echo(outcome.sentence(), err=True)
    return EXIT_REVIEW if strict and outcome.needs_person else 0


@cli.command()
@click.argument("source")
@click.option(
    "--format",
    type=click.Choice(["reading", "dialogue", "talkshow", "debate", "live", "lesson"]),
    default="reading",
    show_default=True,
    help="What the episode is like.",
)
@click.option("--language", metavar="LANG", help="Language of the document, where it does not say.")
@click.option("--cast", metavar="FILE", help="cast.toml: who speaks with which voice.")
@click.option("--lexicon", metavar="FILE", help="CSV: term, how it is said, language if only there.")
@click.option("--show", metavar="FILE", help="show.toml: the show that the episode belongs to.")
@click.option("--minutes", type=float, metavar="N", help="Length that the episode is to have.")
@click.option("--seats", is_flag=True, default=None, help="Seat the speakers from left to right, in stereo.")
@click.option("--intro", metavar="FILE", help="Music before the first word, or “simple” for one made here.")
@click.option("--bed", metavar="FILE", help="Music under the speech, or “simple” for one made here.")
@click.option("--outro", metavar="FILE", help="Music after the last word, or “simple” for one made here.")
@click.option(
    "--disclosure",
    type=click.Choice(["first", "last", "off"]),
    default="first",
    show_default=True,
    help="Where the episode says that its voices are made.",
)
@click.option("--m4a", "mp4", flag_value="m4a", help="Leave an M4A with chapters as well.")
@click.option("--m4b", "mp4", flag_value="m4b", help="Leave an audiobook with chapters as well.")
@click.option("--stems", is_flag=True, default=None, help="Leave a FLAC of each speaker alone as well.")
@click.option("--preview", is_flag=True, help="Show what would be read, and what is skipped and why.")
@click.option("--engine", "engines", multiple=True, metavar="NAME", callback=_engines, help="Engine that speaks.")
@click.option("--profile", default="podcast", show_default=True, metavar="NAME", help="What the delivery must measure.")
@click.option("--out", metavar="DIR", help="Folder of this machine for the results; default ./out/<job>.")
@click.option(
    "--approve",
    multiple=True,
    type=click.Choice(["script", "final"]),
    help="What a person is to approve in the Prefect UI before the job goes on; repeatable.",
)
@_result_options
def podcast(as_json: bool, strict: bool, no_prefect: bool, preview: bool, **asked: Any) -> int:
    """Make an episode from a document, an address or a script."""
    click.echo(f"speechmill: making an episode of {asked['source']}", err=True)
    from speechmill.episodes import PodcastRequest

    request = _request(PodcastRequest, asked)
    if preview:
        from speechmill.settings import settings
        from tasks.manuscripts import previewed

        click.echo(previewed(request, settings()))
        return 0
    from flows.start import start_podcast

    return _finish(start_podcast(request, prefect=not no_prefect), as_json=as_json, strict=strict)


@cli.command()
@click.argument("folder")
@click.option("--show", metavar="FILE", help="show.toml: the show that the episodes belong to.")
@click.option(
    "--minutes",
    type=click.FloatRange(0, 24 * 60, min_open=True),
    default=60.0,
    show_default=True,
    metavar="N",
    help="Whole documents up to this length; the rest waits for the next digest.",
)
@click.option(
    "--format",
    type=click.Choice(["reading", "dialogue"]),
    default="reading",
    show_default=True,
    help="Whether one voice reads, or two share the text.",
)
@click.option("--language", metavar="LANG", help="Language of documents that do not say.")
@click.option("--engine", "engines", multiple=True, metavar="NAME", callback=_engines, help="Engine that speaks.")
@click.option("--out", metavar="DIR", default="out", help="Folder in which each episode gets one; default ./out.")
@_result_options
def digest(as_json: bool, strict: bool, no_prefect: bool, folder: str, minutes: float, out: str, **asked: Any) -> int:
    """Make one episode of what is new in a folder of documents, each a chapter."""
    click.echo(f"speechmill: looking for new documents in {folder}", err=True)
    from speechmill.episodes import PodcastRequest

    request = _request(PodcastRequest, {"source": folder, **asked})
    from flows.digesting import start_digest

    outcome = start_digest(request, minutes, Path(out), prefect=not no_prefect)
    if outcome is not None:
        return _finish(outcome, as_json=as_json, strict=strict)
    if as_json:
        click.echo(json.dumps({"job": None, "state": "nothing_new"}))
    else:
        click.echo(f"speechmill: nothing is new in {folder}", err=True)
    return 0


@cli.command("lint-feed")
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


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--most", default=20, show_default=True, metavar="N", help="How many, newest first.")
def jobs(as_json: bool, most: int) -> None:
    """What was asked, newest first."""
    from flows.listing import job_rows

    rows = job_rows(most)
    if as_json:
        click.echo(json.dumps({"jobs": rows}, ensure_ascii=False))
        return
    for row in rows:
        click.echo(f"{row['job']}  {row['state']:<22} {row['created']}  {row['source']} → {', '.join(row['targets'])}")
    if not rows:
        click.echo("no jobs yet; try `speechmill dub FILM --to LANG`", err=True)


@cli.command()
@click.argument("job_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def job(job_id: str, as_json: bool) -> None:
    """Where one job stands."""
    from flows.listing import job_facts

    facts = job_facts(job_id)
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
        return
    for name, value in facts.items():
        if name == "events":
            for event in value:
                click.echo(f"  {event['at']}  {event['what']}")
        else:
            click.echo(f"{name:<10} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")


@cli.command()
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
    for row in rows:
        marks = " ".join(filter(None, [row["verdict"], *row["reasons"], "edited" if row["edited"] else ""]))
        start = f"{row['start_s']:8.2f}" if row["start_s"] is not None else " " * 8
        click.echo(f"{row['language']:<5} {row['id']}  {start}  {row['speaker']:<8} {row['text']}  [{marks}]")


@cli.command()
@click.argument("job_id", metavar="ID")
@click.argument("line_id", metavar="LINE")
@click.option("--text", required=True, help="What is to be said instead.")
@click.option("--lang", "language", metavar="LANG", help="Which language; needed where the job has several.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def edit(job_id: str, line_id: str, text: str, language: str | None, as_json: bool) -> None:
    """Change one line; the job becomes stale until `speechmill retake`."""
    from flows.listing import edit_line

    facts = edit_line(job_id, line_id, text, language)
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
    else:
        click.echo(
            f"speechmill: line {line_id} ({facts['language']}) is changed; "
            f"run `speechmill retake {job_id}` to render it",
            err=True,
        )


@cli.command()
@click.argument("job_id", metavar="ID")
@click.argument("line_ids", metavar="[LINE]...", nargs=-1)
@_result_options
def retake(job_id: str, line_ids: tuple[str, ...], as_json: bool, strict: bool, no_prefect: bool) -> int:
    """Render again what is stale, or the named lines, and all that follows from it."""
    click.echo(f"speechmill: rendering {job_id} again", err=True)
    from flows.start import start_retake

    return _finish(start_retake(job_id, line_ids, prefect=not no_prefect), as_json=as_json, strict=strict)


@cli.command()
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


for command in production.COMMANDS:
    cli.add_command(command)


if __name__ == "__main__":
    main()
