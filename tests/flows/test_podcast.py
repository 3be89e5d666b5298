"""Episodes from the outside: a document or a script in, a package out, measured."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import feedparser
import pytest
import soundfile

from tests.flows.conftest import Ran, Speechmill

ARTICLE = """# A morning walk

It was early, and the streets were empty.

## The river

We walked to the river. There were 12 boats on the water.

```python
print("not read")
```

## Home

Then we went home and had breakfast.
"""


@pytest.fixture
def article(tmp_path: Path) -> Path:
    file = tmp_path / "article.md"
    file.write_text(ARTICLE, "utf-8")
    return file


def rehearse(speechmill: Speechmill, source: Path, out: Path, *more: str | Path) -> Ran:
    return speechmill("podcast", source, "--engine", "rehearsal", "--out", out, "--no-prefect", "--json", *more)


def test_an_article_becomes_an_episode_with_everything_beside_it(
    speechmill: Speechmill, article: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ran = rehearse(speechmill, article, out, "--format", "dialogue")
    assert ran.code == 0, ran.err
    visible = {file.name for file in out.iterdir() if not file.name.startswith(".")}
    assert visible == {
        "episode.mp3", "episode.flac", "transcript.vtt", "transcript.srt", "transcript.json", "chapters.json",
        "shownotes.md", "script.json", "cover.jpg", "feed.xml", "report.html", "report.json",
    }  # fmt: skip
    episode = ran.report["episode"]
    assert episode["loudness"]["integrated_lufs"] == pytest.approx(-19, abs=0.5)  # mono
    assert episode["loudness"]["true_peak_dbtp"] < -1
    assert [chapter["title"] for chapter in episode["chapters"]] == ["Opening", "A morning walk", "The river", "Home"]
    assert episode["lines"][0]["id"] == "disclosure"
    assert len({line["voice"] for line in episode["lines"]}) == 2
    assert all(line["lost_ms"] == 0 for line in episode["lines"])
    assert not any("not read" in line["text"] for line in episode["lines"])


def test_chapters_and_gaps_are_where_they_are_said_to_be(speechmill: Speechmill, tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(
        json.dumps(
            {
                "title": "Gaps",
                "language": "en",
                "speakers": {"A": {}, "B": {}},
                "lines": [
                    {"id": "1", "speaker": "A", "text": "The first thing that is said.", "chapter": "One"},
                    {"id": "2", "speaker": "B", "text": "The second thing that is said.", "gap_ms": 700},
                    {"id": "3", "speaker": "A", "text": "The third, over the second.", "gap_ms": -300},
                    {"id": "4", "speaker": "B", "text": "And something else.", "chapter": "Two"},
                ],
            }
        ),
        "utf-8",
    )
    out = tmp_path / "out"
    ran = rehearse(speechmill, script, out)
    assert ran.code == 0, ran.err
    lines = {line["id"]: line for line in ran.report["episode"]["lines"]}
    assert lines["2"]["placed_start_s"] - lines["1"]["placed_end_s"] == pytest.approx(0.7, abs=0.005)
    assert lines["3"]["placed_start_s"] - lines["2"]["placed_end_s"] == pytest.approx(-0.3, abs=0.005)
    probed = json.loads(
        subprocess.run(
            ["ffprobe", "-v", "error", "-of", "json", "-show_chapters", str(out / "episode.mp3")],
            check=True,
            capture_output=True,
        ).stdout
    )["chapters"]
    assert float(probed[1]["start_time"]) == pytest.approx(lines["1"]["placed_start_s"], abs=0.02)
    assert float(probed[2]["start_time"]) == pytest.approx(lines["4"]["placed_start_s"], abs=0.02)
    info = soundfile.info(out / "episode.flac")
    assert info.duration == pytest.approx(ran.report["episode"]["duration_s"], abs=0.001)


def test_one_edited_line_is_one_speak_call_and_reaches_the_transcript(
    speechmill: Speechmill, article: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = rehearse(speechmill, article, out)
    line = first.report["episode"]["lines"][1]
    assert speechmill("edit", first.result["job"], line["id"], "--text", "Nobody was awake yet.").code == 0
    again = speechmill("retake", first.result["job"], "--json", "--no-prefect")
    assert again.code == 0, again.err
    assert again.report["work"]["speak_calls"] == 1
    assert "Nobody was awake yet." in (out / "transcript.vtt").read_text("utf-8")
    assert "Nobody was awake yet." in (out / "script.json").read_text("utf-8")


def test_an_audiobook_is_left_beside_it_where_one_is_asked_for(
    speechmill: Speechmill, article: Path, tmp_path: Path
) -> None:
    ran = rehearse(speechmill, article, tmp_path / "out", "--m4b")
    assert ran.code == 0, ran.err
    assert ran.report["episode"]["outputs"]["mp4"] == "episode.m4b"
    lengths_s, chapters = [], []
    for name in ("episode.mp3", "episode.m4b"):
        argv = ["ffprobe", "-v", "error", "-of", "json", "-show_chapters", "-show_format", tmp_path / "out" / name]
        found = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
        lengths_s.append(float(found["format"]["duration"]))
        chapters.append([chapter["tags"]["title"] for chapter in found["chapters"]])
    assert chapters[0] == chapters[1] != []
    assert lengths_s[0] == pytest.approx(lengths_s[1], abs=0.05)
    assert speechmill("lint-feed", tmp_path / "out" / "feed.xml").code == 0


def test_the_script_that_is_left_is_as_good_a_source(speechmill: Speechmill, article: Path, tmp_path: Path) -> None:
    first = rehearse(speechmill, article, tmp_path / "one")
    again = rehearse(speechmill, tmp_path / "one" / "script.json", tmp_path / "two")
    assert again.code == 0, again.err
    assert again.report["work"]["speak_calls"] == 0
    texts = [[line["text"] for line in ran.report["episode"]["lines"]] for ran in (first, again)]
    assert texts[0] == texts[1]


def test_the_feed_passes_the_lint(speechmill: Speechmill, article: Path, tmp_path: Path) -> None:
    rehearse(speechmill, article, tmp_path / "out")
    linted = speechmill("lint-feed", tmp_path / "out" / "feed.xml", "--json")
    assert linted.code == 0, linted.out


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


def test_a_preview_tells_what_is_read_and_what_is_not_and_makes_nothing(
    speechmill: Speechmill, article: Path, tmp_path: Path
) -> None:
    ran = speechmill("podcast", article, "--preview", "--out", tmp_path / "out")
    assert ran.code == 0
    assert "twelve boats" in ran.out
    assert "not read" in ran.out.lower()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02" * 100])
def test_a_document_that_cannot_be_read_is_refused_in_one_line(
    speechmill: Speechmill, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "bad.md"
    file.write_bytes(content)
    ran = rehearse(speechmill, file, tmp_path / "out")
    assert ran.code == 3
    assert "bad.md" in ran.err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()
