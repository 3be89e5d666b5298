"""A folder of documents becomes an episode a day: what is new is heard once, in order, and nothing is lost."""

from __future__ import annotations

import json
import os
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.admission import admit
from flows.digesting import Digesting, next_job
from flows.progress import StreamProgress
from speechmill.episodes import Collected, PodcastRequest
from speechmill.errors import ForbiddenSource
from speechmill.settings import Settings
from storage.catalog import JobState
from tasks.digests import Candidate, choose, spoken_language
from tasks.text.saying.numerals import long_date
from tasks.workplace import open_catalog
from tests.flows.conftest import Ran, Speechmill

MONDAY = datetime(2026, 5, 4, 6, tzinfo=UTC)
RATE = 10.0  # characters a second: 600 are a minute


def candidate(name: str, hour: int, characters: int, text: str = "", language: str = "en") -> Candidate:
    return Candidate(name, text or f"text of {name}", MONDAY + timedelta(hours=hour), language, characters)


OLD, NEW, LONG = candidate("z", 0, 400), candidate("a", 1, 400), candidate("long", 0, 9_000)


@pytest.mark.parametrize(
    ("candidates", "heard", "chosen", "waiting", "left_out"),
    [
        ([], (), "", "", ""),
        ([NEW, OLD], (), "z", "a", ""),  # the oldest first; two would be 80 s
        ([NEW, OLD], (OLD.sha256,), "a", "", "z"),
        ([candidate("b", 0, 300), candidate("a", 0, 300)], (), "a b", "", ""),  # of the same time: by name
        ([LONG, NEW], (), "long", "a", ""),  # the first in any case, whole
        ([OLD, candidate("m", 1, 300), candidate("n", 2, 100)], (), "z", "m n", ""),  # n would fit; it is m's turn
        ([OLD, candidate("copy", 1, 100, OLD.sha256)], (), "z", "", "copy"),
        ([OLD, candidate("es", 1, 100, language="es"), candidate("b", 2, 100)], (), "z b", "es", ""),
        ([OLD, candidate("gb", 1, 100, language="en-GB")], (), "z gb", "", ""),  # one language, whatever its regions
    ],
)
def test_what_the_next_digest_has(
    candidates: list[Candidate], heard: tuple[str, ...], chosen: str, waiting: str, left_out: str
) -> None:
    plan = choose(candidates, heard, 1.0, RATE, spoken_language(candidates, heard))
    assert [each.name for each in plan.chosen] == chosen.split()
    assert [each.name for each in plan.waiting] == waiting.split()
    assert list(plan.heard) == left_out.split()


def test_the_language_of_the_show_goes_before_that_of_the_oldest() -> None:
    spanish, british = candidate("es", 0, 100, language="es"), candidate("gb", 1, 100, language="en-GB")
    assert spoken_language([spanish, british], (), "en") == "en-GB"
    assert spoken_language([spanish, british], (british.sha256,), "en") == "es"
    assert spoken_language([spanish, british], ()) == "es"
    waits = choose([spanish, british], (), 1.0, RATE, "en-GB").waiting[0]
    assert waits.why == "It is in Spanish, and this episode in English (United Kingdom)."


@given(
    st.lists(
        st.builds(
            candidate,
            st.text("abc", min_size=1, max_size=3),
            st.integers(0, 3),
            st.integers(1, 900),
            st.text("xyz", min_size=1, max_size=2),
            st.sampled_from(["en", "es"]),
        ),
        max_size=12,
        unique_by=lambda each: each.name,
    )
)
def test_day_by_day_everything_is_heard_once(candidates: list[Candidate]) -> None:
    heard: list[str] = []
    for _ in range(len(candidates) + 1):
        plan = choose(candidates, heard, 1.0, RATE, spoken_language(candidates, heard))
        names = [*(c.name for c in plan.chosen), *(w.name for w in plan.waiting), *plan.heard]
        assert sorted(names) == sorted(each.name for each in candidates)
        assert len(plan.chosen) == 1 or sum(c.spoken_characters for c in plan.chosen) <= 600
        assert len({c.language for c in plan.chosen}) <= 1
        heard += [each.sha256 for each in plan.chosen]
    assert sorted(heard) == sorted({each.sha256 for each in candidates})


def write(folder: Path, name: str, text: str, hour: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, "utf-8")
    at = (MONDAY + timedelta(hours=hour)).timestamp()
    os.utime(folder / name, (at, at))


RIVER = "# The river\n\nThe boats are in.\n\n## Upstream\n\nIt rains.\n\n## Downstream\n\nIt is dry.\n"
MILL = "The wheel turns again after a week of rest, and the miller and her men are glad of it.\n"


