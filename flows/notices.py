"""Notices: an S3 server, or anybody, says over HTTP that something was dropped, and whoever sweeps looks there at once.

A notice is a hint and nothing else: it may be told late, twice, in error or never, since every sweep looks at
everything. So there is no login; it belongs on an inner network.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote_plus

from speechmill.errors import Unavailable
from speechmill.settings import Settings
from storage.places import IN, Place

MOST_BYTES = 1 << 20  # of one notice; S3 servers send some hundred
MOST_KEYS = 100  # looked at one by one; where there are more, everything is
GATHER_S = 0.5  # a film, its script and its sidecar are told one after the other
ANSWER_S = 10.0


class Notices:
    """Keys of one place where somebody says that there is something new."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._keys: dict[str, None] = {}
        self._told = threading.Condition()

    def tell(self, body: bytes) -> None:
        """Take a notice: ``{"key": "in/talk.mp4"}``, or what Amazon, Ceph and others send. Raises ``ValueError`` for
        what is none."""
        keys = [key for named in _keys(json.loads(body)) for key in self._meant(*named)]
        with self._told:
            self._keys |= dict.fromkeys(keys[: MOST_KEYS + 1])
            self._told.notify()

    def wait(self, seconds: float) -> list[str]:
        """Wait for notices, for so long at most; the keys, relative to the place. None are asked for twice."""
        until = time.monotonic() + seconds
        with self._told:
            if self._told.wait_for(lambda: self._keys, seconds):
                self._told.wait_for(lambda: False, min(GATHER_S, max(0.0, until - time.monotonic())))
            keys, self._keys = list(self._keys), {}
        return keys

    def _meant(self, bucket: str | None, key: str) -> Iterator[str]:
        """Amazon escapes keys, Ceph does not: one of the two is there."""
        for each in dict.fromkeys((key, unquote_plus(key))):
            whole = each if bucket is None else f"s3://{bucket}/{each}".removeprefix(f"{self._place.url}/")
            if whole.startswith(IN):
                yield whole


def _keys(told: Any) -> list[tuple[str | None, str]]:
    """Buckets and keys of a notice; no bucket where the key is relative to the place."""
    try:
        if "key" in told:
            return [(None, str(told["key"]))]
        things = [record["s3"] for record in told["Records"]] if "Records" in told else [told["detail"]]
        return [(str(thing["bucket"]["name"]), str(thing["object"]["key"])) for thing in things]
    except (KeyError, TypeError) as error:
        raise ValueError("this is no notice of an object") from error


@contextmanager
def heard(chosen: Settings, place: Place) -> Iterator[Notices]:
    """Notices of a place, heard while the block runs where the settings name a port. Raises ``Unavailable`` for a port
    that cannot be had."""
    notices = Notices(place)
    if not chosen.notices_port:
        yield notices
        return
    try:
        server = _Server((chosen.metrics_host, chosen.notices_port), _handler(notices))
    except OSError as error:
        raise Unavailable(
            f"port {chosen.notices_port} of {chosen.metrics_host} cannot be listened to ({error.strerror})",
            hint="correct SPEECHMILL_NOTICES_PORT or SPEECHMILL_METRICS_HOST",
        ) from None
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="notices", daemon=True)
    thread.start()
    try:
        yield notices
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None: ...


def _handler(notices: Notices) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = ANSWER_S

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isascii() or not length.isdecimal() or int(length) > MOST_BYTES:
                self.close_connection = True
                self._answer(413)
                return
            try:
                notices.tell(self.rfile.read(int(length)))
            except (ValueError, RecursionError):
                self._answer(400)
            else:
                self._answer(204)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None: ...

    return Handler
