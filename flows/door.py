"""The door of what `speechmill up` shows to browsers of its machine: Prefect's server and the report pages.

Both listen to this machine only, and neither has a login. But a browser on it also runs pages of strangers, which may
send requests to any address; some of these it sends without asking the server first, and a name that a stranger owns
may lead here. Browsers say which page a request comes from, and by which name it was sent: who comes from elsewhere is
turned away, reading or writing. Programs say nothing of a page, and come in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})  # names that nobody else can have lead here
MISDIRECTED, FORBIDDEN = 421, 403


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is turned away."""

    status: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Door:
    """Lets in whoever comes from this server's own pages, by a name of this machine or by ``address``: the one that a
    proxy shows them under, if there is any (``https://studio.example``)."""

    address: str = ""

    def refusal(self, headers: Mapping[str, str]) -> Refusal | None:
        """Why a request with these headers (their names in small letters) is turned away; ``None``: it is not."""
        host = headers.get("host", "")
        if _name(f"//{host}") not in LOOPBACK | {_name(self.address)} - {None}:
            return Refusal(MISDIRECTED, "This server is not known by that name.")
        origin = headers.get("origin")
        if origin is not None:
            # Behind a proxy that passes on another host than it was asked for, the two differ.
            ours = _netloc(origin) == host or origin == _origin(self.address)
        else:
            ours = headers.get("sec-fetch-site", "none") in ("none", "same-origin") or _follows_a_link(headers)
        return None if ours else Refusal(FORBIDDEN, "Pages of others may not ask this server.")


def _follows_a_link(headers: Mapping[str, str]) -> bool:
    """Whether a person goes to a page, and sees that it is another; in a frame nobody sees it."""
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"


def _netloc(url: str) -> str:
    return _origin(url).rpartition("/")[2]


def _origin(url: str) -> str:
    try:
        return "{0.scheme}://{0.netloc}".format(urlsplit(url))
    except ValueError:
        return ""


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def behind(door: Door, application: ASGIApp) -> ASGIApp:
    """An application that is asked only what its door lets in, by HTTP or by WebSocket."""
    from starlette.datastructures import Headers
    from starlette.responses import PlainTextResponse
    from starlette.websockets import WebSocketClose

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        refusal = None if scope["type"] == "lifespan" else door.refusal(Headers(scope=scope))
        if refusal is None:
            await application(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)  # before it was accepted: answered with 403
        else:
            await PlainTextResponse(f"{refusal.sentence}\n", refusal.status)(scope, receive, send)

    return guarded
