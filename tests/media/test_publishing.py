"""A delivery appears in one step, wherever its process is killed, and touches nothing that is the user's."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from speechmill.errors import BadInput, Conflict, DiskFull
from tasks.media import publishing
from tasks.media.publishing import publish, staging
from tasks.media.shelf import MANIFEST, Claim, Shelf

OLD = {"talk.es.mp4": "old film", "talk.fr.srt": "old French", "report.html": "old page", "report.json": "old"}
NEW = {"talk.es.mp4": "new film", "talk.es.srt": "new subtitles", "report.html": "new page", "report.json": "new"}


CLAIM = Claim("job", "talk.mp4", ("es",), stem="talk.es")


def deliver(out: Path, files: dict[str, str], claim: Claim = CLAIM) -> None:
    with staging(out, claim.job) as folder:
        for name, text in files.items():
            (folder / name).write_text(text)
        publish(folder, out, claim)


def deliver_half(out: Path, error: Exception) -> None:
    with staging(out, "job") as folder:
        (folder / "talk.es.mp4").write_text("half a fi")
        raise error


def inside(out: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in out.iterdir() if file.is_file() and file.name != MANIFEST}


def test_a_new_folder_appears_whole_and_nothing_else_does(tmp_path: Path) -> None:
    out = tmp_path / "some" / "where" / "job"
    deliver(out, NEW)
    assert inside(out) == NEW
    assert [p.name for p in out.parent.iterdir()] == ["job"]


def test_an_earlier_delivery_is_replaced_whole(tmp_path: Path) -> None:
    """What the new one does not have is gone with the old."""
    out = tmp_path / "job"
    deliver(out, OLD)
    deliver(out, NEW)
    assert inside(out) == NEW
    assert [p.name for p in tmp_path.iterdir()] == ["job"]


def test_files_of_the_user_stay(tmp_path: Path) -> None:
    out = tmp_path / "job"
    deliver(out, OLD)
    (out / "notes.txt").write_text("mine")
    (out / "stills").mkdir()
    (out / "stills" / "1.png").write_text("mine too")
    number = (out / "notes.txt").stat().st_ino
    deliver(out, NEW)
    assert inside(out) == {**NEW, "notes.txt": "mine"}
    assert (out / "stills" / "1.png").read_text() == "mine too"
    assert (out / "notes.txt").stat().st_ino == number
    assert sorted(p.name for p in out.iterdir() if p.name.startswith(".")) == [MANIFEST]


def test_the_folder_one_stands_in_stays_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--out .``: a shell there must not find itself in a folder that is gone."""
    out = tmp_path / "job"
    deliver(out, OLD)
    number = out.stat().st_ino
    monkeypatch.chdir(out)
    deliver(Path(), NEW)
    assert out.stat().st_ino == number
    assert inside(out) == NEW


def test_a_folder_stays_open_to_whom_it_was_open(tmp_path: Path) -> None:
    """A studio's folder, which everybody in a group may write to."""
    out = tmp_path / "job"
    out.mkdir()
    out.chmod(0o2775)
    for files in (OLD, NEW):
        deliver(out, files)
        assert inside(out) == files
        assert out.stat().st_mode & 0o7777 == 0o2775


def test_what_is_put_beside_a_delivery_in_the_moment_that_it_is_replaced_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "job"
    deliver(out, OLD)
    exchange = publishing._exchange

    def a_moment_later(staged: Path, out: Path) -> bool:
        (out / "notes.txt").write_text("mine")
        return exchange(staged, out)

    monkeypatch.setattr(publishing, "_exchange", a_moment_later)
    deliver(out, NEW)
    assert inside(out) == {**NEW, "notes.txt": "mine"}


def test_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "job").symlink_to(tmp_path / "disk")
    deliver(tmp_path / "job", OLD)
    deliver(tmp_path / "job", NEW)
    assert (tmp_path / "job").is_symlink()
    assert inside(tmp_path / "disk") == NEW


def test_where_the_kernel_cannot_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "_exchange", lambda *_: False)
    deliver(tmp_path / "job", OLD)
    deliver(tmp_path / "job", NEW)
    assert inside(tmp_path / "job") == NEW


