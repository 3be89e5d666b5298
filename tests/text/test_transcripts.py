"""Recognised words become lines that one breath could say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmill.lines import RATE_HZ, Anchor, Doubt, Word
from tasks.text.transcripts import (
    MOST_CHARACTERS,
    MOST_SAMPLES,
    PAUSE_SAMPLES,
    Passage,
    Turn,
    lines_from_passages,
    lines_from_text,
    lines_from_words,
)


def words(*parts: str | float, confidence: float = 1.0, each_s: float = 0.4) -> list[Word]:
    """Words of ``each_s``; a number is a pause in seconds."""
    made: list[Word] = []
    at = 0.0
    for part in parts:
        if isinstance(part, float):
            at += part
            continue
        for text in part.split():
            made.append(Word(text, round(at * RATE_HZ), round((at + each_s) * RATE_HZ), confidence))
            at += each_s
    return made


@pytest.mark.parametrize(
    ("parts", "lines"),
    [
        (("one two", 0.4, "three"), ["one two three"]),  # a short pause is a comma
        (("one two", 0.6, "three"), ["one two", "three"]),  # a long one is a new line
        (("One two three. Four five six seven.",), ["One two three.", "Four five six seven."]),
        (("Yes. One two three four.",), ["Yes. One two three four."]),  # nobody wants a line of 0.4 s
        (("One two three four. Yes.",), ["One two three four. Yes."]),
        (("a " * 20,), [" ".join("a" * 10)] * 2),  # eight seconds: in the middle
        (
            ("aa bb cc dd ee ff, gg hh ii jj kk ll mm nn oo pp qq rr",),
            ["aa bb cc dd ee ff,", "gg hh ii jj kk ll mm nn oo pp qq rr"],
        ),
    ],
)  # fmt: skip
def test_lines_end_where_people_breathe(parts: tuple[str | float, ...], lines: list[str]) -> None:
    assert [line.text for line in lines_from_words(words(*parts), "en")] == lines


def test_a_line_ends_where_the_speaker_changes() -> None:
    turns = [Turn(0, 40_000, "a"), Turn(40_000, 9 * RATE_HZ, "b")]
    lines = lines_from_words(words("one two three four"), "en", turns)
    assert [(line.speaker, line.text) for line in lines] == [("a", "one two"), ("b", "three four")]


def test_a_word_outside_every_turn_belongs_to_the_nearest() -> None:
    turns = [Turn(0, RATE_HZ // 10, "a"), Turn(9 * RATE_HZ, 10 * RATE_HZ, "b")]
    assert lines_from_words(words(1.0, "one"), "en", turns)[0].speaker == "a"


def test_unsure_words_are_doubted() -> None:
    heard = [*words("clear words"), Word("mumbled", 5 * RATE_HZ, 6 * RATE_HZ, 0.2)]
    assert [line.doubts for line in lines_from_words(heard, "en")] == [(), (Doubt.UNSURE_TRANSCRIPT,)]


def test_text_without_word_times_is_laid_over_the_speech() -> None:
    spans = [Anchor(RATE_HZ, 3 * RATE_HZ), Anchor(6 * RATE_HZ, 8 * RATE_HZ)]
    lines = lines_from_text("one two three four five six seven eight", spans, "en")
    assert [line.text for line in lines] == ["one two three four", "five six seven eight"]
    assert lines[0].anchor.start_samples == RATE_HZ
    assert 2.5 * RATE_HZ < lines[0].anchor.end_samples <= 3 * RATE_HZ  # nothing is said in the silence
    assert lines[1].anchor == spans[1]
    assert all(line.doubts == (Doubt.NO_WORD_TIMES,) and not line.words for line in lines)


def test_chinese_is_cut_between_characters_and_keeps_latin_words_whole() -> None:
    text = "我们今天使用 MiMo Audio 模型来做一个很长很长的句子而且中间没有任何标点符号所以必须切开"
    lines = lines_from_text(text, [Anchor(0, 9 * RATE_HZ)], "zh")
    assert len(lines) > 1
    assert "".join(line.text for line in lines).replace(" ", "") == text.replace(" ", "")
    assert any("MiMo Audio" in line.text for line in lines)


def test_passages_with_and_without_word_times_make_one_numbered_transcript() -> None:
    late = [Word(w.text, w.start_samples + 60 * RATE_HZ, w.end_samples + 60 * RATE_HZ) for w in words("three four")]
    passages = [
        Passage(60 * RATE_HZ, 90 * RATE_HZ, "three four", tuple(late)),
        Passage(0, 30 * RATE_HZ, "one two", tuple(words("one two"))),
        Passage(30 * RATE_HZ, 60 * RATE_HZ, "untimed words"),
    ]
    lines = lines_from_passages(passages, [Anchor(40 * RATE_HZ, 42 * RATE_HZ)], "en")
    assert [(line.id, line.text) for line in lines] == [
        ("0001", "one two"),
        ("0002", "untimed words"),
        ("0003", "three four"),
    ]
    assert lines[1].anchor == Anchor(40 * RATE_HZ, 42 * RATE_HZ)


timed = st.lists(
    st.tuples(st.integers(0, 2 * PAUSE_SAMPLES), st.integers(1, RATE_HZ), st.text("ab.,", min_size=1, max_size=9)),
    max_size=60,
)


@given(timed, st.booleans())
def test_no_word_is_lost_the_order_stays_and_every_line_fits(parts: list[tuple[int, int, str]], two: bool) -> None:
    heard: list[Word] = []
    at = 0
    for pause, length, text in parts:
        heard.append(Word(text, at + pause, at + pause + length))
        at += pause + length
    turns = [Turn(0, at // 2, "a"), Turn(at // 2, at, "b")] if two and at > 1 else []
    lines = lines_from_words(heard, "en", turns)
    assert [word for line in lines for word in line.words] == heard
    for line in lines:
        assert line.text == " ".join(word.text for word in line.words)
        assert line.anchor == Anchor(line.words[0].start_samples, line.words[-1].end_samples)
        short = line.anchor.length_samples <= MOST_SAMPLES and len(line.text) <= MOST_CHARACTERS
        assert short or len(line.words) == 1
        assert all(
            b.start_samples - a.end_samples < PAUSE_SAMPLES for a, b in zip(line.words, line.words[1:], strict=False)
        )


@given(
    st.text("ab .,", max_size=300),
    st.lists(st.tuples(st.integers(1, 90_000), st.integers(1, 90_000)), min_size=1, max_size=8),
)
def test_text_laid_over_speech_loses_nothing_and_stays_inside(text: str, gaps: list[tuple[int, int]]) -> None:
    spans: list[Anchor] = []
    at = 0
    for silence, speech in gaps:
        spans.append(Anchor(at + silence, at + silence + speech))
        at += silence + speech
    lines = lines_from_text(text, spans, "en")
    assert " ".join(line.text for line in lines) == " ".join(text.split())
    starts = [line.anchor.start_samples for line in lines]
    assert starts == sorted(starts)
    assert all(spans[0].start_samples <= line.anchor.start_samples <= line.anchor.end_samples <= at for line in lines)


def test_a_doubt_about_a_passage_is_a_doubt_about_its_lines() -> None:
    spans = [Anchor(0, 4 * RATE_HZ)]
    unsure = Passage(0, 4 * RATE_HZ, "He lives near the river.", doubts=(Doubt.UNSURE_TRANSCRIPT,))
    (line,) = lines_from_passages([unsure], spans, "en")
    assert line.doubts == (Doubt.NO_WORD_TIMES, Doubt.UNSURE_TRANSCRIPT)
