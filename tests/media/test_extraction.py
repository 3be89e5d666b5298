"""The sound of a source lands at its time, to the sample that the container allows, whatever the container does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from speechmill.errors import TruncatedMedia, UnreadableMedia
from speechmill.lines import RATE_HZ
from speechmill.recipes import digest_of_bytes
from speechmill.settings import Settings
from storage.artifacts import ArtifactStore
from tasks.media import extraction, ffmpeg, pictures
from tasks.media.extraction import Sound, extract
from tasks.media.probing import Media, probe
from tasks.sound import layouts

Make = Callable[..., Path]
Inputs = Callable[..., list[str]]
H264 = ("-c:v", "libx264", "-preset", "ultrafast")
WITHIN_MS = 1.0


def extracted(
    path: Path, settings: Settings, store: ArtifactStore, track: int = 0
) -> tuple[Media, Sound, NDArray[np.float32]]:
    media = probe(path, settings, track)
    sound = extract(media, track, store)
    samples, rate_hz = soundfile.read(store.path(sound.digest), dtype="float32", always_2d=True)
    assert rate_hz == RATE_HZ
    assert samples.shape == (media.length_samples, sound.channels)
    assert sound.length_samples == media.length_samples
    return media, sound, samples


def onsets_ms(samples: NDArray[np.float32]) -> list[float]:
    """When each beep begins: the first sample above a tenth of its height after 100 ms below it."""
    loud = np.flatnonzero(np.abs(samples).max(axis=1) > 0.05)
    firsts = loud[np.flatnonzero(np.diff(loud, prepend=-RATE_HZ) > RATE_HZ // 10)]
    return [float(first) * 1000 / RATE_HZ for first in firsts]


def begins_each_second_from(start_ms: float, count: int, samples: NDArray[np.float32]) -> None:
    found = onsets_ms(samples)
    wanted = [start_ms + 1000 * i for i in range(count)]
    assert found == pytest.approx(wanted, abs=WITHIN_MS)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.avi", "a.ts"])
def test_beeps_are_where_the_picture_has_them(
    make: Make, frames: Inputs, beeps: Inputs, settings: Settings, store: ArtifactStore, name: str
) -> None:
    codec = {"a.mov": "pcm_s24le", "a.avi": "pcm_s16le"}.get(name, "aac")
    path = make(name, *frames(4), *beeps(4), *H264, "-bf", "0", "-c:a", codec)
    media, _, samples = extracted(path, settings, store)
    assert media.duration_s == pytest.approx(4.0, abs=0.001)
    # A frame of AAC has its priming where the container says; a beep that it smears may begin a little early.
    begins_each_second_from(0.0, 4, samples)


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv", "late.mov", "late.ts"])
@pytest.mark.parametrize("late_s", [0.0333, 1.5])
def test_audio_that_starts_late_lands_at_its_time(
    make: Make, frames: Inputs, beeps: Inputs, settings: Settings, store: ArtifactStore, name: str, late_s: float
) -> None:
    path = make(name, *frames(4), "-itsoffset", str(late_s), *beeps(2), *H264, "-bf", "0", "-c:a", "ac3")
    _, _, samples = extracted(path, settings, store)
    begins_each_second_from(late_s * 1000, 2, samples)
    assert not samples[: round((late_s - 0.02) * RATE_HZ)].any()


def test_audio_that_starts_minutes_late(make: Make, beeps: Inputs, settings: Settings, store: ArtifactStore) -> None:
    path = make("late.mkv", "-f", "lavfi", "-i", "color=s=16x16:r=1:d=310", "-itsoffset", "300.25", *beeps(3),
                *H264, "-c:a", "flac", "-sample_fmt", "s16")  # fmt: skip
    _, _, samples = extracted(path, settings, store)
    begins_each_second_from(300_250.0, 3, samples)


def test_audio_that_starts_before_the_picture(make: Make, film: Path, settings: Settings, store: ArtifactStore) -> None:
    """Priming of a codec goes; half a second of sound stays, and the programme begins with it."""
    remuxed = make("priming.mkv", "-i", film, "-c", "copy")
    media, _, samples = extracted(remuxed, settings, store)
    assert media.lead_s == pytest.approx(0.021, abs=0.003)
    assert media.picture is not None
    assert media.picture.start_s == 0
    assert onsets_ms(samples)[1:] == pytest.approx([1000.0, 2000.0, 3000.0], abs=1.5)  # the times of mkv are whole ms

    early = make("early.mp4", "-itsoffset", "0.5", "-i", film, "-i", film, "-map", "0:v", "-map", "1:a", "-c", "copy")
    media, _, samples = extracted(early, settings, store)
    assert media.duration_s == pytest.approx(4.5, abs=0.001)
    begins_each_second_from(0.0, 4, samples)


def test_opus_with_its_skip(
    make: Make, frames: Inputs, beeps: Inputs, settings: Settings, store: ArtifactStore
) -> None:
    path = make("a.webm", *frames(3), *beeps(3), "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus")
    media, _, samples = extracted(path, settings, store)
    # The first 6.5 ms that Opus decodes are skipped: the file's sound begins there, its picture where ``lead_s`` says.
    picture_ms = media.lead_s * 1000 - 6.5
    assert onsets_ms(samples)[1:] == pytest.approx(
        [1000.0 - picture_ms, 2000.0 - picture_ms], abs=1.5
    )  # whole ms again


def test_a_gap_in_the_sound_stays_a_gap(
    make: Make, frames: Inputs, beeps: Inputs, settings: Settings, store: ArtifactStore
) -> None:
    """What a recorder dropped is silence afterwards, and what follows keeps its time."""
    path = make(
        "gap.mkv", *frames(5), *beeps(5), *H264, "-c:a", "pcm_s16le", "-af", "aselect='not(between(t,1.5,3.5))'"
    )
    _, _, samples = extracted(path, settings, store)
    assert onsets_ms(samples) == pytest.approx([0.0, 1000.0, 4000.0], abs=WITHIN_MS)


@pytest.mark.parametrize(
    ("name", "options", "channels", "layout"),
    [
        ("phone.wav", ["-ar", "8000", "-c:a", "pcm_alaw"], 1, "mono"),
        ("disc.flac", ["-ar", "44100", "-ac", "2"], 2, "stereo"),
        ("film.mka", ["-af", "aformat=channel_layouts=5.1(side)", "-c:a", "flac"], 6, "5.1(side)"),
        ("film.m4a", ["-ac", "6", "-c:a", "aac"], 6, "5.1"),
        ("wide.wav", ["-ac", "8"], 8, "7.1"),
        ("studio.w64", ["-ar", "96000", "-c:a", "pcm_f64le"], 1, "mono"),
    ],
)
def test_every_rate_and_layout(
    make: Make, beeps: Inputs, settings: Settings, store: ArtifactStore,
    name: str, options: list[str], channels: int, layout: str,
) -> None:  # fmt: skip
    _, sound, samples = extracted(make(name, *beeps(2), *options), settings, store)
    assert (sound.channels, sound.layout) == (channels, layout)
    assert layouts.of_wav(store.path(sound.digest)).name == layout
    begins_each_second_from(0.0, 2, samples)


def test_channels_stay_apart(make: Make, settings: Settings, store: ArtifactStore) -> None:
    """Left, right, centre and so on come out in the order they went in, at the level they had."""
    tones = "|".join(f"{0.1 * (i + 1)}*sin(2*PI*{200 * (i + 1)}*t)" for i in range(6))
    path = make("six.wav", "-f", "lavfi", "-i", f"aevalsrc={tones}:c=5.1:s=48000:d=1", "-c:a", "pcm_f32le")
    _, _, samples = extracted(path, settings, store)
    assert np.abs(samples).max(axis=0) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], abs=0.001)


@pytest.mark.parametrize(
    ("given", "carried", "where"),  # where each channel is heard, in the order that it comes in
    [
        ("3.1", "5.1", [(0,), (1,), (2,), (3,)]),
        ("quad", "5.0", [(0,), (1,), (3,), (4,)]),
        ("6.1", "7.1", [(0,), (1,), (2,), (3,), (4, 5), (6,), (7,)]),
        ("7.0", "7.1", [(0,), (1,), (2,), (4,), (5,), (6,), (7,)]),
        ("hexagonal", "5.1", [(0,), (1,), (2,), (4,), (5,), (4, 5)]),
    ],
)
def test_what_aac_has_no_number_for_is_heard_from_the_same_loudspeakers_of_a_wider_layout(
    make: Make, settings: Settings, store: ArtifactStore, given: str, carried: str, where: list[tuple[int, ...]]
) -> None:
    """A player could not tell which loudspeaker is which, and ffmpeg's meter refuses to measure it."""
    turns = "|".join(f"0.25*sin(2*PI*440*t)*between(t,{i},{i + 0.5})" for i in range(len(where)))
    path = make("wide.wav", "-f", "lavfi", "-i", f"aevalsrc='{turns}':c={given}:s=48000:d={len(where)}",
                "-c:a", "pcm_f32le")  # fmt: skip
    _, sound, samples = extracted(path, settings, store)
    assert sound.layout == carried
    for second, expected in enumerate(where):
        loudest = np.abs(samples[second * RATE_HZ : (second + 1) * RATE_HZ]).max(axis=0)
        assert tuple(np.flatnonzero(loudest > 0.01)) == expected


