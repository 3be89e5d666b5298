"""The report page in a real browser: it plays, it fits, it leaks nothing."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from speechmill.repairs import Repair
from speechmill.reports import DubbingReport
from tasks.report.page import page, write_page
from tasks.report.sound import PageSound, Track
from tests.report.browsing import CHROMIUM, NASTY, Visit

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)")

SILENCE = PageSound(Track(b"\0" * 100, 1.0), {"es": Track(b"\0" * 100, 1.0)})


@pytest.fixture(scope="module")
def written(programme: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return programme.write(tmp_path_factory.mktemp("page") / "report.html")


def test_playing_a_line_sounds_from_its_start_to_its_end_and_stops(
    browser: Browser, written: Path, programme: Any
) -> None:
    line = programme.report.targets["es"].lines[2]
    with Visit(browser, written) as visit:
        visit.watch()
        visit.page.get_by_label(f"Play dub of line {line.id}").click()
        visit.wait(f"document.querySelector('[data-sound]').currentTime > {line.placed_start_s + 0.2}")
        visit.wait("document.querySelector('[data-sound]').paused")
        visit.wait_told(line.text, line.placed_start_s, line.placed_end_s + 0.3)
        # A browser on a busy machine tells the time late; it must never stop before the line is over.
        assert line.placed_end_s - 0.05 <= visit.time() < line.placed_end_s + 1.0
        visit.page.get_by_label(f"Play original of line {line.id}").click()
        visit.wait(f"document.querySelector('#sound-original').currentTime > {line.start_s + 0.2}")
        assert visit.page.evaluate("document.querySelector('[data-sound]').paused")
        assert visit.complaints == []


def test_both_players_hold_the_whole_programme(browser: Browser, written: Path, programme: Any) -> None:
    with Visit(browser, written) as visit:
        for track in ("#sound-original", "[data-sound]"):
            visit.page.evaluate(f"document.querySelector('{track}').load()")
            visit.page.evaluate(f"document.querySelector('{track}').preload = 'auto'")
            visit.wait(f"document.querySelector('{track}').readyState >= 1")
            length_s = visit.page.evaluate(f"document.querySelector('{track}').duration")
            assert length_s == pytest.approx(programme.duration_s, abs=0.1)


def test_the_page_asks_the_network_for_nothing_and_complains_about_nothing(browser: Browser, written: Path) -> None:
    with Visit(browser, written) as visit:
        visit.page.get_by_label("Play dub of line 0001").click()
        visit.wait("document.querySelector('[data-sound]').currentTime > 0.6")
        assert [url for url in visit.requests if not url.startswith(("data:", written.as_uri()))] == []
        assert visit.complaints == []
    html = written.read_text("utf-8")
    assert not re.search(r"https?://", html)


def test_clicking_a_line_on_the_timeline_plays_it(browser: Browser, written: Path, programme: Any) -> None:
    line = programme.report.targets["es"].lines[1]
    with Visit(browser, written) as visit:
        box = visit.page.locator("#timeline").bounding_box()
        assert box is not None
        span_s = min(programme.duration_s, max(12.0, box["width"] / 30))
        middle = (line.placed_start_s + line.placed_end_s) / 2
        visit.page.mouse.move(box["x"] + middle / span_s * box["width"], box["y"] + 140)
        assert line.text in visit.page.locator("#hint").inner_text()
        visit.watch()
        visit.page.mouse.down()
        visit.page.mouse.up()
        visit.wait(f"document.querySelector('[data-sound]').currentTime > {line.placed_start_s + 0.1}")
        visit.wait_told(line.text, line.placed_start_s, line.placed_end_s)
        assert "0002" in visit.page.locator("[aria-current]").inner_text()


def test_worst_lines_come_first_and_filters_leave_what_is_asked_for(browser: Browser, written: Path) -> None:
    with Visit(browser, written) as visit:
        ids = "[...document.querySelectorAll('#list .id')].map(e => e.textContent)"
        assert visit.page.evaluate(ids) == [f"{n:04}" for n in range(1, 7)]
        visit.page.get_by_role("button", name="Worst first").click()
        assert visit.page.evaluate(ids)[:2] == ["0006", "0004"]
        visit.page.get_by_role("button", name="To review").click()
        assert visit.page.evaluate(ids) == ["0006", "0004"]
        # What was never in view is laid out a moment later, and has no text before.
        visit.wait("document.querySelector('#list').innerText.includes('heard whole and runs on')")
        visit.page.get_by_role("button", name="All 6").click()
        visit.page.get_by_label("Speaker").select_option("ANNA")
        visit.page.get_by_placeholder("words").fill("rio AGUA")  # accents and case do not matter
        visit.wait(f"({ids}).length === 1")
        assert visit.page.evaluate(ids) == ["0005"]
        visit.page.get_by_placeholder("words").fill("no such words")
        visit.page.get_by_role("button", name="Show all lines").click()
        assert len(visit.page.evaluate(ids)) == 6


def test_everything_can_be_done_from_the_keyboard(browser: Browser, written: Path, programme: Any) -> None:
    lines = programme.report.targets["es"].lines
    with Visit(browser, written) as visit:
        visit.page.keyboard.press("j")
        visit.page.keyboard.press("j")
        assert "0002" in visit.page.locator("[aria-current]").inner_text()
        visit.page.keyboard.press("d")
        visit.wait(f"document.querySelector('[data-sound]').currentTime > {lines[1].placed_start_s + 0.2}")
        visit.page.keyboard.press("x")
        visit.wait(f"document.querySelector('#sound-original').currentTime > {lines[1].start_s + 0.25}")
        assert visit.page.evaluate("document.querySelector('[data-sound]').paused")
        visit.page.keyboard.press(" ")
        visit.wait("document.querySelector('#sound-original').paused")
        visit.page.keyboard.press("/")
        assert visit.page.evaluate("document.activeElement.id") == "find"
        visit.page.locator("#timeline").focus()
        before = visit.page.locator("#timeline").screenshot()
        visit.page.keyboard.press("+")
        visit.page.wait_for_timeout(100)
        assert visit.page.locator("#timeline").screenshot() != before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(browser: Browser, programme: Any, tmp_path: Path, scheme: str) -> None:
    write_page(_with_text(programme.report, NASTY), SILENCE, tmp_path / "report.html")
    with Visit(browser, tmp_path / "report.html", width=375, scheme=scheme) as visit:
        visit.wait("document.querySelectorAll('.row').length === 6")
        visit.assert_fits_a_phone()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_against_its_ground(browser: Browser, written: Path, scheme: str) -> None:
    with Visit(browser, written, scheme=scheme) as visit:
        visit.page.get_by_label("Play dub of line 0001").click()
        visit.page.wait_for_timeout(300)
        visit.assert_can_be_read()


def test_texts_are_shown_as_they_are_and_never_run(browser: Browser, programme: Any, tmp_path: Path) -> None:
    report = _with_text(programme.report, NASTY)
    write_page(report, SILENCE, tmp_path / "report.html")
    with Visit(browser, tmp_path / "report.html") as visit:
        visit.page.wait_for_timeout(200)
        assert visit.page.evaluate("document.images.length") == 0
        assert "broken" not in visit.page.title().split("·")[-1]
        shown = visit.page.locator(".said.dub p").first.evaluate("e => e.textContent")
        assert shown == NASTY
        assert visit.page.locator("#speaker option").nth(1).evaluate("e => e.textContent") == NASTY
        assert "49" not in visit.page.locator("h1").inner_text()
        assert visit.complaints == []


def test_several_languages_stand_side_by_side(browser: Browser, programme: Any, tmp_path: Path) -> None:
    target = programme.report.targets["es"]
    french = target.model_copy(
        update={"lines": tuple(x.model_copy(update={"text": "Le moulin"}) for x in target.lines)}
    )
    report = programme.report.model_copy(update={"targets": {"es": target, "pt-BR": french}})
    sound = PageSound(SILENCE.original, {"es": SILENCE.dubs["es"], "pt-BR": SILENCE.dubs["es"]})
    write_page(report, sound, tmp_path / "report.html")
    with Visit(browser, tmp_path / "report.html") as visit:
        expect(visit.page.locator("#list")).to_contain_text("Buenas tardes")
        visit.page.get_by_role("tab", name=re.compile("Portuguese")).click()
        expect(visit.page.locator(".said.dub p").first).to_have_text("Le moulin")
        expect(visit.page.locator("[data-for='es']:visible")).to_have_count(0)
        visit.page.keyboard.press("ArrowLeft")
        expect(visit.page.locator("#list")).to_contain_text("Buenas tardes")
        assert visit.complaints == []


def test_thousands_of_lines_stay_smooth(browser: Browser, programme: Any, tmp_path: Path) -> None:
    target = programme.report.targets["es"]
    many = tuple(
        target.lines[n % 6].model_copy(
            update={"id": f"{n:04}", "start_s": n * 4.0, "end_s": n * 4.0 + 3, "placed_start_s": n * 4.0,
                    "placed_end_s": n * 4.0 + 3}
        )
        for n in range(2700)
    )  # fmt: skip
    report = programme.report.model_copy(
        update={
            "targets": {"es": target.model_copy(update={"lines": many})},
            "source": programme.report.source.model_copy(update={"duration_s": 10_800.0}),
        }
    )
    track = Track(bytes(range(256)) * 937, 22.222)
    write_page(report, PageSound(track, {"es": track}), tmp_path / "report.html")
    began = time.monotonic()
    with Visit(browser, tmp_path / "report.html") as visit:
        visit.wait("document.querySelectorAll('.row').length === 2700")
        assert time.monotonic() - began < 15
        best_ms = visit.page.evaluate(
            """async () => {
            const canvas = document.getElementById('timeline');
            document.getElementById('zoom-all').click();
            let best = Infinity;
            for (let n = 0; n < 40; n++) {
              canvas.dispatchEvent(new KeyboardEvent('keydown', { key: n % 2 ? '+' : '-' }));
              const before = performance.now();
              await new Promise(requestAnimationFrame);
              await new Promise((done) => setTimeout(done));
              best = Math.min(best, performance.now() - before);
            }
            return best; }"""
        )
        assert best_ms < 60, "the best frame of 40, drawn without a GPU on a busy machine"


def test_long_sound_is_played_from_the_files_beside_the_page(
    browser: Browser, programme: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.report.sound.EMBED_MOST_S", 1.0)
    from tasks.report.sound import Sound, page_sound

    heard = page_sound(
        programme.store, Sound(programme.original), {"es": Sound(programme.dub, "my talk.es.wav")},
        programme.duration_s, preview_name="talk.en.preview.mp3",
    )  # fmt: skip
    assert set(heard.beside) == {"talk.en.preview.mp3"}
    for name, digest in [*heard.beside.items(), ("my talk.es.wav", programme.dub)]:
        shutil.copy(programme.store.path(digest), tmp_path / name)
    write_page(programme.report, heard, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 200_000
    with Visit(browser, tmp_path / "report.html") as visit:
        for lane, track in (("original", "#sound-original"), ("dub", "[data-sound]")):
            visit.page.get_by_label(f"Play {lane} of line 0001").click()
            visit.wait(f"document.querySelector('{track}').currentTime > 0.7")
        assert visit.complaints == []


def test_the_report_keeps_the_names_that_machines_hold_on_to(programme: Any) -> None:
    written = json.loads(programme.report.to_json())
    assert written["state"] == "completed_with_review"
    assert {"job", "state", "source", "engine", "targets", "stages", "work"} <= set(written)
    spanish = written["targets"]["es"]
    assert set(spanish["outputs"]) == {"video", "audio", "master", "dialogue", "srt", "vtt"}
    assert {"outputs", "loudness", "profile", "checks", "lines"} <= set(spanish)
    assert {"id", "passed", "measured", "required"} <= set(spanish["checks"][0])
    assert {
        "id", "speaker", "start_s", "end_s", "source_text", "text", "placed_start_s", "placed_end_s", "stretch",
        "lost_ms", "verdict", "reasons", "takes",
    } <= set(spanish["lines"][0])  # fmt: skip
    assert set(spanish["loudness"]) == {"integrated_lufs", "true_peak_dbtp", "lra_lu"}
    assert DubbingReport.model_validate_json(programme.report.to_json()) == programme.report


def test_a_report_of_nothing_is_still_a_page(programme: Any) -> None:
    target = programme.report.targets["es"].model_copy(update={"lines": (), "checks": (), "loudness": None})
    bare = programme.report.model_copy(update={"targets": {"es": target}, "stages": ()})
    assert "Nothing was measured" in page(bare, SILENCE)


def _with_text(report: DubbingReport, text: str) -> DubbingReport:
    target = report.targets["es"]
    lines = tuple(line.model_copy(update={"text": text, "source_text": text, "speaker": text}) for line in target.lines)
    lines = (*lines[:-1], lines[-1].model_copy(update={"speaker": "another"}))
    repairs = (Repair(line_id="0001", what=text),)
    checks = tuple(check.model_copy(update={"about": text, "measured": text}) for check in target.checks)
    update = {"lines": lines, "repairs": repairs, "checks": checks, "profile": text}
    return report.model_copy(
        update={
            "targets": {"es": target.model_copy(update=update)},
            "source": report.source.model_copy(update={"name": text}),
        }
    )
