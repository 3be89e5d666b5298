"""The feed: apps read it, it keeps what it has, and its lint finds what is wrong in any."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import feedparser
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tasks.episode import earlier, feed, package, trees
from tasks.episode.channel import Channel, Enclosure, Item, podcast_guid
from tasks.episode.content import Episode
from tasks.episode.lint import RULES, Severity, lint_feed, passes
from tasks.episode.shows import Entry, Show, lone_entry
from tasks.episode.trees import UnreadableFeed

NOW = datetime(2026, 5, 6, tzinfo=UTC)


@pytest.fixture(scope="module")
def once(
    tmp_path_factory: pytest.TempPathFactory, episode: Episode, encoded: Path, master: Path, show: Show, entry: Entry
) -> tuple[Path, package.Package]:
    folder = tmp_path_factory.mktemp("package")
    return folder, package.write_package(folder, episode, encoded, show, entry, now=NOW, mp4=master)


@pytest.fixture
def made(tmp_path: Path, once: tuple[Path, package.Package]) -> package.Package:
    """A package in the test's own folder."""
    shutil.copytree(once[0], tmp_path, dirs_exist_ok=True)
    return once[1]


@pytest.fixture
def channel(show: Show) -> Channel:
    return show.channel("https://mills.net/slow-machines/cover.jpg")


def item(number: int, title: str = "") -> Item:
    return Item(
        guid=f"guid-{number}",
        title=title or f"Episode {number}",
        published=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number),
        description="x",
        enclosure=Enclosure(f"https://mills.net/slow-machines/{number}.mp3", 1000 + number),
        duration_s=60.4,
        number=number,
    )


def guids(folder: Path) -> list[str]:
    return [trees.text(element, "guid") for element in earlier.read_items(folder)]


@pytest.mark.parametrize(
    ("url", "guid"),
    [
        ("https://podnews.net/rss", "9b024349-ccf0-5f69-a609-6b82873eab3c"),
        ("https://podnews.net/rss/", "9b024349-ccf0-5f69-a609-6b82873eab3c"),
        ("http://mp3s.nashownotes.com/pc20rss.xml", "917393e3-1b1e-5cef-ace4-edaa54e1f810"),
    ],
)
def test_podcast_guid_is_that_of_the_namespace(url: str, guid: str) -> None:
    assert podcast_guid(url) == guid


@pytest.mark.usefixtures("made")
def test_feedparser_reads_the_feed_without_complaint(tmp_path: Path) -> None:
    found = feedparser.parse((tmp_path / "feed.xml").read_bytes())
    assert not found.bozo
    assert found.feed.title == "Slow Machines"
    assert found.feed.language == "en"
    entry = found.entries[0]
    assert entry.title == "How a mill turns grain into bread"
    assert entry.published == "Wed, 04 Mar 2026 05:06:07 +0000"
    (enclosure,) = entry.enclosures
    assert int(enclosure.length) == (tmp_path / "episode.mp3").stat().st_size
    assert (enclosure.href, enclosure.type) == ("https://mills.net/slow-machines/episode.mp3", "audio/mpeg")
    assert entry.itunes_duration == "40"


def test_package_is_whole_and_its_feed_passes_the_lint(tmp_path: Path, made: package.Package) -> None:
    assert set(made.files) == {file.name for file in tmp_path.iterdir()}
    assert made.findings == ()


def test_feed_says_that_voices_are_made_unless_told_not_to(
    tmp_path: Path, episode: Episode, encoded: Path, show: Show, entry: Entry
) -> None:
    for ai, count in ((True, 2), (False, 0)):
        package.write_package(
            tmp_path,
            replace(episode, ai_content=ai),
            encoded,
            show.model_copy(update={"ai_content": ai}),
            entry,
            now=NOW,
        )
        root = trees.read_tree(tmp_path / "feed.xml").getroot()
        tags = root.findall(".//podcast:txt[@purpose='ai-content']", trees.NAMESPACES)
        assert [tag.text for tag in tags] == ["true"] * count


