"""Chapters, transcript, show notes and cover: what people and apps read."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageStat

from speechmill.errors import BadInput
from speechmill.lines import RATE_HZ
from tasks.disclosing import phrase
from tasks.episode import chapters, cover, shownotes, transcript
from tasks.episode.content import Chapter, Episode, Mention, clock
from tasks.text.cues import read_cues

CUE = re.compile(r"(\d\d):(\d\d):(\d\d)[.,](\d{3}) --> (\d\d):(\d\d):(\d\d)[.,](\d{3})")


def test_chapters_json_has_times_of_the_samples(episode: Episode) -> None:
    found = json.loads(chapters.to_json(episode.spans, episode.title))
    assert found["version"] == "1.2.0"
    assert [c["title"] for c in found["chapters"]] == [c.title for c in episode.chapters]
    for chapter, given_ in zip(found["chapters"], episode.chapters, strict=True):
        assert abs(chapter["startTime"] - given_.start_samples / RATE_HZ) <= 0.0005


def test_description_lines_are_what_spotify_reads(episode: Episode) -> None:
    lines = chapters.description_lines(episode.spans)
    assert lines[0] == "00:00 Welcome"
    assert lines[1].startswith("00:10 ")
    assert all(len(line.split(" ", 1)[1]) < 40 for line in lines)
    assert lines[3] == "00:30 A farewell that has a title of more…"
    assert chapters.description_lines(episode.spans[:2]) == ()


@pytest.mark.parametrize(
    ("samples", "shown"),
    [(0, "00:00"), (47_999, "00:00"), (59 * 48_000, "00:59"), (3_599 * 48_000, "59:59"), (3_661 * 48_000, "1:01:01")],
)
def test_clock(samples: int, shown: str) -> None:
    assert clock(samples) == shown


def times(text: str) -> list[tuple[float, float]]:
    found = []
    for match in CUE.finditer(text):
        h, m, s, ms, h2, m2, s2, ms2 = map(int, match.groups())
        found.append((h * 3600 + m * 60 + s + ms / 1000, h2 * 3600 + m2 * 60 + s2 + ms2 / 1000))
    return found


@pytest.mark.parametrize("kind", ["vtt", "srt"])
def test_every_line_begins_and_ends_with_its_sound(kind: str, episode: Episode, tmp_path: Path) -> None:
    out = tmp_path / f"t.{kind}"
    (transcript.write_vtt if kind == "vtt" else transcript.write_srt)(episode, out)
    found = times(out.read_text("utf-8"))
    for line in episode.lines:
        for edge, which in ((line.start_samples, 0), (line.end_samples, 1)):
            assert min(abs(cue[which] - edge / RATE_HZ) for cue in found) <= 0.001
    assert all(end > start for start, end in found)


def test_vtt_names_who_speaks_and_escapes_what_is_said(episode: Episode, tmp_path: Path) -> None:
    transcript.write_vtt(episode, tmp_path / "t.vtt")
    text = (tmp_path / "t.vtt").read_text("utf-8")
    assert text.startswith("WEBVTT\n\n")
    assert "<v GUEST>It begins &lt;with&gt; water &amp; a wheel." in text
    bodies = [b.split("\n")[2:] for b in text.split("\n\n")[2:]]
    assert all(len(re.sub(r"<v [^>]*>", "", line)) <= 65 for body in bodies for line in body)
    cues = read_cues(text, "t.vtt", "en")
    assert {cue.speaker for cue in cues} == {"HOST", "GUEST"}
    assert " ".join(cue.text for cue in cues if cue.speaker == "HOST").startswith("Welcome to the mill. Today we look")


def test_srt_names_speakers_when_they_change(episode: Episode, tmp_path: Path) -> None:
    transcript.write_srt(episode, tmp_path / "t.srt")
    bodies = [b.split("\n")[2:] for b in (tmp_path / "t.srt").read_text("utf-8").strip().split("\n\n")]
    assert all(len(body) <= 2 and all(len(line) <= 32 for line in body) for body in bodies)
    named = [body[0].split(":")[0] for body in bodies if re.match(r"[A-Z]+: ", body[0])]
    assert named == ["HOST", "GUEST", "HOST", "GUEST", "HOST"]


@pytest.mark.parametrize(
    ("language", "name", "text"),
    [
        ("en", "Reader", "The voices in this programme were made by a computer."),
        ("zh", "主持人", "本节目中的所有声音均由计算机生成，敬请各位听众朋友们知悉并谅解。"),
    ],
)
def test_no_name_stands_in_a_cue_of_its_own(
    episode: Episode, tmp_path: Path, language: str, name: str, text: str
) -> None:
    said = replace(episode.lines[0], speaker=name, text=text, words=())
    transcript.write_srt(replace(episode, language=language, lines=(said,)), tmp_path / "t.srt")
    bodies = [b.split("\n")[2:] for b in (tmp_path / "t.srt").read_text("utf-8").strip().split("\n\n")]
    assert len(bodies) > 1
    assert bodies[0] != [f"{name}:"]
    assert "".join("".join(body) for body in bodies).replace(" ", "") == f"{name}:{text}".replace(" ", "")
    most = 32 if language == "en" else 16
    assert all(len(body) <= 2 and all(len(line) <= most for line in body) for body in bodies)


def test_pages_of_a_long_line_start_with_their_words(episode: Episode, tmp_path: Path) -> None:
    transcript.write_srt(episode, tmp_path / "t.srt")
    starts = {round(w.start_samples / RATE_HZ, 3) for w in episode.lines[0].words}
    first = [start for start, _ in times((tmp_path / "t.srt").read_text("utf-8")) if start < 2.0]
    assert len(first) > 1
    assert all(any(abs(start - word) < 0.002 for word in starts) for start in first)


def test_json_has_words_where_their_times_are_known(episode: Episode, tmp_path: Path) -> None:
    transcript.write_json(episode, tmp_path / "t.json")
    found = json.loads((tmp_path / "t.json").read_text("utf-8"))
    assert found["version"] == "1.0.0"
    assert [s["body"] for s in found["segments"]][:4] == ["Welcome", "to", "the", "mill."]
    assert found["segments"][-1] == {
        "speaker": "HOST", "startTime": 30.016, "endTime": 32.016, "body": "Thank you."
    }  # fmt: skip


def test_show_notes_link_times_and_sources(episode: Episode) -> None:
    text = shownotes.to_markdown(episode, "episode.mp3")
    assert "- [00:10](episode.mp3#t=10) Das Rad – 水车" in text
    assert "- [00:10](episode.mp3#t=10) [On mills](<https://mills.net/on-mills#wheel>)" in text
    assert f"*{phrase('en')}*" in text
    assert r"A talk about \<mills\>." in text
    assert text.count("on-mills") == 2  # each address once, where it is first spoken of; and the page it is all from


def test_show_notes_speak_the_language_of_the_episode(episode: Episode) -> None:
    chinese = replace(
        episode, language="zh-CN", sources=(Mention("水车", "https://mills.net/zh"),), link="https://a.cn/"
    )
    text = shownotes.to_markdown(chinese)
    for words in ("## 章节", "## 链接", "## 来源\n\n- [水车](<https://mills.net/zh>)", "阅读原文: <https://a.cn/>"):
        assert words in text
    assert "本节目中的声音由计算机生成。" in text
    assert "Chapters" not in text
    assert "来源" in shownotes.to_html(chinese)


def test_no_address_but_the_webs_becomes_a_link(episode: Episode) -> None:
    bad = replace(
        episode,
        link="javascript:alert(1)",
        lines=(replace(episode.lines[0], links=(Mention("x](y)", "javascript:alert(1)"),)),),
        chapters=(Chapter("a", 0, "data:text/html,x"),),
    )
    for text in (shownotes.to_markdown(bad), shownotes.to_html(bad)):
        assert "javascript:" not in text
        assert "data:" not in text


@given(description=st.text(max_size=9_000), count=st.integers(0, 400))
def test_description_keeps_the_disclosure_in_4000_bytes(description: str, count: int) -> None:
    long = Episode(
        title="T",
        language="en",
        length_samples=10_000_000,
        description=description,
        chapters=tuple(Chapter(f"Chapter {n}", n * 20_000) for n in range(count)),
    )
    text = shownotes.to_text(long)
    assert len(text.encode(errors="replace")) <= 4_000
    assert phrase("en") in text


def test_an_episode_with_its_own_disclosure_or_none(episode: Episode) -> None:
    assert "Voces sintéticas." in shownotes.to_text(replace(episode, disclosure="Voces sintéticas."))
    assert phrase("en") not in shownotes.to_text(replace(episode, ai_content=False))


@pytest.mark.parametrize("title", ["Why do cats purr?", "Привет, мир", "x" * 300, "A " * 150, "", "\U000f0000"])
def test_drawn_cover_is_what_apps_ask_for(title: str, tmp_path: Path) -> None:
    cover.draw_cover(title, tmp_path / "c.jpg", show="Slow Machines", author="Ana", number=3)
    with Image.open(tmp_path / "c.jpg") as picture:
        assert (picture.format, picture.mode, picture.width == picture.height) == ("JPEG", "RGB", True)
        assert 1400 <= picture.width <= 3000
        assert max(ImageStat.Stat(picture).stddev) > 10  # something is on it
    assert (tmp_path / "c.jpg").stat().st_size <= 512 * 1024


def test_cover_is_the_same_for_the_same_words_and_shows_the_title(tmp_path: Path) -> None:
    for name, title in (("a", "One"), ("b", "One"), ("c", "Two")):
        cover.draw_cover(title, tmp_path / name, show="S")
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


def test_own_cover_is_made_fit(tmp_path: Path) -> None:
    Image.effect_noise((900, 1300), 90).convert("RGBA").save(tmp_path / "own.png")
    notes = cover.fit_cover(tmp_path / "own.png", tmp_path / "c.jpg")
    with Image.open(tmp_path / "c.jpg") as picture:
        assert (picture.size, picture.mode) == ((1400, 1400), "RGB")
    assert (tmp_path / "c.jpg").stat().st_size <= 512 * 1024
    assert len(notes) == 2


def test_picture_that_is_none_or_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff no picture")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.new("1", (10_000, 10_000)).save(tmp_path / "b.png")
    for name in ("a.jpg", "b.png"):
        with pytest.raises(BadInput, match="cover"):
            cover.fit_cover(tmp_path / name, tmp_path / "c.jpg")
    assert not (tmp_path / "c.jpg").exists()
