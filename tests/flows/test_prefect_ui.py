"""The Prefect UI in a browser, as a producer has it: fill in the form, watch it finish, read the report, approve."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, sync_playwright
from playwright.sync_api import TimeoutError as WaitedTooLong

from tests.flows.studio import ONE_STUDIO, Studio
from tests.report.browsing import ARGUMENTS, CHROMIUM
from tests.servers import missing

LABELLED = (
    "xpath=//div[contains(@class,'p-label') and contains(@class,'schema-form-property')]"
    "[./div[1]//span[@class='schema-form-property__label' and starts-with(normalize-space(.),'{}')]]/div[2]"
)


@pytest.fixture
def page() -> Iterator[Page]:
    if CHROMIUM is None:
        missing("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        found = browser.new_page(viewport={"width": 1400, "height": 1800})
        found.set_default_timeout(60_000)
        try:
            yield found
        finally:
            browser.close()


def field(page: Page, title: str) -> Locator:
    return page.locator(LABELLED.format(title)).first


def choose(page: Page, title: str, option: str) -> None:
    control = field(page, title).locator("button.p-select-button__control").first
    control.focus()
    page.keyboard.press("Space")
    page.locator(".p-select-option", has_text=re.compile(f"^{option}$")).last.click()


def submit(page: Page) -> None:
    """Press the button, and again where Prefect's server was too busy to take it (SQLite answers 503 then)."""
    begun = page.locator("a[href*='/runs/flow-run/']").first
    button = page.get_by_role("button", name="Submit")
    for _ in range(3):
        button.click()
        until = time.monotonic() + 20
        while not begun.is_visible() and button.is_visible() and time.monotonic() < until:
            page.wait_for_timeout(100)
        if not button.is_visible() or begun.is_visible():
            break
    try:
        begun.click()
    except WaitedTooLong:
        pytest.fail(f"no run was begun; the page says:\n{page.locator('body').inner_text()}")


@ONE_STUDIO
@pytest.mark.slow
def test_a_producer_dubs_a_film_from_the_form_approves_it_and_reads_the_report(
    studio: Studio, folder: Path, page: Page
) -> None:
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2].split(":")[0]))
    deployment = studio.ask("deployments/name/dub/dub").body["id"]
    page.goto(f"{studio.url}/deployments/deployment/{deployment}/run")
    field(page, "Source").locator("textarea").fill(str(folder / "talk.mp4"))
    into = field(page, "Into")
    into.get_by_role("button", name="Add item").click()
    into.locator("textarea").fill("ca")
    for ability in ("Transcribe", "Translate", "Speak"):
        choose(page, ability, "rehearsal")
    choose(page, "Approve", "final")
    page.keyboard.press("Escape")
    submit(page)

    page.get_by_role("button", name="Resume").click()
    choose(page, "Decision", "approve")
    page.get_by_role("button", name=re.compile("Submit|Resume")).last.click()
    page.get_by_text("Completed", exact=True).first.wait_for()

    run = page.url.rsplit("/", 1)[1].partition("?")[0]
    job = studio.of(run)["name"]
    assert studio.facts(job)["state"].startswith("completed")
    page.get_by_text("Artifacts", exact=True).first.click()
    page.get_by_text(f"report-{job}").first.click()
    link = page.get_by_role("link", name="report.html").last
    page.goto(str(link.get_attribute("href")))
    page.get_by_text("talk.mp4").first.wait_for()
    assert hosts == {"127.0.0.1"}  # the UI needs no network
