"""A TCP proxy that cuts, delays or answers for the server behind it: faults of a network, for real."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

REQUEST = re.compile(rb"[A-Z]+ /\S* HTTP/1\.1\r\n")
BLOCK = 1 << 16


@dataclass
class Fault:
    """What happens to requests whose first line matches."""

    match: str
    act: Literal["answer", "cut request", "cut reply", "delay"]
    times: int = 1
    after_bytes: int = 0  # of the request or reply, before it is cut
    seconds: float = 0
    status: int = 503
    code: str = "SlowDown"
    met: int = 0  # how often it happened

    def reply(self) -> bytes:
        body = f"<?xml version='1.0'?><Error><Code>{self.code}</Code><Message>injected</Message></Error>".encode()
        head = f"HTTP/1.1 {self.status} Injected\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"Connection: close\r\n\r\n" + body


@dataclass
class Proxy:
    """Listens on a free port until ``close``; ``faults`` may be changed at any time."""

    target: int
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._guard = threading.Lock()
        self._links: weakref.WeakSet[_Link] = weakref.WeakSet()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        if self._listener.fileno() >= 0:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()

    def lose(self) -> int:
        """Have every connection lead nowhere from now on, as behind a firewall that forgot it: nobody is told, what is
        sent is swallowed, and new connections are well. How many there were."""
        with self._guard:
            lost = [link for link in self._links if not link.lost]
        for link in lost:
            link.lost = True
        return len(lost)

    def cut(self) -> None:
        """Pull the cable out of every connection."""
        with self._guard:
            links = list(self._links)
        for link in links:
            link.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.target)) as server:
            link = _Link(client, server)
            with self._guard:
                self._links.add(link)
            threading.Thread(target=link.answer, daemon=True).start()
            left: int | None = None
            try:
                while block := client.recv(BLOCK):
                    if link.lost:
                        continue
                    fault = self._fault(block)
                    if fault is not None and fault.act == "answer":
                        client.sendall(fault.reply())
                        return
                    if fault is not None and fault.act == "delay":
                        time.sleep(fault.seconds)
                    if fault is not None and fault.act == "cut reply":
                        link.left = fault.after_bytes
                    if fault is not None and fault.act == "cut request":
                        left = fault.after_bytes
                    if left is not None:
                        left -= len(block)
                        if left < 0:
                            link.cut()
                            return
                    server.sendall(block)
            except OSError:
                return
            finally:
                with suppress(OSError):  # closing it would tell the server nothing while the way back still reads
                    server.shutdown(socket.SHUT_RDWR)

    def _fault(self, block: bytes) -> Fault | None:
        if not REQUEST.match(block):
            return None
        first = block.split(b"\r\n", 1)[0].decode()
        with self._guard:
            for fault in self.faults:
                if fault.met < fault.times and re.search(fault.match, first):
                    fault.met += 1
                    return fault
        return None


class _Link:
    """The way back, and the end of both ways."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.left: int | None = None
        self.lost = False

    def answer(self) -> None:
        try:
            while block := self.server.recv(BLOCK):
                if self.lost:
                    continue
                if self.left is not None:
                    block, self.left = block[: self.left], self.left - len(block)
                self.client.sendall(block)
                if self.left is not None and self.left <= 0:
                    self.cut()
                    return
            self.client.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def cut(self) -> None:
        """As when a cable is pulled: no goodbye."""
        for end in (self.client, self.server):
            try:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
