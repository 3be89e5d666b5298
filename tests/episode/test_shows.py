"""The show file: read with clear errors; numbers, guids and dates are never lost and never given twice."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from speechmill.errors import BadInput
from tasks.episode.shows import Show, enlist, episode_guid, memory_file, read_show

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)


def test_show_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "art.png").write_bytes(b"x")
    (tmp_path / "show.toml").write_text(
        'title = "Slow Machines"\nlanguage = "EN"\nart = "art.png"\nbase_url = "https://mills.net/slow"\n'
        'categories = ["Science > Physics"]\ntype = "serial"\n[numbering]\nfirst = 5\nseason = 2\n'
    )
    show = read_show(tmp_path / "show.toml")
    assert show.art == tmp_path / "art.png"
    assert (show.language, show.numbering.first, show.numbering.season) == ("en", 5, 2)
    assert show.channel("x").url == "https://mills.net/slow/feed.xml"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "title"),
        ("title = 3", "title"),
        ('title = "x"\nbaseurl = "https://x.net"', "did you mean “base_url”"),
        ('title = "x"\nbase_url = "x.net"', "whole address"),
        ('title = "x"\ncategories = ["Scienc"]', "such as Science"),
        ('title = "x"\nlanguage = "klingonese!"', "not a language"),
        ('title = "x"\nart = "none.jpg"', "none.jpg, which is not there"),
        ('title = "x"\n[numbering]\nstart = 3', "numbering.start"),
        ('title = "x"\nfeed = "../feed.xml"', "feed"),
        ('title = "x', "not TOML"),
        ('title = "\\uD800"', "not TOML"),
    ],
)
def test_what_is_wrong_is_named(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "show.toml").write_text(text)
    with pytest.raises(BadInput) as caught:
        read_show(tmp_path / "show.toml")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_show_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_show(tmp_path / "show.toml")


def test_a_job_that_runs_again_gets_what_it_had(tmp_path: Path, show: Show) -> None:
    file = tmp_path / "show.toml"
    first = enlist(file, show, "job-a", "A", now=NOW)
    second = enlist(file, show, "job-b", "B", now=NOW)
    again = enlist(file, show, "job-a", "A, edited", now=NOW + timedelta(days=3))
    assert (first.number, second.number) == (1, 2)
    assert (again.number, again.guid, again.published) == (first.number, first.guid, NOW)
    assert again.title == "A, edited"
    assert enlist(file, show, "job-c", "C", now=NOW).number == 3


def test_numbers_of_the_feed_are_not_given_again(tmp_path: Path, show: Show) -> None:
    (tmp_path / "feed.xml").write_text(
        '<rss version="2.0" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"><channel>'
        f"<item><guid>{episode_guid(show, 'job-b')}</guid><pubDate>Mon, 05 Jan 2015 10:00:00 GMT</pubDate>"
        "<itunes:episode>41</itunes:episode></item></channel></rss>"
    )
    assert enlist(tmp_path / "show.toml", show, "job-a", "A", now=NOW).number == 42
    known = enlist(tmp_path / "show.toml", show, "job-b", "B", now=NOW)  # the memory had lost it, the feed had not
    assert (known.number, known.published.year) == (41, 2015)


def test_a_memory_of_another_version_is_left_as_it_is(tmp_path: Path, show: Show) -> None:
    memory = memory_file(tmp_path / "show.toml")
    memory.write_text('{"version": 2, "episodes": []}')
    with pytest.raises(BadInput, match="another version"):
        enlist(tmp_path / "show.toml", show, "job-a", "A", now=NOW)
    assert memory.read_text().startswith('{"version": 2')


def test_jobs_at_once_get_numbers_of_their_own(tmp_path: Path, show: Show) -> None:
    given: list[int] = []
    jobs = [
        threading.Thread(
            target=lambda n=n: given.append(enlist(tmp_path / "show.toml", show, f"job-{n}", "x", now=NOW).number)
        )
        for n in range(12)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert sorted(given) == list(range(1, 13))


def test_damaged_memory_is_left_as_it_is(tmp_path: Path, show: Show) -> None:
    memory = memory_file(tmp_path / "show.toml")
    memory.write_text("{broken")
    with pytest.raises(BadInput, match="damaged"):
        enlist(tmp_path / "show.toml", show, "job-a", "A", now=NOW)
    assert memory.read_text() == "{broken"


def test_guid_is_the_shows_and_the_jobs(tmp_path: Path, show: Show) -> None:
    a = enlist(tmp_path / "a.toml", show, "job-a", "A", now=NOW)
    b = enlist(tmp_path / "b.toml", show, "job-a", "Other", now=NOW)
    assert a.guid == b.guid != enlist(tmp_path / "a.toml", show, "job-b", "A", now=NOW).guid
