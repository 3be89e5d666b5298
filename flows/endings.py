"""How a command ends: its exit code, and at most one line on stderr."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import click

from speechmill.errors import SpeechmillError

EXIT_REVIEW = 5
EXIT_INTERRUPTED = 130


def complain(error: SpeechmillError, *, as_json: bool = False) -> int:
    """Say what went wrong, in one line on stderr, and as an object on stdout where one was asked for."""
    from speechmill.logs import redacted

    message, hint = (redacted(" ".join(said.split())) for said in (error.message, error.hint))
    click.echo(f"speechmill: error[{error.code}]: {message}{f'; {hint}' if hint else ''}", err=True)
    if as_json:
        _say_json(error.code, message, hint)
    return error.exit_code


def misused(error: click.ClickException, arguments: Sequence[str], *, as_json: bool = False) -> int:
    """Say what was typed wrong; without anything typed, what there is."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message())
        return error.exit_code
    command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "speechmill"
    message, hint = error.format_message().rstrip("."), f"see `{command} --help`"
    file = next((given for given in arguments if given.startswith("-") and _is_there(given)), None)
    if isinstance(error, click.exceptions.NoSuchOption) and file is not None:
        hint = f"if you mean the file, call it ./{file}"
    click.echo(f"speechmill: error[usage]: {message}; {hint}", err=True)
    if as_json:
        _say_json("usage", message, hint)
    return error.exit_code


def _is_there(name: str) -> bool:
    with suppress(OSError, ValueError):  # a name that no file can have
        return Path(name).exists()
    return False


def interrupted(*, as_json: bool = False) -> int:
    message, hint = "interrupted", "run the same command again to go on from here"
    click.echo(f"speechmill: {message}; {hint}", err=True)
    if as_json:
        _say_json("interrupted", message, hint)
    return EXIT_INTERRUPTED


def _say_json(code: str, message: str, hint: str) -> None:
    click.echo(json.dumps({"error": {"code": code, "message": message, "hint": hint}}, ensure_ascii=False))


@contextmanager
def ends_in_order() -> Iterator[None]:
    """A service that SIGTERM, by which containers are stopped, ends as Ctrl-C does: what it holds it gives back."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def unplanned() -> SpeechmillError:
    """An error of ours: the traceback goes to a file, the user gets one line that names it."""
    kind = sys.exc_info()[0]
    try:
        hint = f"the details are in {_traceback_kept()}; please report it"
    except (OSError, SpeechmillError) as error:
        hint = f"please report it (the details could not be kept: {error})"
    return SpeechmillError(
        f"something went wrong that we did not plan for ({kind.__name__ if kind else 'error'})", hint=hint
    )


def _traceback_kept() -> Path:
    from speechmill.logs import redacted
    from speechmill.settings import settings

    folder = settings().home / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"error-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.log"
    log.write_text(redacted(traceback.format_exc()), "utf-8")
    return log
