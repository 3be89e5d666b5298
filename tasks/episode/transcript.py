"""The transcript: what was said, by whom and when, as WebVTT, SRT and JSON of the Podcasting 2.0 namespace.

The words are the script's own, never a recogniser's. A cue begins and ends with what is heard, so two who speak at
once have cues that overlap.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from speechmill.languages import is_unspaced
from speechmill.lines import Word
from speechmill.profiles import Subtitles
from tasks.episode.content import Episode, Said, to_ms
from tasks.text.subtitles import Caption, Cue, subtitles
from tasks.text.wrapping import NO_BREAK_SPACE, WORD_JOINER

AS_HEARD = Subtitles(min_s=0.0, gap_ms=0, lines=2, characters_per_s=1000.0, characters_per_s_cjk=1000.0)
"""A transcript is read along with the sound: nothing stays longer than it is said, and nothing is too fast."""
VTT = AS_HEARD.model_copy(update={"characters": 65, "characters_cjk": 32, "max_s": 12.0})
SRT = AS_HEARD.model_copy(update={"characters": 32, "characters_cjk": 16, "max_s": 7.0})
"""Widths as the document on transcripts of the podcast namespace has them."""


def write_vtt(episode: Episode, out: Path) -> None:
    """WebVTT with the speaker of every cue in ``<v>``, lines of at most 65 characters."""
    blocks = [f"WEBVTT\n\nNOTE Language: {episode.language}"]
    for number, cue in enumerate(_cues(episode.lines, episode.language, VTT), 1):
        text = "\n".join(_markup(line) for line in cue.lines)
        who = f"<v {_markup(_one_line(cue.speaker))}>" if cue.speaker else ""
        blocks.append(f"{number}\n{_time(cue.start_samples, '.')} --> {_end(cue, '.')}\n{who}{text}")
    out.write_text("\n\n".join(blocks) + "\n", "utf-8")


def write_srt(episode: Episode, out: Path) -> None:
    """SRT, two lines of 32 characters; ``Name:`` where the speaker changes."""
    blocks = [
        f"{number}\n{_time(cue.start_samples, ',')} --> {_end(cue, ',')}\n" + _plain("\n".join(cue.lines))
        for number, cue in enumerate(_cues(_named(episode.lines, episode.language), episode.language, SRT), 1)
    ]
    out.write_text("\n\n".join(blocks) + "\n", "utf-8")


def write_json(episode: Episode, out: Path) -> None:
    """Version 1.0.0: a segment for every word whose time is known, one for a line where none is."""
    segments = [
        {
            "speaker": line.speaker,
            "startTime": to_ms(word.start_samples) / 1000,
            "endTime": to_ms(word.end_samples) / 1000,
            "body": word.text,
        }
        for line in _by_time(episode.lines)
        for word in line.words or [Word(line.text, line.start_samples, line.end_samples)]
    ]
    out.write_text(json.dumps({"version": "1.0.0", "segments": segments}, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _cues(lines: Sequence[Said], language: str, limits: Subtitles) -> tuple[Cue, ...]:
    captions = [Caption(s.id, s.start_samples, s.end_samples, s.text, s.speaker, s.words) for s in lines]
    return subtitles(captions, limits, language)


def _by_time(lines: Sequence[Said]) -> list[Said]:
    return sorted(lines, key=lambda line: (line.start_samples, line.end_samples, line.id))


def _named(lines: Sequence[Said], language: str) -> list[Said]:
    """Lines by time, each that has another speaker than the one before beginning with the name, which never stands in a
    cue of its own."""
    named, before = [], ""
    glue = WORD_JOINER if is_unspaced(language) else NO_BREAK_SPACE
    for line in _by_time(lines):
        name = _one_line(line.speaker)
        if name and name != before:
            words = line.words and (Word(f"{name}:", line.start_samples, line.start_samples), *line.words)
            line = replace(line, text=f"{name}:{glue}{line.text}", words=words)
        named.append(line)
        before = name
    return named


def _time(samples: int, point: str) -> str:
    return _stamp(to_ms(samples), point)


def _end(cue: Cue, point: str) -> str:
    # A cue of no length is not valid.
    return _stamp(max(to_ms(cue.end_samples), to_ms(cue.start_samples) + 1), point)


def _stamp(ms: int, point: str) -> str:
    whole = ms // 1000
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{ms % 1000:03}"


def _plain(text: str) -> str:
    glued = text.replace(f":{NO_BREAK_SPACE}", ": ").replace(WORD_JOINER, "")
    return glued.replace("-->", "→")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _markup(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
