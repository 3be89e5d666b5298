"""What nobody planned, as one tree.

SpeechmillError              code, hint, retryable, exit_code; by itself exit 1: a fault of ours
├── BadInput                 exit 3: the user's file, text or option; never retried
│   ├── UnreadableMedia      no such file, not media, a playlist, a picture, no audio track
│   ├── TruncatedMedia       evidence: claimed_s, decoded_s
│   ├── LimitExceeded        longer, larger or wider than the settings allow
│   ├── UnreadableScript     a transcript, subtitle, glossary or translation that cannot be read
│   ├── UnreadableDocument   a document for an episode: encrypted, only pictures, cut off, empty, no format we read
│   ├── UnreadableSidecar    film.job.json: too large or deep, no JSON, a field that it may not have
│   ├── UnreadableManifest   a batch that cannot be read; a row that cannot is a matter of that row alone
│   ├── UnsupportedLanguage  a language that does not exist, or that no engine has; the hint names those that do
│   ├── ForbiddenSource      a request from outside names what lies outside the allowed roots
│   ├── UnknownName          no such job, line, profile or engine; the hint names those there are
│   └── Unaskable            exit 2: a person is to be asked, where no person can be reached
├── Unavailable              exit 4: a tool or service is not there; retried where the work is idempotent
│   ├── MissingTool          a program is not installed
│   ├── MissingWeights       the weights of a model are not there, not whole, or not of that model
│   ├── ServiceRefused       a service is there and lets us not: credentials, rights, no such bucket
│   ├── ToolFailed           a program ended badly, with the tail of what it said
│   ├── DiskFull             the disk ran out
│   ├── MissingObject        bytes that were kept are gone; they are made again
│   ├── GivenUp              work on a queue went wrong too often
│   └── NotPublishable       a delivery whose checks do not allow it to be published
├── EngineRefused            one take failed; the line goes on to its next take or to review
├── LeaseLost                somebody else has the work now; what we made is not written
├── Conflict                 exit 3: what is asked does not go with the state that something is in
└── Cancelled                exit 130: a person asked the job to stop

A message is one sentence that says what happened; ``hint`` says what to do. Expected outcomes (a line that does not
fit, a take that is not understood) are verdicts, not errors.
"""

from __future__ import annotations

import errno
from typing import ClassVar


class SpeechmillError(Exception):
    """Anything of ours that goes wrong. ``str()`` is one line: what happened; what to do."""

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "", **evidence: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.evidence = evidence

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class BadInput(SpeechmillError):
    code = "bad-input"
    exit_code = 3


class UnreadableMedia(BadInput):
    code = "unreadable-media"


class TruncatedMedia(BadInput):
    code = "truncated-media"


class LimitExceeded(BadInput):
    code = "limit-exceeded"


class UnreadableScript(BadInput):
    code = "unreadable-script"


class UnreadableDocument(BadInput):
    code = "unreadable-document"


class UnreadableSidecar(BadInput):
    code = "unreadable-sidecar"


class UnreadableManifest(BadInput):
    code = "unreadable-manifest"


class UnsupportedLanguage(BadInput):
    code = "unsupported-language"


class ForbiddenSource(BadInput):
    code = "forbidden-source"


class UnknownName(BadInput):
    code = "unknown-name"


class Unaskable(BadInput):
    code = "usage"
    exit_code = 2


class Unavailable(SpeechmillError):
    code = "unavailable"
    exit_code = 4
    retryable = True


class DatabaseAway(Unavailable):
    """The catalog's database does not answer: it restarts, or somebody else takes its place."""


class MissingTool(Unavailable):
    code = "missing-tool"
    retryable = False


class MissingWeights(Unavailable):
    code = "missing-weights"
    retryable = False


class ServiceRefused(Unavailable):
    code = "service-refused"
    retryable = False


class ToolFailed(Unavailable):
    code = "tool-failed"


class DiskFull(Unavailable):
    code = "disk-full"


class MissingObject(Unavailable):
    code = "missing-object"


class GivenUp(Unavailable):
    code = "given-up"


class NotPublishable(Unavailable):
    code = "not-publishable"
    retryable = False


class EngineRefused(SpeechmillError):
    code = "engine-refused"


class LeaseLost(SpeechmillError):
    code = "lease-lost"


class Conflict(SpeechmillError):
    code = "conflict"
    exit_code = 3


class Cancelled(SpeechmillError):
    code = "cancelled"
    exit_code = 130


def from_os_error(error: OSError) -> SpeechmillError:
    """Name what the operating system refused: what a user can mend, a full disk above all, gets its own word."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        where = f" while writing {error.filename}" if error.filename else ""
        return DiskFull(
            f"the disk is full{where}", hint="free some space and run the same command again; finished work is kept"
        )
    if error.errno == errno.ENAMETOOLONG:
        return BadInput(f"a name is too long for this system: {str(error.filename)[:80]}…", hint="shorten it")
    return Unavailable(f"the system refused: {error}", hint="see `speechmill doctor`, then run the same command again")


def is_retryable(code: str) -> bool:
    """Whether what ended with this code may go well another time; what we did not plan for may."""
    kinds = [SpeechmillError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return all(kind.retryable or kind is SpeechmillError for kind in kinds if kind.code == code)
