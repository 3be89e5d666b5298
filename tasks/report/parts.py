"""What every report page is built from: the template, the counts and gauges of its cards, and values for people.

Everything in a report is data. What jinja writes is escaped; what the page's script reads comes as JSON in which no
tag can begin, and becomes text nodes only. The page forbids itself the network by its own policy.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup
from pydantic import BaseModel

from speechmill import languages
from speechmill.profiles import Loudness as LoudnessLimits
from speechmill.repairs import Repair
from speechmill.reports import (
    Check,
    DubbingReport,
    EpisodeReport,
    Loudness,
    SpokenLine,
    Stage,
    State,
)
from speechmill.takes import SENTENCES, Verdict
from tasks.report.sound import Track

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; media-src data: 'self' file:; "
    "base-uri 'none'; form-action 'none'"
)
STATES = {
    State.COMPLETED: "Done",
    State.COMPLETED_WITH_REVIEW: "Done, lines to review",
    State.FAILED: "Failed",
}
FACTS = {
    "duration_s": "duration",
    "frames_per_s": "frames a second",
    "name": "file",
    "rotation_degrees": "turned (degrees)",
    "sound_rate_hz": "sound rate (Hz)",
}


def render(
    template: str, report: DubbingReport | EpisodeReport, *, title: str, duration_s: float, data: Mapping[str, Any],
    **more: object,
) -> str:  # fmt: skip
    """The whole page. ``data`` is what its script works with; ``more`` is for the template."""
    slowest = max((stage.seconds for stage in report.stages), default=0.0)
    return (
        _environment()
        .get_template(template)
        .render(
            report=report,
            title=title,
            state=STATES[report.state],
            policy=POLICY,
            css=Markup(_file("page.css")),
            js=Markup(_file("timeline.js") + _file("page.js")),
            data=Markup(_json({**data, "duration": duration_s})),
            sounds=data["sounds"],
            source_language=languages.name(report.source.language),
            duration=clock(duration_s),
            stages=[_stage(stage, slowest) for stage in report.stages],
            stages_time=_seconds(sum(stage.seconds for stage in report.stages)),
            stages_made=sum(stage.made for stage in report.stages),
            stages_reused=sum(stage.reused for stage in report.stages),
            facts=_facts(report.source),
            **more,
        )
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_file),
    )  # fmt: skip
    environment.filters["value"] = value
    environment.filters["clock"] = clock
    environment.filters["urlpath"] = lambda name: quote(name)
    return environment


@cache
def _file(name: str) -> str:
    return resources.files("tasks.report").joinpath(name).read_text("utf-8")


def _json(given: Any) -> str:
    """JSON that may stand in a script element: no character in it can begin or end a tag or a comment."""
    text = json.dumps(given, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def url(track: Track) -> str:
    """Where a page hears a track: in itself, or beside it."""
    if track.embedded:
        return "data:audio/mpeg;base64," + base64.b64encode(track.embedded).decode()
    return quote(track.url)


def peaks(track: Track) -> dict[str, Any]:
    """The waveform for the page's script."""
    return {"peaks": base64.b64encode(track.peaks).decode(), "perS": track.peaks_per_s}


def notes_by_line(repairs: Iterable[Repair]) -> dict[str, list[str]]:
    """What was put right, by the line it is about."""
    notes: dict[str, list[str]] = {}
    for repair in repairs:
        notes.setdefault(repair.line_id, []).append(repair.what)
    return notes


def line_data(line: SpokenLine, who: str, error_rate: float | None, notes: list[str]) -> dict[str, Any]:
    """What every page's script knows of a line; when the page wants it placed (``s``, ``e``) is the page's own."""
    return {
        "id": line.id,
        "who": who,
        "ps": line.placed_start_s,
        "pe": line.placed_end_s,
        "txt": line.text,
        "lost": round(line.lost_ms),
        "verdict": line.verdict.value,
        "reasons": [SENTENCES[reason] for reason in line.reasons],
        "notes": notes,
        "takes": line.takes,
        "heard": None if error_rate is None else round(100 * (1 - min(1.0, error_rate))),
    }


