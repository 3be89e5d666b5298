"""What is delivered meets its profile once it is encoded, and one peak is no matter of the whole programme."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechmill.lines import RATE_HZ
from speechmill.profiles import Profile, profile
from speechmill.settings import Settings
from speechmill.timeline import Clip, Timeline
from storage.catalog import Catalog
from tasks.sound import layouts, mastering
from tasks.sound.encoding import Aac
from tasks.sound.finishing import finish
from tasks.sound.limiting import NODE_SAMPLES, REACH_NODES
from tasks.sound.loudness import decibels
from tasks.sound.mixing import Background, Mix
from tasks.sound.overshoot import Overshoots
from tasks.workplace import Workplace, workplace
from tests.keeping import keep_file

LENGTH_SAMPLES = 18 * RATE_HZ


class Silent:
    def say(self, text: str) -> None: ...

    def stage(self, name: str, done: int, total: int | None) -> None: ...

    def stage_ended(self, name: str, seconds: float, made: int, reused: int) -> None: ...


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    catalog = Catalog.open(f"sqlite:///{tmp_path}/catalog.db")
    job = catalog.add_job("dub", {}, "", str(tmp_path / "out"))
    yield workplace(Settings(home=tmp_path, workers=2), catalog, job.id, Silent())
    catalog.close()


def kept(place: Workplace, sound: np.ndarray, folder: Path) -> str:
    path = folder / "sound.wav"
    soundfile.write(path, sound, RATE_HZ, subtype="FLOAT")
    return keep_file(place.store, path).sha256


def with_target(lufs: float) -> Profile:
    base = profile("youtube")
    loudness = base.loudness.model_copy(update={"integrated_lufs": lufs, "mono_integrated_lufs": None})
    return base.model_copy(update={"loudness": loudness})


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Six seconds of eSpeak NG, whose peaks are high above its loudness; 48 kHz mono."""
    folder = tmp_path_factory.mktemp("voice")
    text = "El molino está junto al río. Cada mañana el molinero abre la compuerta y la gran rueda empieza a girar."
    subprocess.run(["espeak-ng", "-v", "es", "-w", folder / "voice.wav", text], check=True)
    argv = ["ffmpeg", "-v", "error", "-i", folder / "voice.wav", "-ar", str(RATE_HZ), "-f", "f32le", "pipe:1"]
    return np.frombuffer(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout, "<f4").copy()


def lines(take: str, voice: np.ndarray) -> list[Clip]:
    return [Clip(f"L{i}", take, i * 9 * RATE_HZ, len(voice), 0, len(voice)) for i in range(2)]


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_speech_alone_is_as_loud_as_asked(place, voice, judge, tmp_path, layout):
    """In one channel its peaks are three decibels higher than in two, and the limiter has little to give."""
    take = kept(place, voice, tmp_path)
    chosen = layouts.of_name(layout)
    mix = Mix(Timeline.of(LENGTH_SAMPLES, lines(take, voice)), chosen, Background.DROP)
    asked = with_target(-14.0)
    made, loudness = finish(place, mix, asked, "es", [Aac(chosen, asked.encoding, "es")], stem=False)
    lufs, peak_db, _ = judge(place.store.path(made.encoded["m4a"].sha256))
    assert lufs == pytest.approx(-14.0, abs=0.5)
    assert peak_db <= -1.0
    assert loudness.integrated_lufs == pytest.approx(lufs, abs=0.06)


def test_speech_over_a_bed_is_as_loud_as_asked_and_its_peaks_are_legal(place, voice, make_music, judge, tmp_path):
    take, bed = kept(place, voice, tmp_path), make_music(LENGTH_SAMPLES / RATE_HZ, 1)
    timeline = Timeline.of(LENGTH_SAMPLES, lines(take, voice))
    mix = Mix(timeline, layouts.MONO, Background.BED, kept(place, bed, tmp_path))
    asked = with_target(-14.0)
    made, _ = finish(place, mix, asked, "es", [Aac(layouts.MONO, asked.encoding, "es")], stem=False)
    lufs, peak_db, _ = judge(place.store.path(made.encoded["m4a"].sha256))
    assert peak_db <= -1.0
    assert lufs == pytest.approx(-14.0, abs=0.1)


def test_a_peak_that_coding_raises_makes_nothing_else_softer(place, voice, tmp_path):
    take = kept(place, voice, tmp_path)
    mix = Mix(Timeline.of(LENGTH_SAMPLES, lines(take, voice)), layouts.MONO, Background.DROP)
    asked = with_target(-16.0)

    def mastered(found: Overshoots):
        return mastering.master(mix, asked, place.store, coders=[], threads=2, stem=False, overshoots=found)

    before = mastered(Overshoots.none())
    loudest = int(before.level.peaks.argmax())
    after = mastered(Overshoots(np.array([loudest]), np.array([2.5], np.float32)))
    assert after.gain_db == before.gain_db
    assert decibels(after.level.peaks[loudest]) == pytest.approx(-1.0 - 2.5, abs=0.05)
    near = slice((loudest - REACH_NODES) * NODE_SAMPLES, (loudest + REACH_NODES + 2) * NODE_SAMPLES)
    was, now = (soundfile.read(place.store.path(made.flac.sha256), dtype="float32")[0] for made in (before, after))
    assert not np.array_equal(was[near], now[near])
    was[near] = now[near] = 0
    assert np.array_equal(was, now)
