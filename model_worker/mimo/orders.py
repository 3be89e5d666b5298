"""From what is asked to what can be run: everything that could go wrong on the device is refused before it gets there.

An id outside a table is an error on a processor; on a GPU it ends the whole process.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .codec import Seams
from .config import LmConfig
from .errors import PromptError
from .groups import Groups
from .model import Model
from .prefix import FEWEST_GROUPS
from .prompts import ROOM_PER_GROUP, TASKS, Prompt, default_template, is_chinese, spoken_text
from .recording import ready, recordings_in, with_codes
from .request import Request, Ticket
from .sampler import Sampling
from .slots import MOST_STOPS, Settings


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A request on its way into the engine."""

    request: Request
    ticket: Ticket
    given: dict[str, Any]  # as in the request, recordings ready to be encoded
    prompt: Prompt | None  # None: its recordings have to be encoded first
    submitted_s: float
    deadline_s: float  # on the engine's clock; infinity for none


@dataclass(slots=True, eq=False)
class Order:
    """A request whose prompt is built: ready to run, running, or to be run again."""

    asked: Asked
    groups: Groups
    shared: int
    settings: Settings
    started_s: float = 0.0
    first_group_s: float = 0.0
    cached: int = 0  # groups of the prompt that came from the prefix cache
    tried: bool = False  # it found no memory although it was alone

    @property
    def prefix(self) -> int:
        """Groups at the front that recur, where they are worth keeping."""
        return self.shared if self.shared >= FEWEST_GROUPS else 0

    @property
    def own(self) -> int:
        """Groups that cannot come from the prefix cache."""
        return len(self.groups) - self.prefix


class Composer:
    """Builds the prompts and settings of requests to one model, for an engine of ``context`` groups."""

    def __init__(self, model: Model, context: int, seams: Seams) -> None:
        self._model, self._context, self._seams = model, context, seams

    def asked(self, request: Request, ticket: Ticket, now_s: float) -> Asked:
        """What can be done at once, in the caller's thread: defaults filled in, recordings resampled, text tokenized.

        Raises :class:`PromptError` or :class:`AudioError` for what no engine could do, a prompt that does not fit
        the context among it: nothing is encoded for those.
        """
        if request.task not in TASKS:
            raise PromptError(f"there is no task '{request.task}'", hint=f"tasks: {', '.join(TASKS)}")
        self._check_settings(request)
        given = {} if request.prompt is not None else self._given(request)
        prompt = request.prompt or self._built(request, given, self._blank(given))
        self._check_prompt(prompt)
        deadline_s = math.inf if request.deadline_s is None else now_s + request.deadline_s
        known = None if any(recordings_in(given)) else prompt
        return Asked(request, ticket, given, known, now_s, deadline_s)

    def order(self, asked: Asked, codes: Mapping[bytes, Tensor]) -> Order:
        """What is to be run, with the codes of the request's recordings by their digests."""
        request = asked.request
        task = TASKS[request.task]
        prompt = asked.prompt or self._built(request, asked.given, codes)
        self._check_prompt(prompt)
        groups = prompt.groups
        stops = self._model.prompts.stops(request.task) if request.stops is None else request.stops
        room = task.room + ROOM_PER_GROUP * (len(groups) - prompt.shared)
        most = room if request.max_new is None else operator.index(request.max_new)
        settings = Settings(
            text=request.text or task.text,
            audio=request.audio or task.audio,
            seed=operator.index(request.seed),
            stops=tuple(dict.fromkeys(map(operator.index, stops))),
            min_new=min(operator.index(request.min_new), self._context),
            max_new=max(1, min(most, self._context - len(groups))),
            speaks=_speaks(request),
        )
        return Order(asked, groups, min(prompt.shared, len(groups) - 1), settings)

    def _given(self, request: Request) -> dict[str, Any]:
        if not isinstance(request.given, Mapping):
            raise PromptError("'given' must have the names and values of a task")
        values = {name: value for name, value in request.given.items() if value is not None}
        given = {name: ready(value, self._model.codec, name) for name, value in values.items()}
        text = str(given.get("text", ""))
        given.setdefault("template", default_template(request.task, chinese=is_chinese(text)))
        if request.task.startswith("speak"):
            if not text.strip():
                raise PromptError("there is no text to speak")
            given["text"] = spoken_text(text)
        return given

    def _blank(self, given: dict[str, Any]) -> dict[bytes, Tensor]:
        """Codes of no sound, as long as the recordings' will be."""
        codec, channels = self._model.codec, self._model.lm.config.channels
        return {
            part.digest: torch.zeros(channels, codec.frames(len(part.wave), self._seams), dtype=torch.long)
            for part in recordings_in(given)
        }

    def _built(self, request: Request, given: dict[str, Any], codes: Mapping[bytes, Tensor]) -> Prompt:
        return self._model.prompts.build(request.task, with_codes(given, codes))

    def _check_settings(self, request: Request) -> None:
        vocab_size = self._model.lm.config.vocab_size
        _whole("seed", request.seed)
        _whole("min_new", request.min_new, 0)
        if request.max_new is not None:
            _whole("max_new", request.max_new, 0)
        stops = request.stops or ()
        for stop in stops:
            _whole("stops", stop, 0, vocab_size - 1)
        if len(set(stops)) > MOST_STOPS:
            raise PromptError(f"a request may have {MOST_STOPS} stop ids, but has {len(set(stops))}")
        for name, how in (("text", request.text), ("audio", request.audio)):
            if how is not None and not isinstance(how, Sampling):
                raise PromptError(f"'{name}' must be a way to sample, but is {how!r}")
        limit = request.deadline_s
        if limit is not None and not (isinstance(limit, int | float) and limit >= 0):
            raise PromptError(f"'deadline_s' must be a number of at least 0, but is {limit!r}")

    def _check_prompt(self, prompt: Prompt) -> None:
        groups, context = prompt.groups, self._context
        if not len(groups):
            raise PromptError("the prompt is empty")
        if len(groups) >= context:
            raise PromptError(
                f"the prompt has {len(groups)} groups, but the context holds {context}",
                hint="give shorter recordings (6.25 groups a second) or less text",
            )
        _check_ids(groups, self._model.lm.config)


def _speaks(request: Request) -> bool:
    if request.speaks is not None:
        return request.speaks
    return request.prompt is not None or TASKS[request.task].speaks


def _check_ids(groups: Groups, config: LmConfig) -> None:
    """Every id has a row in its table."""
    shape = (len(groups), config.group_size, config.channels)
    if groups.codes.shape != shape or groups.text.shape != shape[:1]:
        raise PromptError(f"the prompt has codes of {list(groups.codes.shape)}, where the model takes {list(shape)}")
    if not groups.codes.dtype == groups.text.dtype == torch.long:
        raise PromptError(f"the prompt has ids of {groups.text.dtype} and {groups.codes.dtype}, where int64 is taken")
    limits = torch.tensor(config.speech_vocab)
    for ids, most, what in ((groups.text, torch.tensor(config.vocab_size), "text"), (groups.codes, limits, "audio")):
        outside = (ids < 0) | (ids >= most)
        if outside.any():
            raise PromptError(f"the prompt has the {what} id {int(ids[outside][0])}, which the model does not have")


def _whole(name: str, value: object, least: int | None = None, most: int | None = None) -> None:
    limits = f" from {least} to {most}" if most is not None else f" of at least {least}" if least is not None else ""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise PromptError(f"'{name}' must be a whole number{limits}, but is {value!r}") from None
    if (least is not None and number < least) or (most is not None and number > most):
        raise PromptError(f"'{name}' must be a whole number{limits}, but is {number}")
