"""`speechmill`, with the engine for tests in it."""

from __future__ import annotations

from flows.cli import main
from tests.queueing.engine import install

if __name__ == "__main__":
    install()
    main()
