"""The report page of an episode as one HTML file: its script beside the sound, its chapters, who speaks for how long,
and what of the document is not read. Its parts are those of every report page: ``parts``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speechmill import languages
from speechmill.episodes import Writing
from speechmill.reports import CastMember, Episode, EpisodeReport
from tasks.report import parts
from tasks.report.sound import Track

BRIEF_MS = 10  # between two lines: what is less is said as none


def write_episode_page(report: EpisodeReport, track: Track, out: Path) -> None:
    """Write the page of an episode's report to ``out``."""
    out.write_text(episode_page(report, track), "utf-8")


def episode_page(report: EpisodeReport, track: Track) -> str:
    """The whole page."""
    episode, tag = report.episode, report.source.language
    names = _names(episode)
    return parts.render(
        "episode.html",
        report,
        kind="episode",
        title=report.source.title or report.source.name or report.job,
        duration_s=episode.duration_s,
        data={
            "sounds": ["episode"],
            "speakers": list(names.values()),
            "chapters": list(_chapters(episode)),
            "languages": {tag: {**parts.peaks(track), "lines": list(_lines(report, names))}},
        },
        languages=[
            {
                "tag": tag,
                "name": languages.name(tag),
                "sound_url": parts.url(track),
                "profile": episode.profile,
                "files": list(episode.outputs.items()),
                "repairs": report.writing.repairs,
                "words_per_minute": round(episode.words_per_minute or 0),
                "speaking": _speaking(episode, names),
                **_overview(episode),
            }
        ],
        speakers=list(names.values()),
        chapters=[
            {"at": f"{chapter.start_s:.3f}", "time": parts.clock(chapter.start_s), "title": chapter.title}
            for chapter in episode.chapters
        ],
        cast=[(names[member.speaker], _member(member, names)) for member in episode.cast],
        script=_script(report.writing),
    )


def _overview(episode: Episode) -> dict[str, Any]:
    required = episode.required_loudness
    wanted_lufs = required.target_lufs(episode.channels) if required else None
    return parts.overview(episode.lines, episode.checks, episode.loudness, required, wanted_lufs)


def _names(episode: Episode) -> dict[str, str]:
    """What every speaker is called on the page; two of the same name are told apart by their ids."""
    speakers = dict.fromkeys(
        [*(line.speaker for line in episode.lines), *episode.speaking, *(member.speaker for member in episode.cast)]
    )
    names = {speaker: episode.names.get(speaker) or speaker for speaker in speakers}
    bearers = Counter(names.values())
    return {speaker: name if bearers[name] == 1 else f"{name} ({speaker})" for speaker, name in names.items()}


def _chapters(episode: Episode) -> Iterator[dict[str, Any]]:
    """Chapters with the place of the first line that begins in them, for the headings of the script."""
    for chapter in episode.chapters:
        line = next(
            (
                at
                for at, line in enumerate(episode.lines)
                if line.placed_end_s is not None and line.placed_end_s > chapter.start_s
            ),
            None,
        )
        yield {"s": chapter.start_s, "title": chapter.title, "line": line}


def _lines(report: EpisodeReport, names: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Lines for the page's script. One that is not heard stands where the line before it ends."""
    notes = parts.notes_by_line(report.writing.repairs)
    for doubt in report.writing.unsupported:
        notes.setdefault(doubt.line_id, []).append(doubt.why)
    before_s: float | None = None
    for line in report.episode.lines:
        start_s, end_s = line.placed_start_s, line.placed_end_s
        facts = [_gap(before_s, start_s), line.voice and f"voice {line.voice}", line.engine]
        said = [f"Said: {line.spoken}"] if line.spoken and line.spoken != line.text else []
        yield {
            **parts.line_data(line, names[line.speaker], line.error_rate, [*said, *notes.get(line.id, [])]),
            "s": before_s or 0.0 if start_s is None else start_s,
            "e": before_s or 0.0 if end_s is None else end_s,
            "facts": [fact for fact in facts if fact],
        }
        if end_s is not None:  # who goes on after a backchannel goes on from the line that it was said under
            before_s = max(before_s or 0.0, end_s)


def _gap(before_s: float | None, start_s: float | None) -> str:
    """How long nobody spoke before a line, in words."""
    if before_s is None or start_s is None:
        return ""
    gap_ms = round((start_s - before_s) * 1000)
    if abs(gap_ms) < BRIEF_MS:
        return "no gap"
    return f"{gap_ms} ms gap" if gap_ms > 0 else f"overlaps {-gap_ms} ms"


def _speaking(episode: Episode, names: dict[str, str]) -> list[dict[str, Any]]:
    """A bar for every speaker, the one who speaks most first."""
    most_s, together_s = max(episode.speaking.values(), default=0.0), sum(episode.speaking.values())
    return [
        {
            "name": names[speaker],
            "time": parts.clock(spoken_s),
            "share": round(100 * spoken_s / together_s) if together_s else 0,
            "percent": round(100 * spoken_s / most_s, 1) if most_s else 0,
        }
        for speaker, spoken_s in sorted(episode.speaking.items(), key=lambda item: -item[1])
    ]


def _member(member: CastMember, names: dict[str, str]) -> str:
    """A speaker's voice and place in words."""
    sharers = ", ".join(names.get(other, other) for other in member.shared_with)
    facts = [
        f"voice {member.voice}{' as the cast says' if member.chosen == 'cast' else ''}",
        f"{member.pitch:+g} semitones" if member.pitch else "",
        f"at {member.rate:g} times its pace" if member.rate != 1 else "",
        f"seat {abs(member.pan):.0%} {'left' if member.pan < 0 else 'right'}" if member.pan else "",
        f"level {member.gain_db:+.1f} dB",
        f"shared with {sharers}" if sharers else "",
        f"by leave of {', '.join(member.consent.values())}" if member.consent else "",
    ]
    return " · ".join(fact for fact in facts if fact)


def _script(writing: Writing) -> list[tuple[str, str]]:
    """How the script came to be."""
    facts = [
        ("written by", writing.writer),
        ("words", f"{writing.words}" if writing.words else ""),
        ("minutes asked for", f"{writing.minutes_asked:g}" if writing.minutes_asked else ""),
        ("minutes estimated", f"{writing.minutes:.1f}" if writing.minutes else ""),
        ("tokens", f"{writing.tokens}" if writing.tokens else ""),
    ]
    return [(name, given) for name, given in facts if given]
