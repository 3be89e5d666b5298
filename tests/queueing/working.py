"""`speechmill`, with the engine for tests in it."""

from __future__ import annotations

from flows import cli
from tests.queueing.engine import install


def main() -> None:
    install()
    cli.main()


if __name__ == "__main__":
    main()
