"""The one place where ffmpeg and ffprobe run.

Arguments are built with ffmpeg-python; every input is opened as a plain file, by an allowed format, with no other
protocol: a playlist or a concat list under a media name is refused instead of followed. Facts behind this (ffmpeg
5.1.9): an ``ffconcat`` text named ``.mp4`` is opened even with a protocol whitelist, a format whitelist refuses it;
``file:`` in front of a path keeps ``-x.wav`` and ``concat:a|b`` from being read as an option or a protocol.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ffmpeg

from speechmill import programs
from speechmill.errors import ToolFailed, UnreadableMedia
from speechmill.programs import Limits, Ran

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

SAFE_INPUT: dict[str, object] = {
    "protocol_whitelist": "file,pipe",
    "format_whitelist": ",".join(FORMATS),
    "max_streams": MAX_STREAMS,
}

Node = Any  # ffmpeg-python has no types


def source(path: Path, **options: object) -> Node:
    """An input file, whitelisted. ``options`` are ffmpeg's input options (``ss``, ``t`` …).

    With ``f`` the file is opened as that format and no other: so are files of our own whose format is no user's medium.
    """
    whitelist = {"format_whitelist": options["f"]} if "f" in options else {}
    return ffmpeg.input(f"file:{path}", **{**SAFE_INPUT, **whitelist, **options})


def pcm_pipe(channels: int, rate_hz: int) -> Node:
    """An input of interleaved 32-bit float samples on stdin."""
    return ffmpeg.input("pipe:0", f="f32le", ac=channels, ar=rate_hz)


def together(*outputs: Node) -> Node:
    """Several outputs of one command, so that their inputs are read once."""
    return ffmpeg.merge_outputs(*outputs)


def joined(streams: Sequence[Node], out: Path, **options: object) -> Node:
    """One output file of several streams, in their order."""
    return ffmpeg.output(*streams, f"file:{out}", **options)


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


def execute(node: Node, *, limits: Limits = programs.UNLIMITED, level: str = "error", check: bool = True) -> Ran:
    """Run one ffmpeg command to its end; raises ``ToolFailed`` with the tail of stderr."""
    return programs.run(argv(node, level=level), limits=limits, check=check)


def start(
    node: Node,
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    limits: Limits = programs.UNLIMITED,
) -> subprocess.Popen[bytes]:
    """Start an ffmpeg whose pipes the caller feeds or reads; end it with ``finish``."""
    return programs.start(argv(node), stdin=stdin, stdout=stdout, limits=limits)


def finish(process: subprocess.Popen[bytes], *, limits: Limits = programs.UNLIMITED, check: bool = True) -> Ran:
    """Wait for an ffmpeg whose stdin is closed by now; raises ``ToolFailed`` as ``execute`` does."""
    try:
        stdout, stderr = process.communicate(timeout=limits.wall_s)
    except subprocess.TimeoutExpired:
        programs.kill(process)
        raise ToolFailed(f"ffmpeg did not end within {limits.wall_s:.0f} s", hint="run again") from None
    except BaseException:
        programs.kill(process)
        raise
    tail = stderr[-programs.STDERR_TAIL_BYTES :].decode(errors="replace").strip() if stderr else ""
    ran = Ran(process.returncode, stdout or b"", tail)
    if check:
        programs.raise_for("ffmpeg", ran)
    return ran


def probe(path: Path, *entries: str, limits: Limits = programs.UNLIMITED) -> dict[str, Any]:
    """What ffprobe says of a file: ``format``, ``streams`` and ``chapters``, or what ``entries`` ask for instead.

    Raises ``UnreadableMedia`` where no allowed format opens the file.
    """
    ran = programs.run(_ffprobe(path, entries or DESCRIBE), limits=limits, check=False)
    if ran.returncode != 0:
        raise UnreadableMedia(
            f"{path.name} is not a film or recording that can be read",
            hint="check the file, or convert it with ffmpeg first",
            stderr=ran.stderr,
        )
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


DESCRIBE = ("-show_format", "-show_streams", "-show_chapters")


def _ffprobe(path: Path, entries: Sequence[str]) -> list[str]:
    whitelists = [part for name, value in SAFE_INPUT.items() for part in (f"-{name}", str(value))]
    return ["ffprobe", "-v", "error", *whitelists, "-of", "json", *entries, f"file:{path}"]
