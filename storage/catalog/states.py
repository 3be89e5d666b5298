"""States of jobs and orders, and the one table of the ways between jobs' states."""

from __future__ import annotations

from enum import StrEnum

from speechmill.errors import Conflict


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_REVIEW = "completed_with_review"  # a person should look at a line or a check
    STALE = "stale"  # a line was changed since; what is delivered is older
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_completed(self) -> bool:
        return self in (JobState.COMPLETED, JobState.COMPLETED_WITH_REVIEW)


MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.FAILED, JobState.CANCELLED}),
    JobState.RUNNING: frozenset(
        {
            JobState.RUNNING,  # its process died, another goes on with it
            JobState.QUEUED,  # its process was stopped, and another is to go on with it
            JobState.COMPLETED,
            JobState.COMPLETED_WITH_REVIEW,
            JobState.FAILED,
            JobState.CANCELLED,
        }
    ),
    # Back in the queue: what was made is lost with its machine, it is tried once more, or asked for again.
    JobState.COMPLETED: frozenset({JobState.STALE, JobState.QUEUED}),
    JobState.COMPLETED_WITH_REVIEW: frozenset({JobState.STALE, JobState.QUEUED}),
    JobState.STALE: frozenset({JobState.RUNNING, JobState.QUEUED}),
    JobState.FAILED: frozenset({JobState.RUNNING, JobState.QUEUED}),
    JobState.CANCELLED: frozenset({JobState.RUNNING, JobState.QUEUED}),
}

CANCELLABLE = frozenset({JobState.QUEUED, JobState.RUNNING})


def check_move(job: str, old: JobState, new: JobState) -> None:
    """Raise ``Conflict`` for a move that the table does not have."""
    if new not in MOVES[old]:
        possible = ", ".join(sorted(MOVES[old]))
        raise Conflict(f"job {job} is {old} and cannot become {new}", hint=f"from {old} it can become {possible}")


class OrderState(StrEnum):
    ORDERED = "ordered"  # to be done
    LEASED = "leased"  # somebody does it; once the lease has run out anybody may
    DONE = "done"  # that an engine refused it is an outcome too
    FAILED = "failed"  # given up after too many attempts; ordering it again begins anew
    WITHDRAWN = "withdrawn"  # nobody wants it any more; ordering it again begins anew


class DropState(StrEnum):
    SEEN = "seen"  # it is there; whether it is whole, and what is to become of it, is not known yet
    ACCEPTED = "accepted"  # it has a job
    REJECTED = "rejected"  # it has a reason, and still lies where it was dropped
    DONE = "done"  # its delivery is published, and it lies beside it
    QUARANTINED = "quarantined"  # it lies beside its reason
    GONE = "gone"  # somebody took it away, or put something else in its place


DROP_MOVES: dict[DropState, frozenset[DropState]] = {
    DropState.SEEN: frozenset({DropState.ACCEPTED, DropState.REJECTED}),
    DropState.ACCEPTED: frozenset({DropState.DONE, DropState.REJECTED, DropState.GONE}),
    DropState.REJECTED: frozenset({DropState.QUARANTINED, DropState.GONE}),
    # It lies there again: somebody dropped it once more, or took it back out of quarantine. What was made again is
    # published again.
    DropState.DONE: frozenset({DropState.SEEN, DropState.ACCEPTED}),
    DropState.QUARANTINED: frozenset({DropState.SEEN}),
    DropState.GONE: frozenset({DropState.SEEN}),
}
