"""What every object store promises."""

from __future__ import annotations

import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechmill.errors import BadInput, MissingObject, SpeechmillError
from storage.objects import FolderStore, ObjectStore, safe_key
from storage.stores import object_store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return path


def _keys(objects: ObjectStore, prefix: str = "") -> list[str]:
    return [found.key for found in objects.list(prefix)]


def _read(objects: ObjectStore, key: str) -> bytes:
    with objects.open_range(key) as reader:
        return reader.read()


def test_what_is_put_is_got(objects: ObjectStore, file: Path, tmp_path: Path) -> None:
    objects.put_file("films/talk one.mp4", file)
    assert file.exists()
    objects.get_file("films/talk one.mp4", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == b"0123456789"
    assert file.exists()
    found = objects.head("films/talk one.mp4")
    assert found is not None
    assert found.size_bytes == 10
    assert found.modified_at.tzinfo is not None


def test_what_is_given_is_gone_from_where_it_was(objects: ObjectStore, file: Path) -> None:
    objects.put_file("a", file, give=True)
    assert not file.exists()
    assert _read(objects, "a") == b"0123456789"


def test_a_second_put_replaces(objects: ObjectStore, file: Path) -> None:
    objects.put_file("a", file)
    file.write_bytes(b"new")
    objects.put_file("a", file)
    assert _read(objects, "a") == b"new"


@pytest.mark.parametrize(
    ("start", "length", "read"),
    [(0, None, b"0123456789"), (3, None, b"3456789"), (3, 4, b"3456"), (8, 100, b"89"), (10, 5, b""), (99, 5, b"")],
)
def test_a_range_is_read(objects: ObjectStore, file: Path, start: int, length: int | None, read: bytes) -> None:
    objects.put_file("a", file)
    with objects.open_range("a", start, length) as reader:
        assert reader.read() == read
        assert reader.read() == b""


def test_keys_are_listed_in_order_by_prefix(objects: ObjectStore, file: Path) -> None:
    keys = ["a-b/c", "a/b", "a/b-c", "a/b.d/e", "a0", "é/1"]
    for key in reversed(keys):
        objects.put_file(key, file)
    assert _keys(objects) == sorted(keys)
    assert _keys(objects, "a/b") == ["a/b", "a/b-c", "a/b.d/e"]
    assert _keys(objects, "a/b.") == ["a/b.d/e"]
    assert _keys(objects, "a/") == ["a/b", "a/b-c", "a/b.d/e"]
    assert _keys(objects, "b") == []


def test_what_changes_has_another_etag(objects: ObjectStore, file: Path) -> None:
    objects.put_file("a", file)
    before = objects.head("a")
    assert [before] == list(objects.list())
    assert before is not None
    assert before.etag
    file.write_bytes(b"9876543210")
    objects.put_file("a", file)
    after = objects.head("a")
    assert after is not None
    assert after.etag != before.etag


def test_a_copy_stands_on_its_own(objects: ObjectStore, file: Path) -> None:
    objects.put_file("a", file)
    objects.copy("a", "b/c")
    objects.delete("a")
    assert _keys(objects) == ["b/c"]
    assert _read(objects, "b/c") == b"0123456789"


def test_what_is_not_there_is_said_to_be_missing(objects: ObjectStore, tmp_path: Path) -> None:
    assert objects.head("a/b") is None
    objects.delete("a/b")
    for ask in (
        lambda: objects.get_file("a", tmp_path / "x"),
        lambda: objects.open_range("a"),
        lambda: objects.copy("a", "b"),
    ):
        with pytest.raises(MissingObject):
            ask()
    assert not (tmp_path / "x").exists()


def test_a_link_opens_the_object(objects: ObjectStore, tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.write_text("<h1>Señor</h1>", "utf-8")
    objects.put_file("reports/report.html", page)
    with urllib.request.urlopen(objects.link("reports/report.html", expires_s=60, name="el señor.html")) as reply:
        assert reply.read().decode() == "<h1>Señor</h1>"
        assert reply.headers["Content-Type"].startswith("text/html")
    with pytest.raises(MissingObject):
        objects.link("reports/none.html", expires_s=60)


def test_of_many_who_put_if_absent_one_wins(objects: ObjectStore, tmp_path: Path) -> None:
    def put(number: int) -> bool:
        path = tmp_path / f"mine{number}"
        path.write_text(str(number))
        return objects.put_if_absent("claim", path)

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(put, range(16)))
    assert won.count(True) == 1
    assert _read(objects, "claim") == str(won.index(True)).encode()
    assert _keys(objects) == ["claim"]


def test_a_reader_sees_the_old_or_the_new_and_never_a_part(objects: ObjectStore, tmp_path: Path) -> None:
    contents = {bytes([65 + i]) * 200_000 for i in range(4)}
    over = threading.Event()

    def write(content: bytes) -> None:
        path = tmp_path / f"content{content[0]}"
        path.write_bytes(content)
        objects.put_file("a", path)
        while not over.is_set():
            objects.put_file("a", path, durable=False)

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, content) for content in contents]
        while objects.head("a") is None:
            pass
        seen = {_read(objects, "a") for _ in range(200)}
        over.set()
        for writer in writers:
            writer.result()
    assert seen <= contents


