"""A short film of two speakers, a short article, and the command line as a user has it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.flows.articles import article as article
from tests.flows.serving import serving as serving
from tests.flows.studio import studio as studio  # one each for all modules
from tests.forge import Forge

SCRIPT = """1
00:00:00,800 --> 00:00:03,300
<v Ana>Good morning. The train leaves at nine.

2
00:00:04,000 --> 00:00:06,500
<v Ben>Thank you. I will take two tickets.

3
00:00:07,200 --> 00:00:09,000
<v Ana>Do not forget the map.
"""
SPANISH = """1
00:00:00,800 --> 00:00:03,300
Buenos días. El tren sale a las nueve.

2
00:00:04,000 --> 00:00:06,500
Gracias. Me llevo dos billetes.

3
00:00:07,200 --> 00:00:09,000
No olvides el mapa.
"""


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(Path(self.result["report"]).read_text("utf-8"))
        return found


class Speechmill:
    """The command line, with a home of its own."""

    def __init__(self, home: Path, forge: Forge) -> None:
        self.home, self._forge = home, forge
        self.env = {**os.environ, "SPEECHMILL_HOME": str(home), "SPEECHMILL_WORKERS": "2"}
        self.argv = [sys.executable, "-W", "error::ResourceWarning", "-m", "flows.cli"]

    def __call__(self, *arguments: str | Path, cwd: Path | None = None, **env: str) -> Ran:
        done = self._forge.run(arguments, {**self.env, **env}, cwd or self.home.parent)
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.argv, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.env,
            cwd=self.home.parent,
            # A suite that runs in the background of a shell has Ctrl-C ignored; a user's command has not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def make_film(folder: Path, name: str = "talk.mp4") -> Path:
    """Ten seconds: a picture, two voices, quiet music."""
    for voice, text, file in (
        ("slt", "Good morning. The train leaves at nine.", "1.wav"),
        ("rms", "Thank you. I will take two tickets.", "2.wav"),
        ("slt", "Do not forget the map.", "3.wav"),
    ):
        subprocess.run(["flite", "-voice", voice, "-t", text, str(folder / file)], check=True)
    film = folder / name
    subprocess.run(
        [
            "ffmpeg", "-v", "error", "-nostdin", "-y",
            *(part for n in (1, 2, 3) for part in ("-i", str(folder / f"{n}.wav"))),
            "-f", "lavfi", "-i", "aevalsrc=0.02*sin(2*PI*220*t)|0.02*sin(2*PI*277*t):s=48000:d=10",
            "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=10",
            "-filter_complex",
            "[0]aresample=48000,adelay=800[a];[1]aresample=48000,adelay=4000[b];[2]aresample=48000,adelay=7200[c];"
            "[a][b][c]amix=3:normalize=0,apad=whole_dur=10,pan=stereo|c0=c0|c1=c0[voices];"
            "[voices][3]amix=2:normalize=0[sound]",
            "-map", "4:v", "-map", "[sound]", "-t", "10",
            "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "160k",
            f"file:{film}",
        ],
        check=True,
    )  # fmt: skip
    return film


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film, its script and its translation."""
    made = tmp_path_factory.mktemp("film")
    make_film(made)
    (made / "talk.en.srt").write_text(SCRIPT, "utf-8")
    (made / "talk.es.srt").write_text(SPANISH, "utf-8")
    return made


@pytest.fixture
def speechmill(tmp_path: Path, forge: Forge) -> Speechmill:
    return Speechmill(tmp_path / "home", forge)


LONG_LINES = 600  # an idle machine speaks fewer before anybody can say stop
LONG_S = 120


@pytest.fixture(scope="session")
def long_recording(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A recording of five lines a second, for two minutes: the source and its script."""
    made = tmp_path_factory.mktemp("long")
    source, script = made / "long.flac", made / "long.srt"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", f"sine=220:r=16000:d={LONG_S}", f"file:{source}"],
        check=True,
    )
    step_ms = LONG_S * 1000 // LONG_LINES

    def at(ms: int) -> str:
        return f"00:{ms // 60_000:02}:{ms // 1000 % 60:02},{ms % 1000:03}"

    cues = (f"{n + 1}\n{at(n * step_ms)} --> {at(n * step_ms + 180)}\nLine {n}.\n" for n in range(LONG_LINES))
    script.write_text("\n".join(cues), "utf-8")
    return {"source": str(source), "script": str(script)}
