"""The packed film: what is in it, under which names, and that its picture is the source's."""

from __future__ import annotations

import itertools
import json
import mmap
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speechmill.errors import DiskFull, NotPublishable
from speechmill.profiles import profile
from speechmill.reports import Check, Loudness, SpokenLine
from speechmill.settings import Settings
from speechmill.takes import Verdict
from storage.artifacts import ArtifactStore
from tasks.checks import Encoded, check_audio, check_film, check_speech, raise_if_broken
from tasks.disclosing import OF_A_DUB
from tasks.media import ffmpeg as tool
from tasks.media import packing
from tasks.media.extraction import extract
from tasks.media.packing import Dub, Packed, Subtitle, pack
from tasks.media.probing import Media, Picture, probe
from tasks.media.tracks import AudioTrack
from tests.servers import missing

Make = Callable[..., Path]
Inputs = Callable[..., list[str]]
SRT = "1\n00:00:00,500 --> 00:00:01,500\n{}\n\n"
H264 = ("-c:v", "libx264", "-preset", "ultrafast")


SAID = ("-metadata", f"comment={OF_A_DUB}")


@pytest.fixture
def dub(make: Make, beeps: Inputs) -> Path:
    return make("dub.m4a", *beeps(4), "-ac", "2", "-c:a", "aac", "-b:a", "192k", *SAID)


@pytest.fixture
def subtitles(tmp_path: Path) -> list[Subtitle]:
    kept = []
    for language, text in (("pt-BR", "Olá"), ("en", "Hello")):
        file = tmp_path / f"{language}.srt"
        file.write_text(SRT.format(text), "utf-8")
        kept.append(Subtitle(language, file))
    return kept


def seen(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        subprocess.check_output(
            ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", "-show_chapters", path]
        )
    )
    return found


def frame_hashes(path: Path) -> list[str]:
    """Of every packet of the picture, by another hash than ours and without the time stamps."""
    told = subprocess.check_output(
        ["ffmpeg", "-v", "error", "-i", path, "-map", "0:v:0", "-c", "copy", "-f", "framehash", "-hash", "sha256", "-"],
        text=True,
    )
    return [line.split(",")[5].strip() for line in told.splitlines() if not line.startswith("#")]