def test_the_track_that_was_chosen(
    make: Make, frames: Inputs, beeps: Inputs, settings: Settings, store: ArtifactStore
) -> None:
    path = make("two.mkv", *frames(2), "-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo:d=2", *beeps(2),
                "-map", "0", "-map", "1", "-map", "2", *H264, "-c:a", "flac", "-t", "2")  # fmt: skip
    assert not extracted(path, settings, store, 0)[2].any()
    begins_each_second_from(0.0, 2, extracted(path, settings, store, 1)[2])


def test_a_second_time_nothing_is_decoded(film: Path, settings: Settings, store: ArtifactStore) -> None:
    media = probe(film, settings)
    first, again = extract(media, 0, store), extract(media, 0, store)
    assert first == again
    assert store.tally == {("extract", "made"): 1, ("extract", "reused"): 1, ("list-packets", "made"): 1,
                           ("list-packets", "reused"): 1}  # fmt: skip


def test_the_pass_that_decodes_lists_the_picture(
    film: Path, settings: Settings, store: ArtifactStore, tmp_path: Path
) -> None:
    media = probe(film, settings)
    sound = extract(media, 0, store)
    assert sound.packets is not None
    pictures.list_packets(ffmpeg.source(film), "v:0", "h264", tmp_path / "again", naked=False)
    assert store.path(sound.packets).read_text() == (tmp_path / "again").read_text()
    listed = pictures.read(store.path(sound.packets))
    assert (listed.count, round(listed.duration_s, 6)) == (100, 4.0)


