"""Edits: what a person made of lines, and whose they are once the lines are made anew. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speechmill.lines import Doubt

WAYS = ((True, True, True), (True, True, False), (True, False, True), (True, False, False), (False, True, True))
"""In which a line may be the one that an edit was made of, the surest first: by its source, its time, its number."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What a person made of a line."""

    line_id: str
    source: str  # digest of what the person wrote it for
    start_samples: int | None
    end_samples: int | None
    text: str
    spoken: str
    doubts: tuple[str, ...] = ()  # raised since

    def instead(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a line's row, with this in place of what was made. A changed source is doubted; what the edit
        was written for is kept, so that the doubt goes when the source is changed back."""
        changed = (str(Doubt.SOURCE_CHANGED),) if values["source"] != self.source else ()
        doubts = [*(doubt for doubt in self.doubts if doubt != Doubt.SOURCE_CHANGED), *changed]
        return {**values, "text": self.text, "spoken": self.spoken, "doubts": doubts, "source": self.source}

    def is_at_the_time_of(self, values: Mapping[str, Any]) -> bool:
        start, end = values["start_samples"], values["end_samples"]
        if start is None or end is None or self.start_samples is None or self.end_samples is None:
            return False
        return bool(self.start_samples < end and start < self.end_samples)


def belonging(edits: Iterable[Edit], lines: Sequence[Mapping[str, Any]]) -> dict[str, Edit]:
    """The edit of each line that has one, by line id; lines as the values of their rows.

    An edit goes with its source: lines get other numbers where one comes or goes before them. Of lines that say the
    same it goes to the one at its time, else to the one of its number, else to the first. One whose source is nowhere
    any more stays with its line, if that is still said at the same time; else it has nothing to belong to.
    """
    free = {edit.line_id: edit for edit in edits}
    of_source: dict[str, list[Edit]] = {}
    for edit in free.values():
        of_source.setdefault(edit.source, []).append(edit)
    found: dict[str, Edit] = {}
    for source, time, number in WAYS:
        for values in lines:
            own = free.get(values["line_id"])
            near = of_source.get(values["source"], []) if source else [own]
            fitting = [
                edit
                for edit in near
                if edit is not None
                and edit.line_id in free
                and (edit is own or not number)
                and (not time or edit.is_at_the_time_of(values))
            ]
            if fitting and values["line_id"] not in found:
                found[values["line_id"]] = free.pop(fitting[0].line_id)
    return found
