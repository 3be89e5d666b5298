"""Transcripts: recognised words into lines that one breath could say. Pure; times are absolute samples at 48 kHz."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from speechmill.languages import UNSPACED, base
from speechmill.lines import RATE_HZ, Anchor, Doubt, Line, Word, samples_of_ms

PAUSE_SAMPLES = samples_of_ms(500)  # who is silent for half a second begins a new line
MOST_SAMPLES = 7 * RATE_HZ  # a longer line does not fit one subtitle (Netflix: 7 s), and drifts from the picture
MOST_CHARACTERS = 84  # two lines of 42
MOST_CHARACTERS_UNSPACED = 32  # two lines of 16: a Chinese character says about as much as three Latin ones
SHORT_SAMPLES = RATE_HZ  # a sentence below one second stays with the one before it: “Yes. I know.”
UNSURE_BELOW = 0.5  # mean confidence of a line's words below which a person should read them

SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", "।", "؟", "۔")
CLAUSE_ENDS = (",", ";", ":", "，", "；", "：", "、", "،", "–", "—")
UNSPACED_TOKEN = re.compile(r"[A-Za-z0-9]+(?:[.'’-][A-Za-z0-9]+)*|\S")  # a Latin word or number, or one character
SEAM = re.compile(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])")  # only Latin words keep a space between them
CLOSING = "\"'”’»)]」』"


@dataclass(frozen=True, slots=True)
class Turn:
    """When somebody speaks."""

    start_samples: int
    end_samples: int
    speaker: str


@dataclass(frozen=True, slots=True)
class Passage:
    """What was heard between two times. ``words`` are empty where the engine gives none."""

    start_samples: int
    end_samples: int
    text: str
    words: tuple[Word, ...] = ()
    doubts: tuple[Doubt, ...] = ()  # of the engine, about all of it


def lines_from_passages(
    passages: Sequence[Passage], spans: Sequence[Anchor], language: str, turns: Sequence[Turn] = ()
) -> tuple[Line, ...]:
    """All that was heard as lines with ids ``0001`` …, in order: by word times, or by the ``spans`` in which speech
    was detected where a passage has none."""
    lines: list[Line] = []
    words: list[Word] = []
    for passage in sorted(passages, key=lambda passage: passage.start_samples):
        if passage.words:
            words.extend(passage.words)  # the last words of one passage and the first of the next may be one line
            continue
        lines.extend(lines_from_words(words, language, turns))
        words = []
        inside = [
            Anchor(max(s.start_samples, passage.start_samples), min(s.end_samples, passage.end_samples))
            for s in spans
            if s.start_samples < passage.end_samples and s.end_samples > passage.start_samples
        ]
        whole = Anchor(passage.start_samples, passage.end_samples)
        timed = lines_from_text(passage.text, inside or [whole], language, turns)
        lines.extend(replace(line, doubts=(*line.doubts, *passage.doubts)) for line in timed)
    lines.extend(lines_from_words(words, language, turns))
    return numbered(lines)


def lines_from_words(words: Sequence[Word], language: str, turns: Sequence[Turn] = ()) -> tuple[Line, ...]:
    """Words as lines: cut at pauses, at changes of speaker and at ends of sentences, never inside a word.

    No line is longer than ``MOST_SAMPLES`` or the most characters of its language, unless one word is. A line whose
    words were not sure has ``Doubt.UNSURE_TRANSCRIPT``.
    """
    ordered = sorted(words, key=lambda word: (word.start_samples, word.end_samples))
    lines: list[Line] = []
    for run, speaker in _runs(ordered, turns):
        for sentence in _sentences(run, language):
            lines.extend(_line(part, speaker, language) for part in _fitting(sentence, language))
    return numbered(lines)


def lines_from_text(text: str, spans: Sequence[Anchor], language: str, turns: Sequence[Turn] = ()) -> tuple[Line, ...]:
    """A text without word times as lines over the spans in which speech was detected (at least one, in order).

    Every word gets time for its length, as if speech went on evenly through the spans; the lines say so with
    ``Doubt.NO_WORD_TIMES``.
    """
    tokens = UNSPACED_TOKEN.findall(text) if base(language) in UNSPACED else text.split()
    weights = [len(token) + 1 for token in tokens]
    speech = sum(span.length_samples for span in spans)
    words: list[Word] = []
    before = 0
    for token, weight in zip(tokens, weights, strict=True):
        first, start = _where(spans, speech * before // sum(weights), after=True)
        last, end = _where(spans, speech * (before + weight) // sum(weights), after=False)
        if first < last:  # a word over a silence is said on the side that has more of it
            if spans[first].end_samples - start >= end - spans[last].start_samples:
                end = spans[first].end_samples
            else:
                start = spans[last].start_samples
        words.append(Word(token, start, end))
        before += weight
    runs = [part for run, _ in _runs(words, turns) for part in _sentences(run, language)]
    return numbered(
        [
            _line(part, _speaker(part, turns), language, Doubt.NO_WORD_TIMES)
            for sentence in runs
            for part in _fitting(sentence, language)
        ]
    )


def numbered(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The lines with ids ``0001``, ``0002`` … in their order."""
    width = max(4, len(str(len(lines))))
    return tuple(
        Line(f"{n:0{width}}", line.speaker, line.language, line.text, anchor=line.anchor, words=line.words,
             doubts=line.doubts)
        for n, line in enumerate(lines, 1)
    )  # fmt: skip


