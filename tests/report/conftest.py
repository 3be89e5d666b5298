"""A small dubbed programme with real speech over music, and its report."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, sync_playwright

from speechmill.lines import RATE_HZ
from speechmill.profiles import profile
from speechmill.recipes import Artifact, Digest
from speechmill.repairs import Repair
from speechmill.reports import (
    Check,
    DubbedLine,
    DubbingReport,
    EngineUsed,
    Loudness,
    Outputs,
    Source,
    Stage,
    State,
    Target,
    Work,
)
from speechmill.takes import Reason, Verdict
from storage.artifacts import ArtifactStore
from storage.objects import FolderStore
from tasks.report.page import write_page
from tasks.report.sound import Sound, page_sound
from tests.keeping import keep_file
from tests.report.browsing import ARGUMENTS, CHROMIUM

TEXTS = (
    ("ANNA", "Good evening, and welcome to the water mill.", "Buenas tardes, y bienvenidos al molino de agua."),
    ("BEN", "It has stood by this river for three hundred years.", "Lleva trescientos años junto a este río."),
    ("ANNA", "And it still turns.", "Y todavía gira."),
    (
        "BEN",
        "Every morning somebody has to open the gate by hand.",
        "Cada mañana alguien tiene que abrir la compuerta.",
    ),
    ("ANNA", "What happens when the river is low?", "¿Qué pasa cuando el río baja con muy poca agua?"),
    (
        "BEN",
        "Then we wait. The stones do not like to run dry.",
        "Entonces esperamos. A las piedras no les gusta girar.",
    ),
)


class Index(dict[Digest, Artifact]):
    """An artifact index that forgets itself with the test."""

    def recall(self, recipe: Digest) -> Artifact | None:
        return self.get(recipe)

    def remember(self, recipe: Digest, operation: str, artifact: Artifact) -> None:  # noqa: ARG002
        self[recipe] = Artifact(artifact.sha256, artifact.size_bytes)

    def forget(self, recipe: Digest) -> None:
        self.pop(recipe, None)


@dataclass(frozen=True)
class Programme:
    """What a job would have made by the time its report is written."""

    store: ArtifactStore
    original: Digest
    dub: Digest
    duration_s: float
    report: DubbingReport

    def write(self, out: Path, *, dub_file: str = "") -> Path:
        sounds = {tag: Sound(self.dub, dub_file) for tag in self.report.targets}
        heard = page_sound(
            self.store, Sound(self.original), sounds, self.report.source.duration_s, preview_name="talk.en.preview.mp3"
        )
        write_page(self.report, heard, out)
        return out


def speak(command: list[str], folder: Path) -> np.ndarray:
    wav = folder / "said.wav"
    subprocess.run([*command, str(wav)], check=True, capture_output=True)
    sound, rate_hz = soundfile.read(wav, dtype="float32")
    at = np.arange(0, len(sound), rate_hz / RATE_HZ)
    return np.interp(at, np.arange(len(sound)), sound).astype(np.float32)


def make_programme(folder: Path, rounds: int = 1) -> Programme:
    """About 20 s a round: two voices over a chord, dubbed by two other voices."""
    original: list[np.ndarray] = []
    spoken: list[tuple[int, np.ndarray, int, np.ndarray]] = []
    at = RATE_HZ // 2
    for n in range(rounds * len(TEXTS)):
        who, english, spanish = TEXTS[n % len(TEXTS)]
        if n < len(TEXTS):
            voice = "slt" if who == "ANNA" else "rms"
            original.append(speak(["flite", "-voice", voice, "-t", english, "-o"], folder))
        en = original[n % len(TEXTS)]
        es = speak(["espeak-ng", "-v", "es+f3" if who == "ANNA" else "es", "-s", "170", spanish, "-w"], folder)
        spoken.append((at, en, at + (RATE_HZ // 25 if n % 5 == 1 else 0), es))
        at += max(len(en), len(es)) + RATE_HZ // 2
    length = at + RATE_HZ
    chord = sum(np.sin(2 * np.pi * hz * np.arange(length) / RATE_HZ) for hz in (110.0, 164.8, 220.0))
    swell = 0.5 + 0.5 * np.sin(2 * np.pi * np.arange(length) / RATE_HZ / 7)
    bed = (0.03 * chord * swell).astype(np.float32)
    source, dub = bed.copy(), bed.copy()
    for en_at, en, es_at, es in spoken:
        source[en_at : en_at + len(en)] += 0.7 * en
        dub[es_at : es_at + len(es)] += 0.7 * es
    store = ArtifactStore(FolderStore(folder / "objects"), Index(), folder / "scratch")
    digests: list[Digest] = []
    for name, sound in (("source", source), ("dub", dub)):
        soundfile.write(folder / f"{name}.wav", np.stack([sound, sound], axis=1), RATE_HZ, subtype="FLOAT")
        digests.append(keep_file(store, folder / f"{name}.wav").sha256)
    lines = [_line(n, *heard) for n, heard in enumerate(spoken)]
    return Programme(store, digests[0], digests[1], length / RATE_HZ, _report(lines, length / RATE_HZ))


def _line(n: int, en_at: int, en: np.ndarray, es_at: int, es: np.ndarray) -> DubbedLine:
    who, english, spanish = TEXTS[n % len(TEXTS)]
    verdict, reasons, stretch, takes = {
        3: (Verdict.REVIEW, (Reason.FAST,), 1.24, 2),
        5: (Verdict.REVIEW, (Reason.OVERFLOW, Reason.UNKNOWN_WORDS), 1.35, 3),
        10: (Verdict.FAILED, (Reason.ENGINE_REFUSED,), 1.0, 3),
    }.get(n % 24, (Verdict.PASSED, (), (1.0, 1.03, 1.08, 1.0, 1.16)[n % 5], 1))
    heard = verdict is not Verdict.FAILED
    return DubbedLine(
        id=f"{n + 1:04}", speaker=who, start_s=en_at / RATE_HZ, end_s=(en_at + len(en)) / RATE_HZ, source_text=english,
        text=spanish, placed_start_s=es_at / RATE_HZ if heard else None,
        placed_end_s=(es_at + len(es)) / RATE_HZ if heard else None, stretch=stretch, verdict=verdict, reasons=reasons,
        takes=takes, error_rate=0.02 if heard else None,
    )  # fmt: skip


def _report(lines: list[DubbedLine], duration_s: float) -> DubbingReport:
    youtube = profile("youtube")
    checks = (
        Check(id="loudness", passed=True, measured=-14.1, required="−14 ± 0.5 LUFS", about="Encoded loudness"),
        Check(id="true-peak", passed=True, measured=-1.6, required="≤ −1 dBTP", about="True peak of the encoded file"),
        Check(id="picture", passed=True, measured="1540 packets", required="1540 packets", about="Same picture"),
        Check(id="length", passed=False, measured=62.43, required="62.40 s ± 1 frame", about="Length of the dub"),
        Check(id="subtitle-speed", passed=False, measured="91.7%", required="100 % at ≤ 17 characters/s", advisory=True,
              about="Subtitles that can be read in their time"),
        Check(id="language-tags", passed=True, measured="spa, es", required="spa, es", about="Language tags"),
    )  # fmt: skip
    target = Target(
        outputs=Outputs(video="talk.es.mp4", audio="talk.es.m4a", master="talk.es.flac",
                        srt="talk.es.srt", vtt="talk.es.vtt"),
        loudness=Loudness(integrated_lufs=-14.1, true_peak_dbtp=-1.6, lra_lu=4.2),
        profile="youtube", required_loudness=youtube.loudness, checks=checks, lines=tuple(lines),
        repairs=(Repair(line_id="0002", what="It ran into the next line by 0.12 s; it ends there now."),),
    )  # fmt: skip
    names = (
        "probe",
        "extract",
        "transcribe",
        "translate",
        "speak",
        "place",
        "mix",
        "master",
        "pack",
        "check",
        "report",
    )
    return DubbingReport(
        job="8f3a61", state=State.COMPLETED_WITH_REVIEW,
        source=Source(name="talk.mp4", duration_s=duration_s, language="en", sha256="5b" * 32, width=1280, height=720,
                      frame_rate=25.0, channels=2, codec="h264"),
        engine=EngineUsed(name="offline", version="0.1.0", abilities={
            "transcribe": "sphinx 5.1", "translate": "apertium eng-spa", "speak": "espeak-ng 1.51"}),
        targets={"es": target},
        stages=tuple(Stage(name=n, seconds=6.1 / (1 + i), made=i, reused=i % 3) for i, n in enumerate(names)),
        work=Work(speak_calls=31, transcribe_calls=4, translate_calls=1),
        transcript={"srt": "talk.en.srt", "vtt": "talk.en.vtt"},
    )  # fmt: skip


@pytest.fixture(scope="session")
def programme(tmp_path_factory: pytest.TempPathFactory) -> Programme:
    return make_programme(tmp_path_factory.mktemp("programme"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()
