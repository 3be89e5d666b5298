"""What there is to be seen of jobs: rows for `jobs`, `job` and `lines`, and the one change a person makes, `edit`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flows.deliveries import where
from speechmill import languages
from speechmill.errors import BadInput, UnknownName
from speechmill.lines import seconds
from speechmill.reports import DubbedLine, DubbingReport, EpisodeReport, SpokenLine
from speechmill.settings import settings
from speechmill.takes import Verdict
from storage.catalog import BATCH, WAITS_FOR, Catalog, Job, StoredLine
from tasks.media.shelf import report_of
from tasks.workplace import open_catalog

Delivered = Mapping[str, Mapping[str, SpokenLine]]  # by language and id
FACTS = ("sha256", "duration_s", WAITS_FOR, BATCH)
"""What is found out of a job and told; the rest is of use to its next run only."""
EPISODE = ""  # the language of an episode's lines: it has only one


@contextmanager
def _catalog() -> Iterator[Catalog]:
    catalog = open_catalog(settings())
    try:
        yield catalog
    finally:
        catalog.close()


def job_rows(most: int) -> list[dict[str, Any]]:
    """Jobs, newest first."""
    with _catalog() as catalog:
        return [_row(job) for job in catalog.jobs(most)]


def job_facts(job_id: str) -> dict[str, Any]:
    """One job: what was asked, where it stands, what happened to it."""
    with _catalog() as catalog:
        job = catalog.job(job_id)
        events = [
            {"at": event.at.isoformat(timespec="seconds"), "what": _sentence(event.kind, event.detail)}
            for event in catalog.events(job.id)
        ]
        deliveries = {d.language: {"state": d.state, "outputs": d.outputs} for d in catalog.deliveries(job.id)}
        known = {name: job.facts[name] for name in FACTS if name in job.facts}
        return {**_row(job), **known, "deliveries": deliveries, "events": events}


def line_rows(job_id: str, language: str | None) -> list[dict[str, Any]]:
    """The lines of a job as they are now, with what became of each in the delivery that is there.

    ``verdict`` is empty for a line that is not delivered, ``stale`` for one whose text was changed since.
    """
    with _catalog() as catalog:
        job = catalog.job(job_id)
        wanted = languages.canonical(language) if language else None
        found = catalog.lines(job.id, wanted)
        if wanted is not None and not found:
            tags = sorted({stored.line.language for stored in catalog.lines(job.id)})
            raise UnknownName(
                f"job {job.id} has no lines in {languages.name(wanted)} ({wanted})",
                hint=f"it has lines in {', '.join(tags)}" if tags else "wait until it has lines",
            )
        delivered = _delivered(job)
        return [_line(stored, delivered) for stored in found]


def _line(stored: StoredLine, delivered: Delivered) -> dict[str, Any]:
    line = stored.line
    found = (delivered.get(line.language) or delivered.get(EPISODE, {})).get(line.id)
    reasons: tuple[str, ...] = found.reasons if found else line.doubts
    verdict = "" if found is None else str(found.verdict) if found.text == line.text else "stale"
    return {
        "id": line.id,
        "language": line.language,
        "speaker": line.speaker,
        "start_s": seconds(line.anchor.start_samples) if line.anchor else None,
        "end_s": seconds(line.anchor.end_samples) if line.anchor else None,
        "text": line.text,
        "verdict": verdict,
        "reasons": [str(reason) for reason in reasons],
        "edited": stored.edited,
        "revision": stored.revision,
    }


def _delivered(job: Job) -> Delivered:
    """Delivered lines; none where nothing was delivered yet, or the folder is gone."""
    kind: type[EpisodeReport] | type[DubbingReport] = EpisodeReport if job.kind == "podcast" else DubbingReport
    try:
        found = kind.model_validate_json(report_of(Path(job.out), job.id).read_bytes())
    except (OSError, ValidationError):
        return {}
    if found.job != job.id:
        return {}
    if isinstance(found, EpisodeReport):
        return {EPISODE: {line.id: line for line in found.episode.lines}}
    return {tag: {line.id: line for line in target.lines} for tag, target in found.targets.items()}


def reviewed_lines(job: Job) -> list[dict[str, str]]:
    """The delivered lines that need a person, as rows of a table for people."""
    return [
        {
            "language": tag,
            "line": line.id,
            "speaker": line.speaker,
            "original": line.source_text if isinstance(line, DubbedLine) else "",
            "text": line.text,
            "verdict": str(line.verdict),
            "why": ", ".join(line.reasons),
        }
        for tag, lines in _delivered(job).items()
        for line in lines.values()
        if line.verdict != Verdict.PASSED
    ]


def edit_line(job_id: str, line_id: str, text: str | None, language: str | None) -> dict[str, Any]:
    """Change what a line says, or, with ``None``, leave it in the original; its job becomes stale."""
    if text is not None and not text.strip():
        raise BadInput(
            "the new text is empty", hint="give the words that are to be said, or --keep for those of the original"
        )
    with _catalog() as catalog:
        job = catalog.job(job_id)
        if text is None and job.kind != "dub":
            raise BadInput("an episode has no original to keep", hint="give the words that are to be said")
        tag = languages.canonical(language) if language else _only_language(catalog, job)
        stored = catalog.edit_line(job.id, tag, line_id, None if text is None else text.strip())
        translations = _translations(catalog, job, tag, stored.line.id)
        return {
            "job": job.id,
            "line": stored.line.id,
            "language": tag,
            "text": stored.line.text,
            "kept": text is None,
            "revision": stored.revision,
            "state": str(catalog.job(job.id).state),
            "translations": translations,
        }


def _translations(catalog: Catalog, job: Job, tag: str, line_id: str) -> dict[str, str]:
    """What becomes of a line's translations where the original of a dub is changed, by language: ``anew`` by the
    engine, ``given`` or ``edited``, and then marked for a person."""
    if job.kind != "dub" or tag != job.request["language"]:
        return {}
    edited = {each.line.language for each in catalog.lines(job.id) if each.line.id == line_id and each.edited}
    return {
        target: "edited" if target in edited else "given" if target in job.request["translations"] else "anew"
        for target in job.request["targets"]
    }


def _only_language(catalog: Catalog, job: Job) -> str:
    """The language that an edit without one means: the target of a dub, or that of an episode."""
    tags = job.request.get("targets") or sorted({stored.line.language for stored in catalog.lines(job.id)})
    if len(tags) != 1:
        hint = f"say which with --lang: {', '.join(tags)}" if tags else "wait until it has lines"
        raise BadInput(f"job {job.id} has {'several languages' if tags else 'no lines yet'}", hint=hint)
    return str(tags[0])


def _row(job: Job) -> dict[str, Any]:
    return {
        "job": job.id,
        "kind": job.kind,
        "state": str(job.state),
        "created": job.created_at.isoformat(timespec="seconds"),
        "source": job.request.get("source", ""),
        "targets": list(job.request.get("targets", [])),
        "out": where(job),
    }


def _told(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _sentence(kind: str, detail: dict[str, Any]) -> str:
    """``queued → running``, ``edited: language es, line 0007``."""
    rest = dict(detail)
    what = kind
    if kind == "state":
        before, after = rest.pop("from", None), rest.pop("to", "")
        what = f"{before} → {after}" if before else str(after)
    more = ", ".join(f"{name} {_told(value)}" for name, value in rest.items() if value is not None)
    return f"{what}: {more}" if more else what
