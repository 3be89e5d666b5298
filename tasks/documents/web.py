"""One exchange with an HTTP server: with a deadline for the whole of it, a limit on its size, and the address checked.

Names are resolved once and the connection goes to the address that was checked, so a server that changes its address
between check and use gains nothing.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import SplitResult, urljoin, urlsplit

from speechmill.errors import BadInput, LimitExceeded, Unavailable, from_os_error

CONNECT_S = 15.0
SILENT_S = 60.0  # a server that sends nothing for so long has gone
MOST_REDIRECTS = 5
PIECE_BYTES = 64 * 1024
AGENT = "speechmill"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered."""

    status: int
    body: bytes
    address: str  # after redirects
    headers: Mapping[str, str] = field(default_factory=dict)  # names in small letters

    @property
    def length_bytes(self) -> int | None:
        """Of the whole body, as the server says; ``None`` where it does not."""
        said = self.headers.get("content-length", "")
        return int(said) if said.isdecimal() and "transfer-encoding" not in self.headers else None


class _Plain(http.client.HTTPConnection):
    def __init__(self, host: str, port: int, to: str, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self._to = to

    def connect(self) -> None:
        self.sock = socket.create_connection((self._to, self.port), self.timeout)


class _Encrypted(http.client.HTTPSConnection):
    def __init__(self, host: str, port: int, to: str, timeout: float) -> None:
        self._ours = ssl.create_default_context()
        super().__init__(host, port, timeout=timeout, context=self._ours)
        self._to = to

    def connect(self) -> None:
        plain = socket.create_connection((self._to, self.port), self.timeout)
        try:
            self.sock = self._ours.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def fetch(url: str, *, most_bytes: int, deadline_s: float, into: Path | None = None, whole: bool = True) -> Reply:
    """What a public ``https://`` address gives, redirects followed; each of them is checked like the first. The body is
    written to the file ``into``, where one is named; it is not asked for where the answer need not be ``whole``.

    Raises ``BadInput`` for another scheme, a private address or a status that is no success, ``LimitExceeded``, and
    ``Unavailable`` for a server that does not answer, or not to its end.
    """
    until = time.monotonic() + deadline_s
    for _ in range(MOST_REDIRECTS + 1):
        parts = _split(url)
        if parts.scheme != "https":
            raise BadInput(f"{url[:200]} is not an https address", hint="only https:// is fetched")
        left_s = max(0.1, until - time.monotonic())
        reply = exchange("GET", url, most_bytes=most_bytes, deadline_s=left_s, public_only=True, into=into, whole=whole)
        if reply.status in (301, 302, 303, 307, 308) and "location" in reply.headers:
            url = urljoin(url, reply.headers["location"])
            continue
        if reply.status >= 500 or reply.status == 429:
            raise Unavailable(f"{parts.hostname} answered {reply.status}", hint="try again later, or save the page")
        if reply.status != 200:
            raise BadInput(f"{parts.hostname} answered {reply.status} for {url[:200]}", hint="check the address")
        return reply
    raise BadInput(f"{url[:200]} leads from one address to the next without end", hint="check the address")


def exchange(
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    most_bytes: int,
    deadline_s: float,
    public_only: bool = False,
    into: Path | None = None,
    whole: bool = True,
) -> Reply:
    """One request and its answer, whatever its status; the body of a success goes to the file ``into``. Raises
    ``Unavailable`` where no answer, or not all of it, comes by the deadline."""
    parts = _split(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme not in ("http", "https") or not host:
        raise BadInput(f"{url[:200]} is no http address", hint="check it")
    to = _resolved(host, port, public_only=public_only)
    kind = _Encrypted if parts.scheme == "https" else _Plain
    connection = kind(host, port, to, min(CONNECT_S, deadline_s))
    late = threading.Event()
    open_socket: list[socket.socket] = []  # http.client lets go of its own as soon as the headers are read

    def stop() -> None:
        late.set()
        for sock in open_socket:
            try:
                sock.shutdown(socket.SHUT_RDWR)  # wakes whoever reads, however slowly the server drips
            except OSError:
                return  # it has ended by itself

    alarm = threading.Timer(deadline_s, stop)
    alarm.daemon = True
    alarm.start()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent = {"User-Agent": AGENT, "Accept-Encoding": "identity", "Connection": "close", **(headers or {})}
        connection.connect()
        open_socket.append(connection.sock)
        connection.sock.settimeout(min(SILENT_S, deadline_s))
        connection.request(method, target, body=body, headers=sent)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        reply = Reply(response.status, b"", url, found)
        if response.status == 200 and (reply.length_bytes or 0) > most_bytes:
            raise LimitExceeded(f"{host} sends more than {most_bytes // 2**20} MiB", hint="check the address")
        if not whole:
            return reply
        with _body(into if response.status == 200 else None) as body_there:
            came = 0
            while piece := response.read1(PIECE_BYTES):
                came += len(piece)
                if came > most_bytes:
                    raise LimitExceeded(f"{host} sends more than {most_bytes // 2**20} MiB", hint="check the address")
                _write(body_there, piece)
            if late.is_set():
                raise TimeoutError
            if reply.length_bytes is not None and came < reply.length_bytes:
                raise ConnectionError(f"it ended after {came} of {reply.length_bytes} bytes")
            return replace(reply, body=body_there.getvalue() if isinstance(body_there, BytesIO) else b"")
    except (OSError, http.client.HTTPException, UnicodeError, ValueError) as error:
        if late.is_set():
            what = f"did not answer within {deadline_s:g} s"
        elif isinstance(error, TimeoutError) and not open_socket:
            what = f"cannot be reached (nobody answered for {connection.timeout:g} s)"
        elif isinstance(error, TimeoutError):
            what = f"sent nothing for {min(SILENT_S, deadline_s):g} s"
        else:
            what = f"cannot be reached ({_cause(error)})"
        raise Unavailable(f"{host}:{port} {what}", hint="check the address and the network, and run again") from None
    finally:
        alarm.cancel()
        connection.close()


@contextmanager
def _body(into: Path | None) -> Iterator[BinaryIO]:
    """Where the body of an answer is put: a file, or memory."""
    if into is None:
        yield BytesIO()
        return
    with into.open("wb") as file:
        yield file


def _write(body: BinaryIO, piece: bytes) -> None:
    try:
        body.write(piece)
    except OSError as error:  # ours, not the server's
        raise from_os_error(error) from error


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is no number
    except ValueError:
        raise BadInput(f"{url[:200]} is no address", hint="check it") from None
    if parts.username is not None:
        raise BadInput(f"the address at {parts.hostname} has a name or password in it", hint="leave that out")
    return parts


def _resolved(host: str, port: int, *, public_only: bool) -> str:
    """The address of a host. Raises ``BadInput`` for one that is not on the public internet where it must be."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unavailable(f"there is no host {host}", hint="check the address and the network") from None
    addresses = [str(entry[4][0]) for entry in found]
    if public_only and not all(is_public(address) for address in addresses):
        raise BadInput(f"{host} is an address of a private network", hint="save it, and give the file")
    return addresses[0]


NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: IPv4 behind a translator


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet; one that carries another inside is what that one is."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast


def _cause(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
