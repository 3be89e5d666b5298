"""The files that are heard: chapters, tags and the first sample are where they should be."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speechmill.lines import RATE_HZ
from tasks.episode import id3, sound
from tasks.episode.content import Chapter, Episode, spans
from tasks.episode.cover import draw_cover
from tasks.sound import flac

TOLERANCE_S = 0.020  # issue: chapter marks within 20 ms of the first sample of their section


def probe(path: Path) -> dict[str, Any]:
    shown = subprocess.run(
        ["ffprobe", "-v", "error", "-of", "json", "-show_chapters", "-show_format", "-show_streams", str(path)],
        check=True,
        capture_output=True,
    )
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


def decoded(path: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(path), "-map", "a", "-f", "f32le", "-ac", "1", "-"],
        check=True,
        capture_output=True,
    )
    return np.frombuffer(raw.stdout, np.float32)


def onset_after(heard: np.ndarray[Any, np.dtype[np.float32]], sample: int) -> int:
    """The first loud sample from 100 ms before a given one."""
    start = max(0, sample - RATE_HZ // 10)
    return start + int(np.argmax(np.abs(heard[start:]) > 0.2))


@pytest.fixture
def mp3(encoded: Path, episode: Episode, tmp_path: Path) -> Path:
    draw_cover("Mills", tmp_path / "cover.jpg")
    sound.write_mp3(encoded, episode, tmp_path / "episode.mp3", cover=tmp_path / "cover.jpg", guid="g-1")
    return tmp_path / "episode.mp3"


def test_mp3_is_heard_from_the_first_sample_to_the_last(mp3: Path, episode: Episode) -> None:
    heard = decoded(mp3)
    assert len(heard) == episode.length_samples
    for chapter in episode.chapters:
        assert onset_after(heard, chapter.start_samples) == pytest.approx(chapter.start_samples, abs=48)


@pytest.mark.parametrize("name", ["episode.mp3", "episode.m4a", "episode.m4b"])
def test_chapter_marks_are_where_their_sections_sound(name: str, mp3: Path, master: Path, episode: Episode) -> None:
    path = mp3.with_name(name)
    if name != mp3.name:
        sound.write_m4a(master, episode, path, cover=mp3.with_name("cover.jpg"))
    found, heard = probe(path), decoded(path)
    assert [c["tags"]["title"] for c in found["chapters"]] == [c.title for c in episode.chapters]
    for mark, chapter in zip(found["chapters"], episode.chapters, strict=True):
        assert float(mark["start_time"]) == pytest.approx(chapter.start_samples / RATE_HZ, abs=0.001)
        assert abs(onset_after(heard, chapter.start_samples) / RATE_HZ - float(mark["start_time"])) < TOLERANCE_S
    ends = [float(c["end_time"]) for c in found["chapters"]]
    assert ends[:-1] == [float(c["start_time"]) for c in found["chapters"][1:]]
    assert ends[-1] == pytest.approx(40.0, abs=0.001)


def test_mp3_says_what_it_is(mp3: Path) -> None:
    tags = probe(mp3)["format"]["tags"]
    assert tags["title"] == "How a mill turns grain into bread"
    assert tags["album"] == "Slow Machines"
    assert tags["artist"] == "Ana Ruiz"
    assert tags["track"] == "7"
    assert tags["date"] == "2026-03-04"
    assert tags["comment"].startswith("Grain, water & stone.")
    assert tags["ai-content"] == "true"
    assert tags["podcast:guid"] == "g-1"
    picture = next(s for s in probe(mp3)["streams"] if s["codec_type"] == "video")
    assert (picture["codec_name"], picture["disposition"]["attached_pic"]) == ("mjpeg", 1)
    assert picture["tags"]["comment"] == "Cover (front)"


def test_mp3_has_a_constant_rate_and_the_masters(mp3: Path) -> None:
    stream = next(s for s in probe(mp3)["streams"] if s["codec_type"] == "audio")
    assert (stream["sample_rate"], stream["channels"], stream["bit_rate"]) == ("48000", 1, "96000")


def test_one_ordered_table_of_contents_at_the_top(episode: Episode) -> None:
    data = id3.tag(id3.Tags("x"), episode.spans)
    at = data.index(b"CTOC")
    assert data.count(b"CTOC") == 1
    assert data.count(b"CHAP") == 4
    name, flags, count = data[at + 10 : at + 14], data[at + 14], data[at + 15]
    assert (name, flags, count) == (b"toc\0", 0b11, 4)
    assert data[at + 16 :].startswith(b"ch0\0ch1\0ch2\0ch3\0CHAP")


def test_tag_of_several_hundred_chapters_lists_them_all(encoded: Path, episode: Episode, tmp_path: Path) -> None:
    many = replace(episode, chapters=tuple(Chapter(f"Part {n}", n * 4_800) for n in range(300)))
    sound.write_mp3(encoded, many, tmp_path / "many.mp3")
    assert len(probe(tmp_path / "many.mp3")["chapters"]) == 300
    tables = [body for name, body in frames((tmp_path / "many.mp3").read_bytes()) if name == b"CTOC"]
    assert [body[body.index(0) + 1] for body in tables] == [0b11, 0b01, 0b01]  # the first is the top, all are ordered
    assert [body[body.index(0) + 2] for body in tables] == [2, 255, 45]


def frames(data: bytes) -> list[tuple[bytes, bytes]]:
    """Names and bodies of the frames of an ID3v2.3 tag."""
    at, end, found = 10, 10 + (data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9]), []
    while at < end:
        size = int.from_bytes(data[at + 4 : at + 8], "big")
        found.append((data[at : at + 4], data[at + 10 : at + 10 + size]))
        at += 10 + size
    assert at == end
    return found


def test_links_of_chapters_are_kept_in_ascii() -> None:
    linked = spans([Chapter("A", 0, "https://mills.net/mühle?a=1%20b")], 48_000, "x")
    assert b"WXXX\0\0\0\x31\0\0\0chapter url\0https://mills.net/m%C3%BChle?a=1%20b" in id3.tag(id3.Tags("x"), linked)


def test_tagging_again_replaces_the_tag(mp3: Path, encoded: Path, episode: Episode) -> None:
    again = mp3.with_name("again.mp3")
    sound.write_mp3(mp3, replace(episode, title="Another"), again)
    assert probe(again)["format"]["tags"]["title"] == "Another"
    assert again.read_bytes()[id3.tag_bytes(again) :] == encoded.read_bytes()


def test_m4b_is_an_audiobook_and_aac_is_copied(master: Path, episode: Episode, tmp_path: Path) -> None:
    sound.write_m4a(master, episode, tmp_path / "a.m4a")
    sound.write_m4a(tmp_path / "a.m4a", replace(episode, title="B = b; #1\nline"), tmp_path / "b.m4b")
    assert probe(tmp_path / "a.m4a")["format"]["tags"]["major_brand"] == "M4A "
    tags = probe(tmp_path / "b.m4b")["format"]["tags"]
    assert (tags["major_brand"], tags["title"]) == ("M4B ", "B = b; #1\nline")
    assert np.array_equal(decoded(tmp_path / "a.m4a"), decoded(tmp_path / "b.m4b"))


def test_an_audiobook_says_so_and_a_master_says_its_title(master: Path, episode: Episode, tmp_path: Path) -> None:
    for name, genre in (("a.m4a", "Podcast"), ("a.m4b", "Audiobook")):
        sound.write_m4a(master, episode, tmp_path / name)
        assert probe(tmp_path / name)["format"]["tags"]["genre"] == genre
    frames, whole, tagged = (tmp_path / name for name in ("0.frames", "whole.flac", "tagged.flac"))
    flac.write_part([np.zeros((9_000, 1), np.float32)], 1, 0, frames)
    flac.join([frames], 1, 9_000, whole)
    sound.write_flac(whole, episode, tagged)
    tags = {name.lower(): text for name, text in probe(tagged)["format"]["tags"].items()}
    assert (tags["title"], tags["genre"]) == (episode.title, "Podcast")
    assert np.array_equal(decoded(tagged), decoded(whole))


def test_a_chapter_is_put_before_a_late_first_one_and_none_is_moved() -> None:
    found = spans([Chapter("B", 96_000), Chapter("A", 72_000), Chapter("out", 999_999)], 200_000, "Opening")
    assert [(s.title, s.start_samples, s.end_samples) for s in found] == [
        ("Opening", 0, 72_000),
        ("A", 72_000, 96_000),
        ("B", 96_000, 200_000),
    ]
    assert [s.start_samples for s in spans([Chapter("A", 4_800)], 200_000, "Opening")] == [4_800]
