"""What was dropped, from the command line and as it is: a film that a person corrects, articles for a show."""

from __future__ import annotations

import json
from pathlib import Path

import feedparser

from tests.flows.conftest import Speechmill

SCRIPT = (
    "1\n00:00:00,000 --> 00:00:01,900\nGood morning.\n\n2\n00:00:02,000 --> 00:00:04,000\nThe train leaves at nine.\n"
)


def test_a_corrected_line_of_a_dropped_film_is_in_its_delivery(
    speechmill: Speechmill, folder: Path, tmp_path: Path
) -> None:
    """Its film and its script lie beside the delivery by then, and may still be read."""
    drop = tmp_path / "drop"
    (drop / "in").mkdir(parents=True)
    (drop / "in" / "talk.mp4").write_bytes((folder / "talk.mp4").read_bytes())
    (drop / "in" / "talk.en.srt").write_bytes((folder / "talk.en.srt").read_bytes())
    asked = {"targets": ["es"], "script": "talk.en.srt", "engines": {"translate": "rehearsal", "speak": "rehearsal"}}
    (drop / "in" / "talk.job.json").write_text(json.dumps(asked), "utf-8")
    env = {"SPEECHMILL_DROP_MIN_AGE_S": "0", "SPEECHMILL_SIDECAR_GRACE_S": "0"}
    swept = speechmill("ingest", drop, "--once", "--no-prefect", **env)
    assert swept.code == 0, swept.err
    (delivered,) = (drop / "done").glob("*/*")
    assert "a las diez" not in (delivered / "talk.es.srt").read_text("utf-8")
    marker = (delivered / "delivery.json").read_bytes()

    job = delivered.name
    assert speechmill("edit", job, "2", "--lang", "es", "--text", "El tren sale a las diez.").code == 0
    again = speechmill("retake", job, "--no-prefect", "--json")
    assert again.code == 0, again.err
    assert again.report["work"]["speak_calls"] == 1
    assert "a las diez" in (delivered / "talk.es.srt").read_text("utf-8")
    assert (delivered / "delivery.json").read_bytes() != marker
    assert (delivered / "source" / "talk.mp4").exists()
    assert list((drop / "in").iterdir()) == []


def test_an_article_that_is_dropped_for_a_show_is_there_where_the_feed_leads(
    speechmill: Speechmill, tmp_path: Path
) -> None:
    drop = tmp_path / "drop"
    home = drop / "shows" / "slow"
    for each in (drop / "in", home):
        each.mkdir(parents=True)
    (home / "show.toml").write_text('title = "Slow Machines"\nbase_url = "https://mills.net/slow/"\n')
    (drop / "in" / "defaults.job.json").write_text('{"show": "slow/show.toml", "engine": "rehearsal"}')
    for name in ("Wheels", "Weirs"):
        (drop / "in" / f"{name}.md").write_text(f"# {name}\n\nAll about {name}.\n")
    env = {"SPEECHMILL_DROP_MIN_AGE_S": "0", "SPEECHMILL_SIDECAR_GRACE_S": "0"}
    swept = speechmill("ingest", drop, "--once", "--no-prefect", **env)
    assert swept.code == 0, swept.err
    items = feedparser.parse((home / "feed.xml").read_bytes()).entries
    assert {item.title for item in items} == {"Wheels", "Weirs"}
    for item in items:
        (sound,) = item.enclosures
        there = home / sound.href.removeprefix("https://mills.net/slow/")
        assert there.stat().st_size == int(sound.length)
        assert len(list((drop / "done").glob(f"*/{there.parent.name}/episode.mp3"))) == 1
    assert [path.name for path in (drop / "in").iterdir()] == ["defaults.job.json"]
