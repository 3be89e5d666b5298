"""`make demo`: the sample film is made on the spot and dubbed into Spanish; then says where everything is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "demo"


def main() -> int:
    """Make the film once, dub it (again), and name the results."""
    film = FOLDER / "talk.mp4"
    if not film.exists():
        say("making the sample film: two people talk over music for a minute")
        subprocess.run([sys.executable, str(ROOT / "infra" / "sample_film.py"), str(FOLDER)], check=True)
    out = FOLDER / "out"
    run = subprocess.run(
        [sys.executable, "-m", "flows.cli", "dub", str(film), "--to", "es", "--out", str(out), "--json"],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    if run.returncode != 0:
        return run.returncode
    report = json.loads(Path(json.loads(run.stdout)["report"]).read_text("utf-8"))
    target = report["targets"]["es"]
    lines, reviewed = target["lines"], [line for line in target["lines"] if line["verdict"] != "passed"]
    loudness = target["loudness"]
    say(
        f"{len(lines)} lines dubbed, {len(reviewed)} for a person to look at; "
        f"{loudness['integrated_lufs']:.1f} LUFS, {loudness['true_peak_dbtp']:.1f} dBTP"
    )
    say("")
    for what, name in (
        ("the dubbed film", target["outputs"]["video"]),
        ("the dub alone", target["outputs"]["audio"]),
        ("the report page", "report.html"),
    ):
        say(f"  {what:<16} {(out / name).relative_to(ROOT)}")
    say("")
    say(f"Play it:    ffplay {(out / target['outputs']['video']).relative_to(ROOT)}")
    say(f"Look at it: xdg-open {(out / 'report.html').relative_to(ROOT)}")
    say("Your own:   .venv/bin/speechmill dub FILM --to es")
    return 0


def say(text: str) -> None:
    sys.stdout.write(f"demo: {text}\n" if text else "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
