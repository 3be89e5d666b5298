"""What every folder of tests may use: real servers, started where a test asks for one."""

from __future__ import annotations

pytest_plugins = ("tests.servers",)