def decoded(path: Path, stream: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    raw = subprocess.check_output(
        ["ffmpeg", "-v", "error", "-i", path, "-map", f"0:{stream}", "-ac", "1", "-ar", "48000", "-f", "f32le", "-"]
    )
    return np.frombuffer(raw, np.float32)


def test_a_film_with_everything(
    film: Path, dub: Path, subtitles: list[Subtitle], settings: Settings, store: ArtifactStore, tmp_path: Path
) -> None:
    media = probe(film, settings)
    packets = extract(media, 0, store).packets
    packed = pack(media, 0, "en", [Dub("pt-BR", dub)], subtitles, tmp_path / "talk.pt-BR.mp4")
    found = seen(packed.path)
    streams = found["streams"]
    assert [(s["codec_type"], s["codec_name"]) for s in streams] == [
        ("video", "h264"), ("audio", "aac"), ("audio", "aac"), ("subtitle", "mov_text"), ("subtitle", "mov_text"),
    ]  # fmt: skip
    assert [s["tags"]["language"] for s in streams[1:]] == ["por", "eng", "por", "eng"]
    assert [s["tags"]["handler_name"] for s in streams[1:]] == [
        "Português (Brasil) (dub)", "English (original)", "Português (Brasil)", "English",
    ]  # fmt: skip
    assert [s["disposition"]["default"] for s in streams] == [1, 1, 0, 0, 0]
    assert [s["disposition"]["dub"] for s in streams] == [0, 1, 0, 0, 0]
    assert found["format"]["tags"]["title"] == "A talk"
    assert float(found["format"]["duration"]) == pytest.approx(4.0, abs=0.04)
    assert frame_hashes(packed.path) == frame_hashes(film)
    assert packed.picture_copied
    assert packed.picture_copied
    data = packed.path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # a player can begin before it has all
    assert elng_boxes(data) == ["pt-BR", "en", "pt-BR", "en"]
    assert all(check.passed for check in check_film(media, packed, packets, store))
    subprocess.run(
        ["ffmpeg", "-v", "error", "-xerror", "-i", packed.path, "-map", "0", "-c:s", "ass", "-f", "null", "-"],
        check=True,
    )


def elng_boxes(data: bytes) -> list[str]:
    """Read straight from the bytes: size, kind, version and flags, text (ISO/IEC 14496-12, 8.4.6)."""
    found, place = [], -1
    while (place := data.find(b"elng", place + 1)) >= 0:
        size = struct.unpack(">I", data[place - 4 : place])[0]
        assert data[place + 4 : place + 8] == bytes(4)
        found.append(data[place + 8 : place - 4 + size].rstrip(b"\0").decode())
    return found


def test_dub_and_original_sound_when_they_should(
    make: Make, frames: Inputs, beeps: Inputs, dub: Path, settings: Settings, tmp_path: Path
) -> None:
    """The original starts 1.3 s late, in a container that gives its picture a start of its own."""
    source = make("late.mkv", *frames(4), "-itsoffset", "1.3", *beeps(2), *H264, "-c:a", "flac", "-sample_fmt", "s16")
    packed = pack(probe(source, settings), 0, "en", [Dub("es", dub)], [], tmp_path / "late.es.mp4")
    start_s = float(seen(packed.path)["streams"][2]["start_time"])
    assert start_s == pytest.approx(1.3, abs=0.001)
    original = decoded(packed.path, "a:1")
    assert int(np.argmax(np.abs(original) > 0.05)) / 48_000 < 0.001
    assert np.array_equal(decoded(packed.path, "a:0"), decoded(dub, "a:0"))


BROADCAST = ("-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp2")


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("film.ts", ("-c", "copy")),
        ("film.mkv", ("-c", "copy")),
        ("film.mov", ("-c", "copy")),
        ("film.avi", ("-c:v", "mpeg4", "-c:a", "mp3")),
        ("b-frames.avi", ("-c:v", "mpeg4", "-bf", "2", "-c:a", "mp3")),
        ("broadcast.ts", BROADCAST),
        ("broadcast.mkv", BROADCAST),
        ("disc.vob", BROADCAST),  # which says of some frames only when they are decoded
    ],
)
def test_the_picture_is_copied_from_any_container(
    make: Make, film: Path, dub: Path, settings: Settings, store: ArtifactStore, tmp_path: Path,
    name: str, codecs: tuple[str, ...],
) -> None:  # fmt: skip
    source = make(name, "-i", film, *codecs)
    media = probe(source, settings)
    packets = extract(media, 0, store).packets
    packed = pack(media, 0, "en", [Dub("es", dub)], [], tmp_path / "film.es.mp4")
    found = check_film(media, packed, packets, store)
    assert [c.id for c in found if not c.passed and not c.advisory] == []
    assert "picture" in [c.id for c in found]
    if not name.endswith(".ts"):  # MP4 keeps its frames cut differently from a transport stream
        assert frame_hashes(packed.path) == frame_hashes(source)


def test_a_codec_mp4_cannot_hold_is_encoded_anew_and_said(
    make: Make, frames: Inputs, beeps: Inputs, dub: Path, settings: Settings, store: ArtifactStore, tmp_path: Path
) -> None:
    source = make("old.webm", *frames(4), *beeps(4), "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis")
    media = probe(source, settings)
    packets = extract(media, 0, store).packets
    packed = pack(media, 0, "en", [Dub("es", dub)], [], tmp_path / "old.es.mp4")
    assert [(s["codec_name"]) for s in seen(packed.path)["streams"]] == ["h264", "aac", "aac"]
    assert not packed.picture_copied
    found = check_film(media, packed, packets, store)
    told = [(c.id, c.measured, c.required) for c in found if not c.passed]
    assert told == [("sound-copied", "aac", "vorbis"), ("picture-copied", "h264", "vp8")]
    raise_if_broken(found)


