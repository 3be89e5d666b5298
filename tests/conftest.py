"""What every folder of tests may use: real servers, started where a test asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import settings

pytest_plugins = ("tests.servers", "tests.forge")

settings.register_profile("house", deadline=None)  # a busy machine is no defect
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    soak = parser.getgroup("soak")
    soak.addoption("--minutes", default="10", help="how long the soak strikes")
    soak.addoption("--seed", default="", help="what the soak does; default: the time of day")


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """What is asked of any database."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    yield asked
    sa.event.remove(sa.Engine, "before_cursor_execute", note)
