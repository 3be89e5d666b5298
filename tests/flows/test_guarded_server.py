"""A Prefect server that asks who asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.prefect_runs import answers
from speechmill.errors import ServiceRefused
from speechmill.settings import Settings
from storage.catalog import Errand
from tests.servers import free_port, prefect_at, prefect_served

AUTH = "studio:s3cret"


@pytest.mark.slow
def test_a_server_that_wants_a_password_is_given_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``speechmill up`` asks it whether the deployments are there."""
    from flows.relay import start_by_prefect

    with prefect_served(free_port(), tmp_path, PREFECT_SERVER_API_AUTH_STRING=AUTH) as url, prefect_at(f"{url}/api"):
        assert answers(f"{url}/api")
        assert not answers(f"{url}/api", "admin/version")
        with pytest.raises(ServiceRefused, match="answers 401"):
            start_by_prefect(Errand("job", "name", 1, 1), "dub", {}, Settings(home=tmp_path))
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", AUTH)
        assert answers(f"{url}/api", "admin/version")
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", "studio:wrong")
        assert not answers(f"{url}/api", "admin/version")
