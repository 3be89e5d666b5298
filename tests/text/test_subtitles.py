"""Subtitles that can be read, and files that players read."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechmill.lines import RATE_HZ, Word, samples_of_ms
from speechmill.profiles import Subtitles
from tasks.text.scripts import read_script
from tasks.text.subtitles import Caption, Cue, lint, subtitles, write_srt, write_vtt
from tasks.text.wrapping import pages, width

LIMITS = Subtitles()
GAP = samples_of_ms(LIMITS.gap_ms)


def caption(start_s: float, end_s: float, text: str, id: str = "1", speaker: str = "") -> Caption:
    return Caption(id, round(start_s * RATE_HZ), round(end_s * RATE_HZ), text, speaker)


def shown(cues: tuple[Cue, ...]) -> list[tuple[float, float, tuple[str, ...]]]:
    return [(round(c.start_samples / RATE_HZ, 2), round(c.end_samples / RATE_HZ, 2), c.lines) for c in cues]


def test_a_line_that_can_be_read_is_shown_as_it_is_heard() -> None:
    assert shown(subtitles([caption(1, 3, "Hello there.")], LIMITS, "en")) == [(1.0, 3.0, ("Hello there.",))]


def test_a_quick_line_stays_into_the_silence_after_it_until_it_is_read() -> None:
    text = "It has stood by this river for years."  # 37 characters: 1.85 s at 20 a second
    assert shown(subtitles([caption(1, 2, text), caption(9, 10, "Yes.")], LIMITS, "en"))[0][1] == 2.85
    assert shown(subtitles([caption(1, 2, text), caption(9, 10, "Sí.")], LIMITS, "es"))[0][1] == 3.18
    assert shown(subtitles([caption(1, 1.2, "Yes.")], LIMITS, "en")) == [(1.0, 1.83, ("Yes.",))]
    ended = subtitles([caption(1, 1.2, "Yes.")], LIMITS, "en", round(1.5 * RATE_HZ))
    assert shown(ended) == [(1.0, 1.5, ("Yes.",))]  # no later than the programme


def test_it_leaves_two_frames_before_the_next_one() -> None:
    text = "It has stood by this river for years."
    cues = subtitles([caption(1, 2, text), caption(2.5, 4, "And it still turns.")], LIMITS, "en")
    assert cues[1].start_samples - cues[0].end_samples == GAP
    touching = subtitles([caption(1, 2, "One two."), caption(2, 4, "Three four.")], LIMITS, "en")
    assert touching[1].start_samples - touching[0].end_samples == GAP


def test_people_who_talk_at_once_are_shown_at_once() -> None:
    cues = subtitles([caption(1, 4, "One two three."), caption(2, 3, "Four five.", "2")], LIMITS, "en")
    assert shown(cues) == [(1.0, 4.0, ("One two three.",)), (2.0, 3.0, ("Four five.",))]


def test_a_long_text_is_split_where_a_reader_pauses_and_timed_by_its_words() -> None:
    text = (
        "This is a long sentence, said slowly by somebody with all the time in the world. "
        "And here is another one, of course."
    )
    spoken = text.split()
    words = tuple(Word(word, (10 + n // 2) * RATE_HZ, (10 + n // 2) * RATE_HZ + 9000) for n, word in enumerate(spoken))
    cues = subtitles([Caption("1", 10 * RATE_HZ, 23 * RATE_HZ, text, words=words)], LIMITS, "en")
    assert " ".join(" ".join(cue.lines) for cue in cues) == text
    assert cues[-1].lines == ("And here is another one, of course.",)
    assert cues[-1].start_samples == words[spoken.index("And")].start_samples
    by_length = subtitles([caption(10, 23, text)], LIMITS, "en")
    assert by_length[-1].start_samples != cues[-1].start_samples


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Good evening, and welcome to the old water mill.", ("Good evening, and welcome", "to the old water mill.")),
        (
            "Every morning somebody has to open the gate by hand.",
            ("Every morning somebody has", "to open the gate by hand."),
        ),
        ("Somebody must wake up and see if the water flows.", ("Somebody must wake up", "and see if the water flows.")),
    ],
)
def test_lines_are_broken_after_marks_and_before_joining_words(text: str, lines: tuple[str, ...]) -> None:
    assert pages(text, 42, 2) == [lines]


def test_chinese_has_sixteen_characters_a_line_and_no_mark_at_its_start() -> None:
    text = "今天天气很好，我们去公园散步吧。你觉得怎么样？我觉得这是一个好主意！"
    cues = subtitles([caption(0, 6, text)], LIMITS, "zh")
    assert "".join("".join(cue.lines) for cue in cues) == text
    assert all(width(line) <= 16 and line[0] not in "，。？！" for cue in cues for line in cue.lines)


def test_marks_that_combine_take_no_room() -> None:
    assert width("é") == 1
    assert width("หนึ่ง") == 3


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4000), st.integers(30, 20_000), st.text("abc ,.ñ", max_size=260), st.integers(0, 600)),
        max_size=12,
    ),
    st.sampled_from(["en", "es", "zh"]),
)
def test_whatever_is_said_nothing_is_lost_and_every_limit_holds(
    parts: list[tuple[int, int, str, int]], language: str
) -> None:
    captions: list[Caption] = []
    at_ms = 0
    for n, (pause_ms, length_ms, text, early_ms) in enumerate(parts):
        start_ms = max(0, at_ms + pause_ms - early_ms)  # some begin while the one before is still heard
        at_ms = max(at_ms, start_ms + length_ms)
        captions.append(Caption(f"{n}", samples_of_ms(start_ms), samples_of_ms(start_ms + length_ms), text))
    cues = subtitles(captions, LIMITS, language)
    most = LIMITS.characters_cjk if language == "zh" else LIMITS.characters
    for one in captions:
        own = [cue for cue in cues if cue.line_id == one.id]
        assert "".join("".join(cue.lines) for cue in own).replace(" ", "") == "".join(one.text.split())
        assert all(cue.start_samples >= one.start_samples for cue in own)
    for cue in cues:
        assert 1 <= len(cue.lines) <= LIMITS.lines
        assert all(width(text) <= most for text in cue.lines)
        assert 0 < cue.length_samples <= round(LIMITS.max_s * RATE_HZ)
    heard = {one.id: one for one in captions}
    for a, b in pairwise(cues):
        at_once = a.line_id != b.line_id and heard[b.line_id].start_samples < heard[a.line_id].end_samples
        assert a.end_samples <= b.start_samples or at_once
    assert all(
        check.passed for check in lint(cues, LIMITS, language) if check.id in ("subtitle-lines", "subtitle-width")
    )


def test_lint_finds_what_is_wrong() -> None:
    def failed(*cues: Cue) -> set[str]:
        return {check.id for check in lint(cues, LIMITS, "en") if not check.passed}

    good = Cue("1", 0, 2 * RATE_HZ, ("Hello.",))
    assert failed(good, Cue("2", 2 * RATE_HZ + GAP, 4 * RATE_HZ, ("Hello.",))) == set()
    assert failed(good, Cue("2", 2 * RATE_HZ + 10, 4 * RATE_HZ, ("Hello.",))) == {"subtitle-gap"}
    assert failed(Cue("1", 0, 4 * RATE_HZ, ("a", "b", "c"))) == {"subtitle-lines"}
    assert failed(Cue("1", 0, 4 * RATE_HZ, ("x" * 43,))) == {"subtitle-width"}
    assert failed(Cue("1", 0, 8 * RATE_HZ, ("x",))) == {"subtitle-longest"}
    assert failed(Cue("1", 0, RATE_HZ // 2, ("x",))) == {"subtitle-shortest"}
    assert failed(Cue("1", 0, RATE_HZ, ("x" * 40,))) == {"subtitle-speed"}
    assert failed(Cue("1", 0, RATE_HZ, (" ",))) == {"subtitle-text"}
    assert lint((), LIMITS, "en") == ()


NASTY = (r"C:\new {\an8} {braces} <b> & --> x", "第二行")


def test_files_say_what_was_said_to_any_player(tmp_path: Path) -> None:
    cues = [Cue("1", RATE_HZ, 3 * RATE_HZ, NASTY, "Anna <Lee>"), Cue("2", 4 * RATE_HZ, 5 * RATE_HZ, ("1984",), "Ben")]
    write_srt(cues, tmp_path / "a.srt")
    write_vtt(cues, tmp_path / "a.vtt", "es")
    assert (tmp_path / "a.srt").read_bytes().startswith(b"1\n00:00:01,000 --> 00:00:03,000\n")
    vtt = (tmp_path / "a.vtt").read_text("utf-8")
    assert vtt.startswith("WEBVTT\n\nNOTE Language: es\n\n1\n00:00:01.000 --> 00:00:03.000\n<v Anna &lt;Lee&gt;>")
    assert vtt.count("-->") == 2
    for name in ("a.srt", "a.vtt"):
        ask = ["-show_entries", "packet=pts_time,duration_time", "-of", "csv=p=0"]
        packets = subprocess.check_output(["ffprobe", "-v", "error", *ask, tmp_path / name], text=True)
        assert [packet.rstrip(",") for packet in packets.split()] == ["1.000000,2.000000", "4.000000,1.000000"]
    back = read_script(tmp_path / "a.vtt", "es")
    assert [line.speaker for line in back.lines] == ["Anna <Lee>", "Ben"]
    assert back.lines[1].text == "1984"


def test_one_speaker_is_not_named(tmp_path: Path) -> None:
    write_vtt([Cue("1", 0, RATE_HZ, ("Hi.",), "Anna")], tmp_path / "a.vtt", "en")
    assert "<v" not in (tmp_path / "a.vtt").read_text()
    write_vtt([], tmp_path / "b.vtt", "en")
    assert (tmp_path / "b.vtt").read_text().startswith("WEBVTT\n")