@pytest.mark.parametrize("before", ["nothing", "a delivery", "a delivery and notes"])
def test_what_fails_leaves_what_was(tmp_path: Path, before: str) -> None:
    out = tmp_path / "new" / "job"
    if before != "nothing":
        deliver(out, OLD)
    if before == "a delivery and notes":
        (out / "notes.txt").write_text("mine")
    was = inside(out) if out.exists() else None
    with pytest.raises(RuntimeError):
        deliver_half(out, RuntimeError())
    if was is None:
        assert not (tmp_path / "new").exists()
    else:
        assert inside(out) == was
        assert [p.name for p in out.parent.iterdir()] == ["job"]


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="finished work is kept"):
        deliver_half(tmp_path / "job", OSError(errno.ENOSPC, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


def test_one_job_does_not_deliver_twice_at_a_time(tmp_path: Path) -> None:
    with staging(tmp_path / "job", "job") as folder:
        with pytest.raises(Conflict, match="the same job"), staging(tmp_path / "job", "job"):
            pass
        (folder / "a").write_text("a")
        publish(folder, tmp_path / "job", CLAIM)
    assert inside(tmp_path / "job") == {"a": "a"}


def test_two_jobs_may_deliver_into_one_folder_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "season"
    with staging(out, CLAIM.job) as first, staging(out, WALK.job) as second:
        (first / "talk.es.srt").write_text("talk")
        (second / "walk.es.srt").write_text("walk")
        for folder in (first, second):
            (folder / "report.json").write_text(folder.parent.name)
        publish(second, out, WALK)
        publish(first, out, CLAIM)
    assert inside(out).keys() == {"talk.es.srt", "walk.es.srt", "report.json", "talk.es.report.json"}


def test_a_folder_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="is a file"), staging(tmp_path / "file", "job"):
        pass
    (tmp_path / "job" / "talk.es.mp4").mkdir(parents=True)
    with pytest.raises(BadInput, match=r"talk\.es\.mp4 is a folder"):
        deliver(tmp_path / "job", NEW)
    assert [p.name for p in (tmp_path / "job").iterdir()] == ["talk.es.mp4"]


def test_a_folder_that_is_locked_is_told_before_any_work(tmp_path: Path) -> None:
    out = tmp_path / "job"
    out.mkdir()
    out.chmod(0o555)
    bound = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []  # root writes anywhere
    tried = "import pathlib, sys; from tasks.media import publishing; publishing.try_out(pathlib.Path(sys.argv[1]))"
    ran = subprocess.run([*bound, sys.executable, "-c", tried, out], check=False, capture_output=True, text=True)
    assert f"nothing can be written to {out} (Permission denied)" in ran.stderr
    assert list(tmp_path.iterdir()) == [out]


def test_a_list_that_was_tampered_with_reaches_nowhere_else(tmp_path: Path) -> None:
    out = tmp_path / "job"
    deliver(out, OLD)
    (tmp_path / "precious").write_text("mine")
    facts = tmp_path.joinpath("precious").stat()
    listed = Shelf.of(out).model_dump()
    listed["deliveries"][0]["files"]["../precious"] = [facts.st_size, facts.st_mtime_ns]
    listed["deliveries"][0]["report"] = "../precious"
    (out / MANIFEST).write_text(json.dumps(listed))
    deliver(out, NEW)
    assert (tmp_path / "precious").read_text() == "mine"


KILLED = """
import os, sys
from pathlib import Path
from tasks.media.publishing import publish, staging
from tasks.media.shelf import Claim
out, left, files = Path(sys.argv[1]), int(sys.argv[2]), eval(sys.argv[3])
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "ctypes.dlsym", "fcntl.flock"}
def die(event, arguments):
    global left
    if event in CHANGES:
        left -= 1
        if left < 0:
            os._exit(9)
sys.addaudithook(die)
with staging(out, "job") as folder:
    for name, text in files.items():
        (folder / name).write_text(text)
    publish(folder, out, Claim("job", "talk.mp4", ("es",), stem="talk.es"))
"""


WALK = Claim("job-2", "walk.mp4", ("es",))
BESIDE: dict[str, dict[str, str]] = {
    "a delivery and notes": {"notes.txt": "mine"},
    "another film": {"walk.es.srt": "walk", "report.json": "of the walk"},
}


@pytest.mark.parametrize("before", ["nothing", "a delivery", *BESIDE])
def test_killed_before_any_change_it_makes(tmp_path: Path, before: str) -> None:
    """Killed before its first change to the disk, then before its second, and so on to the end."""
    beside = BESIDE.get(before, {})

    def own(out: Path) -> dict[str, str]:
        found = inside(out) if out.exists() else {}
        assert {name: found.pop(name) for name in beside} == beside
        return {name.removeprefix("talk.es.") if "report" in name else name: text for name, text in found.items()}

    for changes in range(100):
        out = tmp_path / str(changes) / "job"
        if before == "another film":
            deliver(out, beside, WALK)
        if before != "nothing":
            deliver(out, OLD)
        if before == "a delivery and notes":
            (out / "notes.txt").write_text("mine")
        ended = subprocess.run([sys.executable, "-c", KILLED, str(out), str(changes), repr(NEW)], check=False)
        if beside:
            found = own(out)
            assert found.get("report.json") != "old" or found == OLD
            assert found.get("report.json") != "new" or found == NEW
            assert all(text in (OLD.get(name), NEW.get(name)) for name, text in found.items())
        else:
            assert own(out) in ((OLD, NEW) if before == "a delivery" else ({}, NEW))
        deliver(out, NEW)
        assert own(out) == NEW
        assert [p.name for p in out.parent.iterdir()] == ["job"]
        if ended.returncode == 0:
            assert changes >= 5
            return
    pytest.fail("it never came to its end")
