"""Parts of a measurement join to what one whole pass of ffmpeg's meter shows."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.artifacts import ArtifactStore
from tasks.checks import measure_encoded
from tasks.sound import metering
from tasks.sound.metering import Part, cut
from tests.keeping import keep_file

Make = Callable[..., Path]

# Music that swells, falls silent and has one loud click: gates, range and peak all have something to do.
SWELLING = (
    "aevalsrc='(0.02+0.4*abs(sin(t/9)))*sin(2*PI*(180+40*sin(t))*t)*gt(mod(t,23),4)+0.9*eq(n,1000000)"
    "|0.3*sin(2*PI*700*t)*gt(mod(t,17),6)':s=48000:d={seconds}"
)


def swelling(make: Make, seconds: float, *more: str) -> Path:
    # Without noise substitution, whose noise is another in every decoding.
    return make("swelling.m4a", "-f", "lavfi", "-i", SWELLING.format(seconds=seconds), *more,
                "-c:a", "aac", "-b:a", "192k", "-aac_pns", "0")  # fmt: skip


def whole(path: Path) -> tuple[float, float, float]:
    """Integrated loudness, true peak and range, as ffmpeg sums them up itself."""
    told = subprocess.run(
        ["ffmpeg", "-hide_banner", "-nostats", "-i", path, "-af", "ebur128=peak=true", "-f", "null", "-"],
        capture_output=True, text=True, check=True,
    ).stderr.rsplit("Summary:", 1)[1]  # fmt: skip
    values = [re.search(rf"{name}:\s+(-?[\d.]+)", told) for name in ("I", "Peak", "LRA")]
    integrated, peak, spread = (float(value.group(1)) for value in values if value)
    return integrated, peak, spread


def test_parts_join_to_the_whole(make: Make, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    path = swelling(make, 44.37)
    audio = keep_file(store, path).sha256
    monkeypatch.setattr(metering, "SHORTEST_STEPS", 50)
    monkeypatch.setattr(metering, "PART_STEPS", 130)
    in_parts = measure_encoded(store, audio, threads=2)
    integrated, peak, spread = whole(path)
    assert in_parts.integrated_lufs == pytest.approx(integrated, abs=0.06)  # its summary has one decimal
    assert in_parts.true_peak_dbtp == pytest.approx(peak, abs=0.06)
    assert in_parts.lra_lu == pytest.approx(spread, abs=0.1)
    assert store.tally["meter", "made"] == 4
    monkeypatch.setattr(metering, "PART_STEPS", 10_000)
    in_one = measure_encoded(store, audio, threads=1)
    assert in_parts.integrated_lufs == pytest.approx(in_one.integrated_lufs, abs=0.01)
    assert in_parts.true_peak_dbtp == pytest.approx(in_one.true_peak_dbtp, abs=0.02)
    assert in_parts.lra_lu == pytest.approx(in_one.lra_lu or 0, abs=0.02)


def test_surround_counts_as_it_should(make: Make, store: ArtifactStore) -> None:
    path = swelling(make, 8, "-af", "pan=5.1|FL=c0|FR=c1|FC=c0|LFE=c1|BL=c0|BR=c1")
    measured = measure_encoded(store, keep_file(store, path).sha256, threads=1)
    assert measured.integrated_lufs == pytest.approx(whole(path)[0], abs=0.06)


def test_only_the_part_that_changed_is_measured_again(
    make: Make, store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "SHORTEST_STEPS", 50)
    monkeypatch.setattr(metering, "PART_STEPS", 100)
    path = swelling(make, 40)
    first = keep_file(store, path).sha256
    measure_encoded(store, first, threads=2)
    data = bytearray(path.read_bytes())
    first_frame = data.index(b"mdat") + 4
    index = data.index(b"moov")
    data[first_frame + (index - first_frame) * 22 // 40] ^= 0x10  # in the third part, and the preroll of none
    (tmp_path / "edited.m4a").write_bytes(data)
    before = store.tally["meter", "made"]
    measure_encoded(store, keep_file(store, tmp_path / "edited.m4a").sha256, threads=2)
    assert before == 4
    assert store.tally["meter", "made"] == before + 1


def test_silence_and_sounds_too_short_to_have_a_loudness(make: Make, store: ArtifactStore) -> None:
    silence = make("silence.m4a", "-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo:d=5", "-c:a", "aac")
    measured = measure_encoded(store, keep_file(store, silence).sha256, threads=1)
    assert (measured.integrated_lufs, measured.true_peak_dbtp, measured.lra_lu) == (-70.0, -120.0, None)
    blip = make("blip.m4a", "-f", "lavfi", "-i", "sine=d=0.25", "-c:a", "aac")
    assert measure_encoded(store, keep_file(store, blip).sha256, threads=1).integrated_lufs == -70.0


def test_loudness_over_speech_alone(make: Make, store: ArtifactStore) -> None:
    """Ten seconds at one level, ten at another 20 dB below: each span measures its own."""
    path = make("two.m4a", "-f", "lavfi", "-i", "aevalsrc='sin(2*PI*997*t)*if(lt(t,10),0.5,0.05)':s=48000:d=20",
                "-c:a", "aac", "-b:a", "192k")  # fmt: skip
    audio = keep_file(store, path).sha256
    loud = measure_encoded(store, audio, threads=1, spans=[(48_000, 9 * 48_000)]).integrated_lufs
    soft = measure_encoded(store, audio, threads=1, spans=[(11 * 48_000, 19 * 48_000)]).integrated_lufs
    assert loud == pytest.approx(-6.02 - 3.01, abs=0.1)
    assert soft == pytest.approx(loud - 20, abs=0.1)


@pytest.mark.parametrize(
    ("steps", "parts"),
    [
        (0, [Part(0, None)]),
        (3000, [Part(0, None)]),
        (3600, [Part(0, None)]),
        (3601, [Part(0, 3000), Part(3000, None)]),
        (36_000, [*(Part(i * 3000, (i + 1) * 3000) for i in range(11)), Part(33_000, None)]),
    ],
)
def test_parts(steps: int, parts: list[Part]) -> None:
    assert cut(steps) == parts
