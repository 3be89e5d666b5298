"""Publishing: a delivery is staged beside its folder, on the same file system, and appears there in one step.

What is guaranteed, wherever the process is killed (not: the power cut off):

- A new folder appears whole, by one rename.
- A folder that holds an earlier delivery of the same and nothing else is exchanged for the new one, by one call of the
  kernel.
- In a folder that holds anything else as well (or where the kernel cannot exchange), that is never touched
  (``tasks.media.shelf``). There the delivery's files are put one by one, each whole: the old report goes first and the
  new one comes last, so **a report in a folder describes files that are there**. A publishing that was killed in
  between is finished by the next one, before anything else.

Any number of jobs may stage for one folder; they publish one after the other.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from speechmill.errors import BadInput, Conflict, DiskFull, from_os_error
from tasks.media.shelf import MANIFEST, PAGE, REPORT, Claim, Shelf, page_of

WORKSHOP, TURN = ".speechmill", "speechmill-turn"  # endings of what lies beside a folder while it is published into
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h


def unasked(staged: Path) -> bool:  # noqa: ARG001
    """A delivery that may be published without anybody being asked."""
    return True


@contextmanager
def staging(out: Path, job: str) -> Iterator[Path]:
    """An empty folder to put a job's delivery together in; give it to ``publish`` inside the ``with``.

    It is gone afterwards, published or not, with what earlier runs that were killed have left. Raises ``Conflict``
    where another process stages for the same job, ``BadInput`` where ``out`` is a file, ``DiskFull``.
    """
    out = out.resolve()
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file, not a folder", hint="name a folder with --out")
    missing = [folder for folder in (out.parent, *out.parent.parents) if not folder.exists()]
    try:
        with _turn(out) as (base, beginning):
            _tidy(out)
            workshop = base / f"{beginning}{job}{WORKSHOP}"
            workshop.mkdir(exist_ok=True)
            lock = _alone(workshop, out)
            (workshop / "new").mkdir()
        try:
            yield workshop / "new"
        finally:
            if not (workshop / "committed").exists():  # else the next publishing finishes this one
                shutil.rmtree(workshop, ignore_errors=True)
            lock.close()
    except OSError as error:
        raise from_os_error(error) from error
    finally:
        for folder in missing:  # deepest first: those that nothing was put into go again
            with suppress(OSError):
                folder.rmdir()


def try_out(out: Path, claim: Claim | None = None, names: Iterable[str] = (), read: Collection[Path] = ()) -> None:
    """Raise, before any claim, what ``staging`` and ``publish`` would raise after it, as far as the names of the files
    are known; nothing is left behind. ``read`` are the files that they are made from. Without a claim, only whether a
    folder can be written is tried."""
    with staging(out, f"try-{secrets.token_hex(4)}"):
        if claim is None:
            return
        shelf = Shelf.of(out)
        report = shelf.report_name(claim)
        shelf.raise_if_taken(out.resolve(), claim, [*names, page_of(report), report], read)


def publish(staged: Path, out: Path, claim: Claim) -> None:
    """Have what is in ``staged`` (from ``staging(out, job)``; plain files) appear in ``out``; see above for what holds
    when. A report beside another delivery's gets a name of its own.

    Raises ``Conflict`` for names that are not its to write, ``DiskFull`` and whatever else ``from_os_error`` knows;
    then nothing was published.
    """
    out = out.resolve()
    try:
        with _turn(out):
            _tidy(out)
            earlier = Shelf.of(out)
            report = earlier.report_name(claim)
            for name, called in ((REPORT, report), (PAGE, page_of(report))):
                if (staged / name).exists():
                    (staged / name).rename(staged / called)
            names = {file.name for file in staged.iterdir()}
            earlier.raise_if_taken(out, claim, names)
            later = earlier.with_delivery(claim, staged)
            ours = {*names, *earlier.left_over(out, later), MANIFEST}
            alone = not earlier.beside(claim) and _holds_only(out, ours)
            (staged / MANIFEST).write_text(later.model_dump_json(indent=1) + "\n", "utf-8")
            if out.exists():
                _open_as(out, staged)
            if _is_free(out):
                staged.rename(out)
            elif alone and staged.parent.parent == out.parent and _exchange(staged, out):
                for late in [file for file in staged.iterdir() if file.name not in ours]:
                    late.replace(out / late.name)  # somebody put it there since we looked
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
        earlier, later = Shelf.of(out), Shelf.of(committed)
        for gone in earlier.deliveries:
            if gone not in later.deliveries and gone.is_as_delivered(out, gone.report):
                (out / gone.report).unlink()
        for name in earlier.left_over(out, later):
            (out / name).unlink()
    for name in sorted(waiting, key=_rank):
        (committed / name).replace(out / name)
    committed.rmdir()


def _rank(name: str) -> tuple[int, str]:
    """The page, the list and the report come after everything else, in this order."""
    return (1 if name.endswith(PAGE) else 2 if name == MANIFEST else 3 if name.endswith(REPORT) else 0), name


def _is_free(out: Path) -> bool:
    return not out.exists() or not any(out.iterdir())


def _open_as(out: Path, staged: Path) -> None:
    """Let whoever may use a folder use the one that takes its place."""
    there = out.stat()
    for owner in ((-1, there.st_gid), (there.st_uid, -1)):
        with suppress(PermissionError):
            os.chown(staged, *owner)
    shutil.copymode(out, staged)


def _holds_only(out: Path, names: Collection[str]) -> bool:
    """Whether nothing else is in a folder, and nobody stands in it: a shell that does would find itself in a folder
    that is gone."""
    here = Path.cwd()
    return out.is_dir() and {file.name for file in out.iterdir()} <= set(names) and out not in (here, *here.parents)


def _exchange(staged: Path, out: Path) -> bool:
    """Swap two folders in one step; False where the system cannot."""
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return bool(swap(_AT_FDCWD, os.fsencode(staged), _AT_FDCWD, os.fsencode(out), _RENAME_EXCHANGE) == 0)


def _places(out: Path) -> tuple[tuple[Path, str], tuple[Path, str]]:
    """Where deliveries for ``out`` are put together, beside it or inside it: a folder, and how names there begin."""
    return (out.parent, f".{out.name}."), (out, ".")


@contextmanager
def _turn(out: Path) -> Iterator[tuple[Path, str]]:
    """Nobody else publishes into the folder meanwhile, or begins to; where its delivery is put together: inside it
    where beside it is another file system or not ours to write in."""
    beside, inside = _places(out)
    apart = out.exists() and (out.stat().st_dev != out.parent.stat().st_dev or not os.access(out.parent, os.W_OK))
    base, beginning = inside if apart else beside
    path = base / f"{beginning}{TURN}"
    try:
        if out.exists() and not os.access(out, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        base.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError as error:
        if isinstance(ours := from_os_error(error), DiskFull):
            raise ours from error
        raise BadInput(
            f"nothing can be written to {out} ({error.strerror})", hint="name another folder with --out"
        ) from None
    while True:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                break
        lock.close()  # whoever had it has removed it
        lock = path.open("w")
    try:
        yield base, beginning
    finally:
        path.unlink(missing_ok=True)
        lock.close()


def _tidy(out: Path) -> None:
    """Finish what runs that were killed had committed, and remove what they have left."""
    for base, beginning in _places(out):
        left: list[Path] = []
        with suppress(PermissionError, FileNotFoundError):
            left = [path for path in base.iterdir() if _is_workshop(path.name, beginning)]
        for workshop in left:
            with suppress(Conflict, FileNotFoundError):  # somebody works there, or has just tidied up
                lock = _alone(workshop, out)
                _finish(workshop / "committed", out)
                shutil.rmtree(workshop)
                lock.close()


def _is_workshop(name: str, beginning: str) -> bool:
    job = name.removeprefix(beginning).removesuffix(WORKSHOP)
    return name == f"{beginning}{job}{WORKSHOP}" and bool(job) and "." not in job


def _alone(workshop: Path, out: Path) -> IO[str]:
    """A lock that is held until it is closed; raises ``Conflict`` where somebody else has it."""
    lock = (workshop / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise Conflict(f"the same job is writing into {out}", hint="wait until it is done") from None
    return lock