UNSAFE = ["", "/", "/etc/passwd", "a//b", "a/", "../x", "a/../../x", "./a", "a/.", ".hidden", "-i", "a/-rf", "a\\b",
          "a\nb", "a\x00b", "a\x7f", "e\u0301", "a\u202eb", "\ud800", "x" * 256, "a/" * 600 + "a"]  # fmt: skip


@pytest.mark.parametrize("key", UNSAFE)
def test_no_path_is_made_of_an_unsafe_key(objects: ObjectStore, file: Path, tmp_path: Path, key: str) -> None:
    for ask in (
        lambda: objects.put_file(key, file),
        lambda: objects.put_file(key, file, give=True),
        lambda: objects.put_if_absent(key, file),
        lambda: objects.get_file(key, tmp_path / "x"),
        lambda: objects.open_range(key),
        lambda: objects.local_path(key),
        lambda: objects.head(key),
        lambda: objects.copy(key, "b"),
        lambda: objects.delete(key),
    ):
        with pytest.raises(BadInput):
            ask()
    assert file.read_bytes() == b"0123456789"
    assert _keys(objects) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.text(st.characters() | st.sampled_from("./-\\a\n"), max_size=30))
def test_any_key_is_refused_or_kept_as_it_is(objects: ObjectStore, tmp_path: Path, key: str) -> None:
    file = tmp_path / "something"
    file.write_bytes(b"x")
    try:
        safe_key(key)
    except BadInput:
        with pytest.raises(BadInput):
            objects.put_file(key, file)
        return
    try:
        objects.put_file(key, file, durable=False)
    except BadInput:
        return  # a part of another example's key
    assert key in _keys(objects)
    assert {path.name for path in tmp_path.iterdir()} <= {"something", "objects"}
    objects.delete(key)


def test_a_key_that_is_part_of_another_is_refused(tmp_path: Path, file: Path) -> None:
    objects = FolderStore(tmp_path / "objects")
    objects.put_file("a/b", file)
    for key in ("a", "a/b/c"):
        with pytest.raises(BadInput):
            objects.put_file(key, file)
        assert objects.head(key) is None


def test_a_file_that_is_given_is_moved_not_copied(tmp_path: Path, file: Path) -> None:
    objects = FolderStore(tmp_path / "objects")
    inode = file.stat().st_ino
    objects.put_file("a", file, give=True)
    path = objects.local_path("a")
    assert path is not None
    assert path.stat().st_ino == inode


def test_links_and_half_made_files_in_the_folder_are_no_objects(tmp_path: Path, file: Path) -> None:
    objects = FolderStore(tmp_path / "objects")
    objects.put_file("a", file)
    (tmp_path / "objects" / "link").symlink_to(file)
    (tmp_path / "objects" / "folder").symlink_to(tmp_path)
    (tmp_path / "objects" / ".part").write_text("x")
    assert _keys(objects) == ["a"]
    assert objects.head("link") is None


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, file: Path) -> None:
    (tmp_path / "blocked").write_text("a file, not a folder")
    with pytest.raises(SpeechmillError):
        FolderStore(tmp_path / "blocked").put_file("a", file)


def test_a_url_names_a_store(tmp_path: Path, file: Path) -> None:
    folder = tmp_path / "with space % and #"
    objects = object_store(f"file://{folder}")
    objects.put_file("a", file)
    assert (folder / "a").exists()
    for url in ("", "ftp://x", "file://relative", "objects"):
        with pytest.raises(BadInput, match="SPEECHMILL_OBJECTS_URL"):
            object_store(url)
