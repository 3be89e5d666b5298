"""How a command ends: its exit code, and at most one line on stderr."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from speechmill.errors import SpeechmillError

EXIT_REVIEW = 5
EXIT_INTERRUPTED = 130


def complain(error: SpeechmillError) -> int:
    from speechmill.logs import redacted

    line = " ".join(f"speechmill: error[{error.code}]: {error}".split())
    click.echo(redacted(line), err=True)
    return error.exit_code


def interrupted() -> int:
    click.echo("speechmill: interrupted; run the same command again to go on from here", err=True)
    return EXIT_INTERRUPTED


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
