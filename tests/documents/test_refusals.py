"""What cannot be read is refused in one line that says what to do; no document can fill the memory or reach inside."""

from __future__ import annotations

import errno
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pypdf
import pytest

from speechmill.errors import BadInput, LimitExceeded, SpeechmillError, Unavailable
from speechmill.settings import Settings
from tasks.documents import web
from tasks.documents.reading import read_document
from tasks.documents.web import exchange, is_public
from tests.documents.conftest import docx_file, epub_file, pdf_bytes


def refusal(path: Path, settings: Settings) -> SpeechmillError:
    with pytest.raises(BadInput) as raised:
        read_document(path, settings)
    error = raised.value
    assert "\n" not in str(error)
    assert error.hint
    assert error.exit_code == 3
    return error


def written(tmp_path: Path, name: str, data: bytes) -> Path:
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.md", b"", "empty"),
        ("a.txt", b" \n\n ", "empty"),
        ("a.md", b"```\nprint(1)\n```\n", "no text that could be read"),
        ("a.html", b"<html><body><script>x()</script></body></html>", "no text"),
        ("a.pdf", b"%PDF-1.7\ngarbage", "cut off or damaged"),
        ("a.pdf", b"nothing of the kind", "cut off or damaged"),
        ("a.docx", b"PK\x03\x04 rest", "cut off or damaged"),
        ("a.epub", b"PK\x03\x04 rest", "cut off or damaged"),
        ("a.txt", b"\x89PNG\r\n\x1a\n", "picture"),
        ("a.doc", b"\xd0\xcf\x11\xe0" + bytes(600), "old office"),
        ("a.txt", bytes(range(256)) * 40, "not a text file"),
        ("a.vtt", b"WEBVTT\n\n00:99 --> x\nhello\n", "time line"),
    ],
)
def test_it_is_refused(tmp_path: Path, settings: Settings, name: str, data: bytes, says: str) -> None:
    assert says in str(refusal(written(tmp_path, name, data), settings))


def test_what_is_not_there(tmp_path: Path, settings: Settings) -> None:
    assert "no file" in str(refusal(tmp_path / "none.md", settings))
    assert "folder" in str(refusal(tmp_path, settings))


def test_a_pdf_of_pictures(tmp_path: Path, settings: Settings) -> None:
    error = refusal(written(tmp_path, "scan.pdf", pdf_bytes([[], [], []])), settings)
    assert "only pictures" in str(error)
    assert "recognition" in error.hint


