"""What every folder of tests may use: real servers, started where a test asks for one."""

from __future__ import annotations

import pytest
from hypothesis import settings

pytest_plugins = ("tests.servers", "tests.forge")

settings.register_profile("house", deadline=None)  # a busy machine is no defect
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    soak = parser.getgroup("soak")
    soak.addoption("--minutes", default="10", help="how long the soak strikes")
    soak.addoption("--seed", default="", help="what the soak does; default: the time of day")
