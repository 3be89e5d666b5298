"""The report page of a dub as one HTML file: no other file and no network, unless its sound is too long to be embedded.

Its parts are those of every report page: ``parts``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from speechmill import languages
from speechmill.profiles import Stretch
from speechmill.reports import DubbedLine, DubbingReport, Target
from tasks.report import parts
from tasks.report.sound import PageSound

EASY = Stretch().marked  # up to here most people hear nothing of the stretching
SPEEDS = (
    # upper bound, what stands under the bar, what it says in full
    (1.005, "1.00", "as spoken"),
    (1.05, "≤1.05", "up to 1.05 times faster"),
    (1.10, "≤1.10", "up to 1.10 times faster"),
    (1.20, "≤1.20", "up to 1.20 times faster"),
    (9.0, ">1.20", "faster than 1.20 times"),
)


def write_page(report: DubbingReport, sound: PageSound, out: Path) -> None:
    """Write the page of a report to ``out``."""
    out.write_text(page(report, sound), "utf-8")


def page(report: DubbingReport, sound: PageSound) -> str:
    """The whole page. ``sound`` has a dub for every language of the report."""
    source = report.source
    return parts.render(
        "dubbing.html",
        report,
        kind="dubbing",
        title=source.name or report.job,
        duration_s=source.duration_s,
        data=_data(report, sound),
        picture=" × ".join(map(str, source.seen or ())),
        languages=[
            {"tag": tag, "sound_url": parts.url(sound.dubs[tag]), **_language(report, tag)} for tag in report.targets
        ],
        original_url=parts.url(sound.original),
    )


def _data(report: DubbingReport, sound: PageSound) -> dict[str, Any]:
    """What the page's script works with."""
    speakers = dict.fromkeys(line.speaker for target in report.targets.values() for line in target.lines)
    return {
        "language": report.source.language,
        "sounds": ["original", "dub"],
        "original": parts.peaks(sound.original),
        "speakers": list(speakers),
        "easy": EASY,
        "languages": {
            tag: {**parts.peaks(sound.dubs[tag]), "lines": _lines(target)} for tag, target in report.targets.items()
        },
    }


def _lines(target: Target) -> list[dict[str, Any]]:
    notes = parts.notes_by_line(target.repairs)
    return [_line(line, notes.get(line.id, [])) for line in target.lines]


def _line(line: DubbedLine, notes: list[str]) -> dict[str, Any]:
    return {
        **parts.line_data(line, line.speaker, line.error_rate, notes),
        "s": line.start_s,
        "e": line.end_s,
        "src": line.source_text,
        "stretch": line.stretch,
    }


def _language(report: DubbingReport, tag: str) -> dict[str, Any]:
    target = report.targets[tag]
    required = target.required_loudness
    wanted_lufs = required.target_lufs(target.channels) if required else None
    spoken = [line for line in target.lines if line.placed_start_s is not None]
    easy = sum(1 for line in spoken if line.stretch <= EASY)
    return {
        **parts.overview(target.lines, target.checks, target.loudness, required, wanted_lufs),
        "name": languages.name(tag),
        "easy_percent": 100 * easy // len(spoken) if spoken else 100,
        "speeds": _speeds(spoken),
        "profile": target.profile,
        "files": [(k, name) for k, name in target.outputs.model_dump().items() if name]
        + [(f"transcript {kind}", name) for kind, name in report.transcript.items()],
        "repairs": target.repairs,
    }


def _speeds(lines: Iterable[DubbedLine]) -> list[dict[str, Any]]:
    counts = Counter(next(n for n, (most, *_) in enumerate(SPEEDS) if line.stretch <= most) for line in lines)
    highest = max(counts.values(), default=1)
    return [
        {
            "count": counts[n],
            "short": short,
            "label": label,
            "percent": round(76 * counts[n] / highest),  # the rest is for what stands under the bar
            "kind": "none" if not counts[n] else "review" if most > EASY else "passed",
        }
        for n, (most, short, label) in enumerate(SPEEDS)
    ]
