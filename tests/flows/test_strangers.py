"""What a page of strangers can do with a studio that the same browser reaches: nothing. As browsers send requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from flows.door import Door
from tests.flows.studio import ONE_STUDIO, REHEARSAL, Studio
from tests.flows.test_prefect_ui import page as page

if TYPE_CHECKING:
    from playwright.sync_api import Page

STRANGERS = ["https://evil.example", "http://127.0.0.1:9999", "null"]
IMAGE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
FRAME = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
LINK = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


def send(url: str, method: str, headers: dict[str, str], body: bytes | None = None) -> HTTPResponse:
    """Send a request with these headers and no others that a library would add, and read the answer."""
    at = urlsplit(url)
    line = HTTPConnection(at.netloc, timeout=30)
    try:
        line.request(method, at.path or "/", body, {"Host": at.netloc, **headers})
        answer = line.getresponse()
        answer.read()
        return answer
    finally:
        line.close()


def asks_for_a_run(studio: Studio, **request: Any) -> tuple[str, bytes]:
    """Where a run of `dub` is asked for, and what is sent."""
    deployment = studio.ask("deployments/name/dub/dub").body["id"]
    parameters = {"request": {"source": "/etc/hostname", "targets": ["es"], "engines": REHEARSAL, **request}}
    return f"{studio.api}/deployments/{deployment}/create_flow_run", json.dumps({"parameters": parameters}).encode()


def runs(studio: Studio) -> int:
    return int(studio.ask("flow_runs/count", {}).body)


@ONE_STUDIO
@pytest.mark.parametrize("origin", STRANGERS)
@pytest.mark.parametrize("kind", [None, "text/plain", "application/json"])
def test_a_page_of_strangers_starts_nothing(studio: Studio, origin: str, kind: str | None) -> None:
    """Without a type, or as plain text, a browser sends a request without asking the server first."""
    url, body = asks_for_a_run(studio)
    before = runs(studio)
    answer = send(url, "POST", {"Origin": origin} | ({"Content-Type": kind} if kind else {}), body)
    assert answer.status == 403
    assert runs(studio) == before


@ONE_STUDIO
@pytest.mark.parametrize("origin", STRANGERS)
def test_a_page_of_strangers_reads_nothing(studio: Studio, origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for method, headers in (("OPTIONS", asked), ("GET", {"Origin": origin})):
        answer = send(f"{studio.api}/health", method, headers)
        assert (answer.status, answer.getheader("access-control-allow-origin")) == (403, None)
    with pytest.raises(InvalidStatus), connect(f"{studio.api.replace('http', 'ws')}/events/out", origin=origin):
        pass


@ONE_STUDIO
def test_a_page_of_strangers_shows_nothing_of_it(studio: Studio) -> None:
    assert send(studio.url, "GET", IMAGE).status == 403
    assert send(studio.url, "GET", FRAME).status == 403, "what is shown in a frame can be pressed unawares"
    assert send(studio.url, "GET", LINK).status < 400, "a link leads here from anywhere"


@ONE_STUDIO
def test_no_other_name_leads_to_the_studio(studio: Studio) -> None:
    """Whoever owns a name may have it lead to this machine, once the browser trusts a page of that name."""
    reports = f"http://127.0.0.1:{studio.env['SPEECHMILL_REPORTS_PORT']}"
    for url in (studio.url, f"{studio.api}/health", f"{reports}/job/report.html"):
        port = urlsplit(url).port
        assert send(url, "GET", {"Host": f"evil.example:{port}"}).status == 421
        assert send(url, "GET", {"Host": f"localhost:{port}"}).status in (200, 404)


@ONE_STUDIO
def test_its_own_page_works_by_whatever_name_it_was_reached(studio: Studio) -> None:
    with urlopen(f"{studio.url}/ui-settings", timeout=30) as told:
        assert json.load(told)["api_url"] == "/api", "the page calls where it came from"
    for host in (urlsplit(studio.url).netloc, f"localhost:{urlsplit(studio.url).port}", "localhost:9999"):
        same = {"Host": host, "Origin": f"http://{host}", "Content-Type": "application/json"}
        assert send(f"{studio.api}/flow_runs/count", "POST", same, b"{}").status == 200


@contextmanager
def shown(html: str) -> Iterator[str]:
    """A page of strangers, on another port of this machine; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@ONE_STUDIO
@pytest.mark.slow
def test_a_browser_that_visits_strangers_starts_nothing(studio: Studio, page: Page, folder: Path) -> None:
    url, body = asks_for_a_run(studio, source=str(folder / "talk.mp4"))
    before = runs(studio)
    blob = f"new Blob([{json.dumps(body.decode())}])"
    sends = f"fetch({json.dumps(url)}, {{method: 'POST', mode: 'no-cors', body: {blob}}})"
    with shown(f"<script>{sends}.finally(() => document.title = 'sent')</script>") as address:
        page.goto(address)
        page.wait_for_function("document.title === 'sent'")
    assert runs(studio) == before


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"host": "127.0.0.1:4200"}, False),  # a program says nothing of itself
        ({"host": "[::1]:4200"}, False),
        ({"host": "studio.example"}, False),
        ({"host": "studio.example:443", "origin": "https://studio.example"}, False),
        ({"host": "127.0.0.1:4200", "origin": "https://studio.example"}, False),  # a proxy gave it another host
        ({"host": "127.0.0.1:4200", "origin": "http://studio.example:8080"}, True),
        ({"host": "evil.example"}, True),
        ({"host": ""}, True),
        ({}, True),
        ({"host": "127.0.0.1:4200", "origin": "http://[broken"}, True),
        ({"host": "127.0.0.1:4200", "sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, False),  # typed
        ({"host": "127.0.0.1:4200", "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, False),
    ],
)
def test_whom_the_door_lets_in(headers: dict[str, str], refused: bool) -> None:
    door = Door("https://studio.example/")
    assert (door.refusal(headers) is not None) is refused