def test_a_cut_flac_is_found_while_decoding(make: Make, settings: Settings, store: ArtifactStore) -> None:
    """Its header is whole and ffprobe content; only what is decoded tells."""
    path = make("cut.flac", "-f", "lavfi", "-i", "anoisesrc=d=6:r=48000:a=0.1")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    media = probe(path, settings)
    with pytest.raises(TruncatedMedia, match=r"cut\.flac claims 6\.0 s but only [23]\.\d s can be read") as caught:
        extract(media, 0, store)
    assert caught.value.evidence["claimed_s"] == 6.0
    assert nothing_is_left(settings)


def test_a_file_that_unpacks_to_more_than_it_says(
    make: Make, beeps: Inputs, settings: Settings, store: ArtifactStore
) -> None:
    """A bomb that lies about its length is decoded as far as it says, not further."""
    path = make("liar.flac", *beeps(60, 8000))
    data = bytearray(path.read_bytes())
    data[22:26] = (2 * 8000).to_bytes(4, "big")
    path.write_bytes(data)
    _, _, samples = extracted(path, settings, store)
    assert len(samples) == 2 * RATE_HZ


def test_a_source_that_changes_meanwhile(make: Make, film: Path, settings: Settings, store: ArtifactStore) -> None:
    """Else another film's sound would be kept under the name of this one."""
    path = make("talk.mp4", "-i", film, "-c", "copy")
    media = probe(path, settings)
    make("talk.mp4", "-i", film, "-c", "copy", "-t", "3.9")
    with pytest.raises(UnreadableMedia, match=r"talk\.mp4"):
        extract(media, 0, store)
    assert nothing_is_left(settings)


def test_damaged_sound_is_refused(make: Make, film: Path, settings: Settings, store: ArtifactStore) -> None:
    path = make("damaged.mkv", "-i", film, "-c", "copy", "-bsf:a", "noise=amount=3")
    with pytest.raises(UnreadableMedia, match=r"damaged\.mkv is damaged: more than 10%"):
        extract(probe(path, settings), 0, store)
    assert nothing_is_left(settings)


def test_odd_names_are_decoded(
    tmp_path: Path, film: Path, settings: Settings, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("-y.mp4", 'it\'s a "film"\n%d 🎬.mp4', "concat:x|y.mp4"):
        shutil.copy(film, tmp_path / name)
        monkeypatch.chdir(tmp_path)
        media = replace(probe(Path(name), settings), sha256=digest_of_bytes(name.encode()))
        assert extract(media, 0, store).length_samples == 4 * RATE_HZ


def test_large_sounds_are_rf64(tmp_path: Path) -> None:
    """Twelve hours of stereo: the header says so in 64 bits, and libsndfile reads it."""
    length = 12 * 3600 * RATE_HZ
    path = tmp_path / "large.wav"
    path.write_bytes(extraction.header(layouts.STEREO, length))
    with path.open("r+b") as file:
        file.truncate(extraction.HEADER.size + length * 8)  # sparse: it takes no room
    info = soundfile.info(path)
    assert (info.format, info.frames, info.channels, info.subtype) == ("RF64", length, 2, "FLOAT")


def nothing_is_left(settings: Settings) -> bool:
    left = [p for p in settings.home.rglob("*") if p.is_file() and "catalog" not in p.name and p.parent.name != "locks"]
    return [p for p in left if p.stat().st_size > 0] == []
