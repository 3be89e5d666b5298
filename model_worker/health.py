"""Health: a small server in a service, for those who watch over it.

``/health/live``: the process answers. ``/health/ready``: everything that it needs answers too, and its engine gets on;
503 with the reason otherwise. ``/metrics``: figures for Prometheus. There is no login: it belongs on an inner network.
"""

from __future__ import annotations

import errno
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from speechmill.errors import SpeechmillError, Unavailable
from speechmill.logs import redacted
from speechmill.settings import Settings

log = logging.getLogger("speechmill.health")

PORTS = 10  # of one machine's services, from the port of the settings on
READY_KEPT_S = 2.0  # however many ask, the database is asked once in this time
ANSWER_S = 10.0

Check = Callable[[], object]
"""Raises ``SpeechmillError`` where something is not well."""


class Readiness:
    """Everything that must be well before a service is given work."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._guard = threading.Lock()
        self._found: dict[str, str] = {}
        self._looked_s = float("-inf")

    def look(self) -> dict[str, str]:
        """By name, “ok” or what is wrong."""
        with self._guard:
            if time.monotonic() - self._looked_s > READY_KEPT_S:
                self._found = {name: _said(check) for name, check in self._checks.items()}
                self._looked_s = time.monotonic()
            return self._found


def _said(check: Check) -> str:
    try:
        check()
    except SpeechmillError as error:
        return redacted(error.message)
    except Exception as error:  # whatever is wrong, the service is not ready, and says so
        return type(error).__name__
    return "ok"


class Loading:
    """A check that fails until something has been loaded."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.done = threading.Event()

    def __call__(self) -> None:
        if not self.done.is_set():
            raise Unavailable(f"{self._what} is being loaded")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Somebody who hangs up is no event; what we did wrong is one."""
        if not isinstance(sys.exception(), OSError):
            log.exception("could not answer %s", client_address[0])


def _listening(chosen: Settings, handler: type[BaseHTTPRequestHandler]) -> _Server:
    """At the port of the settings, or at the next that is free: `speechmill up` runs several services."""
    for port in range(chosen.metrics_port, min(chosen.metrics_port + PORTS, 65536)):
        try:
            server = _Server((chosen.metrics_host, port), handler)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            raise Unavailable(
                f"port {port} of {chosen.metrics_host} cannot be listened to ({error.strerror})",
                hint="correct SPEECHMILL_METRICS_PORT or SPEECHMILL_METRICS_HOST",
            ) from None
        log.info("figures and health are shown", extra={"port": port})
        return server
    raise Unavailable(
        f"the {PORTS} ports from {chosen.metrics_port} on are taken", hint="set SPEECHMILL_METRICS_PORT to another"
    )


@contextmanager
def shown(chosen: Settings, registry: CollectorRegistry, checks: Mapping[str, Check]) -> Iterator[int]:
    """Answer for this service while the block runs, where the settings name a port; yields the port (0: none)."""
    if not chosen.metrics_port:
        yield 0
        return
    server = _listening(chosen, _handler(registry, Readiness(checks)))
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="health", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(registry: CollectorRegistry, readiness: Readiness) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = ANSWER_S

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                encode, kind = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, kind, encode(registry))
            elif path == "/health/live":
                self._answer(200, "application/json", b'{"live": true}')
            elif path == "/health/ready":
                found = readiness.look()
                ready = all(said == "ok" for said in found.values())
                self._answer(200 if ready else 503, "application/json", json.dumps(found, ensure_ascii=False).encode())
            else:
                self._answer(404, "text/plain", b"")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Probes come every few seconds and are no event."""

    return Handler
