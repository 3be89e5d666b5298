"""The report page as one HTML file: no other file and no network, unless its sound is too long to be embedded.

Everything in a report is data. What jinja writes is escaped; what the page's script reads comes as JSON in which no
tag can begin, and becomes text nodes only. The page forbids itself the network by its own policy.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from speechmill import languages
from speechmill.profiles import Stretch
from speechmill.reports import DubbedLine, DubbingReport, Stage, State, Target
from speechmill.takes import SENTENCES, Verdict
from tasks.report.sound import PageSound, Track

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; media-src data: 'self' file:; "
    "base-uri 'none'; form-action 'none'"
)
STATES = {
    State.COMPLETED: "Done",
    State.COMPLETED_WITH_REVIEW: "Done, lines to review",
    State.FAILED: "Failed",
}
EASY = Stretch().marked  # up to here most people hear nothing of the stretching
SPEEDS = (
    # upper bound, what stands under the bar, what it says in full
    (1.005, "1.00", "as spoken"),
    (1.05, "≤1.05", "up to 1.05 times faster"),
    (1.10, "≤1.10", "up to 1.10 times faster"),
    (1.20, "≤1.20", "up to 1.20 times faster"),
    (9.0, ">1.20", "faster than 1.20 times"),
)
FACTS = {
    "duration_s": "duration", "language": "language", "width": "width", "height": "height", "sha256": "sha256",
    "name": "file",
}  # fmt: skip


def write_page(report: DubbingReport, sound: PageSound, out: Path) -> None:
    """Write the page of a report to ``out``."""
    out.write_text(page(report, sound), "utf-8")


def page(report: DubbingReport, sound: PageSound) -> str:
    """The whole page. ``sound`` has a dub for every language of the report."""
    tags = list(report.targets)
    slowest = max((stage.seconds for stage in report.stages), default=0.0)
    return _template().render(
        title=report.source.name or report.job,
        report=report,
        state=STATES[report.state],
        policy=POLICY,
        css=Markup(_file("page.css")),
        js=Markup(_file("timeline.js") + _file("page.js")),
        data=Markup(_json(_data(report, sound))),
        source_language=languages.name(report.source.language),
        duration=clock(report.source.duration_s),
        picture=f"{report.source.width} × {report.source.height}" if report.source.width else "",
        languages=[{"tag": tag, "sound_url": _url(sound.dubs[tag]), **_language(report, tag)} for tag in tags],
        original_url=_url(sound.original),
        stages=[_stage(stage, slowest) for stage in report.stages],
        stages_time=_seconds(sum(stage.seconds for stage in report.stages)),
        stages_made=sum(stage.made for stage in report.stages),
        stages_reused=sum(stage.reused for stage in report.stages),
        facts=_facts(report),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["value"] = _value
    environment.filters["urlpath"] = lambda name: quote(name)
    return environment.from_string(_file("page.html"))


@cache
def _file(name: str) -> str:
    return resources.files("tasks.report").joinpath(name).read_text("utf-8")


def _json(value: Any) -> str:
    """JSON that may stand in a script element: no character in it can begin or end a tag or a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _url(track: Track) -> str:
    if track.embedded:
        return "data:audio/mpeg;base64," + base64.b64encode(track.embedded).decode()
    return quote(track.url)


def _peaks(track: Track) -> dict[str, Any]:
    return {"peaks": base64.b64encode(track.peaks).decode(), "perS": track.peaks_per_s}


def _data(report: DubbingReport, sound: PageSound) -> dict[str, Any]:
    """What the page's script works with."""
    speakers = dict.fromkeys(line.speaker for target in report.targets.values() for line in target.lines)
    return {
        "duration": report.source.duration_s,
        "language": report.source.language,
        "original": _peaks(sound.original),
        "speakers": list(speakers),
        "easy": EASY,
        "languages": {
            tag: {**_peaks(sound.dubs[tag]), "lines": _lines(target)} for tag, target in report.targets.items()
        },
    }


def _lines(target: Target) -> list[dict[str, Any]]:
    notes: dict[str, list[str]] = {}
    for repair in target.repairs:
        notes.setdefault(repair.line_id, []).append(repair.what)
    return [_line(line, notes.get(line.id, [])) for line in target.lines]


def _line(line: DubbedLine, notes: list[str]) -> dict[str, Any]:
    return {
        "id": line.id,
        "who": line.speaker,
        "s": line.start_s,
        "e": line.end_s,
        "ps": line.placed_start_s,
        "pe": line.placed_end_s,
        "src": line.source_text,
        "txt": line.text,
        "stretch": line.stretch,
        "lost": round(line.lost_ms),
        "verdict": line.verdict.value,
        "reasons": [SENTENCES[reason] for reason in line.reasons],
        "notes": notes,
        "takes": line.takes,
        "heard": None if line.error_rate is None else round(100 * (1 - min(1.0, line.error_rate))),
    }


