"""The one place where ffmpeg and ffprobe run.

Arguments are built with ffmpeg-python; every input is opened as a plain file, by an allowed format, with no other
protocol: a playlist or a concat list under a media name is refused instead of followed. Facts behind this (ffmpeg
5.1.9): an ``ffconcat`` text named ``.mp4`` is opened even with a protocol whitelist, a format whitelist refuses it;
``file:`` in front of a path keeps ``-x.wav`` and ``concat:a|b`` from being read as an option or a protocol.

Every run has no network (where the machine allows that), a bound on memory, and the folder that it writes to as its
working folder: a name in a hostile file that slips through everything else leads to nothing of the user's.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ffmpeg

from speechmill import programs
from speechmill.errors import UnreadableMedia
from speechmill.programs import Limits, Ran
from speechmill.settings import settings

FORMATS = (
    "mov", "matroska", "wav", "w64", "mp3", "flac", "ogg", "aac", "ac3", "eac3", "dts", "avi", "mpegts", "mpeg", "mxf",
    "aiff", "au", "caf", "asf", "flv", "amr", "wv", "ape", "dv",
)  # fmt: skip
"""Demuxers that may open a file nobody vouches for. None of them reads a second file or an address, and none takes
any bytes for sound (as the raw formats do, by the ending of the name)."""

QUIET = ("-hide_banner", "-nostdin", "-nostats", "-v", "error")
MAX_ALLOC_BYTES = 1 << 30  # one allocation of ffmpeg's; a damaged header asks for more
SEVERAL = "\x1e"  # the record separator of ASCII: in no path, title or number
MAX_STREAMS = 64  # a film with every language has about 40
MOST_PIXELS = 16_384 * 16_384 // 4  # 8K four times over; a header may claim what no memory holds
PROBE_BYTES = 5_000_000  # what is read of a file to see what it is, as ffmpeg has it
MEMORY_BYTES = 4 << 30  # of address space: 8K with 64 threads of a decoder takes about half
SLOWEST = 4.0  # seconds that one second of programme may take; a busy core needs a hundredth
START_S = 300.0  # for a disk that has to wake up, and the queue behind it

SAFE_INPUT: dict[str, object] = {
    "protocol_whitelist": "file,pipe",
    "format_whitelist": ",".join(FORMATS),
    "max_streams": MAX_STREAMS,
    "max_pixels": MOST_PIXELS,
    "probesize": PROBE_BYTES,
}

CORES = os.cpu_count() or 1
Node = Any  # ffmpeg-python has no types


def usual() -> Limits:
    """What one run may take where nobody knows how long its programme is."""
    return Limits(settings().tool_timeout_s, memory_bytes=MEMORY_BYTES)


def lasting(duration_s: float, *, file_bytes: int | None = None, memory_bytes: int = MEMORY_BYTES) -> Limits:
    """What one run over a programme of this length may take. One that takes longer hangs."""
    wall_s = min(START_S + SLOWEST * duration_s, settings().tool_timeout_s)
    return Limits(wall_s, file_bytes=file_bytes, memory_bytes=memory_bytes, cpu_s=int(wall_s) * CORES)


def source(path: Path, **options: object) -> Node:
    """An input file, whitelisted. ``options`` are ffmpeg's input options (``ss``, ``t`` …).

    With ``f`` the file is opened as that format and no other: so are files of our own whose format is no user's medium.
    """
    whitelist = {"format_whitelist": options["f"]} if "f" in options else {}
    return ffmpeg.input(f"file:{path.absolute()}", **{**SAFE_INPUT, **whitelist, **options})


def pcm_pipe(rate_hz: int, channels: int, layout: str) -> Node:
    """An input of interleaved 32-bit float samples on stdin."""
    return ffmpeg.input("pipe:0", protocol_whitelist="pipe", f="f32le", ar=rate_hz, ac=channels, channel_layout=layout)


def together(*outputs: Node) -> Node:
    """Several outputs of one command, so that their inputs are read once."""
    return ffmpeg.merge_outputs(*outputs)


def joined(streams: Sequence[Node], out: Path, **options: object) -> Node:
    """One output file of several streams, in their order."""
    return ffmpeg.output(*streams, f"file:{out.absolute()}", **options)


def several(values: Sequence[str]) -> str:
    """The value of an option that is given several times, which ffmpeg-python has no word for."""
    return SEVERAL.join(values)


def argv(node: Node, *, level: str = "error") -> list[str]:
    """The whole command for an output node."""
    quiet = [level if part == "error" else part for part in QUIET]
    given = [str(part) for part in ffmpeg.get_args(node)]
    arguments: list[str] = []
    for place, part in enumerate(given):
        first, *more = part.split(SEVERAL)
        arguments += [first, *(again for value in more for again in (given[place - 1], value))]
    return ["ffmpeg", *quiet, "-max_alloc", str(MAX_ALLOC_BYTES), *arguments, "-y"]


def execute(node: Node, *, limits: Limits | None = None, level: str = "error", check: bool = True) -> Ran:
    """Run one ffmpeg command to its end; raises ``ToolFailed`` with the tail of stderr."""
    arguments = argv(node, level=level)
    return programs.run(arguments, limits=limits or usual(), check=check, cwd=_written(arguments))


@contextmanager
def running(
    node: Node, *, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL, limits: Limits | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """An ffmpeg whose pipes the caller feeds or reads, and ends with ``finish``. It does not outlive the block, nor its
    deadline, even where the caller is stuck in feeding it."""
    arguments, limits = argv(node), limits or usual()
    process = programs.start(arguments, stdin=stdin, stdout=stdout, limits=limits, cwd=_written(arguments))
    try:
        with programs.deadline(process, "ffmpeg", limits):
            yield process
    finally:
        if process.poll() is None:
            programs.kill(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def finish(process: subprocess.Popen[bytes], *, check: bool = True) -> Ran:
    """Wait for an ffmpeg whose stdin is closed by now; raises ``ToolFailed`` as ``execute`` does."""
    stdout, stderr = process.communicate()
    ran = programs.ended("ffmpeg", process.returncode, stdout or b"", stderr or b"")
    if check:
        programs.raise_for("ffmpeg", ran)
    return ran


def probe(path: Path, *entries: str, limits: Limits | None = None) -> dict[str, Any]:
    """What ffprobe says of a file: ``format``, ``streams`` and ``chapters``, or what ``entries`` ask for instead.

    Raises ``UnreadableMedia`` where no allowed format opens the file.
    """
    ran = programs.run(_ffprobe(path, entries or DESCRIBE), limits=limits or usual(), check=False, cwd=EMPTY_ENOUGH)
    if ran.returncode != 0:
        raise UnreadableMedia(
            f"{path.name} is not a film or recording that can be read",
            hint="check the file, or convert it with ffmpeg first",
            stderr=ran.stderr,
        )
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


EMPTY_ENOUGH = Path(tempfile.gettempdir())  # for a run that writes no file


def _written(arguments: Sequence[str]) -> Path:
    """The folder of the first file that a command writes: scratch of the job."""
    for before, part in itertools.pairwise(arguments):
        if before != "-i" and part.startswith("file:/"):
            return Path(part.removeprefix("file:")).parent
    return EMPTY_ENOUGH


DESCRIBE = ("-show_format", "-show_streams", "-show_chapters")


def _ffprobe(path: Path, entries: Sequence[str]) -> list[str]:
    whitelists = [part for name, value in SAFE_INPUT.items() for part in (f"-{name}", str(value))]
    most = ("-max_alloc", str(MAX_ALLOC_BYTES))
    return ["ffprobe", "-v", "error", *most, *whitelists, "-of", "json", *entries, f"file:{path.absolute()}"]