def test_rotation_chapters_and_uneven_frames_are_carried_over(
    make: Make, frames: Inputs, beeps: Inputs, dub: Path, settings: Settings, store: ArtifactStore, tmp_path: Path
) -> None:
    (tmp_path / "chapters").write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1500\ntitle=Uno\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1500\nEND=4000\ntitle=Dos\n"
    )
    plain = make("plain.mp4", *frames(4), *beeps(4), "-i", tmp_path / "chapters", "-map_metadata", "2",
                 "-vf", "select='not(mod(n,3))+gt(n,60)'", "-fps_mode", "vfr", *H264, "-c:a", "aac")  # fmt: skip
    source = make("turned.mp4", "-i", plain, "-c", "copy", "-metadata:s:v", "rotate=90")
    media = probe(source, settings)
    packets = extract(media, 0, store).packets
    packed = pack(media, 0, "en", [Dub("es", dub)], [], tmp_path / "turned.es.mp4")
    again = probe(packed.path, settings)
    assert media.picture is not None
    assert again.picture is not None
    assert again.picture.rotation == media.picture.rotation != 0
    assert [c.title for c in again.chapters] == ["Uno", "Dos"]
    assert [c.id for c in check_film(media, packed, packets, store) if not c.passed] == []


def test_several_languages_in_one_film(film: Path, dub: Path, settings: Settings, tmp_path: Path) -> None:
    packed = pack(probe(film, settings), 0, "en", [Dub("es", dub), Dub("zh-Hant", dub)], [], tmp_path / "talk.dub.mp4")
    streams = seen(packed.path)["streams"]
    assert [s["tags"]["language"] for s in streams[1:]] == ["spa", "zho", "eng"]
    assert [s["disposition"]["default"] for s in streams[1:]] == [1, 0, 0]
    assert elng_boxes(packed.path.read_bytes()) == ["es", "zh-Hant", "en"]


def test_subtitles_without_a_cue_are_left_out(film: Path, dub: Path, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "none.srt").touch()
    packed = pack(probe(film, settings), 0, "en", [Dub("es", dub)], [Subtitle("es", tmp_path / "none.srt")],
                  tmp_path / "talk.es.mp4")  # fmt: skip
    assert len(seen(packed.path)["streams"]) == 3


def test_a_source_without_a_picture_gives_no_film(make: Make, beeps: Inputs, dub: Path, settings: Settings) -> None:
    media = probe(make("song.wav", *beeps(4)), settings)
    with pytest.raises(ValueError, match="no film"):
        pack(media, 0, "en", [Dub("es", dub)], [], Path("never.mp4"))


def test_a_full_disk_is_named(film: Path, dub: Path, settings: Settings, tmp_path: Path) -> None:
    full = tmp_path / "talk.es.mp4"
    full.symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="free some space"):
        pack(probe(film, settings), 0, "en", [Dub("es", dub)], [], full)


