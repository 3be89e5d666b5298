"""Scripts: the lines of a job in each language, what people changed in them, and the cast that speaks them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from speechmill.errors import Conflict, UnknownName
from speechmill.lines import Anchor, Doubt, Line, Word
from speechmill.recipes import Digest, digest_of_bytes
from speechmill.voices import Cast, Consent, Voice
from storage.catalog.edits import Edit, belonging
from storage.catalog.jobs import WAITS_FOR, JobTables
from storage.catalog.models import JobRow, LineRow, VoiceRow
from storage.catalog.states import JobState


@dataclass(frozen=True, slots=True)
class StoredLine:
    """A line as the catalog has it."""

    line: Line
    position: int  # 0 is the first line of its language
    revision: int  # one more with each change of its text
    edited: bool  # by a person
    seed: int  # one more with each other take that a person asked for


class Scripts(JobTables):
    """The catalog's lines and voices."""

    def put_lines(
        self, job_id: str, language: str, lines: Sequence[Line], *, sources: Mapping[str, str] | None = None
    ) -> None:
        """Make these the lines of a job in a language. Putting the same again changes nothing.

        What a person made of a line stays (``storage.catalog.edits``), doubted where the line's source has changed.
        ``sources`` is what each line's text was made from, by line id (the original's text of a translated line); left
        out, it is the line's own text. Lines that are no longer there take their takes with them.
        """
        _check(language, lines)
        with self._database.writing() as session:
            self._job_row(session, job_id)
            mine = (LineRow.job_id == job_id) & (LineRow.language == language)
            old = {row.line_id: row for row in session.scalars(sa.select(LineRow).where(mine))}
            made = [
                _values(line, position, _digest((sources or {}).get(line.id, line.said)))
                for position, line in enumerate(lines)
            ]
            edits = belonging([_edit(row) for row in old.values() if row.edited], made)
            for line_id in old.keys() - {line.id for line in lines}:
                session.delete(old[line_id])
            new = []
            for values in made:
                edit, row = edits.get(values["line_id"]), old.get(values["line_id"])
                values = {**(edit.instead(values) if edit else values), "edited": edit is not None}
                if row is None:
                    new.append({"job_id": job_id, "language": language, **values, "revision": 1, "seed": 0})
                else:
                    _update(row, values)
            if new:
                session.execute(sa.insert(LineRow), new)

    def lines(self, job_id: str, language: str | None = None) -> list[StoredLine]:
        """The lines of a job, in order; of all its languages, one after the other, where none is named."""
        query = sa.select(LineRow).where(LineRow.job_id == job_id).order_by(LineRow.language, LineRow.position)
        if language is not None:
            query = query.where(LineRow.language == language)
        with self._database.reading() as session:
            return [_stored(row) for row in session.scalars(query)]

    def edit_line(self, job_id: str, language: str, line_id: str, text: str | None) -> StoredLine:
        """Change what a line says, or, with ``None``, have the original heard in its place; the job becomes stale.
        Raises ``UnknownName``, or ``Conflict`` while it runs, unless it waits for a person's approval."""
        with self._database.writing() as session:
            job = self._job_row(session, job_id)
            row = self._line_rows(session, job_id, [line_id], language)[0]
            self._outdate(session, job)
            if text is None:
                row.doubts = [str(Doubt.KEPT)]
            else:
                row.text, row.spoken, row.doubts = text, "", []  # a person has read it: the doubts are settled
            row.revision, row.edited = row.revision + 1, True
            origin = job.request.get("language")
            if job.kind == "dub" and origin != language:
                original = session.get(LineRow, {"job_id": job_id, "language": origin, "line_id": row.line_id})
                if original is not None:
                    row.source = _digest(original.text)
            what = {"kept": "the original"} if text is None else {"text": text}
            self._happened(session, job_id, "edited", {"language": language, "line": row.line_id, **what})
            return _stored(row)

    def edited_lines(self, job_id: str) -> int:
        """How many lines of a job a person has changed."""
        query = sa.select(sa.func.count()).where(LineRow.job_id == job_id, LineRow.edited)
        with self._database.reading() as session:
            return session.scalar(query) or 0

    def ask_retake(self, job_id: str, line_ids: Sequence[str], language: str | None = None) -> None:
        """Have lines spoken otherwise, with the same words: each gets its next seed, the job becomes stale."""
        with self._database.writing() as session:
            job = self._job_row(session, job_id)
            rows = self._line_rows(session, job_id, line_ids, language)
            for row in rows:
                row.seed += 1
            self._outdate(session, job)
            asked = sorted({row.line_id for row in rows})
            self._happened(session, job_id, "retake", {"language": language, "lines": asked})

    def seeds(self, job_id: str, language: str) -> dict[str, int]:
        """The seed of each line, by line id."""
        query = sa.select(LineRow.line_id, LineRow.seed).where(LineRow.job_id == job_id, LineRow.language == language)
        with self._database.reading() as session:
            return dict(session.execute(query).tuples().all())

    def put_cast(self, job_id: str, language: str, cast: Cast) -> None:
        """Make this the cast of a job in a language."""
        rows = [
            {
                "job_id": job_id,
                "language": language,
                "speaker": speaker,
                "name": voice.name,
                "engine": voice.engine,
                "settings": voice.settings,
                "reference": voice.reference,
                "consent": asdict(voice.consent) if voice.consent else None,
            }
            for speaker, voice in cast.items()
        ]
        with self._database.writing() as session:
            self._job_row(session, job_id)
            session.execute(sa.delete(VoiceRow).where(VoiceRow.job_id == job_id, VoiceRow.language == language))
            if rows:
                session.execute(sa.insert(VoiceRow), rows)

    def cast(self, job_id: str, language: str) -> Cast:
        """Which speaker has which voice; empty before ``put_cast``."""
        query = sa.select(VoiceRow).where(VoiceRow.job_id == job_id, VoiceRow.language == language)
        with self._database.reading() as session:
            return {row.speaker: _voice(row) for row in session.scalars(query.order_by(VoiceRow.speaker))}

    def _line_rows(
        self, session: Session, job_id: str, line_ids: Sequence[str], language: str | None
    ) -> Sequence[LineRow]:
        """Rows of these lines (``4`` may mean ``0004``); raises ``UnknownName`` for the first that there is not."""
        query = sa.select(LineRow).where(LineRow.job_id == job_id)
        if language is not None:
            query = query.where(LineRow.language == language)
        there = {*session.scalars(query.with_only_columns(LineRow.line_id))}
        numbers = {int(line_id): line_id for line_id in there if line_id.isdecimal()}
        meant = [id if id in there or not id.isdecimal() else numbers.get(int(id), id) for id in line_ids]
        rows = session.scalars(query.where(LineRow.line_id.in_(meant))).all()
        missing = [line_id for line_id in meant if line_id not in there]
        if missing:
            where = f" in {language}" if language else ""
            raise UnknownName(
                f"job {job_id} has no line “{missing[0]}”{where}", hint=f"`speechmill lines {job_id}` lists them"
            )
        return rows

    def _outdate(self, session: Session, job: JobRow) -> None:
        """What is delivered is older than the lines now. A job that is to be run again anyway stays as it is."""
        state = JobState(job.state)
        if state is JobState.RUNNING and WAITS_FOR not in job.facts:
            raise Conflict(
                f"job {job.id} is running",
                hint="change lines when it has finished; if it was killed, run its command again first",
            )
        if state.is_completed:
            self._move(session, job, JobState.STALE)