def overview(
    lines: Sequence[SpokenLine], checks: Sequence[Check], loudness: Loudness | None,
    required: LoudnessLimits | None, wanted_lufs: float | None,
) -> dict[str, Any]:  # fmt: skip
    """The cards that every language of every page has."""
    verdicts = Counter(line.verdict for line in lines)
    worst = next((v for v in (Verdict.FAILED, Verdict.REVIEW) if verdicts[v]), Verdict.PASSED)
    return {
        "count": len(lines),
        "passed": verdicts[Verdict.PASSED],
        "review": verdicts[Verdict.REVIEW],
        "failed": verdicts[Verdict.FAILED],
        "to_review": verdicts[Verdict.REVIEW] + verdicts[Verdict.FAILED],
        "worst": worst.value,
        "silent": sum(1 for line in lines if line.placed_start_s is None),
        "lost_ms": sum(line.lost_ms for line in lines),
        "gauges": _gauges(loudness, required, wanted_lufs),
        "range": f"{loudness.lra_lu:.1f}" if loudness and loudness.lra_lu is not None else "",
        "checks": checks,
        "checks_passed": sum(1 for check in checks if check.passed),
        "checks_failed": sorted((c for c in checks if not c.passed), key=lambda check: check.advisory),
    }


def _gauges(
    loudness: Loudness | None, required: LoudnessLimits | None, wanted_lufs: float | None
) -> list[dict[str, Any]]:
    if loudness is None or required is None or wanted_lufs is None:
        return []
    slack = required.tolerance_lu
    low, high = wanted_lufs - max(6.0, 3 * slack), wanted_lufs + max(6.0, 3 * slack)
    peak = required.true_peak_dbtp
    return [
        _gauge("integrated", loudness.integrated_lufs, "LUFS", wanted_lufs - slack, wanted_lufs + slack, low, high,
               f"{minus(wanted_lufs)} ± {slack:g}"),
        _gauge("true peak", loudness.true_peak_dbtp, "dBTP", peak - 11.0, peak, peak - 11.0, peak + 3.0,
               f"≤ {minus(peak)}"),
    ]  # fmt: skip


def _gauge(
    label: str, measured: float, unit: str, least: float, most: float, low: float, high: float, required: str
) -> dict[str, Any]:
    """A scale from ``low`` to ``high`` with a band from ``least`` to ``most``; below the scale a peak is fine."""

    def percent(at: float) -> float:
        return round(100 * min(1.0, max(0.0, (at - low) / (high - low))), 1)

    passed = measured <= most and (measured >= least or least == low)
    return {
        "label": label, "value": f"{minus(measured, 1)} {unit}", "required": required, "passed": passed,
        "percent": percent(measured), "from_percent": percent(least),
        "width_percent": round(percent(most) - percent(least), 1), "low": minus(low), "high": minus(high),
    }  # fmt: skip


def _stage(stage: Stage, slowest: float) -> dict[str, Any]:
    return {
        "name": stage.name,
        "time": _seconds(stage.seconds),
        "percent": round(100 * stage.seconds / slowest, 1) if slowest else 0,
        "made": stage.made,
        "reused": stage.reused,
    }


def _facts(source: BaseModel) -> list[tuple[str, str]]:
    shown = source.model_dump(exclude_none=True)
    if "duration_s" in shown:
        shown["duration_s"] = clock(shown["duration_s"])
    shown["language"] = languages.name(shown["language"])
    return [(FACTS.get(name, name.replace("_", " ")), value(given)) for name, given in shown.items() if given != ""]


def value(given: object) -> str:
    """A measured or required value, or a fact."""
    if isinstance(given, bool):
        return "yes" if given else "no"
    if isinstance(given, float):
        return minus(round(given, 3))
    if isinstance(given, (list, tuple)):
        return ", ".join(map(value, given))
    return "–" if given is None else str(given)


def minus(given: float, digits: int | None = None) -> str:
    """A number with a real minus sign."""
    text = f"{given:g}" if digits is None else f"{given:.{digits}f}"
    return text.replace("-", "−")


def _seconds(given: float) -> str:
    return f"{given:.2f} s" if given < 60 else clock(given)


def clock(value_s: float) -> str:
    """A duration for people: ``1:02:05`` or ``2:05.4``."""
    tenths = round(value_s * 10)
    hours, minutes, rest = tenths // 36_000, tenths // 600 % 60, tenths % 600
    return f"{hours}:{minutes:02}:{rest // 10:02}" if hours else f"{minutes}:{rest // 10:02}.{rest % 10}"
