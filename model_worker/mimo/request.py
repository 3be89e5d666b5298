"""What is asked of the engine, and the ticket one gets for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .codec import Codec
from .errors import AudioError, PromptError
from .groups import Groups
from .mel import resample
from .prompts import ROOM_PER_GROUP, TASKS, Prompt, PromptBuilder, default_template, is_chinese, spoken_text
from .sampler import Sampling
from .slots import MOST_STOPS, Settings
from .takes import Take
from .wav import Sound


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One answer to be generated.

    ``given`` holds what the task's pieces name (see :data:`TASKS`); recordings are :class:`Sound`. What is left None
    is taken from the task. With ``prompt`` set, those groups are continued as they are and ``given`` is not looked at.
    """

    task: str
    given: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    text: Sampling | None = None
    audio: Sampling | None = None
    stops: tuple[int, ...] | None = None
    min_new: int = 0  # groups before a stop id is allowed
    max_new: int | None = None
    deadline_s: float | None = None  # from being submitted
    decode: bool = True  # make a wave of the codes
    prompt: Prompt | None = None


class Ticket(Future[Take]):
    """The future of one request. ``cancel`` also works while it runs: it then ends with :class:`Cancelled`."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__()
        self.cancel_asked = False
        self._wake = wake

    def cancel(self) -> bool:
        """Ask for the request to be given up; False when it is already done."""
        if self.done():
            return False
        self.cancel_asked = True
        self._wake()
        return True


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A recording at the tokenizer's rate, with the digest its codes are kept under."""

    wave: Tensor
    digest: bytes

    @classmethod
    def of(cls, sound: Sound, codec: Codec) -> Recording:
        """Mono, resampled, and of a length the tokenizer takes; raises :class:`AudioError`."""
        config = codec.config
        samples = sound.mono()
        if len(samples) > config.max_audio_s * max(sound.rate_hz, 1):
            codec.check_length(int(len(samples) / sound.rate_hz * config.sampling_rate_hz))
        wave = resample(torch.from_numpy(samples), sound.rate_hz, config.sampling_rate_hz)
        if len(wave) <= config.nfft // 2:
            raise AudioError(f"a recording of {len(wave)} samples at {config.sampling_rate_hz} Hz holds no speech")
        return cls(wave, hashlib.sha256(wave.numpy().tobytes()).digest())


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A request on its way into the engine."""

    request: Request
    ticket: Ticket
    given: dict[str, Any]  # as in the request, recordings ready to be encoded
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


def prepared(request: Request, codec: Codec) -> dict[str, Any]:
    """What is given, with defaults filled in and recordings resampled; runs in the caller's thread.

    Raises :class:`PromptError` or :class:`AudioError`.
    """
    if request.task not in TASKS:
        raise PromptError(f"there is no task '{request.task}'", hint=f"tasks: {', '.join(TASKS)}")
    if request.prompt is not None:
        return {}
    given = {name: _ready(value, codec) for name, value in request.given.items()}
    text = str(given.get("text", ""))
    given.setdefault("template", default_template(request.task, chinese=is_chinese(text)))
    if request.task.startswith("speak"):
        if not text.strip():
            raise PromptError("there is no text to speak")
        given["text"] = spoken_text(text)
    return given


def _ready(value: Any, codec: Codec) -> Any:
    if isinstance(value, Sound):
        return Recording.of(value, codec)
    if isinstance(value, Mapping):
        return {name: _ready(entry, codec) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_ready(entry, codec) for entry in value]
    return value


def recordings_in(value: Any) -> Iterator[Recording]:
    """Every recording inside nested mappings and lists."""
    if isinstance(value, Recording):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from recordings_in(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from recordings_in(entry)


def with_codes(value: Any, codes: Mapping[bytes, Tensor]) -> Any:
    """The same value with every recording replaced by its codes."""
    if isinstance(value, Recording):
        return codes[value.digest]
    if isinstance(value, Mapping):
        return {name: with_codes(entry, codes) for name, entry in value.items()}
    if isinstance(value, list):
        return [with_codes(entry, codes) for entry in value]
    return value


def compose(asked: Asked, prompts: PromptBuilder, codes: Mapping[bytes, Tensor], context: int) -> Order:
    """Build the prompt and the settings; raises :class:`PromptError` for a prompt that does not fit ``context``."""
    request = asked.request
    task = TASKS[request.task]
    prompt = request.prompt or prompts.build(request.task, with_codes(asked.given, codes))
    groups = prompt.groups
    if not len(groups):
        raise PromptError("the prompt is empty")
    if len(groups) >= context:
        raise PromptError(
            f"the prompt has {len(groups)} groups, but the context holds {context}",
            hint="give shorter recordings (6.25 groups a second) or less text",
        )
    stops = prompts.stops(request.task) if request.stops is None else tuple(dict.fromkeys(request.stops))
    if len(stops) > MOST_STOPS:
        raise PromptError(f"a request may have {MOST_STOPS} stop ids, but has {len(stops)}")
    room = task.room + ROOM_PER_GROUP * (len(groups) - prompt.shared) if request.max_new is None else request.max_new
    settings = Settings(
        text=request.text or task.text,
        audio=request.audio or task.audio,
        seed=request.seed,
        stops=stops,
        min_new=request.min_new,
        max_new=max(1, min(room, context - len(groups))),
    )
    return Order(asked, groups, min(prompt.shared, len(groups) - 1), settings)
