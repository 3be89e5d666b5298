"""A small episode with real speech, and its report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from speechmill.episodes import Format, LeftOut, Unsupported, Writing
from speechmill.lines import RATE_HZ
from speechmill.profiles import profile
from speechmill.recipes import Digest
from speechmill.repairs import Repair
from speechmill.reports import (
    ChapterMark,
    Check,
    EngineUsed,
    Episode,
    EpisodeLine,
    EpisodeReport,
    EpisodeSource,
    Loudness,
    Stage,
    Work,
    state_of_episode,
)
from speechmill.takes import Reason, Verdict
from storage.artifacts import ArtifactStore
from storage.objects import FolderStore
from tests.keeping import keep_file
from tests.report.conftest import Index, speak

SCRIPT = (
    # speaker, text, gap before in ms
    ("HOST", "Welcome to the mill by the river.", 500),
    ("GUEST", "Thank you. It is good to be here.", 300),
    ("HOST", "How old are the stones?", 400),
    ("GUEST", "Nobody knows. 300 years, I think.", -250),
    ("HOST", "And who opens the gate?", 900),
    ("GUEST", "My sister does, every morning.", 350),
)
NAMES = {"HOST": "Anna", "GUEST": "Ben"}
VERDICTS = {
    3: (Verdict.REVIEW, (Reason.UNSUPPORTED,), 2),
    4: (Verdict.REVIEW, (Reason.TOO_QUIET,), 3),
    5: (Verdict.FAILED, (Reason.ENGINE_REFUSED,), 3),
}


@dataclass(frozen=True)
class MadeEpisode:
    store: ArtifactStore
    sound: Digest
    report: EpisodeReport


def make_episode(folder: Path) -> MadeEpisode:
    """About 13 s: two speakers, one overlap, a line that could not be spoken, two chapters."""
    sound = np.zeros(40 * RATE_HZ, np.float32)
    lines: list[EpisodeLine] = []
    end = 0
    for n, (who, text, gap_ms) in enumerate(SCRIPT):
        verdict, reasons, takes = VERDICTS.get(n, (Verdict.PASSED, (), 1))
        start: int | None = None
        if verdict is not Verdict.FAILED:
            said = speak(["flite", "-voice", "slt" if who == "HOST" else "rms", "-t", text, "-o"], folder)
            start = end + gap_ms * RATE_HZ // 1000
            end = start + len(said)
            sound[start:end] += 0.6 * said
        lines.append(
            EpisodeLine(
                id=f"{n + 1:04}", speaker=who, text=text, verdict=verdict, reasons=reasons, takes=takes,
                placed_start_s=None if start is None else start / RATE_HZ,
                placed_end_s=None if start is None else end / RATE_HZ,
                spoken=text.replace("300", "three hundred"), voice="slt" if who == "HOST" else "rms",
                engine="flite 2.2", error_rate=None if start is None else 0.04,
            )
        )  # fmt: skip
    sound = sound[: end + RATE_HZ]
    store = ArtifactStore(FolderStore(folder / "objects"), Index(), folder / "scratch")
    soundfile.write(folder / "episode.wav", sound, RATE_HZ, subtype="FLOAT")
    digest = keep_file(store, folder / "episode.wav").sha256
    return MadeEpisode(store, digest, _report(lines, len(sound) / RATE_HZ))


def _report(lines: list[EpisodeLine], duration_s: float) -> EpisodeReport:
    speaking = dict.fromkeys(NAMES, 0.0)
    for line in lines:
        speaking[line.speaker] += (line.placed_end_s or 0.0) - (line.placed_start_s or 0.0)
    episode = Episode(
        outputs={"audio": "episode.mp3", "master": "episode.flac", "transcript": "transcript.vtt", "feed": "feed.xml"},
        duration_s=duration_s, channels=1, profile="podcast", required_loudness=profile("podcast").loudness,
        loudness=Loudness(integrated_lufs=-19.2, true_peak_dbtp=-1.7, lra_lu=3.4),
        checks=(
            Check(id="loudness", passed=True, measured=-19.2, required="−19 ± 0.5 LUFS", about="Encoded loudness"),
            Check(id="chapter-marks", passed=True, measured="4 ms", required="≤ 20 ms", about="Chapter marks"),
            Check(id="feed", passed=False, measured="1 finding", required="none", about="Lint of the feed"),
        ),
        chapters=(ChapterMark(start_s=0.0, title="The river"),
                  ChapterMark(start_s=lines[4].placed_start_s or 0.0, title="Who opens the gate")),
        lines=tuple(lines), names=NAMES, speaking=speaking, words_per_minute=162.4,
    )  # fmt: skip
    writing = Writing(
        format=Format.DIALOGUE, writer="rules", minutes_asked=3, minutes=0.3, words=37,
        repairs=(Repair(line_id="0002", what="It named a speaker “Benn”; Ben says it."),),
        left_out=(
            LeftOut(what="table", why="A table cannot be read aloud.", text="Year | Stones | Flour", place="line 12"),
            LeftOut(what="code", why="Code is not for the ear.", text="gate.open()", place="line 31"),
        ),
        unsupported=(Unsupported(line_id="0004", why="The document does not say how old the stones are."),),
        notes=("The text gives about 0.3 minutes, not 3.",),
    )  # fmt: skip
    return EpisodeReport(
        job="9c1b20", state=state_of_episode(episode, writing),
        source=EpisodeSource(name="mill.md", sha256="7a" * 32, title="The mill by the river", language="en",
                             author="Anna Miller"),
        engine=EngineUsed(name="offline", version="0.1.0", abilities={"speak": "flite 2.2"}),
        episode=episode, writing=writing,
        stages=tuple(Stage(name=name, seconds=2.4 / (1 + n), made=n) for n, name in enumerate(
            ("read", "write script", "speak", "place", "mix", "master", "package", "check"))),
        work=Work(speak_calls=9),
    )  # fmt: skip
