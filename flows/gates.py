"""Gates: where a person approves before a job goes on. Off unless the request asks for them.

A gate asks once: what was approved is remembered by its words, so a job that is resumed or rendered again asks only
about what has changed. While it waits, lines may be edited; the edits are taken.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from flows.artifacts import MOST_ROWS
from flows.report_links import staged_link
from flows.steps import Question, Step
from speechmill import languages
from speechmill.episodes import EpisodeScript, PodcastRequest
from speechmill.errors import Cancelled, SpeechmillError
from speechmill.lines import Line, seconds
from speechmill.recipes import digest_of_json
from speechmill.requests import DubbingRequest
from speechmill.settings import Settings
from storage.catalog import Catalog
from tasks.dubs import Version
from tasks.originals import SourceScript
from tasks.recording import as_kept
from tasks.text.lexicons import Lexicon
from tasks.workplace import Workplace, cancelled

ANSWER_POLL_S = 2
CANCEL_POLL_S = 1.0
REMEMBERED = "approved"  # fact of a job: what was approved, by its gate


def transcript(step: Step, place: Workplace, request: DubbingRequest, script: SourceScript) -> SourceScript:
    """The script of the source, approved where the request asks for that."""
    if "transcript" not in request.approve:
        return script
    _approve_lines(step, place, "transcript", request.language)
    return replace(script, lines=_lines(place, request.language))


def translation(
    step: Step, place: Workplace, request: DubbingRequest, script: SourceScript, version: Version
) -> Version:
    """A translation, approved where the request asks for that."""
    if "translation" not in request.approve:
        return version
    originals = {line.id: line.text for line in script.lines}
    _approve_lines(step, place, f"translation {version.language}", version.language, originals)
    return replace(version, lines=_lines(place, version.language))


def episode_script(
    step: Step, place: Workplace, request: PodcastRequest, script: EpisodeScript, lexicon: Lexicon
) -> EpisodeScript:
    """The script of an episode, approved where the request asks for that."""
    if "script" not in request.approve:
        return script
    _approve_lines(step, place, "script", script.language)
    return as_kept(place, script, lexicon)


def final(step: Step, place: Workplace, approve: Sequence[str], spoken: Iterable[str]) -> Callable[[Path], bool]:
    """What a delivery asks before it is published: whether it may be. ``False``: its lines, in the languages that are
    spoken, were edited meanwhile, so that it is to be made again. Raises ``Cancelled`` where it is rejected."""

    def may_be_published(folder: Path) -> bool:
        if "final" not in approve:
            return True
        before = _digest(place, spoken)
        if _remembered(place, "final") == before:
            return True
        rows = [row for language in spoken for row in _rows(_lines(place, language), {})]
        with _waiting(place, "final", folder):
            step.ask(Question("final", place.job, rows, folder))
        if _digest(place, spoken) != before:
            for tag in spoken:  # who edits a line approves of it
                for gate in (f"translation {tag}", "script"):
                    if _remembered(place, gate):
                        _remember(place, gate, _digest(place, [tag]))
            return False
        _remember(place, "final", before)
        return True

    return may_be_published


def _approve_lines(
    step: Step, place: Workplace, gate: str, language: str, originals: dict[str, str] | None = None
) -> None:
    if _remembered(place, gate) == _digest(place, [language]):
        return
    rows = _rows(_lines(place, language), originals or {})
    with _waiting(place, gate):
        step.ask(Question(gate, place.job, rows))
    _remember(place, gate, _digest(place, [language]))  # with what was edited meanwhile


@contextmanager
def _waiting(place: Workplace, gate: str, folder: Path | None = None) -> Iterator[None]:
    place.stages.progress.say(f"waiting for approval: {gate}")
    place.catalog.wait_for_approval(place.job, gate, str(folder or ""))
    try:
        yield
    finally:
        place.catalog.wait_no_more(place.job)


def _lines(place: Workplace, language: str) -> tuple[Line, ...]:
    return tuple(stored.line for stored in place.catalog.lines(place.job, language))


def _digest(place: Workplace, spoken: Iterable[str]) -> str:
    """Of the words that are approved, and of who says them."""
    return digest_of_json([[line.id, line.speaker, line.text] for tag in spoken for line in _lines(place, tag)])


def _remembered(place: Workplace, gate: str) -> str | None:
    found: dict[str, str] = place.catalog.job(place.job).facts.get(REMEMBERED, {})
    return found.get(gate)


def _remember(place: Workplace, gate: str, digest: str) -> None:
    found = place.catalog.job(place.job).facts.get(REMEMBERED, {})
    place.catalog.set_job_facts(place.job, **{REMEMBERED: {**found, gate: digest}})


def _rows(lines: Sequence[Line], originals: dict[str, str]) -> list[dict[str, str]]:
    return [
        {
            "line": line.id,
            "at": f"{seconds(line.anchor.start_samples):.1f} s" if line.anchor else "",
            "speaker": line.speaker,
            **({"original": originals.get(line.id, "")} if originals else {}),
            "text": line.text,
            "doubts": ", ".join(line.doubts),
        }
        for line in lines
    ]


def ask_by_prefect(question: Question, chosen: Settings, catalog: Catalog) -> None:
    """Pause the flow run until a person answers in the Prefect UI; an invalid answer is asked for again. Raises
    ``Cancelled`` where the answer is no, where nobody answers in time, and where the job is cancelled meanwhile."""
    from prefect.artifacts import create_table_artifact
    from prefect.context import FlowRunContext
    from prefect.exceptions import FlowPauseTimeout
    from prefect.flow_runs import pause_flow_run
    from prefect.input import RunInput
    from pydantic import Field, ValidationError, model_validator

    class Approval(RunInput):
        """Whether the job may go on."""

        decision: Literal["approve", "reject"] = Field(
            title="Decision", description="Reject ends the job", json_schema_extra={"position": 0}
        )
        reason: str = Field(
            default="",
            title="Reason",
            description="Why it is rejected; kept with the job",
            max_length=2_000,
            json_schema_extra={"position": 1},
        )

        @model_validator(mode="after")
        def _reasoned(self) -> Approval:
            if self.decision == "reject" and not self.reason.strip():
                raise ValueError("a rejection needs a reason")
            return self

    create_table_artifact(
        list(question.rows[:MOST_ROWS]),
        key=f"approve-{question.job}-{question.of.lower().replace(' ', '-')}",
        description=f"The {_named(question.of)} of job {question.job}, to be approved. {_editing(question)}",
    )
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    complaint = ""
    while True:
        form = Approval.with_initial_data(description=complaint + _described(question, chosen))
        with _woken_by_cancel(catalog, question.job, context.flow_run.id):
            try:
                answer: Any = pause_flow_run(
                    wait_for_input=form,
                    timeout=chosen.approval_timeout_s,
                    poll_interval=ANSWER_POLL_S,
                    key=uuid.uuid4().hex,  # a run that was put back asks anew: the same key is answered already
                )
            except ValidationError as error:
                if catalog.cancel_requested(question.job):
                    raise cancelled(question.job) from None  # it was woken without an answer
                complaint = f"**The answer was not valid: {error.errors()[0]['msg']}.** Please answer again.\n\n"
                continue
            except FlowPauseTimeout:
                raise Cancelled(
                    f"nobody approved the {_named(question.of)} within {chosen.approval_timeout_s} s",
                    hint=f"`speechmill retake {question.job}` asks again",
                ) from None
        if answer.decision == "approve":
            return
        raise Cancelled(
            f"the {_named(question.of)} was not approved: {answer.reason.strip()}",
            hint=f"change its lines, then `speechmill retake {question.job}`",
        )


@contextmanager
def _woken_by_cancel(catalog: Catalog, job_id: str, run: Any) -> Iterator[None]:
    """While a run is paused, look whether its job is to stop; if so, have the run go on, so that it notices."""
    from prefect.client.orchestration import get_client
    from prefect.states import Running

    over = threading.Event()

    def watch() -> None:
        while not over.wait(CANCEL_POLL_S):
            with suppress(SpeechmillError, OSError):
                if catalog.cancel_requested(job_id):
                    with get_client(sync_client=True) as client:
                        client.set_flow_run_state(run, Running(), force=True)
                    return

    watcher = threading.Thread(target=watch, name=f"approval {job_id}", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _described(question: Question, chosen: Settings) -> str:
    lines = [
        f"**{_named(question.of).capitalize()}** of job `{question.job}`: {len(question.rows)} lines, in the table "
        "under “Artifacts” of this run."
    ]
    if question.folder is not None:
        lines.append(f"Listen to it: [report.html]({staged_link(question.job, question.folder, chosen)})")
    lines.append(_editing(question))
    return "\n\n".join(lines)


def _editing(question: Question) -> str:
    return f"A line is changed by `speechmill edit {question.job} LINE --text …`, also while this waits."


def _named(of: str) -> str:
    """``translation es`` → “translation into Spanish”."""
    what, _, tag = of.partition(" ")
    if what == "final":
        return "finished delivery"
    return f"{what} into {languages.name(tag)}" if tag else what
