"""Films at an address of the web: fetched once, where that is switched on, and refused before much of them has come."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from speechmill.errors import BadInput, LimitExceeded, Unavailable
from speechmill.settings import Settings
from tasks import sources
from tasks.documents import web
from tasks.media.naming import called

FILM = bytes(range(256)) * 40_000  # 10 MB


class Studio:
    """A web server with one film, and what it has sent of it."""

    def __init__(self) -> None:
        self.sent_bytes = 0
        studio = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/moved"):
                    self.send_response(302)
                    self.send_header("Location", "https://public.test/talk%20one.mp4?key=a/b.c")
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(FILM)))
                if "nameless" not in self.path:
                    self.send_header("ETag", '"1"')
                self.end_headers()
                time.sleep(0.1)  # for whoever wants no more than that
                for start in range(0, len(FILM) // (2 if "broken" in self.path else 1), 1 << 16):
                    try:
                        self.wfile.write(FILM[start : start + (1 << 16)])
                    except OSError:
                        return
                    studio.sent_bytes += 1 << 16

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """The server is local and without TLS, so the two rules that forbid it are lifted; all else is as it is."""
    found, exchange = Studio(), web.exchange

    def reach(method: str, address: str, **options: object) -> web.Reply:
        options["public_only"] = False
        reply = exchange(method, address.replace("https://public.test", found.url), **options)  # type: ignore[arg-type]
        return replace(reply, address=address)

    monkeypatch.setattr(web, "exchange", reach)
    thread = threading.Thread(target=found.server.serve_forever, args=(0.05,))
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


@pytest.fixture
def allowed(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", allow_https=True)


def test_a_film_is_fetched_once(studio: Studio, allowed: Settings) -> None:
    address = "https://public.test/moved"
    for _ in range(2):
        assert sources.find(address, allowed).path.read_bytes() == FILM
    film = sources.find("https://public.test/talk%20one.mp4?key=a/b.c", allowed)
    assert (film.name, film.path.suffix) == ("talk one.mp4", ".mp4")
    assert studio.sent_bytes < 2.6 * len(FILM)  # two addresses, and the beginnings that were looked at


def test_what_does_not_tell_its_version_is_fetched_each_time(studio: Studio, allowed: Settings) -> None:
    for _ in range(2):
        assert sources.find("https://public.test/nameless.mp4", allowed).path.read_bytes() == FILM
    assert studio.sent_bytes >= 2 * len(FILM)


def test_what_is_too_large_is_refused_before_it_comes(studio: Studio, allowed: Settings) -> None:
    small = allowed.model_copy(update={"max_source_bytes": 1_000_000})
    with pytest.raises(LimitExceeded, match="sends more than"):
        sources.look("https://public.test/talk.mp4", small)
    assert studio.sent_bytes < len(FILM)


@pytest.mark.usefixtures("studio")
def test_what_breaks_off_is_not_taken_for_the_film(allowed: Settings) -> None:
    with pytest.raises(Unavailable, match="ended after"):
        sources.find("https://public.test/broken.mp4", allowed)
    assert list(allowed.cache.rglob("*.mp4")) == []


def test_addresses_are_off_until_they_are_switched_on(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="SPEECHMILL_ALLOW_HTTPS=1"):
        sources.look("https://public.test/talk.mp4", Settings(home=tmp_path))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/films/talk.mp4", "talk.mp4"),
        ("s3://bucket/films/what?.mp4", "what?.mp4"),
        ("https://example.org/films/talk%20one.mp4?key=a/b.c#t=1", "talk one.mp4"),
        ("https://example.org/", "example.org"),
        ("https://example.org/films/", "films"),
    ],
)
def test_what_a_source_is_called(source: str, name: str) -> None:
    assert called(source) == name