def _where(spans: Sequence[Anchor], speech_samples: int, *, after: bool) -> tuple[int, int]:
    """Span and time at which so much speech has gone by; at the seam of two spans, after it or before it."""
    for at, span in enumerate(spans):
        if speech_samples < span.length_samples or (speech_samples == span.length_samples and not after):
            return at, span.start_samples + speech_samples
        speech_samples -= span.length_samples
    return len(spans) - 1, spans[-1].end_samples


def _runs(words: Sequence[Word], turns: Sequence[Turn]) -> list[tuple[list[Word], str]]:
    """Words that one speaker says without a pause."""
    runs: list[tuple[list[Word], str]] = []
    for word in words:
        speaker = _speaker([word], turns)
        if runs and runs[-1][1] == speaker and word.start_samples - runs[-1][0][-1].end_samples < PAUSE_SAMPLES:
            runs[-1][0].append(word)
        else:
            runs.append(([word], speaker))
    return runs


def _speaker(words: Sequence[Word], turns: Sequence[Turn]) -> str:
    start, end = words[0].start_samples, words[-1].end_samples
    shared: dict[str, int] = {}
    for turn in turns:
        time = min(end, turn.end_samples) - max(start, turn.start_samples)
        if time > 0:
            shared[turn.speaker] = shared.get(turn.speaker, 0) + time
    if shared:
        return max(shared, key=lambda speaker: shared[speaker])
    nearest = min(turns, key=lambda t: max(t.start_samples - end, start - t.end_samples), default=None)
    return nearest.speaker if nearest else ""


def _sentences(run: Sequence[Word], language: str) -> list[list[Word]]:
    sentences: list[list[Word]] = [[]]
    for word in run:
        last = sentences[-1]
        if last and _ends(last[-1].text, SENTENCE_ENDS) and _length(last) >= SHORT_SAMPLES:
            sentences.append([])
        sentences[-1].append(word)
    if len(sentences) > 1 and _length(sentences[-1]) < SHORT_SAMPLES:
        joined = sentences[-2] + sentences[-1]
        if _fits(joined, language):
            sentences[-2:] = [joined]
    return sentences


def _fitting(words: list[Word], language: str) -> list[list[Word]]:
    """Cut at the best places until every part fits one line."""
    if len(words) < 2 or _fits(words, language):
        return [words]
    cut = max(range(1, len(words)), key=lambda at: _goodness(words, at))
    return _fitting(words[:cut], language) + _fitting(words[cut:], language)


def _fits(words: Sequence[Word], language: str) -> bool:
    most = MOST_CHARACTERS_UNSPACED if base(language) in UNSPACED else MOST_CHARACTERS
    return _length(words) <= MOST_SAMPLES and len(_text(words, language)) <= most


def _goodness(words: Sequence[Word], at: int) -> float:
    """How good a place ``at`` is to cut: near the middle, after punctuation, in a pause."""
    before = words[at - 1].end_samples - words[0].start_samples
    after = words[-1].end_samples - words[at].start_samples
    balance = min(before, after) / max(1, before, after)  # 1 in the middle, 0 at the ends
    text = words[at - 1].text
    mark = 1.0 if _ends(text, SENTENCE_ENDS) else 0.6 if _ends(text, CLAUSE_ENDS) else 0.0
    pause = max(0, words[at].start_samples - words[at - 1].end_samples) / PAUSE_SAMPLES
    return balance + mark + pause


def _ends(text: str, marks: tuple[str, ...]) -> bool:
    return text.rstrip(CLOSING).endswith(marks)


def _length(words: Sequence[Word]) -> int:
    """From the first to the last sample; words of a recogniser may lie inside one another."""
    return max(word.end_samples for word in words) - words[0].start_samples


def _text(words: Sequence[Word], language: str) -> str:
    text = " ".join(word.text for word in words)
    return SEAM.sub("", text) if base(language) in UNSPACED else text


def _line(words: Sequence[Word], speaker: str, language: str, *doubts: Doubt) -> Line:
    sure = sum(word.confidence * len(word.text) for word in words) / max(1, sum(len(word.text) for word in words))
    if sure < UNSURE_BELOW:
        doubts = (*doubts, Doubt.UNSURE_TRANSCRIPT)
    timed = () if Doubt.NO_WORD_TIMES in doubts else tuple(words)
    anchor = Anchor(words[0].start_samples, words[0].start_samples + _length(words))
    return Line("", speaker, language, _text(words, language), anchor=anchor, words=timed, doubts=doubts)
