"""What can go wrong, as one tree. Every error names the file, field or argument, and says what to do.

::

    MimoError              code, hint, retryable
    ├── ConfigError        a config field is missing, of the wrong kind, or not something this code can run
    ├── CheckpointError    a weight file is missing, truncated, or does not fit the config
    ├── DeviceError        the device that was asked for is not there
    ├── AudioError         a recording cannot be used: empty, too short, too long, not finite
    ├── PromptError        a request cannot be put to the model: unknown task, missing piece, longer than the context
    └── EngineError        the engine could not finish a request
        ├── Cancelled      its owner asked for that
        ├── DeadlineOver   its time was over
        ├── OutOfMemory    it did not fit, even alone; retryable on a larger machine or with a smaller batch
        └── EngineClosed   the engine was closed, or its device is broken
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar


class MimoError(Exception):
    """Base of all errors of this package; ``str(error)`` is one whole sentence."""

    code: ClassVar[str] = "mimo"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(MimoError):
    """A field of a ``config.json`` cannot be used."""

    code = "mimo-config"

    def __init__(self, path: Path, field: str, problem: str) -> None:
        super().__init__(
            f"{path}: field '{field}' {problem}", hint="use the config.json that belongs to these weights, unchanged"
        )
        self.path = path
        self.field = field


class CheckpointError(MimoError):
    """A weight file, or a tensor in it, cannot be used."""

    code = "mimo-checkpoint"

    def __init__(self, path: Path, problem: str, *, hint: str = "download this folder again") -> None:
        super().__init__(f"{path}: {problem}", hint=hint)
        self.path = path


class DeviceError(MimoError):
    """A device cannot be used on this machine."""

    code = "mimo-device"


class AudioError(MimoError):
    """A recording cannot be encoded."""

    code = "mimo-audio"


class PromptError(MimoError):
    """A request cannot be turned into a prompt that the model can continue."""

    code = "mimo-prompt"


class EngineError(MimoError):
    """The engine could not finish a request."""

    code = "mimo-engine"


class Cancelled(EngineError):
    """The request was cancelled by its owner."""

    code = "mimo-cancelled"


class DeadlineOver(EngineError):
    """The request's deadline passed before it was finished."""

    code = "mimo-deadline"
    retryable = True


class OutOfMemory(EngineError):
    """The request did not fit into the device's memory, not even alone."""

    code = "mimo-out-of-memory"
    retryable = True


class EngineClosed(EngineError):
    """The engine does not take or finish requests any more."""

    code = "mimo-engine-closed"
    retryable = True
