"""Episodes of a show: one for a document, one feed for all of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import feedparser

from tests.flows.articles import ARTICLE, rehearse
from tests.flows.conftest import Ran, Speechmill


def test_episodes_of_a_show_at_once_are_both_in_its_feed_and_one_made_again_is_there_once(
    speechmill: Speechmill, tmp_path: Path
) -> None:
    show = tmp_path / "show" / "show.toml"
    show.parent.mkdir()
    show.write_text('title = "Mills"\nbase_url = "https://mills.net/"\n')
    articles = [tmp_path / f"{name}.txt" for name in ("wind", "water")]
    for file in articles:
        file.write_text(f"The {file.stem} turns the wheel. The wheel turns the stone.", "utf-8")
    with ThreadPoolExecutor() as pool:
        made = list(pool.map(lambda f: rehearse(speechmill, f, show.parent / f.stem, "--show", show), articles))
    assert [ran.code for ran in made] == [0, 0], made[0].err + made[1].err
    first = made[0]
    assert speechmill("edit", first.result["job"], "0001", "--text", "The wind drives the wheel.").code == 0
    assert speechmill("retake", first.result["job"], "--no-prefect").code == 0
    found = feedparser.parse((show.parent / "feed.xml").read_bytes())
    assert not found.bozo
    assert sorted(entry.itunes_episode for entry in found.entries) == ["1", "2"]
    for entry in found.entries:
        file = show.parent / entry.enclosures[0].href.removeprefix("https://mills.net/")
        assert file.stat().st_size == int(entry.enclosures[0].length)
    assert speechmill("lint-feed", show.parent / "feed.xml").code == 0


def test_the_same_document_twice_is_one_episode_unless_another_is_asked_for(
    speechmill: Speechmill, article: Path, tmp_path: Path
) -> None:
    show = tmp_path / "show" / "show.toml"
    show.parent.mkdir()
    show.write_text('title = "Mills"\n')

    def again(*more: str) -> Ran:
        return speechmill(
            "podcast", article, "--engine", "rehearsal", "--show", show, "--no-prefect", "--json", *more, cwd=tmp_path
        )

    def items() -> int:
        return len(feedparser.parse((show.parent / "feed.xml").read_bytes()).entries)

    first, second = again(), again()
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert second.result == first.result
    assert f"copy {first.result['out']} to {show.parent / first.result['job']}" in first.err
    advice = next(check for check in first.report["episode"]["checks"] if check["id"] == "feed-advice")
    assert "URL-02" in advice["measured"]  # it leads to this machine
    assert items() == 1
    other = again("--format", "dialogue")
    assert other.code == 3
    assert "as its episode 1, “A morning walk”" in other.err.strip().splitlines()[-1]
    assert again("--again").code == 0
    assert items() == 2
    article.write_text(ARTICLE.replace("12 boats", "13 boats"), "utf-8")
    assert again().code == 0
    assert items() == 3


def test_a_show_whose_feed_is_broken_is_refused_before_any_work(
    speechmill: Speechmill, article: Path, tmp_path: Path
) -> None:
    show = tmp_path / "show" / "show.toml"
    show.parent.mkdir()
    show.write_text('title = "Mills"\n')
    (show.parent / "feed.xml").write_text("<rss><channel>")
    ran = rehearse(speechmill, article, tmp_path / "out", "--show", show)
    assert ran.code == 3
    assert "feed.xml is no well-formed XML" in ran.err.strip().splitlines()[-1]
    assert (show.parent / "feed.xml").read_text() == "<rss><channel>"
    assert not (tmp_path / "out").exists()