@pytest.mark.usefixtures("made")
def test_item_has_chapters_and_transcripts_in_every_form(tmp_path: Path) -> None:
    top = earlier.read_items(tmp_path)[0]
    starts = [c.get("start") for c in trees.children(trees.children(top, "psc:chapters")[0], "psc:chapter")]
    assert starts == ["00:00:00.000", "00:00:10.000", "00:00:20.000", "00:00:30.016"]
    types = [t.get("type") for t in trees.children(top, "podcast:transcript")]
    assert types == ["text/vtt", "application/x-subrip", "application/json"]
    assert trees.children(top, "podcast:chapters")[0].get("url") == "https://mills.net/slow-machines/chapters.json"


def test_episode_without_a_show_or_an_address_of_its_own_passes_too(
    tmp_path: Path, episode: Episode, encoded: Path, entry: Entry
) -> None:
    alone = replace(episode, show="", number=None, description="")
    made = package.write_package(tmp_path, alone, encoded, package.show_of(alone), entry, now=NOW)
    assert passes(made.findings)
    assert [finding.rule for finding in made.findings] == ["URL-02"]  # nobody but this machine can hear it


def test_lone_episode_that_is_made_again_keeps_its_guid_and_date(
    tmp_path: Path, episode: Episode, encoded: Path
) -> None:
    alone = replace(episode, show="", number=None)
    show = package.show_of(alone)
    for day in (0, 5):
        entry = lone_entry(show, "job-1", alone.title, now=NOW + timedelta(days=day), earlier=tmp_path)
        package.write_package(tmp_path, alone, encoded, show, entry, now=NOW + timedelta(days=day))
    (found,) = earlier.read_items(tmp_path)
    assert trees.text(found, "pubDate") == "Wed, 06 May 2026 00:00:00 +0000"
    assert (tmp_path / "feed.xml").read_text().count("Mon, 11 May 2026") == 1  # that the feed was built again is told


def test_earlier_episodes_stay_as_they_were(tmp_path: Path, channel: Channel) -> None:
    for number in (1, 3, 2):
        feed.update_feed(tmp_path, channel, item(number), now=NOW)
    assert guids(tmp_path) == ["guid-3", "guid-2", "guid-1"]
    before = [etree.tostring(e, method="c14n") for e in earlier.read_items(tmp_path)]
    feed.update_feed(tmp_path, channel, item(2, "Made again"), now=NOW)
    after = [etree.tostring(e, method="c14n") for e in earlier.read_items(tmp_path)]
    assert guids(tmp_path) == ["guid-3", "guid-2", "guid-1"]
    assert (after[0], after[2]) == (before[0], before[2])
    assert b"Made again" in after[1]


def test_an_episode_that_takes_the_place_of_another_sound_takes_its_place_in_the_feed(
    tmp_path: Path, channel: Channel
) -> None:
    """Two documents made into one folder, one after the other: what the feed said of the first is true no more."""
    for number in (1, 2):
        feed.update_feed(tmp_path, channel, item(number), now=NOW)
    feed.update_feed(tmp_path, channel, replace(item(3), enclosure=item(2).enclosure), now=NOW)
    assert guids(tmp_path) == ["guid-3", "guid-1"]


def test_items_that_others_wrote_keep_what_we_do_not_know(tmp_path: Path, channel: Channel) -> None:
    (tmp_path / "feed.xml").write_text(
        '<rss version="2.0" xmlns:g="https://other.net/ns" xmlns:it="http://www.itunes.com/dtds/podcast-1.0.dtd"><channel>'
        "<item><title>Old</title><guid>old</guid><pubDate>Mon, 05 Jan 2015 10:00:00 GMT</pubDate>"
        "<it:episode>41</it:episode><g:secret kind='x'>kept</g:secret></item></channel></rss>"
    )
    assert earlier.numbers(tmp_path) == {"old": 41}
    feed.update_feed(tmp_path, channel, item(42), now=NOW)
    text = (tmp_path / "feed.xml").read_text("utf-8")
    assert guids(tmp_path) == ["guid-42", "old"]
    assert "kept</g:secret>" in text
    assert "<itunes:episode>41</itunes:episode>" in text


