"""The command line. Answers at once: everything heavy is imported by the command that needs it.

stdout belongs to the result (one JSON object with ``--json``); progress and errors go to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from flows import looking, making, production
from flows.endings import complain, interrupted, misused, unplanned
from speechmill import __version__
from speechmill.errors import SpeechmillError, from_os_error


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every ending is an exit code and at most one line on stderr."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in typed
    try:
        code = cli.main(args=typed, prog_name="speechmill", standalone_mode=False)
    except click.ClickException as error:
        code = misused(error, typed, as_json=as_json)
    except (KeyboardInterrupt, click.exceptions.Abort):
        code = interrupted(as_json=as_json)
    except SpeechmillError as error:
        code = complain(error, as_json=as_json)
    except OSError as error:
        code = complain(from_os_error(error), as_json=as_json)
    except Exception:
        code = complain(unplanned(), as_json=as_json)
    sys.stdout.flush()
    sys.exit(code or 0)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="speechmill")
def cli() -> None:
    """A production line for speech: dubs films, makes podcasts."""


for command in (*making.COMMANDS, *looking.COMMANDS, *production.COMMANDS):
    cli.add_command(command)


if __name__ == "__main__":
    main()