def _language(report: DubbingReport, tag: str) -> dict[str, Any]:
    target = report.targets[tag]
    verdicts = Counter(line.verdict for line in target.lines)
    spoken = [line for line in target.lines if line.placed_start_s is not None]
    worst = next((v for v in (Verdict.FAILED, Verdict.REVIEW) if verdicts[v]), Verdict.PASSED)
    easy = sum(1 for line in spoken if line.stretch <= EASY)
    return {
        "name": languages.name(tag),
        "count": len(target.lines),
        "passed": verdicts[Verdict.PASSED],
        "review": verdicts[Verdict.REVIEW],
        "failed": verdicts[Verdict.FAILED],
        "to_review": verdicts[Verdict.REVIEW] + verdicts[Verdict.FAILED],
        "worst": worst.value,
        "silent": len(target.lines) - len(spoken),
        "lost_ms": sum(line.lost_ms for line in target.lines),
        "easy_percent": 100 * easy // len(spoken) if spoken else 100,
        "speeds": _speeds(spoken),
        "profile": target.profile,
        "gauges": _gauges(target),
        "range": f"{target.loudness.lra_lu:.1f}" if target.loudness and target.loudness.lra_lu is not None else "",
        "checks": target.checks,
        "checks_passed": sum(1 for check in target.checks if check.passed),
        "checks_failed": sorted((c for c in target.checks if not c.passed), key=lambda check: check.advisory),
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


def _gauges(target: Target) -> list[dict[str, Any]]:
    loudness, required = target.loudness, target.required_loudness
    if loudness is None or required is None:
        return []
    wanted, slack = required.integrated_lufs, required.tolerance_lu
    low, high = wanted - max(6.0, 3 * slack), wanted + max(6.0, 3 * slack)
    peak = required.true_peak_dbtp
    return [
        _gauge("integrated", loudness.integrated_lufs, "LUFS", wanted - slack, wanted + slack, low, high,
               f"{_minus(wanted)} ± {slack:g}"),
        _gauge("true peak", loudness.true_peak_dbtp, "dBTP", peak - 11.0, peak, peak - 11.0, peak + 3.0,
               f"≤ {_minus(peak)}"),
    ]  # fmt: skip


def _gauge(
    label: str, measured: float, unit: str, least: float, most: float, low: float, high: float, required: str
) -> dict[str, Any]:
    """A scale from ``low`` to ``high`` with a band from ``least`` to ``most``; below the scale a peak is fine."""

    def percent(value: float) -> float:
        return round(100 * min(1.0, max(0.0, (value - low) / (high - low))), 1)

    passed = measured <= most and (measured >= least or least == low)
    return {
        "label": label, "value": f"{_minus(measured, 1)} {unit}", "required": required, "passed": passed,
        "percent": percent(measured), "from_percent": percent(least),
        "width_percent": round(percent(most) - percent(least), 1), "low": _minus(low), "high": _minus(high),
    }  # fmt: skip


def _stage(stage: Stage, slowest: float) -> dict[str, Any]:
    return {
        "name": stage.name,
        "time": _seconds(stage.seconds),
        "percent": round(100 * stage.seconds / slowest, 1) if slowest else 0,
        "made": stage.made,
        "reused": stage.reused,
    }


def _facts(report: DubbingReport) -> list[tuple[str, str]]:
    given = report.source.model_dump(exclude_none=True)
    shown = {**given, "duration_s": clock(report.source.duration_s), "language": languages.name(given["language"])}
    return [(FACTS.get(name, name.replace("_", " ")), _value(value)) for name, value in shown.items() if value != ""]


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _minus(round(value, 3))
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_value, value))
    return "–" if value is None else str(value)


def _minus(value: float, digits: int | None = None) -> str:
    """A number with a real minus sign."""
    text = f"{value:g}" if digits is None else f"{value:.{digits}f}"
    return text.replace("-", "−")


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 60 else clock(value)


def clock(value_s: float) -> str:
    """A duration for people: ``1:02:05`` or ``2:05.4``."""
    tenths = round(value_s * 10)
    hours, minutes, rest = tenths // 36_000, tenths // 600 % 60, tenths % 600
    return f"{hours}:{minutes:02}:{rest // 10:02}" if hours else f"{minutes}:{rest // 10:02}.{rest % 10}"
