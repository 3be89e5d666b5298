"""Logs: one JSON object a line for machines, one sentence a line for a person at a terminal.

``ts level event`` come first, then what the work is about (``job``, ``line``, ``stage`` …, by ``about``), then what the
event itself measured (by ``extra``). No text of anybody's script is logged above DEBUG, by nobody. What gives access
(passwords, keys, signed links) is blotted out of whatever is written, by pattern and by the values that this process
knows.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from typing import TextIO

from speechmill.errors import BadInput
from speechmill.settings import Settings, settings

BLOT = "***"
SHORTEST_SECRET = 6  # a shorter one would blot out ordinary words
SIGNS = r"X-Amz-\w+|X-Goog-\w+|AWSAccessKeyId|Signature|sig|token"  # Amazon's, Google's and Azure's
KEYS = r"password|passwd|secret|api_?key|access_?key|auth_string"
PATTERNS = (
    (re.compile(r"://[^\s/@\"']+@"), f"://{BLOT}@"),
    # A signed link gives what it names to whoever holds it.
    (re.compile(rf"\?[^\s\"'<>]*\b(?:{SIGNS})=[^\s\"'<>]*", re.I), f"?{BLOT}"),
    (re.compile(r"\b(authorization[\"']?\s*[:=]\s*[\"']?)(?:\w+\s+)?[^\s\"',;]+", re.I), rf"\1{BLOT}"),
    (re.compile(r"\b(bearer\s+)[\w.~+/=-]{6,}", re.I), rf"\1{BLOT}"),
    (re.compile(rf"\b(\w*(?:{KEYS})\w*[\"']?\s*[:=]\s*[\"']?)[^\s\"'&,;)]+", re.I), rf"\1{BLOT}"),
)
LOUD = ("alembic", "boto3", "botocore", "celery.app.trace", "celery.worker.strategy", "httpcore", "httpx", "s3transfer",
        "urllib3")  # fmt: skip
"""Libraries that say something at INFO for every message or request."""

_ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_about: ContextVar[Mapping[str, object]] = ContextVar("about", default={})  # noqa: B039 (never changed in place)
_secrets: set[str] = set()


@contextmanager
def about(**facts: object) -> Iterator[None]:
    """What the work inside is about: every record of this thread says so. Facts that are ``None`` are left out."""
    known = {name: value for name, value in facts.items() if value is not None}
    token = _about.set({**_about.get(), **known})
    try:
        yield
    finally:
        _about.reset(token)


def keep_secret(values: Iterable[str]) -> None:
    """Blot these values out of everything that is written from now on."""
    _secrets.update(value for value in values if len(value) >= SHORTEST_SECRET)


def redacted(text: str) -> str:
    """The text without what gives access to anything."""
    for secret in sorted(_secrets | _settings_secrets(), key=len, reverse=True):
        text = text.replace(secret, BLOT)
    for pattern, instead in PATTERNS:
        text = pattern.sub(instead, text)
    return text


@cache
def _settings_secrets() -> frozenset[str]:
    try:
        return frozenset(value for value in settings().secrets() if len(value) >= SHORTEST_SECRET)
    except BadInput:  # settings that are wrong are complained of by whoever needs them
        return frozenset()


class _Facts(logging.Filter):
    """Puts what the work is about on a record, in the thread that speaks."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in _about.get().items():
            if name not in record.__dict__:
                setattr(record, name, value)
        return True


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {
        name: value if isinstance(value, bool | int | float) else redacted(str(value))
        for name, value in vars(record).items()
        if name not in _ORDINARY and value is not None
    }


class AsJson(logging.Formatter):
    """One JSON object a record."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": redacted(record.getMessage()),
            "service": self._service,
            "logger": record.name,
            **_extra(record),
        }
        if record.exc_info:
            told["error"] = redacted(self.formatException(record.exc_info))
        return json.dumps(told, ensure_ascii=False)


class AsText(logging.Formatter):
    """One line a record, with the time of the day and the facts at its end; a traceback goes below it."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).astimezone()
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        facts = "".join(f"  {name}={value}" for name, value in _extra(record).items())
        line = f"{at:%H:%M:%S}  {level}{redacted(record.getMessage())}{facts}"
        return f"{line}\n{redacted(self.formatException(record.exc_info))}" if record.exc_info else line


def configure(service: str, chosen: Settings, stream: TextIO | None = None) -> None:
    """Send all logs of this process to a stream (stderr): for ``worker``, ``serve``, ``up`` and ``ingest``."""
    stream = stream or sys.stderr
    keep_secret(chosen.secrets())
    machine = chosen.log_format == "json" or (chosen.log_format == "auto" and not stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.addFilter(_Facts())
    handler.setFormatter(AsJson(service) if machine else AsText())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(chosen.log_level)
    for name in LOUD:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)