@pytest.mark.parametrize("short_of", [1, 3])
def test_a_disk_that_is_full_for_the_very_end_is_named_too(
    film: Path, dub: Path, settings: Settings, tmp_path: Path, short_of: int
) -> None:
    """ffmpeg ends well then, with a film that no player opens."""
    media = probe(film, settings)
    whole = pack(media, 0, "en", [Dub("es", dub)], [], tmp_path / "whole.mp4").path.stat().st_size
    (tmp_path / "disk").mkdir()
    room = (whole // mmap.PAGESIZE - short_of) * mmap.PAGESIZE
    mount = ["mount", "-t", "tmpfs", "-o", f"size={room}", "none", str(tmp_path / "disk")]
    if subprocess.run(mount, capture_output=True).returncode:
        missing("this machine does not allow mounting a small disk")
    try:
        with pytest.raises(DiskFull, match="free some space"):
            pack(media, 0, "en", [Dub("es", dub)], [], tmp_path / "disk" / "talk.es.mp4")
    finally:
        subprocess.run(["umount", str(tmp_path / "disk")], check=True)


def test_the_command_that_packs(tmp_path: Path) -> None:
    """The whole plan of one typical film, as it has always been."""
    picture = Picture(0, "h264", "avc1", 1920, 1080, 0, 25.0, 0.0, 60.0)
    track = AudioTrack(0, 1, "pcm_s24le", 2, "stereo", 48_000, 24, "en", "", -0.02, 60.0)
    media = Media(Path("/in/talk.mkv"), "0" * 64, 1, 0, "matroska", 60.0, 0.02, picture, (track,))  # type: ignore[arg-type]
    srt = tmp_path / "es.srt"
    srt.write_text(SRT.format("Hola"))
    plan = packing.plan(media, picture, track, "en", [Dub("es", Path("/in/es.m4a"))], [Subtitle("es", srt)],
                        Path("/out/talk.mp4"), copy_picture=True)  # fmt: skip
    told = tool.argv(plan.node)
    given = dict(itertools.pairwise(told))
    assert given["-itsoffset"] == "-0.020000"
    assert [told[i + 1] for i, part in enumerate(told) if part == "-map"] == ["0:0", "1:a:0", "0:1", "2:s:0"]
    assert [told[i + 1] for i, part in enumerate(told) if part == "-i"] == [
        "file:/in/talk.mkv",
        "file:/in/es.m4a",
        f"file:{srt}",
    ]
    assert given["-c"] == "copy"
    assert given["-c:s"] == "mov_text"
    assert (given["-c:a:1"], given["-b:a:1"]) == ("aac", "192k")
    assert (given["-disposition:a:0"], given["-disposition:a:1"]) == ("default+dub", "original")
    assert [told[i + 1] for i, part in enumerate(told) if part == "-metadata:s:a:0"] == [
        "language=spa", "title=Español (dub)", "handler_name=Español (dub)" + " " * 15,
    ]  # fmt: skip
    assert (given["-map_metadata"], given["-map_chapters"], given["-movflags"]) == ("0", "0", "+faststart")
    assert given["-metadata"] == f"comment={OF_A_DUB}"
    assert told[-2:] == ["file:/out/talk.mp4", "-y"]


@pytest.fixture
def packed_film(
    film: Path, dub: Path, settings: Settings, store: ArtifactStore, tmp_path: Path
) -> tuple[Media, Packed, str]:
    media = probe(film, settings)
    packets = extract(media, 0, store).packets
    assert packets is not None
    return media, pack(media, 0, "en", [Dub("es", dub)], [], tmp_path / "talk.es.mp4"), packets


def failed(found: list[Check]) -> set[str]:
    return {check.id for check in found if not check.passed}


def remade(make: Make, packed: Packed, *options: str) -> Packed:
    return replace(packed, path=make("remade.mp4", "-i", packed.path, "-map", "0", "-c", "copy", *options))


def test_what_is_wrong_with_a_container_is_found(
    make: Make, packed_film: tuple[Media, Packed, str], store: ArtifactStore
) -> None:
    media, packed, packets = packed_film

    def found(*options: str) -> set[str]:
        return failed(check_film(media, remade(make, packed, *options), packets, store))  # type: ignore[arg-type]

    plain = found()
    assert plain == {"language-tags"}  # what only we write is lost in a copy
    assert "languages" in found("-metadata:s:a:0", "language=eng")
    assert "dispositions" in found("-disposition:a:0", "0", "-disposition:a:1", "default")
    assert "streams" in found("-map", "-0:a:1")
    assert "picture" in found("-c:v", "libx264", "-preset", "ultrafast")
    assert {"picture", "picture-length"} <= found("-t", "3")
    assert "picture-size" in found("-c:v", "libx264", "-s", "128x72")
    with pytest.raises(NotPublishable, match="languages is"):
        raise_if_broken(check_film(media, remade(make, packed, "-metadata:s:a:0", "language=eng"), packets, store))  # type: ignore[arg-type]


def test_a_single_changed_byte_of_the_picture_is_found(
    packed_film: tuple[Media, Packed, str], store: ArtifactStore
) -> None:
    media, packed, packets = packed_film
    data = bytearray(packed.path.read_bytes())
    data[data.index(b"mdat") + 2000] ^= 1
    packed.path.write_bytes(data)
    assert "picture" in failed(check_film(media, packed, packets, store))  # type: ignore[arg-type]


def test_the_dub_alone(film: Path, make: Make, beeps: Inputs, dub: Path, settings: Settings) -> None:
    media = probe(film, settings)
    right = Loudness(integrated_lufs=-14.2, true_peak_dbtp=-1.3, lra_lu=3.0)

    def found(audio: Path, loudness: Loudness = right, layout: str = "stereo") -> set[str]:
        return failed(check_audio(media, Encoded("es", audio, 2, layout, loudness), profile("youtube")))

    assert found(dub) == set()
    assert found(make("short.m4a", *beeps(3.9), "-ac", "2", *SAID)) == {"audio-length"}
    assert found(make("slow.m4a", *beeps(4), "-ac", "2", "-ar", "44100", *SAID)) == {"audio-rate"}
    assert found(make("mono.m4a", *beeps(4), *SAID)) == {"audio-channels", "audio-layout"}
    assert found(make("unsaid.m4a", *beeps(4), "-ac", "2", "-b:a", "192k")) == {"audio-disclosure"}
    assert found(make("mp3.mp3", *beeps(4), "-ac", "2")) >= {"audio-codec"}
    assert found(dub, Loudness(integrated_lufs=-14.6, true_peak_dbtp=-1.3, lra_lu=3.0)) == {"loudness"}
    assert found(dub, Loudness(integrated_lufs=-14.2, true_peak_dbtp=-0.9, lra_lu=3.0)) == {"true-peak"}


@pytest.mark.parametrize("layout", ["stereo", "5.1(side)", "3.1", "6.1", "7.1"])
def test_every_layout_of_a_dub_passes(make: Make, beeps: Inputs, film: Path, settings: Settings, layout: str) -> None:
    plain = {"5.1(side)": "5.1"}.get(layout, layout)
    dub = make("dub.m4a", *beeps(4), "-af", f"aformat=channel_layouts={plain}", "-c:a", "aac", *SAID)
    channels = {"stereo": 2, "3.1": 4, "5.1(side)": 6, "6.1": 7, "7.1": 8}[layout]
    quiet = Encoded("es", dub, channels, layout, Loudness(integrated_lufs=-14.0, true_peak_dbtp=-2.0))
    assert failed(check_audio(probe(film, settings), quiet, profile("youtube"))) == set()


def test_a_dub_that_says_nothing_says_why() -> None:
    kept = SpokenLine(
        id="0001", speaker="S1", text="La la.", placed_start_s=None, placed_end_s=None, verdict=Verdict.PASSED
    )
    assert [check_speech(lines).measured for lines in ([], [kept])] == ["nobody was heard to speak", "0 of 1"]
    assert not check_speech([kept]).passed


def test_a_value_outside_the_profile_is_for_a_person_and_published(film: Path, dub: Path, settings: Settings) -> None:
    media = probe(film, settings)
    loud = Encoded("es", dub, 2, "stereo", Loudness(integrated_lufs=-9.0, true_peak_dbtp=0.5, lra_lu=30.0))
    found = check_audio(media, loud, profile("netflix"))
    assert failed(found) == {"loudness", "true-peak", "loudness-range"}
    raise_if_broken(found)
