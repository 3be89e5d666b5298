"""Commands that leave a delivery: ``dub``, ``podcast``, ``digest``, ``retake``. Everything heavy is imported by the
command that needs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from flows.endings import EXIT_REVIEW, ends_in_order
from flows.options import engines, files_by_language, refuse_missing, validated
from speechmill.errors import UnreadableDocument


def _delivers(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command with a delivery: its options, and that SIGTERM stops its job as Ctrl-C does."""

    @wraps(command)
    def stoppable(**asked: Any) -> Any:
        with ends_in_order():
            return command(**asked)

    made: Callable[..., Any] = stoppable
    for option in (
        click.option("--no-prefect", is_flag=True, help="Run without any Prefect server."),
        click.option("--strict", is_flag=True, help="Exit 5 when lines need a person."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end."),
    ):
        made = option(made)
    return made


@click.command()
@click.argument("source")
@click.option("--to", "targets", multiple=True, required=True, metavar="LANG", help="Language to dub into; repeatable.")
@click.option("--from", "language", default="en", show_default=True, metavar="LANG", help="Language of the source.")
@click.option(
    "--engine", "engines", multiple=True, metavar="NAME", callback=engines, help="Engine, or ABILITY=NAME; repeatable."
)
@click.option(
    "--audio-track",
    type=click.IntRange(min=0),
    metavar="N",
    help="Which audio track is dubbed, from 0; else the first, or the one that is marked as --from where it is not.",
)
@click.option("--speakers", type=click.IntRange(min=1), metavar="N", help="How many people speak, if you know.")
@click.option("--script", metavar="FILE", help="Transcript (SRT/VTT): nothing is transcribed.")
@click.option(
    "--translation",
    "translations",
    multiple=True,
    metavar="LANG=FILE",
    callback=files_by_language,
    help="Translation (SRT/VTT): nothing is translated; repeatable.",
)
@click.option("--glossary", metavar="FILE.csv", help="Terms: source, target, spoken form, language of the target.")
@click.option(
    "--background",
    type=click.Choice(["duck", "drop"]),
    default="duck",
    show_default=True,
    help="Keep the original under the dub, or drop it.",
)
@click.option("--bed", metavar="FILE", help="Music-and-effects track to lay under the dub, untouched.")
@click.option("--profile", default="youtube", show_default=True, metavar="NAME", help="What the delivery must measure.")
@click.option("--out", metavar="DIR", help="Folder, or s3://…, for the results; default ./out/<job>.")
@click.option(
    "--approve",
    multiple=True,
    type=click.Choice(["transcript", "translation", "final"]),
    help="What a person is to approve in the Prefect UI before the job goes on; repeatable.",
)
@_delivers
def dub(as_json: bool, strict: bool, no_prefect: bool, **asked: Any) -> int:
    """Dub a film, clip or recording."""
    refuse_missing(asked)
    from speechmill.requests import DubbingRequest

    request = validated(DubbingRequest, asked)
    click.echo(f"speechmill: dubbing {request.source} into {', '.join(request.targets)}", err=True)
    from flows.start import start_dubbing

    return _finish(start_dubbing(request, prefect=not no_prefect), as_json=as_json, strict=strict)


def _finish(outcome: Any, *, as_json: bool, strict: bool) -> int:
    """Say what came out; ``outcome`` is a ``flows.start.Outcome``."""
    if as_json:
        click.echo(json.dumps(outcome.as_json(), ensure_ascii=False))
    else:
        click.echo(outcome.sentence(), err=True)
    return EXIT_REVIEW if strict and outcome.needs_person else 0


@click.command()
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
@click.option(
    "--minutes", type=click.FloatRange(0, min_open=True), metavar="N", help="Length that the episode is to have."
)
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
@click.option("--m4a", is_flag=True, help="Leave an M4A with chapters as well.")
@click.option("--m4b", is_flag=True, help="Leave an audiobook with chapters as well.")
@click.option("--stems", is_flag=True, default=None, help="Leave a FLAC of each speaker alone as well.")
@click.option("--again", is_flag=True, help="Make another episode of what the show has one of already.")
@click.option("--preview", is_flag=True, help="Show what would be read, and what is skipped and why.")
@click.option("--engine", "engines", multiple=True, metavar="NAME", callback=engines, help="Engine that speaks.")
@click.option("--profile", default="podcast", show_default=True, metavar="NAME", help="What the delivery must measure.")
@click.option("--out", metavar="DIR", help="Folder, or s3://…, for the results; default ./out/<job>.")
@click.option(
    "--approve",
    multiple=True,
    type=click.Choice(["script", "final"]),
    help="What a person is to approve in the Prefect UI before the job goes on; repeatable.",
)
@_delivers
def podcast(as_json: bool, strict: bool, no_prefect: bool, preview: bool, m4a: bool, m4b: bool, **asked: Any) -> int:
    """Make an episode from a document, an address or a script."""
    if m4a and m4b:
        raise click.UsageError("--m4a and --m4b: an episode has one of them")
    asked["mp4"] = "m4a" if m4a else "m4b" if m4b else None
    refuse_missing({"source": asked["source"]}, source=UnreadableDocument)
    from speechmill.episodes import PodcastRequest

    request = validated(PodcastRequest, asked)
    click.echo(f"speechmill: making an episode of {request.source}", err=True)
    if preview:
        from speechmill.settings import settings
        from tasks.manuscripts import previewed

        click.echo(previewed(request, settings(), as_json=as_json))
        return 0
    from flows.start import start_podcast

    return _finish(start_podcast(request, prefect=not no_prefect), as_json=as_json, strict=strict)


@click.command()
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
@click.option("--engine", "engines", multiple=True, metavar="NAME", callback=engines, help="Engine that speaks.")
@click.option(
    "--out", metavar="DIR", default="out", help="Folder, or s3://…, in which each episode gets one; default ./out."
)
@_delivers
def digest(as_json: bool, strict: bool, no_prefect: bool, folder: str, minutes: float, out: str, **asked: Any) -> int:
    """Make one episode of what is new in a folder of documents, each a chapter."""
    from speechmill.episodes import PodcastRequest

    request = validated(PodcastRequest, {"source": folder, **asked})
    click.echo(f"speechmill: looking for new documents in {folder}", err=True)
    from flows.digesting import start_digest

    outcome = start_digest(request, minutes, out, prefect=not no_prefect)
    if outcome is not None:
        return _finish(outcome, as_json=as_json, strict=strict)
    if as_json:
        click.echo(json.dumps({"job": None, "state": "nothing_new"}))
    else:
        click.echo(f"speechmill: nothing is new in {folder}", err=True)
    return 0


@click.command()
@click.argument("job_id", metavar="ID")
@click.argument("line_ids", metavar="[LINE]...", nargs=-1)
@_delivers
def retake(job_id: str, line_ids: tuple[str, ...], as_json: bool, strict: bool, no_prefect: bool) -> int:
    """Render again what is stale, or the named lines, and all that follows from it."""
    click.echo(f"speechmill: rendering {job_id} again", err=True)
    from flows.start import start_retake

    return _finish(start_retake(job_id, line_ids, prefect=not no_prefect), as_json=as_json, strict=strict)


COMMANDS = (dub, podcast, digest, retake)