def _check(language: str, lines: Sequence[Line]) -> None:
    twice = [line_id for line_id, count in Counter(line.id for line in lines).items() if count > 1]
    if twice:
        raise ValueError(f"two lines have the id {twice[0]!r}")
    other = next((line for line in lines if line.language != language), None)
    if other is not None:
        raise ValueError(f"line {other.id!r} is in {other.language}, not in {language}")


def _edit(row: LineRow) -> Edit:
    times = row.start_samples, row.end_samples
    return Edit(row.line_id, row.source, *times, row.text, row.spoken, tuple(row.doubts))


def _digest(source: str) -> Digest:
    return digest_of_bytes(source.encode())


def _update(row: LineRow, values: dict[str, Any]) -> None:
    """A line put again; the revision counts changes of the text."""
    if (row.text, row.spoken) != (values["text"], values["spoken"]):
        row.revision += 1
    for name, value in values.items():
        if getattr(row, name) != value:
            setattr(row, name, value)


def _values(line: Line, position: int, source: Digest) -> dict[str, Any]:
    return {
        "line_id": line.id,
        "position": position,
        "speaker": line.speaker,
        "text": line.text,
        "spoken": line.spoken,
        "style": line.style,
        "start_samples": line.anchor.start_samples if line.anchor else None,
        "end_samples": line.anchor.end_samples if line.anchor else None,
        "words": [[word.text, word.start_samples, word.end_samples, word.confidence] for word in line.words],
        "doubts": [str(doubt) for doubt in line.doubts],
        "source": source,
    }


def _stored(row: LineRow) -> StoredLine:
    anchor = None
    if row.start_samples is not None and row.end_samples is not None:
        anchor = Anchor(row.start_samples, row.end_samples)
    line = Line(
        id=row.line_id,
        speaker=row.speaker,
        language=row.language,
        text=row.text,
        spoken=row.spoken,
        style=row.style,
        anchor=anchor,
        words=tuple(Word(*word) for word in row.words),
        doubts=tuple(Doubt(doubt) for doubt in row.doubts),
    )
    return StoredLine(line, row.position, row.revision, row.edited, row.seed)


def _voice(row: VoiceRow) -> Voice:
    return Voice(
        name=row.name,
        engine=row.engine,
        settings=row.settings,
        reference=Digest(row.reference) if row.reference else None,
        consent=Consent(**row.consent) if row.consent else None,
    )
