"""Reports of batches: ``batch.json`` for machines, ``batch.md`` for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from storage.scratch import system_errors

REPORTS = ("batch.md", "batch.json")
HEADINGS = ("line", "source", "into", "state", "job", "what to know")


def write_report(report: dict[str, Any], out: Path) -> None:
    """Write both, each whole at any moment."""
    with system_errors():
        out.mkdir(parents=True, exist_ok=True)
        for name, body in (
            ("batch.md", page(report)),
            ("batch.json", json.dumps(report, ensure_ascii=False, indent=1)),
        ):
            new = out / f".{name}.new"
            new.write_text(body + "\n", "utf-8")
            new.replace(out / name)


def page(report: dict[str, Any], most: int | None = None) -> str:
    """The table, in Markdown; what failed comes first. ``most`` is how many rows it may have."""
    counts = ", ".join(f"{count} {state}" for state, count in report["counts"].items())
    order = ("failed", "cancelled", "review", "running", "waiting", "done")
    rows = sorted(report["rows"], key=lambda row: (order.index(row["state"]), row["line"]))
    lines = [f"# {_cell(Path(report['manifest']).name)}", "", f"{report['state']}: {counts}", ""]
    lines += [_row(HEADINGS), _row(["---"] * len(HEADINGS))]
    for row in rows[:most]:
        reason = row["reason"]
        known = f"{reason['message']}; {reason['hint']}" if reason else ""
        link = f"[report]({quote(row['report'], safe='/:')})" if row["report"] else ""
        into = " ".join(row["languages"])
        cells = [str(row["line"]), row["source"], into, row["state"], row["job"] or "", known]
        lines.append(_row([*map(_cell, cells[:-1]), " ".join(filter(None, [_cell(known), link]))]))
    if most is not None and len(rows) > most:
        lines += ["", f"The first {most} of {len(rows)}; `batch.md` has all."]
    return "\n".join(lines)


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """Text that cannot break out of its cell, whoever wrote it."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    for mark in "\\|<>[]`*_":
        shown = shown.replace(mark, f"\\{mark}")
    return shown
