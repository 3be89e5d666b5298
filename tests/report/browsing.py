"""Opened report pages, and what must hold for every one of them."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--disable-dev-shm-usage", "--no-first-run",
             # Else a GPU is imitated, which takes most of what Prefect's pages cost.
             "--disable-software-rasterizer"]  # fmt: skip
NASTY = "</script><img src=x onerror=\"document.title='broken'\"><!-- {{ 7*7 }} &amp; \u2028 “a” 'b' \\ " + "ä" * 90

WIDE = """[...document.querySelectorAll('main *, header *, #player *')].filter(e => e.offsetParent &&
            !e.closest('.scroll, .tabs, #hint, .off, select') && e.getBoundingClientRect().right > 376)
            .map(e => e.outerHTML.slice(0, 90))"""
SMALL = """[...document.querySelectorAll('button')].filter(e => e.offsetParent && e.offsetHeight < 30)
            .map(e => e.outerHTML.slice(0, 80))"""
FAINT = """() => {
      const parse = (c) => { const n = c.match(/[\\d.]+/g).map(Number); return [n[0], n[1], n[2], n[3] ?? 1]; };
      const light = (c) => { const [r, g, b] = c.map((v) =>
          (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b; };
      const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
        if (c[3] === 1) return c; } return [255, 255, 255, 1]; };
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), bad = [];
      for (let node; node = walker.nextNode();) {
        const e = node.parentElement;
        if (!node.data.trim() || !e.offsetParent || e.closest('.off, .skip, script, option')) continue;
        let opacity = 1;
        for (let up = e; up; up = up.parentElement) opacity *= getComputedStyle(up).opacity;
        const back = ground(e), over = parse(getComputedStyle(e).color);
        const mixed = over.slice(0, 3).map((v, n) => v * opacity + back[n] * (1 - opacity));
        const [a, b] = [light(mixed), light(back.slice(0, 3))].sort((x, y) => y - x);
        const ratio = (a + .05) / (b + .05);
        if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${e.className} ${node.data.trim().slice(0, 30)}`);
      }
      return bad;
    }"""


class Visit:
    """One opened page, with everything it said and asked for."""

    def __init__(self, browser: Browser, file: Path, width: int = 1280, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def time(self, track: str = '[data-sound="es"]') -> float:
        return float(self.page.evaluate(f"document.querySelector('{track}').currentTime"))

    def watch(self) -> None:
        """Have the page note what it shows whenever a track plays on: on a busy machine a line is over before it could
        be asked."""
        self.page.evaluate(
            """() => { window.told = []; for (const track of document.querySelectorAll('audio'))
               track.addEventListener('timeupdate', () => told.push([
                 track.currentTime, track.paused ? '' : document.querySelector('#said').innerText])); }"""
        )

    def wait_told(self, text: str, from_s: float, to_s: float) -> None:
        """Until a text was shown, at any time since :meth:`watch`, while a track played between these times."""
        self.wait(f"told.some(([at, shown]) => {from_s} < at && at < {to_s} && shown === {json.dumps(text)})")

    def wait(self, condition: str) -> None:
        """By asking again and again: the page's own policy forbids what Playwright would put into it."""
        until = time.monotonic() + 15
        while not self.page.evaluate(condition):
            assert time.monotonic() < until, condition
            self.page.wait_for_timeout(20)

    def assert_fits_a_phone(self) -> None:
        assert self.page.evaluate("document.documentElement.scrollWidth") == 375
        assert self.page.evaluate(WIDE) == []
        assert self.page.evaluate(SMALL) == []

    def assert_can_be_read(self) -> None:
        """WCAG 2 AA: 4.5 to 1 for text."""
        assert self.page.evaluate(FAINT) == []