def test_a_feed_is_paged_and_every_episode_is_on_one_page(tmp_path: Path, channel: Channel) -> None:
    for number in range(1, 8):
        feed.update_feed(tmp_path, channel, item(number), now=NOW, page_items=3)
    assert guids(tmp_path) == [f"guid-{n}" for n in range(7, 0, -1)]
    pages = [tmp_path / name for name in ("feed.xml", "feed-2.xml", "feed-3.xml")]
    assert [len(feedparser.parse(p.read_bytes()).entries) for p in pages] == [3, 3, 1]
    rels = {
        link["rel"]: link["href"].rpartition("/")[2]
        for link in feedparser.parse(pages[1].read_bytes()).feed.links
        if link["rel"] != "alternate"
    }
    assert rels == {
        "self": "feed-2.xml", "first": "feed.xml", "previous": "feed.xml", "next": "feed-3.xml", "last": "feed-3.xml"
    }  # fmt: skip
    feed.update_feed(tmp_path, channel, item(8), now=NOW, page_items=100)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["feed.xml"]
    assert len(guids(tmp_path)) == 8


def test_two_jobs_at_once_lose_no_episode(tmp_path: Path, channel: Channel) -> None:
    jobs = [
        threading.Thread(target=feed.update_feed, args=(tmp_path, channel, item(n)), kwargs={"now": NOW})
        for n in range(1, 13)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert len(guids(tmp_path)) == 12


def test_killed_between_pages_every_episode_is_still_there(tmp_path: Path, channel: Channel) -> None:
    for number in range(1, 7):
        feed.update_feed(tmp_path, channel, item(number), now=NOW, page_items=3)
    script = (
        "import os, sys, pathlib; from datetime import UTC, datetime; from tasks.episode import feed\n"
        "from tests.episode.test_feed import item; from tasks.episode.shows import Show\n"
        "real, left = feed._replace, [2]\n"
        "def dying(path, data):\n"
        "    left[0] -= 1\n"
        "    os._exit(9) if left[0] < 0 else real(path, data)\n"
        "feed._replace = dying\n"
        "feed.update_feed(pathlib.Path(sys.argv[1]), Show(title='t').channel('https://x.net/c.jpg'), item(7),\n"
        "                 now=datetime.now(UTC), page_items=3)\n"
    )
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=root, check=False)
    assert ended.returncode == 9
    assert set(guids(tmp_path)) == {f"guid-{n}" for n in range(1, 7)}


@pytest.mark.parametrize("content", [b"", b"<rss><chan", b"not xml", b"<html></html>", b"\xff\xfe\x00"])
def test_a_damaged_feed_is_left_as_it_is(content: bytes, tmp_path: Path, channel: Channel) -> None:
    (tmp_path / "feed.xml").write_bytes(content)
    with pytest.raises(UnreadableFeed):
        feed.update_feed(tmp_path, channel, item(1), now=NOW)
    assert (tmp_path / "feed.xml").read_bytes() == content
    assert not passes(lint_feed(tmp_path / "feed.xml"))


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><rss version="2.0"><channel>&b;</channel></rss>'
)
FILE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><rss version="2.0"><channel>&a;</channel></rss>'


@pytest.mark.parametrize("content", [BOMB, FILE])
def test_entities_are_neither_expanded_nor_followed(content: str, tmp_path: Path) -> None:
    (tmp_path / "feed.xml").write_text(content)
    (finding,) = lint_feed(tmp_path / "feed.xml")
    assert (finding.rule, finding.severity) == ("XML-01", Severity.ERROR)


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        ("PSP-01", 'rel="self"', 'rel="up"'),
        ("PSP-05", "<language>en</language>", ""),
        ("PSP-06", "<language>en</language>", "<language>english</language>"),
        ("PSP-08", "<itunes:explicit>false</itunes:explicit>\n  <itunes:image", "<itunes:image"),
        ("PSP-11", "<itunes:explicit>false", "<itunes:explicit>maybe"),
        ("PSP-20", "<title>How a mill turns grain into bread</title>", ""),
        ("PSP-21", "<enclosure ", "<enclosures "),
        ("PSP-22", 'url="https://mills.net/slow-machines/episode.mp3"', 'url="episode.mp3"'),
        ("PSP-23", 'length="', 'length="-'),
        ("PSP-24", 'type="audio/mpeg"', 'type="mp3"'),
        ("PSP-25", "guid", "id"),
        ("PSP-27", "Wed, 04 Mar 2026", "Someday"),
        ("PSP-29", "<title>Slow", f"<title>{'x' * 300}"),
        ("APL-01", 'text="History"', 'text="Histories"'),
        ("APL-02", "full<", "half<"),
        ("APL-03", "<itunes:episode>7", "<itunes:episode>7b"),
        ("APL-05", "<itunes:duration>40", "<itunes:duration>40 s"),
        ("APL-06", "episodic", "sometimes"),
        ("P20-01", 'type="text/vtt"', 'type="text/x"'),
        ("P20-02", "application/json+chapters", "text/json"),
        ("P20-05", 'purpose="ai-content">true', 'purpose="ai-content">perhaps'),
        ("PSC-01", "00:00:20.000", "00:00:05.000"),
        ("FILE-01", 'length="', 'length="1'),
        ("PSP-50", "podcast:guid", "podcast:uid"),
        ("PSP-58", "podcast:transcript", "podcast:script"),
        ("PSP-59", "<language>en<", "<language> en<"),
        ("URL-01", "https://mills.net/slow-machines/episode.mp3", "http://mills.net/slow-machines/episode.mp3"),
    ],
)
@pytest.mark.usefixtures("made")
def test_lint_finds(rule: str, old: str, new: str, tmp_path: Path) -> None:
    text = (tmp_path / "feed.xml").read_text("utf-8")
    assert old in text
    (tmp_path / "feed.xml").write_text(text.replace(old, new), "utf-8")
    found = lint_feed(tmp_path / "feed.xml")
    assert rule in {finding.rule for finding in found}
    assert all(finding.line for finding in found)


