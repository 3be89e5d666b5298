"""An episode in its show's own feed: put there once, changed when it is made again."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import feedparser
import pytest

from speechmill.errors import BadInput, Conflict
from tasks.episode import earlier, membership, package, trees
from tasks.episode.channel import podcast_guid
from tasks.episode.content import Episode
from tasks.episode.lint import lint_feed, passes
from tasks.episode.shows import enlist, read_show

NOW = datetime(2026, 5, 6, tzinfo=UTC)


@pytest.fixture
def show_file(tmp_path: Path) -> Path:
    file = tmp_path / "show" / "show.toml"
    file.parent.mkdir()
    file.write_text(
        'title = "Slow Machines"\nbase_url = "https://mills.net/slow"\nauthor = "Ana Ruiz"\nemail = "ana@mills.net"\n'
    )
    return file


def publish(show_file: Path, job: str, episode: Episode, encoded: Path, out: Path, now: datetime = NOW) -> Path:
    """As a release does it."""
    show = membership.foresee(show_file, job, out)
    entry = enlist(show_file, show, job, episode.title, now=now)
    out.mkdir(parents=True, exist_ok=True)
    numbered = replace(episode, number=entry.number)
    packed = package.write_package(out, numbered, encoded, show, entry, now=now, below=membership.below(show_file, out))
    assert passes(packed.findings)
    return membership.join(show_file, packed, out, now=now)


def test_episodes_follow_one_another_in_the_feed_beside_the_show_file(
    show_file: Path, episode: Episode, encoded: Path
) -> None:
    for number in (1, 2):
        out, now = show_file.parent / f"ep{number}", NOW + timedelta(hours=number)
        written = publish(show_file, f"job-{number}", episode, encoded, out, now)
    assert written == show_file.parent / "feed.xml"
    assert lint_feed(written) == []  # the lengths of files and the art are looked at as well
    found = feedparser.parse(written.read_bytes())
    assert not found.bozo
    assert {e.enclosures[0].href for e in found.entries} == {
        "https://mills.net/slow/ep1/episode.mp3",
        "https://mills.net/slow/ep2/episode.mp3",
    }
    assert [e.itunes_episode for e in found.entries] == ["2", "1"]


def test_an_episode_that_is_made_again_changes_its_item(show_file: Path, episode: Episode, encoded: Path) -> None:
    out = show_file.parent / "ep1"
    publish(show_file, "job-1", episode, encoded, out)
    publish(show_file, "job-2", episode, encoded, show_file.parent / "ep2", NOW + timedelta(hours=1))
    again = replace(episode, title="Told better")
    publish(show_file, "job-1", again, encoded, out, NOW + timedelta(days=9))
    titles = [trees.text(item, "title") for item in earlier.read_items(show_file.parent)]
    assert titles == ["How a mill turns grain into bread", "Told better"]
    assert earlier.published(show_file.parent, enlist_guid(show_file, "job-1")) == NOW


def enlist_guid(show_file: Path, job: str) -> str:
    return enlist(show_file, read_show(show_file), job, "", now=NOW).guid


def test_what_somebody_put_into_the_feed_stays(show_file: Path, episode: Episode, encoded: Path) -> None:
    publish(show_file, "job-1", episode, encoded, show_file.parent / "ep1")
    file = show_file.parent / "feed.xml"
    guid = trees.text(trees.read_tree(file).getroot()[0], "podcast:guid")
    edited = file.read_text("utf-8").replace(
        "<generator>",
        '<podcast:funding url="https://mills.net/give">Give</podcast:funding><podcast:txt purpose="verify">abc'
        '</podcast:txt><atom:link rel="hub" href="https://hub.net/"/><generator>',
    )
    file.write_text(edited.replace("gears = work", "cogs = work"), "utf-8")
    moved = show_file.read_text().replace("mills.net/slow", "mills.org/slow")
    show_file.write_text(moved)
    publish(show_file, "job-2", episode, encoded, show_file.parent / "ep2")
    text = file.read_text("utf-8")
    for kept in ("Give</podcast:funding>", ">abc</podcast:txt>", 'rel="hub"', "cogs = work"):
        assert kept in text
    assert text.count("<podcast:guid>") == 1
    assert guid in text  # it never changes, wherever the feed goes
    assert "ana@mills.net" in text
    show_file.write_text(moved.replace('email = "ana@mills.net"', ""))
    publish(show_file, "job-2", episode, encoded, show_file.parent / "ep2")
    assert "ana@mills.net" not in file.read_text("utf-8")  # what the show file says no more is gone


def test_a_guid_that_was_made_for_this_machine_alone_does_not_stay(
    show_file: Path, episode: Episode, encoded: Path
) -> None:
    address = 'base_url = "https://mills.net/slow"\n'
    show_file.write_text(show_file.read_text().replace(address, ""))
    publish(show_file, "job-1", episode, encoded, show_file.parent / "ep1")
    show_file.write_text(show_file.read_text() + address)
    publish(show_file, "job-1", episode, encoded, show_file.parent / "ep1")
    expected = podcast_guid("https://mills.net/slow/feed.xml")
    assert f"<podcast:guid>{expected}<" in (show_file.parent / "feed.xml").read_text("utf-8")


def test_a_folder_elsewhere_is_served_under_its_name(show_file: Path, tmp_path: Path) -> None:
    assert membership.below(show_file, tmp_path / "out" / "01abc") == "01abc/"
    assert membership.below(show_file, show_file.parent / "2026" / "ep1") == "2026/ep1/"


def test_another_episodes_folder_is_refused(show_file: Path, episode: Episode, encoded: Path, tmp_path: Path) -> None:
    publish(show_file, "job-1", episode, encoded, tmp_path / "a" / "ep")
    with pytest.raises(BadInput, match="another episode"):
        membership.foresee(show_file, "job-2", tmp_path / "b" / "ep")
    with pytest.raises(BadInput, match="folder of the show itself"):
        membership.foresee(show_file, "job-2", show_file.parent)


def test_a_feed_of_another_show_is_refused(show_file: Path, episode: Episode, encoded: Path) -> None:
    publish(show_file, "job-1", episode, encoded, show_file.parent / "ep1")
    other = show_file.with_name("other.toml")
    other.write_text('title = "Fast Machines"\n')
    with pytest.raises(BadInput, match=r"feed of another show, “Slow Machines”.*feed = \"other.xml\""):
        membership.foresee(other, "job-2", show_file.parent / "ep2")
    other.write_text('title = "Fast Machines"\nfeed = "other.xml"\n')
    membership.foresee(other, "job-2", show_file.parent / "ep2")
    show_file.write_text(show_file.read_text().replace("Slow Machines", "Slower Machines"))
    membership.foresee(show_file, "job-2", show_file.parent / "ep2")  # the show that made it may be renamed


def test_a_source_that_the_show_has_an_episode_of_is_known(show_file: Path, episode: Episode, encoded: Path) -> None:
    out = show_file.parent / "ep1"
    publish(show_file, "job-1", episode, encoded, out)
    assert membership.made_of(show_file, "abc") == ()
    enlist(show_file, read_show(show_file), "job-1", episode.title, now=NOW, source="abc")
    assert [(made.job, made.entry.number) for made in membership.made_of(show_file, "abc")] == [("job-1", 1)]
    membership.refuse_again(show_file, "abc", "job-1")  # its own job goes on
    with pytest.raises(Conflict, match="as its episode 1"):
        membership.refuse_again(show_file, "abc", "job-2")
    feed = show_file.parent / "feed.xml"
    feed.write_text(re.sub(r"<item>.*</item>", "", feed.read_text("utf-8"), flags=re.DOTALL), "utf-8")
    membership.refuse_again(show_file, "abc", "job-2")  # it was taken out of the feed


def test_where_an_episode_is_to_be_copied_is_told(show_file: Path, tmp_path: Path) -> None:
    assert membership.gap(show_file, tmp_path / "out" / "01abc") == show_file.parent / "01abc"
    assert membership.gap(show_file, show_file.parent / "2026" / "ep1") is None


@pytest.mark.parametrize(("name", "content"), [("feed.xml", "<rss><chan"), ("show.episodes.json", "{")])
def test_what_cannot_be_read_is_refused_before_any_work_and_left(show_file: Path, name: str, content: str) -> None:
    (show_file.parent / name).write_text(content)
    with pytest.raises(BadInput, match=name):
        membership.foresee(show_file, "job-1", show_file.parent / "ep1")
    assert (show_file.parent / name).read_text() == content
