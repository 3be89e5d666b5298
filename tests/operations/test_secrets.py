"""Secrets come from the environment or from files, and nothing that a run leaves behind holds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechmill.errors import BadInput
from speechmill.settings import Settings


def test_any_setting_may_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "database"
    file.write_text("postgresql+psycopg://mill:correct-horse@db/mill\n")
    monkeypatch.setenv("SPEECHMILL_DATABASE_URL_FILE", str(file))
    assert Settings(home=tmp_path).database_url == "postgresql+psycopg://mill:correct-horse@db/mill"
    monkeypatch.setenv("SPEECHMILL_DATABASE_URL", "sqlite:////elsewhere.db")
    assert Settings(home=tmp_path).database_url == "sqlite:////elsewhere.db", "the variable itself goes before its file"


def test_a_file_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECHMILL_LLM_API_KEY_FILE", str(tmp_path / "missing"))
    with pytest.raises(BadInput, match="SPEECHMILL_LLM_API_KEY_FILE"):
        Settings(home=tmp_path)


def test_settings_do_not_show_their_secrets(tmp_path: Path) -> None:
    chosen = Settings(
        home=tmp_path,
        database_url="postgresql://mill:correct-horse@db/mill",
        broker_url="redis://:battery@broker/0",
        llm_api_key="sk-staple",
    )
    for secret in ("correct-horse", "battery", "sk-staple"):
        assert secret not in f"{chosen!r} {chosen!s}"
    assert {"correct-horse", "battery", "sk-staple"} <= chosen.secrets()
