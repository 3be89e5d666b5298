"""The benchmark table of the dubbing line. Every figure is a ratio within one run, or a limit that always holds.

    python bench/dubbing.py [--minutes 60] [--no-long]

The floor is what ffmpeg alone needs, one step after the other: decode to PCM, one loudness pass with true peak, one
AAC encode, mux. Each row prints its measured value beside the most (or least) it may be; exit 1 if any is missed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import COMMAND, Row, Run, report, say, stages, table, timed
from programme import make_film, make_sample, make_scripts

MOST_OF_FLOOR = 1.6
MOST_OF_HOUR = 3.3  # three times as long, and no more than a tenth on top
MOST_OF_RUN = 0.5
MOST_RESIDENT_MB = 700
MOST_FIRST_WORD_S = 1.0


def floor(film: Path, folder: Path) -> float:
    """Seconds that ffmpeg alone takes."""
    pcm, aac, muxed = folder / "floor.wav", folder / "floor.m4a", folder / "floor.mp4"
    quiet = ["ffmpeg", "-v", "error", "-nostdin", "-nostats", "-y"]
    began = time.monotonic()
    for argv in (
        [*quiet, "-i", str(film), "-vn", "-c:a", "pcm_s16le", str(pcm)],
        [*quiet, "-i", str(pcm), "-af", "ebur128=peak=true", "-f", "null", "-"],
        [*quiet, "-i", str(pcm), "-c:a", "aac", "-b:a", "192k", str(aac)],
        [*quiet, "-i", str(film), "-i", str(aac), "-map", "0:v", "-map", "1:a", "-c", "copy", str(muxed)],
    ):
        subprocess.run(argv, check=True, stderr=subprocess.DEVNULL)
    seconds = time.monotonic() - began
    pcm.unlink()
    return seconds


def dub(film: Path, minutes: int, folder: Path, env: dict[str, str]) -> Run:
    script, translation = make_scripts(minutes, folder)
    return timed(
        [
            *COMMAND,
            "dub",
            str(film),
            "--to",
            "es",
            "--engine",
            "rehearsal",
            "--script",
            str(script),
            "--translation",
            f"es={translation}",
            "--out",
            str(folder / f"out{minutes}"),
            "--json",
            "--no-prefect",
        ],
        env,
    )


def first_word_s(argv: list[str], env: dict[str, str]) -> float:
    """Seconds until a command says anything."""
    began = time.monotonic()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        seconds = time.monotonic() - began
        process.kill()
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--no-long", action="store_true", help="leave out the programme three times as long")
    chosen = parser.parse_args()
    minutes = chosen.minutes
    rows = []
    with tempfile.TemporaryDirectory(prefix="speechmill-bench-") as name:
        folder = Path(name)
        env = {**os.environ, "SPEECHMILL_HOME": str(folder / "home")}
        sample = make_sample(folder)
        film = make_film(sample, minutes, folder / f"programme{minutes}.mp4")
        rows.append(Row("`speechmill --help`", timed([*COMMAND, "--help"], env).seconds, MOST_FIRST_WORD_S, " s"))
        rows.append(
            Row(
                "first word of `speechmill dub`",
                first_word_s([*COMMAND, "dub", str(sample), "--to", "es", "--engine", "rehearsal"], env),
                MOST_FIRST_WORD_S,
                " s",
            )
        )

        floor_s = floor(film, folder)
        say(f"floor: {floor_s:.1f} s")
        full = dub(film, minutes, folder, env)
        say(f"{minutes} min: {full.seconds:.1f} s, {full.peak_mb:.0f} MB; {stages(full)}")
        lines = int(minutes * 15)
        what = f"{minutes} min, {lines} lines / floor ({floor_s:.0f} s)"
        rows.append(Row(what, full.seconds / floor_s, MOST_OF_FLOOR))
        rows.append(Row(f"largest process, {minutes} min", full.peak_mb, MOST_RESIDENT_MB, " MB"))

        subprocess.run(
            [*COMMAND, "edit", full.result["job"], f"{lines // 2:04}", "--lang", "es", "--text", "Esto es otra cosa."],
            check=True,
            env=env,
            stderr=subprocess.DEVNULL,
        )
        again = timed([*COMMAND, "retake", full.result["job"], "--json", "--no-prefect"], env)
        say(f"retake: {again.seconds:.1f} s; {stages(again)}")
        rows.append(Row("one edited line: retake / full run", again.seconds / full.seconds, MOST_OF_RUN))
        rows.append(Row("one edited line: speak calls", report(again)["work"]["speak_calls"], 1))

        if not chosen.no_long:
            long_film = make_film(sample, minutes * 3, folder / f"programme{minutes * 3}.mp4")
            long = dub(long_film, minutes * 3, folder, env)
            say(f"{minutes * 3} min: {long.seconds:.1f} s, {long.peak_mb:.0f} MB; {stages(long)}")
            rows.append(Row(f"{minutes * 3} min / {minutes} min", long.seconds / full.seconds, MOST_OF_HOUR))
            rows.append(Row(f"largest process, {minutes * 3} min", long.peak_mb, MOST_RESIDENT_MB, " MB"))
    return table(rows)


if __name__ == "__main__":
    sys.exit(main())
