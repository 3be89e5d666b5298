"""Publishing: a delivery is staged beside its folder, on the same file system, and appears there in one step.

What is guaranteed, wherever the process is killed (not: the power cut off):

- A new folder appears whole, by one rename.
- A folder that holds an earlier delivery and nothing else is exchanged for the new one, by one call of the kernel.
- In a folder that holds files of the user's as well (or where the kernel cannot exchange), those are never touched.
  There the delivery's files are put one by one, each whole: the old ``report.json`` goes first and the new one comes
  last, so **a folder with a report holds the delivery that the report describes**. A publishing that was killed in
  between is finished by the next one, before anything else.

What was published is listed in a hidden file, so that files of an earlier delivery that the new one does not have go.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from speechmill.errors import BadInput, Conflict, DiskFull, from_os_error

MANIFEST = ".speechmill-delivery"  # names of what was published, one a line
LAST = ("report.html", MANIFEST, "report.json")  # in this order, after everything else
WORKSHOP = "speechmill"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h


def unasked(staged: Path) -> bool:  # noqa: ARG001
    """A delivery that may be published without anybody being asked."""
    return True


@contextmanager
def staging(out: Path) -> Iterator[Path]:
    """An empty folder to put a delivery together in; give it to ``publish`` inside the ``with``.

    It is gone afterwards, published or not, with what an earlier run that was killed has left. Raises ``Conflict``
    where another process stages for the same folder, ``BadInput`` where ``out`` is a file, ``DiskFull``.
    """
    out = out.resolve()
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file, not a folder", hint="name a folder with --out")
    missing = [folder for folder in (out.parent, *out.parent.parents) if not folder.exists()]
    try:
        workshop = _made(_workshop(out), out)
        with _alone(workshop, out):
            try:
                _finish(workshop / "committed", out)
                shutil.rmtree(workshop / "new", ignore_errors=True)
                (workshop / "new").mkdir()
                yield workshop / "new"
            finally:
                if not (workshop / "committed").exists():  # else the next publishing finishes this one
                    shutil.rmtree(workshop, ignore_errors=True)
    except OSError as error:
        raise from_os_error(error) from error
    finally:
        for folder in missing:  # deepest first: those that nothing was put into go again
            with suppress(OSError):
                folder.rmdir()


def try_out(out: Path) -> None:
    """Raise, before any work, what ``staging`` would raise after it; nothing is left behind."""
    with staging(out):
        pass


def publish(staged: Path, out: Path) -> None:
    """Have what is in ``staged`` (from ``staging(out)``; plain files) appear in ``out``; see above for what holds when.

    Raises ``DiskFull`` and whatever else ``from_os_error`` knows; then nothing was published.
    """
    out = out.resolve()
    try:
        names = sorted(file.name for file in staged.iterdir())
        for name in names:
            if (out / name).is_dir():
                raise BadInput(f"{out / name} is a folder", hint="move it, or name another folder with --out")
        (staged / MANIFEST).write_text("".join(f"{name}\n" for name in names), "utf-8")
        if _is_free(out):
            staged.rename(out)
        elif _is_ours_alone(out) and staged.parent.parent == out.parent and _exchange(staged, out):
            shutil.rmtree(staged)
        else:
            committed = staged.parent / "committed"
            staged.rename(committed)
            _finish(committed, out)
    except OSError as error:
        raise from_os_error(error) from error


def _finish(committed: Path, out: Path) -> None:
    """Put the files of a delivery that was committed into ``out``: from the beginning, or from where it was left."""
    if not committed.is_dir():
        return
    out.mkdir(exist_ok=True)
    waiting = {file.name for file in committed.iterdir()}
    if MANIFEST in waiting:  # it has not come in yet, so nothing is sure yet of what is in the folder
        (out / "report.json").unlink(missing_ok=True)
        for name in _listed(out) - _listed(committed):
            (out / name).unlink(missing_ok=True)
    for name in (*sorted(waiting - set(LAST)), *(name for name in LAST if name in waiting)):
        (committed / name).replace(out / name)
    committed.rmdir()


def _listed(folder: Path) -> set[str]:
    """Names of the delivery that is in a folder; a list that somebody has tampered with reaches nowhere else."""
    try:
        names = (folder / MANIFEST).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return set()
    return {name for name in names if name == Path(name).name and not (folder / name).is_dir()}


def _is_free(out: Path) -> bool:
    return not out.exists() or not any(out.iterdir())


def _is_ours_alone(out: Path) -> bool:
    """Whether a folder holds a delivery and nothing else, and nobody stands in it: a shell that does would find itself
    in a folder that is gone."""
    inside = {file.name for file in out.iterdir()}
    here = Path.cwd()
    return MANIFEST in inside and inside <= _listed(out) | {MANIFEST} and out != here and out not in here.parents


def _exchange(staged: Path, out: Path) -> bool:
    """Swap two folders in one step; False where the system cannot."""
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return bool(swap(_AT_FDCWD, os.fsencode(staged), _AT_FDCWD, os.fsencode(out), _RENAME_EXCHANGE) == 0)


def _workshop(out: Path) -> Path:
    """Where deliveries for ``out`` are put together: beside it, or inside it where beside is another file system or
    not ours to write in."""
    inside = out / f".{WORKSHOP}"
    if inside.exists():
        return inside  # an earlier run was killed there
    if out.exists() and (out.stat().st_dev != out.parent.stat().st_dev or not os.access(out.parent, os.W_OK)):
        return inside
    return out.parent / f".{out.name}.{WORKSHOP}"


def _made(workshop: Path, out: Path) -> Path:
    try:
        workshop.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if isinstance(ours := from_os_error(error), DiskFull):
            raise ours from error
        raise BadInput(
            f"nothing can be written to {out} ({error.strerror})", hint="name another folder with --out"
        ) from None
    return workshop


@contextmanager
def _alone(workshop: Path, out: Path) -> Iterator[None]:
    with (workshop / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"another job is writing into {out}", hint="wait until it is done, or name another folder with --out"
            ) from None
        yield
