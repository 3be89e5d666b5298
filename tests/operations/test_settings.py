"""Settings out of ``speechmill.toml``: what is wrong with the file is one line, whichever command reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import listing
from flows.cli import main
from speechmill.settings import settings


@pytest.fixture
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to work in, where nothing was read yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEECHMILL_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def complaint(capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    with pytest.raises(SystemExit) as ended:
        main(["jobs"])
    return ended.value.code, capsys.readouterr().err


def test_the_file_has_the_names_in_small_letters_and_variables_go_before_it(
    working: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (working / "speechmill.toml").write_text('engine = "rehearsal"\nruns = 3\nsource_roots = ["/a", "/b"]\n')
    monkeypatch.setenv("SPEECHMILL_RUNS", "4")
    found = settings()
    assert (found.engine, found.runs, found.source_roots) == ("rehearsal", 4, ("/a", "/b"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"engine = \n", "is not TOML"),
        (b"\xff\xfe\n", "is not TOML"),
        (b'enginee = "mimo"\n', "has “enginee”, which is no setting"),
        (b'SPEECHMILL_ENGINE = "mimo"\n', 'in small letters: engine = "mimo"'),
        (b'runs = "many"\n', "SPEECHMILL_RUNS is wrong"),
    ],
)
def test_what_is_wrong_with_the_file_is_said_in_one_line(
    working: Path, capsys: pytest.CaptureFixture[str], content: bytes, words: str
) -> None:
    (working / "speechmill.toml").write_bytes(content)
    code, said = complaint(capsys)
    assert code == 3
    assert said.startswith("speechmill: error[bad-input]: ")
    assert said.count("\n") == 1
    assert words in said


def test_what_nobody_planned_is_one_line_even_where_no_log_can_be_kept(
    working: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(listing, "job_rows", broken)
    code, said = complaint(capsys)
    assert code == 1
    assert str(working / "home" / "logs") in said
    (working / "home").rename(working / "moved")
    (working / "home").touch()
    code, said = complaint(capsys)
    assert code == 1
    assert "ZeroDivisionError" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("SPEECHMILL_ENGNE", "do you mean SPEECHMILL_ENGINE?"),
        ("SPEECHMILL_THREADS", "SPEECHMILL_THREADS is no setting"),
        ("SPEECHMILL_ENGNE_FILE", "SPEECHMILL_ENGNE_FILE is no setting"),
    ],
)
@pytest.mark.usefixtures("working")
def test_a_variable_that_is_no_setting_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, words: str
) -> None:
    monkeypatch.setenv(variable, "mimo")
    code, said = complaint(capsys)
    assert code == 3
    assert words in said


@pytest.mark.usefixtures("working")
def test_variables_that_others_set_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SPEECHMILL_MODELS", "SPEECHMILL_SERVICE_HOST", "SPEECHMILL_PORT_80_TCP_ADDR", "SPEECHMILL_PORT"):
        monkeypatch.setenv(variable, "tcp://10.0.0.1:80")
    assert settings().engine == "offline"
