"""What was accepted is swapped before its job runs: for a link, or by way of its folder. Nothing that is not under the
roots is read for it, and nothing of it comes out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.relay import Relay
from speechmill.errors import ForbiddenSource
from storage.catalog import JobState
from tests.ingest.conftest import Studio

SECRET = "The merger is on Friday"
SRT = f"1\n00:00:00,010 --> 00:00:00,090\n{SECRET}.\n"
PLAIN = "1\n00:00:00,010 --> 00:00:00,090\nHello there.\n"
CAST = '[HOST]\nreference = "{voice}"\nconsent = {{who = "Ann", when = 2026-05-01, scope = "Talk"}}\n'


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Which database it is makes no difference here."""
    return f"sqlite:///{tmp_path / 'catalog.db'}"


@pytest.fixture
def private(tmp_path: Path, tone: bytes) -> Path:
    """A folder that the service may read, and that nobody has named."""
    folder = tmp_path / "private"
    folder.mkdir()
    for name in ("talk.en.srt", "talk.es.srt"):
        (folder / name).write_text(SRT)
    (folder / "terms.csv").write_text(f"hello,{SECRET}\n")
    (folder / "talk.md").write_text(f"# {SECRET}\n\n{SECRET}. It is a secret.\n")
    (folder / "script.script.json").write_text(json.dumps({"lines": [{"id": "1", "speaker": "A", "text": SECRET}]}))
    (folder / "words.csv").write_text(f"hello,{SECRET}\n")
    (folder / "cast.toml").write_text(f'[{SECRET.partition(" ")[0]}]\nvoice = "{SECRET}"\n')
    for name in ("talk.wav", "bed.wav", "jingle.wav", "ann.wav"):
        (folder / name).write_bytes(tone)
    return folder


def put(folder: Path, **files: str | bytes) -> None:
    for name, body in files.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(body if isinstance(body, bytes) else body.encode())


@pytest.fixture
def dropped(studio: Studio, drop: Path, tone: bytes) -> Callable[[str], str]:
    """Drop a film or a document with all that can be named beside it; its job."""

    studio.settings.sidecar_grace_s = 60  # music that is named in the sidecar is no recording to be dubbed

    def accepted(source: str) -> str:
        there = drop / "in" / "set"
        there.mkdir()
        film = source == "talk.wav"
        asked: dict[str, Any] = {"engines": {"speak": "rehearsal"}}
        if film:
            put(there, talk__wav=tone, talk__en__srt=PLAIN, talk__es__srt=PLAIN, terms__csv="hello,hola\n")
            put(there, bed__wav=tone)
            asked |= {"targets": ["es"], "script": "talk.en.srt", "translations": {"es": "talk.es.srt"}}
            asked |= {"glossary": "terms.csv", "bed": "bed.wav", "engines": {}}
        else:
            put(there, talk__md="# Talk\n\nHello there. The mill runs.\n", words__csv="mill,meal\n", jingle__wav=tone)
            put(there, cast__toml="[HOST]\npan = 0.5\n")
            asked |= {"lexicon": "words.csv", "cast": "cast.toml"}
        put(there, talk__job__json=json.dumps(asked))
        (job,) = studio.sweeper().sweep().accepted
        assert (there / source).exists()
        return job

    return accepted


def run(studio: Studio, job: str) -> None:
    assert Relay(studio.settings, studio.catalog, studio.place.url, prefect=False).next()
    studio.sweeper().sweep()
    how = [event.detail for event in studio.catalog.events(job)]
    if studio.catalog.job(job).state is JobState.CANCELLED:  # what was dropped for itself is noticed to be another
        assert how[-1]["reason"] == "what was dropped was taken away or replaced"
    else:
        assert any(detail.get("code") == "forbidden-source" for detail in how), how


def leaked(studio: Studio, drop: Path) -> list[Path]:
    """Files of the secret, and links that lead to it, but for the one that was put in ``in/`` to try it."""
    found = [*drop.rglob("*"), *studio.settings.home.rglob("*"), *(drop.parent.glob("catalog.db*"))]
    files = [path for path in found if path.is_file() and not path.is_relative_to(drop / "in")]
    return [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("source", "swapped"),
    [("talk.wav", name) for name in ("talk.wav", "talk.en.srt", "talk.es.srt", "terms.csv", "bed.wav")]
    + [("talk.md", name) for name in ("talk.md", "words.csv", "cast.toml")],
)
@pytest.mark.parametrize("way", ["link", "folder"])
def test_a_file_that_was_swapped_is_not_read(
    studio: Studio, drop: Path, private: Path, dropped: Callable[[str], str], source: str, swapped: str, way: str
) -> None:
    job = dropped(source)
    there = drop / "in" / "set"
    if way == "link":
        (there / swapped).unlink()
        (there / swapped).symlink_to(private / swapped)
    else:
        for path in there.iterdir():  # so that all else is as it was
            if path.name != swapped:
                shutil.copy2(path, private / path.name)
        there.rename(drop / "in" / ".away")
        there.symlink_to(private)
    before = {path: path.read_bytes() for path in private.iterdir()}
    run(studio, job)
    assert leaked(studio, drop) == []
    assert {path: path.read_bytes() for path in private.iterdir()} == before


def test_a_job_runs_by_what_it_was_given_and_its_texts_are_called_by_their_names(
    studio: Studio, drop: Path, dropped: Callable[[str], str]
) -> None:
    job = dropped("talk.wav")
    (drop / "in" / "set" / "terms.csv").write_text("one\n")
    assert Relay(studio.settings, studio.catalog, studio.place.url, prefect=False).next()
    assert any("row 1 of terms.csv" in str(event.detail) for event in studio.catalog.events(job))


@pytest.fixture
def hollow(studio: Studio, drop: Path, private: Path, tone: bytes) -> str:
    """A folder in ``in/`` that has become a link to the private one, where the very same file lies; its etag."""
    there = drop / "in" / "set"
    there.mkdir()
    (there / "talk.wav").write_bytes(tone)
    found = studio.place.head("in/set/talk.wav")
    assert found is not None
    (private / "talk.wav").unlink()
    (private / "talk.wav").hardlink_to(there / "talk.wav")
    there.rename(drop / "in" / ".away")
    there.symlink_to(private)
    return found.etag


def test_nothing_is_taken_away_by_way_of_a_folder_that_was_swapped(studio: Studio, private: Path, hollow: str) -> None:
    studio.place.remove("in/set/talk.wav", hollow)
    assert (private / "talk.wav").exists()


@pytest.mark.usefixtures("hollow")
def test_nothing_is_put_beside_a_delivery_by_way_of_a_folder_that_was_swapped(studio: Studio, drop: Path) -> None:
    taken = {"in/set/talk.wav": "source/talk.wav"}
    with pytest.raises(ForbiddenSource):
        studio.place.settle("done/today/job", {}, taken, "delivery.json", {})
    assert not (drop / "done").exists()


@pytest.mark.usefixtures("hollow")
def test_nothing_is_read_by_way_of_a_folder_that_was_swapped(studio: Studio) -> None:
    with pytest.raises(ForbiddenSource):
        studio.place.read("in/set/talk.wav", 10)
