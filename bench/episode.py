"""The benchmark table of the podcast line. Every figure is a ratio within one run, or a limit that always holds.

    python bench/episode.py [--minutes 90]

The floor is what ffmpeg alone needs for the same sound, one step after the other: one loudness pass with true peak,
one MP3 encode, one FLAC encode. Each row prints its measured value beside the most it may be; exit 1 if any is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import COMMAND, Row, report, say, stages, table, timed

MOST_OF_FLOOR = 2.0
MOST_RESIDENT_MB = 500
MOST_OF_RUN = 0.5
LINES_A_MINUTE = 1_500 / 90
CHAPTER_LINES = 100
SENTENCES = (
    "The train to town is late",
    "Nobody told the boys then",
    "There is tea left for you",
    "We walked till it was dark",
)


def make_script(minutes: int, folder: Path) -> Path:
    """Two speakers, 1,500 lines in 90 minutes, a chapter every hundred."""
    lines = []
    for index in range(round(minutes * LINES_A_MINUTE)):
        # A number keeps every line different; 32 characters and a pause take the 3.6 s that a line has.
        text = f"{SENTENCES[index % len(SENTENCES)]}, {index + 1}."
        line = {"id": f"{index + 1:04}", "speaker": "HG"[index % 2], "text": text}
        if index % CHAPTER_LINES == 0:
            line["chapter"] = f"Part {index // CHAPTER_LINES + 1}"
        lines.append(line)
    file = folder / "script.json"
    speakers = {"H": {"name": "Host"}, "G": {"name": "Guest"}}
    script = {"title": "A long talk", "language": "en", "speakers": speakers, "lines": lines}
    file.write_text(json.dumps(script), "utf-8")
    return file


def floor(sound: Path, folder: Path) -> float:
    """Seconds that ffmpeg alone takes for a sound that lies there unencoded."""
    pcm = folder / "floor.wav"
    quiet = ["ffmpeg", "-v", "error", "-nostdin", "-nostats", "-y"]
    subprocess.run([*quiet, "-i", str(sound), "-c:a", "pcm_s24le", str(pcm)], check=True)
    began = time.monotonic()
    for argv in (
        [*quiet, "-i", str(pcm), "-af", "ebur128=peak=true", "-f", "null", "-"],
        [*quiet, "-i", str(pcm), "-c:a", "libmp3lame", "-b:a", "96k", str(folder / "floor.mp3")],
        [*quiet, "-i", str(pcm), "-c:a", "flac", str(folder / "floor.flac")],
    ):
        subprocess.run(argv, check=True, stderr=subprocess.DEVNULL)
    seconds = time.monotonic() - began
    pcm.unlink()
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=90)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="speechmill-bench-") as name:
        folder = Path(name)
        env = {**os.environ, "SPEECHMILL_HOME": str(folder / "home")}
        script = make_script(minutes, folder)
        argv = ["podcast", str(script), "--engine", "rehearsal", "--out", str(folder / "out"), "--json", "--no-prefect"]
        full = timed([*COMMAND, *argv], env)
        length_s = report(full)["episode"]["duration_s"]
        say(f"{length_s / 60:.1f} min: {full.seconds:.1f} s, {full.peak_mb:.0f} MB; {stages(full)}")
        floor_s = floor(folder / "out" / "episode.flac", folder)
        say(f"floor: {floor_s:.1f} s")

        line = report(full)["episode"]["lines"][-10]["id"]
        edit = [*COMMAND, "edit", full.result["job"], line, "--text", "This is something else."]
        subprocess.run(edit, check=True, env=env, stderr=subprocess.DEVNULL)
        again = timed([*COMMAND, "retake", full.result["job"], "--json", "--no-prefect"], env)
        say(f"retake: {again.seconds:.1f} s; {stages(again)}")
        lines = len(report(full)["episode"]["lines"])
        rows = [
            Row(
                f"{length_s / 60:.0f} min episode, {lines} lines / floor ({floor_s:.0f} s)",
                full.seconds / floor_s,
                MOST_OF_FLOOR,
            ),
            Row("largest process of the episode", full.peak_mb, MOST_RESIDENT_MB, " MB"),
            Row("one edited line of the episode: retake / full run", again.seconds / full.seconds, MOST_OF_RUN),
            Row("one edited line of the episode: speak calls", report(again)["work"]["speak_calls"], 1),
        ]
    return table(rows)


if __name__ == "__main__":
    sys.exit(main())
