"""Makes the programmes that the benchmark runs on: the sample film repeated, with a script and a translation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LINE_EVERY_S = 4.0  # 900 lines an hour
LINE_S = 3.2

ENGLISH = (
    "We walked along the river until the light was gone.",
    "Nobody had told the children about the letter.",
    "There is coffee in the kitchen if you want some.",
    "The train to the coast leaves at half past nine.",
)
SPANISH = (
    "Caminamos por el río hasta que se fue la luz.",
    "Nadie les había hablado a los niños de la carta.",
    "Hay café en la cocina, si quieres un poco.",
    "El tren a la costa sale a las nueve y media.",
)


def make_film(sample: Path, minutes: int, out: Path) -> Path:
    """The sample film, again and again until it is ``minutes`` long; packets are copied, so this is quick."""
    subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-nostdin",
            "-stream_loop",
            "-1",
            "-i",
            str(sample),
            "-t",
            str(minutes * 60),
            "-map",
            "0:v:0",
            "-map",
            "0:a:0",
            "-c",
            "copy",
            "-y",
            str(out),
        ],
        check=True,
    )
    return out


def make_scripts(minutes: int, folder: Path) -> tuple[Path, Path]:
    """An English transcript and its Spanish translation, a line every four seconds."""
    files = []
    for language, sentences in (("en", ENGLISH), ("es", SPANISH)):
        cues = []
        for index in range(int(minutes * 60 / LINE_EVERY_S)):
            start = index * LINE_EVERY_S + 0.3
            # A number keeps every line different, so that none is found made by another's recipe.
            text = f"{'AB'[index % 2]}: {sentences[index % len(sentences)]} {index + 1}."
            cues.append(f"{index + 1}\n{_stamp(start)} --> {_stamp(start + LINE_S)}\n{text}\n")
        file = folder / f"programme{minutes}.{language}.srt"
        file.write_text("\n".join(cues), "utf-8")
        files.append(file)
    return files[0], files[1]


def _stamp(seconds: float) -> str:
    whole, ms = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02},{ms:03}"


def make_sample(folder: Path) -> Path:
    """The sample film of ``make demo``."""
    root = Path(__file__).parent.parent
    subprocess.run([sys.executable, str(root / "infra" / "sample_film.py"), str(folder)], check=True)
    return folder / "talk.mp4"