def test_what_is_new_is_heard_and_what_was_heard_is_not(speechmill: Speechmill, tmp_path: Path) -> None:
    folder = tmp_path / "Morning post"

    def digest() -> Ran:
        ran = speechmill("digest", folder, "--engine", "rehearsal", "--no-prefect", "--json", "--out", tmp_path / "out")
        assert ran.code == 0, ran.err
        return ran

    def chapters(ran: Ran) -> list[str]:
        return [chapter["title"] for chapter in ran.report["episode"]["chapters"]][1:]  # after the opening

    write(folder, "b-river.md", RIVER, 0)
    write(folder, "a_mill.txt", MILL, 1)
    write(folder, "torn.pdf", "no PDF", 2)
    write(folder, "notes.json", "{}", 2)
    begun = date.today()
    first = digest()
    assert chapters(first) == ["The river", "a mill"]
    said = [line["text"] for line in first.report["episode"]["lines"]]
    assert said.count("The river") + said.count("The river.") == 1
    assert "Upstream" in " ".join(said)
    title = json.loads((Path(first.result["out"]) / "script.json").read_text("utf-8"))["title"]
    assert title in {f"Morning post, {long_date(day, 'en')}" for day in (begun, date.today())}
    assert "torn.pdf cannot be read aloud: torn.pdf is cut off" in first.err
    assert "notes.json" not in first.err

    again = digest()
    assert again.result == {"job": None, "state": "nothing_new"}
    assert len(list((tmp_path / "out").iterdir())) == 1

    write(folder, "c.md", "# The weir\n\nIt is closed for the summer.\n", 3)
    second = digest()
    assert chapters(second) == ["The weir"]
    assert second.result["out"] != first.result["out"]


def test_a_folder_that_is_none_is_refused(speechmill: Speechmill, tmp_path: Path) -> None:
    ran = speechmill("digest", tmp_path / "nowhere", "--no-prefect")
    assert ran.code == 3
    assert "nowhere cannot be read" in ran.err


def test_only_what_was_delivered_is_heard(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write(folder, "a.md", MILL, 0)
    chosen, progress = Settings(home=tmp_path / "home"), StreamProgress(StringIO())
    asked = Digesting(PodcastRequest(source=str(folder)), 60, str(tmp_path / "out"))
    with closing(open_catalog(chosen)) as catalog:
        begun = next_job(asked, chosen, catalog, progress)
        assert begun is not None
        write(folder, "b.md", RIVER, 1)
        same = next_job(asked, chosen, catalog, progress)
        assert same is not None
        assert same.id == begun.id  # it was begun, and is gone on with
        catalog.move_job(begun.id, JobState.FAILED)
        other = next_job(asked, chosen, catalog, progress)
        assert other is not None
        assert other.id != begun.id
        assert other.request["collected"]["order"] == ["a.md", "b.md"]
        catalog.put_delivery(other.id, "en", {}, [], "passed")
        assert next_job(asked, chosen, catalog, progress) is None
        show = tmp_path / "show.toml"
        show.write_text('title = "Mills"\n')
        of_a_show = Digesting(PodcastRequest(source=str(folder), show=str(show)), 60, str(tmp_path / "out"))
        assert next_job(of_a_show, chosen, catalog, progress) is not None  # nobody heard it there


def test_links_that_lead_out_of_the_roots_are_not_read(tmp_path: Path) -> None:
    root, said = tmp_path / "root", StringIO()
    write(root, "a.md", MILL, 0)
    write(tmp_path, "private.md", RIVER, 0)
    (root / "b.md").symlink_to(tmp_path / "private.md")
    chosen = Settings(home=tmp_path / "home", source_roots=(str(root),))
    asked = PodcastRequest(source=str(root))
    with closing(open_catalog(chosen)) as catalog:
        digesting = Digesting(asked, 60, str(root), admit(asked, chosen))
        job = next_job(digesting, chosen, catalog, StreamProgress(said))
        assert job is not None
        assert job.request["collected"]["order"] == ["a.md"]
    assert "b.md cannot be read aloud" in said.getvalue()
    collected = Collected(title="Mills", documents={"b.md": "0"}, order=("b.md",))
    with pytest.raises(ForbiddenSource, match=r"b\.md"):
        admit(asked.model_copy(update={"collected": collected}), chosen)


@pytest.mark.parametrize("name", ["../private.md", "/etc/passwd", "..", ""])
def test_a_digest_names_only_files_of_its_folder(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a file"):
        Collected(title="Mills", documents={name: "0"}, order=(name,))
