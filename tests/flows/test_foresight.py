"""What a request names is looked at before any work: nobody waits an hour to hear that a glossary is missing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.start import start_dubbing, start_podcast
from speechmill.episodes import PodcastRequest
from speechmill.errors import BadInput
from speechmill.requests import DubbingRequest
from speechmill.settings import settings


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Path]:
    """A folder to work in, with a film, one without sound, a document, a text that is called a film, and a home where
    nothing is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talk.mp4").symlink_to(folder / "talk.mp4")
    silent = ["-an", "-c", "copy", "-t", "1", tmp_path / "silent.mp4"]
    subprocess.run(["ffmpeg", "-v", "error", "-i", folder / "talk.mp4", *silent], check=True)
    (tmp_path / "text.mp4").write_text("a text")
    (tmp_path / "note.md").write_text("# Note\n\nWords.\n")
    (tmp_path / "terms.csv").write_text("one column\n")
    (tmp_path / "es.csv").write_text("map,mapa\nSQL,SQL,,*\n")
    (tmp_path / "locked").mkdir()
    monkeypatch.setenv("SPEECHMILL_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def refused(start: Callable[..., object], request: DubbingRequest | PodcastRequest, here: Path) -> str:
    before = sorted(here.iterdir())
    with pytest.raises(BadInput) as caught:
        start(request, prefect=False)
    assert caught.value.hint
    assert sorted(here.iterdir()) == before  # no job, no results, no home
    return str(caught.value)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"source": "missing.mp4"}, "missing.mp4; check the name"),
        ({"source": "text.mp4"}, "text.mp4 is a text, not media"),
        ({"bed": "text.mp4"}, "--bed: text.mp4 is a text, not media"),
        ({"bed": "silent.mp4"}, "--bed: silent.mp4 has no audio track"),
        ({"script": "missing.srt"}, "missing.srt"),
        ({"glossary": "missing.csv"}, "missing.csv"),
        ({"glossary": "terms.csv"}, "row 1 of terms.csv"),
        ({"glossary": "talk.mp4"}, "--glossary: talk.mp4 is not a text file"),
        ({"glossary": "es.csv", "targets": ("es", "fr")}, "es.csv does not say which language “mapa” is"),
        ({"translations": {"es": "missing.srt"}}, "missing.srt"),
        ({"translations": {"fr": "note.md"}}, "French (fr), which is not asked for"),
        ({"out": "text.mp4"}, "text.mp4 is a file, not a folder"),
        ({"out": "text.mp4/below"}, "nothing can be written to"),
    ],
)
def test_a_dub_is_refused_before_any_work(here: Path, asked: dict[str, Any], words: str) -> None:
    request = DubbingRequest.model_validate({"source": "talk.mp4", "targets": ("es",), **asked})
    assert words in refused(start_dubbing, request, here)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"source": "missing.md"}, "missing.md"),
        ({"source": "locked"}, "locked is a folder"),
        ({"source": "https://example.org/a.html"}, "SPEECHMILL_ALLOW_HTTPS"),
        ({"cast": "missing.toml"}, "missing.toml"),
        ({"show": "missing.toml"}, "missing.toml"),
        ({"lexicon": "missing.csv"}, "missing.csv"),
        ({"profile": "loud"}, "loud"),
        ({"out": "text.mp4"}, "text.mp4 is a file, not a folder"),
    ],
)
def test_an_episode_is_refused_before_any_work(here: Path, asked: dict[str, Any], words: str) -> None:
    request = PodcastRequest.model_validate({"source": "note.md", **asked})
    assert words in refused(start_podcast, request, here)