def test_a_pdf_cut_in_half(tmp_path: Path, settings: Settings) -> None:
    whole = pdf_bytes([["It leaves at nine from platform three, and nobody knows why."] * 30])
    assert "cut off or damaged" in str(refusal(written(tmp_path, "half.pdf", whole[: len(whole) // 2]), settings))


def test_a_pdf_with_a_password(tmp_path: Path, settings: Settings) -> None:
    plain = written(tmp_path, "a.pdf", pdf_bytes([["It leaves at nine from platform three, and nobody knows why."]]))
    writer = pypdf.PdfWriter(clone_from=plain)
    writer.encrypt("secret", algorithm="RC4-128")
    with (tmp_path / "locked.pdf").open("wb") as file:
        writer.write(file)
    assert "encrypted" in str(refusal(tmp_path / "locked.pdf", settings))


def test_a_zip_bomb(tmp_path: Path, settings: Settings) -> None:
    bomb = docx_file(tmp_path / "bomb.docx", "<w:p/>" + " " * (40 * 2**20))
    assert bomb.stat().st_size < 2**20
    error = refusal(bomb, settings)
    assert isinstance(error, LimitExceeded)
    assert "unpacks to more" in str(error)


def test_a_bomb_of_many_small_chapters(tmp_path: Path, settings: Settings) -> None:
    chapter = f"<p>Hello there.</p><!--{' ' * (31 * 2**20)}-->"
    assert isinstance(refusal(epub_file(tmp_path / "b.epub", [chapter] * 5), settings), LimitExceeded)


def test_entities_are_not_expanded(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "lol.docx"
    entities = '<!DOCTYPE z [<!ENTITY a "ha "><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>'
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(
            "word/document.xml",
            f'{entities}<w:document xmlns:w="{space}"><w:body><w:p><w:r><w:t>Hello there.</w:t></w:r></w:p>'
            "<w:p><w:r><w:t>&b;&c;</w:t></w:r></w:p></w:body></w:document>",
        )
    text = read_document(path, settings).text
    assert "root:" not in text
    assert "ha ha" not in text


def test_an_encrypted_zip(tmp_path: Path, settings: Settings) -> None:
    path = docx_file(tmp_path / "a.docx", "<w:p><w:r><w:t>Hello there.</w:t></w:r></w:p>")
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(mark)
        while start >= 0:
            data[start + at] |= 1
            start = data.find(mark, start + 4)
    path.write_bytes(bytes(data))
    assert "encrypted" in str(refusal(path, settings))


def test_a_protected_book(tmp_path: Path, settings: Settings) -> None:
    path = epub_file(tmp_path / "a.epub", ["<p>Hello there.</p>"])
    with zipfile.ZipFile(path, "a") as book:
        book.writestr("META-INF/encryption.xml", '<e><EncryptionMethod Algorithm="http://ns.adobe.com/adept"/></e>')
    assert "DRM" in str(refusal(path, settings))


def test_a_text_longer_than_a_day(tmp_path: Path, settings: Settings) -> None:
    path = written(tmp_path, "long.txt", b"It leaves at nine.\n\n" * 100_000)
    assert isinstance(refusal(path, settings), LimitExceeded)


def test_a_page_of_ten_thousand_nested_elements(tmp_path: Path, settings: Settings) -> None:
    page = b"<html><body>" + b"<div>" * 10_000 + b"<p>Deep inside there is text.</p></body></html>"
    assert "no text that could be read aloud" in str(refusal(written(tmp_path, "deep.html", page), settings))


def test_addresses_only_where_the_settings_allow_them(settings: Settings) -> None:
    with pytest.raises(BadInput, match="settings allow only files"):
        read_document("https://example.org/a", settings)
    for other in ("http://example.org/a", "ftp://example.org/a", "file:///etc/passwd"):
        with pytest.raises(BadInput, match="cannot be read from"):
            read_document(other, Settings(home=settings.home, allow_https=True))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "[::1]", "10.1.2.3", "192.168.1.1", "169.254.169.254", "2130706433", "0x7f000001",
        "0177.0.0.1", "127.1", "0", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[fd00:ec2::254]",
    ],
)  # fmt: skip
def test_private_addresses_are_refused(settings: Settings, host: str) -> None:
    with pytest.raises(BadInput, match="private network"):
        read_document(f"https://{host}/secret", Settings(home=settings.home, allow_https=True))


def test_an_address_with_a_password_is_refused_and_not_repeated(settings: Settings) -> None:
    with pytest.raises(BadInput, match="password in it") as caught:
        read_document("https://mill:correct-horse@example.org/a", Settings(home=settings.home, allow_https=True))
    assert "correct-horse" not in str(caught.value)


def test_a_name_that_changes_its_mind_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: public when asked, private when called. The call goes to the address that was judged."""
    answers = iter(["8.8.8.8", "127.0.0.1"])
    called: list[str] = []

    def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), 443))]

    def call(address: tuple[str, int], *_: object) -> socket.socket:
        called.append(address[0])
        raise OSError(errno.EHOSTUNREACH, "no route")

    monkeypatch.setattr(web.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(web.socket, "create_connection", call)
    with pytest.raises(Unavailable):
        exchange("GET", "https://rebinding.example/", most_bytes=10, deadline_s=2, public_only=True)
    assert called == ["8.8.8.8"]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2001:4860:4860::8888", True), ("127.0.0.1", False), ("::ffff:10.0.0.1", False),
        ("100.64.0.1", False), ("fe80::1%eth0", False), ("2002:a9fe:a9fe::1", False), ("2002:808:808::1", True),
        ("64:ff9b::a9fe:a9fe", False), ("64:ff9b::808:808", True), ("fec0::1", False), ("::", False),
        ("fd00::1", False), ("0.0.0.0", False), ("224.0.0.1", False),
    ],
)  # fmt: skip
def test_what_is_public(address: str, public: bool) -> None:
    assert is_public(address) is public


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/drip":
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(200):
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.1)
            except OSError:
                return
        elif self.path == "/silent":
            time.sleep(1.5)
        elif self.path == "/big":
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(64):
                    self.wfile.write(bytes(2**16))
            except OSError:
                return
        elif self.path == "/round":
            self.send_response(302)
            self.send_header("Location", "/round")
            self.end_headers()
        elif self.path == "/out":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest")
            self.end_headers()
        else:
            body = b"<html lang='en'><body><h1>Fetched</h1><p>It leaves at nine.</p></body></html>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_server_that_drips_is_left_in_time() -> None:
    with serving() as url:
        began = time.monotonic()
        with pytest.raises(Unavailable, match="did not answer within"):
            exchange("GET", f"{url}/drip", most_bytes=2**20, deadline_s=1.0)
        assert time.monotonic() - began < 5


def test_a_server_that_falls_silent_is_told_with_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.documents.web.SILENT_S", 0.5)
    with serving() as url, pytest.raises(Unavailable, match=r"sent nothing for 0\.5 s"):
        exchange("GET", f"{url}/silent", most_bytes=2**20, deadline_s=30)


def test_a_server_that_sends_too_much_is_left() -> None:
    with serving() as url, pytest.raises(LimitExceeded):
        exchange("GET", f"{url}/big", most_bytes=2**20, deadline_s=10)


def test_nobody_there() -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        exchange("GET", "http://127.0.0.1:9/", most_bytes=10, deadline_s=2)


def test_a_page_is_fetched_and_redirects_are_checked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is local and without TLS, so the two rules that forbid it are lifted; all else is as it is."""
    with serving() as url:

        def reach(method: str, address: str, **options: object) -> web.Reply:
            options["public_only"] = False
            reply = exchange(method, address.replace("https://public.test", url), **options)  # type: ignore[arg-type]
            return replace(reply, address=address)

        monkeypatch.setattr(web, "exchange", reach)
        allowed = Settings(home=settings.home, allow_https=True)
        document = read_document("https://public.test/page", allowed)
        assert document.title == "Fetched"
        assert document.metadata["address"] == "https://public.test/page"
        with pytest.raises(BadInput, match="without end"):
            read_document("https://public.test/round", allowed)
        with pytest.raises(BadInput, match="not an https address"):
            read_document("https://public.test/out", allowed)
