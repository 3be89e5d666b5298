"""What is handed to operators, and what it is held to."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli import cli
from speechmill.settings import Settings

INFRA = Path(__file__).parents[2] / "infra"


def parse(words: list[str]) -> None:
    """Parse a command line without running it; raises what a user would be told."""
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None, f"there is no command {words[0]}"
    command.make_context(words[0], list(words[1:]))


def settings_known() -> set[str]:
    """Every variable of ours; also those that name a file with the value."""
    own = {f"SPEECHMILL_{name.upper()}" for name in Settings.model_fields}
    return own | {f"{name}_FILE" for name in own}