@pytest.mark.usefixtures("made")
def test_lint_finds_the_same_guid_or_number_twice(tmp_path: Path) -> None:
    text = (tmp_path / "feed.xml").read_text("utf-8")
    once = text[text.index("<item>") : text.index("</item>") + 7]
    (tmp_path / "feed.xml").write_text(text.replace(once, once + once), "utf-8")
    rules = [finding.rule for finding in lint_feed(tmp_path / "feed.xml")]
    assert (rules.count("PSP-26"), rules.count("APL-50")) == (2, 2)


OLD_FEED = """<?xml version="1.0" encoding="ISO-8859-1"?>
<rss version="2.0" xmlns:itunes="http://www.itunes.com/DTDs/Podcast-1.0.dtd" xmlns:a="http://www.w3.org/2005/Atom"
 xmlns:p="https://github.com/Podcastindex-org/podcast-namespace/blob/main/docs/1.0.md"><channel>
<a:link rel="self" href="https://old.net/rss"/><title>Français</title><link>https://old.net</link>
<description>d</description><language>fr-CA</language><itunes:author>A</itunes:author><itunes:explicit>no</itunes:explicit>
<itunes:category text="Arts"><itunes:category text="Design"/></itunes:category><p:locked>yes</p:locked>
<itunes:image href="https://old.net/a.png"/>
<item><title>One</title><guid>1</guid><pubDate>Mon, 05 Jan 2015 10:00:00 EST</pubDate><description>x</description>
<enclosure url="https://old.net/1.mp3" length="5" type="audio/mpeg"/><itunes:duration>1:02:03</itunes:duration></item>
</channel></rss>"""


def test_lint_reads_feeds_of_others(tmp_path: Path) -> None:
    (tmp_path / "rss").write_bytes(OLD_FEED.encode("latin-1"))
    assert [finding.rule for finding in lint_feed(tmp_path / "rss")] == ["PSP-50", "PSP-58"]


def test_every_rule_is_explained() -> None:
    told = (Path(__file__).parents[2] / "docs" / "feeds.md").read_text("utf-8")
    assert [rule.id for rule in RULES if f"| {rule.id} |" not in told] == []


@given(text=st.text(st.characters(codec=None), max_size=300))
def test_any_text_makes_a_feed_that_can_be_read(text: str) -> None:
    channel = Channel(
        title=text, description=text, language="en", base_url="https://x.net/", image_url="https://x.net/a.jpg"
    )
    items = feed.with_item([], replace(item(1, text), description=text, html=text))
    found = feedparser.parse(feed.paged(channel, items, now=NOW)[0])
    assert not found.bozo
    assert len(found.entries) == 1


@pytest.mark.usefixtures("made")
def test_lint_looks_at_the_art_beside_the_feed(tmp_path: Path) -> None:
    (tmp_path / "cover.jpg").write_bytes(b"GIF89a")
    assert "FILE-02" in {finding.rule for finding in lint_feed(tmp_path / "feed.xml")}
