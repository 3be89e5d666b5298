"""The preview: what will be read aloud and how, and what is skipped and why. Costs no engine."""

from __future__ import annotations

import json
from collections.abc import Iterator

from speechmill.episodes import EpisodeScript
from tasks.documents.blocks import Document
from tasks.scriptwriting.keeping import script_json
from tasks.text.lexicons import Lexicon


def preview(document: Document | None, script: EpisodeScript) -> str:
    """The script as a person reads it: chapters, lines with their speaker, spoken forms where they differ, and after
    them everything that is not heard. ``document`` is None for a script that a person wrote."""
    return "\n".join(_lines(document, script)) + "\n"


def preview_json(document: Document | None, script: EpisodeScript, lexicon: Lexicon) -> str:
    """The same for machines: the script as an episode leaves it, and how it came to be, with what is left out."""
    source = document and {
        "name": document.name,
        "language": document.language,
        "blocks": len(document.blocks),
        "characters": len(document.text),
    }
    body = json.loads(script_json(script, lexicon))
    writing = body.pop("writing", None) or script.writing.model_dump(mode="json")
    return json.dumps({"document": source, "script": body, "writing": writing}, ensure_ascii=False)


def _lines(document: Document | None, script: EpisodeScript) -> Iterator[str]:
    writing = script.writing
    yield f"{script.title} ({script.language})"
    if document is not None:
        blocks = len(document.blocks)
        yield f"from {document.name}: {blocks} block{'s' * (blocks != 1)}, {len(document.text)} characters"
    long = f"{writing.minutes:.1f} minutes" if writing.minutes >= 1 else f"{writing.minutes * 60:.0f} seconds"
    yield f"about {long}, {writing.words} words, {len(script.lines)} lines"
    for name, share in writing.share.items():
        yield f"  {script.speakers[name].name or name if name in script.speakers else name}: {share:.0%} of the words"
    chapter = ""
    for line in script.lines:
        if line.chapter and line.chapter != chapter:
            chapter = line.chapter
            yield ""
            yield f"== {chapter}"
        marks = [*([f"pace {line.pace:g}"] if line.pace != 1 else []), *([line.style] if line.style else [])]
        marks += [f"gap {line.gap_ms} ms"] if line.gap_ms is not None else []
        yield f"{line.id} {line.speaker}{' (' + ', '.join(marks) + ')' if marks else ''}: {line.text}"
        if line.spoken:
            yield f"     said as: {line.spoken}"
    yield from _told(script)


def _told(script: EpisodeScript) -> Iterator[str]:
    writing = script.writing
    if writing.left_out:
        yield ""
        yield "== Not read"
        for part in writing.left_out:
            yield f"{part.what}, {part.place}: “{part.text}” {part.why}" if part.text else f"{part.place}: {part.why}"
    if writing.unsupported:
        yield ""
        yield "== Not supported by the document"
        yield from (f"{claim.line_id}: {claim.why}" for claim in writing.unsupported)
    if writing.repairs or writing.notes:
        yield ""
        yield "== To know"
        yield from (f"{repair.line_id}: {repair.what}" if repair.line_id else repair.what for repair in writing.repairs)
        yield from writing.notes
