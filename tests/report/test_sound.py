"""Previews sound where the programme sounds, and waveforms show it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speechmill.lines import RATE_HZ
from tasks.report.sound import embeds, measure_peaks, page_sound, peaks_per_s, preview, waveform


def test_a_preview_is_in_step_with_the_programme(programme: Any, tmp_path: Path) -> None:
    made = programme.store.path(preview(programme.store, programme.original).sha256)
    subprocess.run(["ffmpeg", "-v", "error", "-i", made, "-ar", str(RATE_HZ), "-c:a", "pcm_f32le", tmp_path / "p.wav"],
                   check=True)  # fmt: skip
    heard, _ = soundfile.read(tmp_path / "p.wav")
    source, _ = soundfile.read(programme.store.path(programme.original))
    source = source.mean(axis=1)
    assert len(heard) == pytest.approx(len(source), abs=RATE_HZ // 10)
    span = slice(0, 8 * RATE_HZ)
    size = 2 * 8 * RATE_HZ
    both = np.fft.irfft(np.fft.rfft(heard[span], size) * np.conj(np.fft.rfft(source[span], size)))
    late = int(np.argmax(both))
    late = late - size if late > size // 2 else late
    assert abs(late) < RATE_HZ // 200, "5 ms"
    assert np.corrcoef(np.roll(heard[span], -late), source[span])[0, 1] > 0.97


@pytest.mark.parametrize(("channels", "rate_hz"), [(1, 48_000), (2, 44_100), (6, 48_000)])
@pytest.mark.parametrize("per_s", [100.0, 22.222])
def test_a_waveform_is_loud_where_the_sound_is(tmp_path: Path, channels: int, rate_hz: int, per_s: float) -> None:
    sound = np.zeros((rate_hz * 7, channels), np.float32)
    sound[2 * rate_hz : 3 * rate_hz, -1] = 0.25  # only one channel sounds
    sound[5 * rate_hz :] = -1.5  # over full scale
    soundfile.write(tmp_path / "s.wav", sound, rate_hz, subtype="FLOAT")
    peaks = np.frombuffer(measure_peaks(tmp_path / "s.wav", per_s), np.uint8)
    assert len(peaks) == pytest.approx(7 * per_s, abs=1)
    at = (np.arange(len(peaks)) + 0.5) / per_s
    edge = 1.5 / per_s
    assert set(peaks[(at > 2 + edge) & (at < 3 - edge)]) == {127}
    assert set(peaks[(at < 2 - edge) | ((at > 3 + edge) & (at < 5 - edge))]) == {0}
    assert set(peaks[at > 5 + edge]) == {255}


def test_previews_are_made_once_and_found_again(programme: Any) -> None:
    preview(programme.store, programme.original)
    waveform(programme.store, programme.original, programme.duration_s)
    assert not preview(programme.store, programme.original).made
    assert not waveform(programme.store, programme.original, programme.duration_s).made


def test_only_short_programmes_are_embedded(programme: Any) -> None:
    from tasks.report.sound import Sound

    assert embeds(1800, 1)
    assert not embeds(3600, 1)
    assert not embeds(1800, 2)
    heard = page_sound(programme.store, Sound(programme.original), {"es": Sound(programme.dub)}, programme.duration_s,
                       preview_name="p.mp3")  # fmt: skip
    assert heard.original.embedded
    assert heard.dubs["es"].embedded
    assert heard.beside == {}


def test_waveforms_of_long_programmes_stay_small() -> None:
    assert peaks_per_s(60) == 100
    assert peaks_per_s(6 * 3600) * 6 * 3600 <= 240_100
