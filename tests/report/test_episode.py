"""The page of an episode in a real browser, and its report."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from speechmill.episodes import LeftOut, Writing
from speechmill.reports import ChapterMark, EpisodeReport, State, state_of_episode
from tasks.report.episode import episode_page, write_episode_page
from tasks.report.sound import Track, episode_track
from tests.report.browsing import CHROMIUM, NASTY, Visit
from tests.report.episode import MadeEpisode, make_episode

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)")

SILENCE = Track(b"\0" * 100, 1.0)
IDS = "[...document.querySelectorAll('#list .id')].map(e => e.textContent)"
PLAYER = "document.querySelector('[data-sound]')"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeEpisode:
    return make_episode(tmp_path_factory.mktemp("episode"))


@pytest.fixture(scope="module")
def written(made: MadeEpisode, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "report.html"
    write_episode_page(made.report, episode_track(made.store, made.sound, made.report.episode.duration_s), out)
    return out


def test_a_line_plays_from_its_start_to_its_end_and_stops(browser: Browser, written: Path, made: MadeEpisode) -> None:
    line = made.report.episode.lines[1]
    assert line.placed_start_s is not None
    with Visit(browser, written) as visit:
        visit.watch()
        visit.page.get_by_label("Play line 0002").click()
        visit.wait(f"{PLAYER}.currentTime > {line.placed_start_s + 0.2}")
        visit.wait(f"{PLAYER}.paused")
        # a browser on a busy machine tells the time late; it must never stop before the line is over
        assert line.placed_end_s is not None
        assert line.placed_end_s - 0.05 <= visit.time("[data-sound]") < line.placed_end_s + 1.0
        visit.wait_told(line.text, line.placed_start_s, line.placed_end_s + 0.3)
        assert visit.page.get_by_label("Play line 0006").count() == 0, "there is nothing to hear of it"
        assert visit.complaints == []
        assert [url for url in visit.requests if not url.startswith(("data:", written.as_uri()))] == []
    assert not re.search(r"https?://", written.read_text("utf-8"))


def test_chapters_head_the_script_and_their_links_play_from_there(
    browser: Browser, written: Path, made: MadeEpisode
) -> None:
    second = made.report.episode.chapters[1]
    with Visit(browser, written) as visit:
        order = visit.page.evaluate(
            "[...document.querySelectorAll('#list > li')].map(e => e.matches('.chapter') ? e.textContent : "
            "e.querySelector('.id').textContent)"
        )
        assert order == ["The river", "0001", "0002", "0003", "0004", "Who opens the gate", "0005", "0006"]
        visit.page.get_by_role("navigation", name="Chapters").get_by_text(second.title).click()
        visit.wait(f"{PLAYER}.currentTime > {second.start_s + 0.1} && !{PLAYER}.paused")
        assert "0005" in visit.page.locator("[aria-current]").inner_text()
        address = visit.page.url
        visit.page.goto("about:blank")
        visit.page.goto(address)
        assert "0005" in visit.page.locator("[aria-current]").inner_text(), "the link can be sent to somebody"


def test_the_timeline_shows_chapters_and_speakers_in_rows_of_their_own(
    browser: Browser, made: MadeEpisode, written: Path, tmp_path: Path
) -> None:
    episode = made.report.episode
    line = episode.lines[3]
    assert line.placed_start_s is not None
    assert line.placed_end_s is not None
    bare = made.report.model_copy(update={"episode": episode.model_copy(update={"chapters": ()})})
    write_episode_page(bare, SILENCE, tmp_path / "report.html")
    heights = []
    for page in (written, tmp_path / "report.html"):
        with Visit(browser, page) as visit:
            visit.page.get_by_role("button", name="All", exact=True).click()
            box = visit.page.locator("#timeline").bounding_box()
            assert box is not None
            x = (line.placed_start_s + line.placed_end_s) / 2 / episode.duration_s * box["width"]
            found = []
            for y in range(0, int(box["height"]), 3):
                visit.page.mouse.move(box["x"] + x, box["y"] + y)
                hint = visit.page.locator("#hint")
                found.append(hint.is_visible() and line.text in hint.inner_text())
            heights.append((found.index(True), found[::-1].index(True), found))
    (top, bottom, found), (bare_top, _, _) = heights
    assert top > bare_top, "chapters have a band of their own above"
    assert bottom * 3 < 16, "the second speaker's row is the last"
    gap = len(found) - found[::-1].index(True) - 28 // 3
    assert False in found[top:gap], "between the sound and the row of this speaker is the row of the other"


def test_a_click_on_a_chapter_of_the_timeline_plays_from_its_beginning(
    browser: Browser, written: Path, made: MadeEpisode
) -> None:
    second = made.report.episode.chapters[1].start_s
    with Visit(browser, written) as visit:
        visit.page.get_by_role("button", name="All", exact=True).click()
        box = visit.page.locator("#timeline").bounding_box()
        assert box is not None
        visit.page.mouse.click(box["x"] + (second + 1.5) / made.report.episode.duration_s * box["width"], box["y"] + 30)
        visit.wait(f"{PLAYER}.currentTime > {second}")
        assert visit.time("[data-sound]") < second + 1.2


def test_a_line_stands_between_its_speaker_and_its_verdict_with_its_reasons_below(
    browser: Browser, written: Path
) -> None:
    with Visit(browser, written) as visit:
        row = visit.page.locator(".row", has_text="0004")
        boxes = [row.locator(part).bounding_box() for part in (".who", ".said", ".fit", ".why")]
        who, said, fit, why = (box for box in boxes if box is not None)
        assert who["x"] < said["x"] < fit["x"]
        assert said["width"] > 2 * fit["width"]
        assert why["y"] >= said["y"] + said["height"]
        assert why["x"] < fit["x"]


def test_worst_lines_come_first_and_say_why(browser: Browser, written: Path) -> None:
    with Visit(browser, written) as visit:
        visit.page.get_by_role("button", name="Worst first").click()
        assert visit.page.evaluate(IDS)[:3] == ["0006", "0004", "0005"]
        assert visit.page.locator("#list .chapter").count() == 0
        row = visit.page.locator(".row", has_text="0004").inner_text()
        assert "overlaps 250 ms" in row
        assert "three hundred years" in row
        assert "The document does not say how old the stones are." in row
        visit.page.get_by_placeholder("words").fill("ben stones")
        visit.wait(f"({IDS}).length === 1")
        assert visit.page.evaluate(IDS) == ["0004"]


def test_who_speaks_how_long_and_how_loud_it_is_can_be_seen(browser: Browser, written: Path, made: MadeEpisode) -> None:
    with Visit(browser, written) as visit:
        cards = visit.page.locator(".overview")
        assert "162 words per minute" in cards.inner_text()
        shares = [int(n) for n in re.findall(r"(\d+) %", visit.page.locator(".speaking").inner_text())]
        together = sum(made.report.episode.speaking.values())
        assert shares == [round(100 * s / together) for s in sorted(made.report.episode.speaking.values())[::-1]]
        widths = visit.page.evaluate("[...document.querySelectorAll('.speaking i')].map(e => e.offsetWidth)")
        assert widths[1] / widths[0] == pytest.approx(shares[1] / shares[0], abs=0.04)
        passed = visit.page.get_by_role("img", name=re.compile("integrated: −19.2 LUFS, required −19 ± 0.5: passed"))
        assert passed.count() == 1, "mono has a loudness of its own"


def test_what_is_left_out_of_the_document_is_told_with_its_reason(browser: Browser, written: Path) -> None:
    with Visit(browser, written) as visit:
        left_out = visit.page.get_by_label("Left out").inner_text()
        assert all(said in left_out for said in ("A table cannot be read aloud.", "Year | Stones", "line 31"))
        script = visit.page.get_by_label("Script")
        assert "The text gives about 0.3 minutes, not 3." in script.inner_text()
        script.get_by_role("link", name="0004").click()
        visit.wait("document.querySelector('[aria-current]')?.textContent.includes('Nobody knows')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_are_shown_as_they_are_fit_a_phone_and_can_be_read(
    browser: Browser, made: MadeEpisode, tmp_path: Path, scheme: str
) -> None:
    episode = made.report.episode
    lines = tuple(line.model_copy(update={"text": NASTY, "spoken": NASTY + "."}) for line in episode.lines)
    names = {"HOST": NASTY, "GUEST": NASTY}
    nasty = made.report.model_copy(
        update={
            "source": made.report.source.model_copy(update={"title": NASTY}),
            "episode": episode.model_copy(
                update={"lines": lines, "names": names, "chapters": (ChapterMark(start_s=0.0, title=NASTY),)}
            ),
            "writing": Writing(left_out=(LeftOut(what=NASTY, why=NASTY, text=NASTY, place=NASTY),), notes=(NASTY,)),
        }
    )
    write_episode_page(nasty, SILENCE, tmp_path / "report.html")
    with Visit(browser, tmp_path / "report.html", width=375, scheme=scheme) as visit:
        visit.page.wait_for_timeout(200)
        assert visit.page.evaluate("document.images.length") == 0
        assert visit.page.locator(".said p").first.evaluate("e => e.textContent") == NASTY
        named = visit.page.locator("#speaker option").evaluate_all("all => all.map(e => e.textContent)")
        assert named[1:] == [f"{NASTY} (HOST)", f"{NASTY} (GUEST)"]
        visit.assert_fits_a_phone()
        visit.assert_can_be_read()
        assert visit.complaints == []


def test_a_long_episode_is_played_from_the_file_beside_the_page(
    browser: Browser, made: MadeEpisode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.report.sound.EMBED_MOST_S", 1.0)
    track = episode_track(made.store, made.sound, made.report.episode.duration_s, file_name="my episode.wav")
    assert not track.embedded
    shutil.copy(made.store.path(made.sound), tmp_path / "my episode.wav")
    write_episode_page(made.report, track, tmp_path / "report.html")
    with Visit(browser, tmp_path / "report.html") as visit:
        visit.page.keyboard.press("j")
        visit.page.keyboard.press("p")
        visit.wait(f"{PLAYER}.currentTime > 0.7")
        assert visit.complaints == []


def test_the_report_keeps_the_names_that_machines_hold_on_to(made: MadeEpisode) -> None:
    written = json.loads(made.report.to_json())
    assert {"job", "state", "source", "engine", "episode", "stages", "work", "writing"} <= set(written)
    episode = written["episode"]
    assert {"outputs", "duration_s", "loudness", "checks", "chapters", "lines"} <= set(episode)
    assert set(episode["chapters"][0]) == {"start_s", "title"}
    assert {
        "id", "speaker", "text", "placed_start_s", "placed_end_s", "lost_ms", "verdict", "reasons", "takes",
    } <= set(episode["lines"][0])  # fmt: skip
    assert EpisodeReport.model_validate_json(made.report.to_json()) == made.report


def test_whatever_needs_a_person_is_in_the_state(made: MadeEpisode) -> None:
    passed = made.report.episode.model_copy(update={"lines": made.report.episode.lines[:3], "checks": ()})
    unsupported = made.report.writing.model_copy(update={"left_out": ()})
    assert state_of_episode(passed, Writing()) is State.COMPLETED
    assert state_of_episode(passed, unsupported) is State.COMPLETED_WITH_REVIEW
    assert state_of_episode(made.report.episode, Writing()) is State.COMPLETED_WITH_REVIEW


def test_a_report_of_nothing_is_still_a_page(made: MadeEpisode) -> None:
    nothing = made.report.episode.model_copy(
        update={"lines": (), "checks": (), "chapters": (), "loudness": None, "speaking": {}, "words_per_minute": None}
    )
    html = episode_page(
        made.report.model_copy(update={"episode": nothing, "writing": Writing(), "stages": ()}), SILENCE
    )
    assert "Nothing was measured" in html
    assert "Nobody is heard" in html
