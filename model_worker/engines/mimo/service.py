"""The loaded models behind all of this engine's abilities: requests in, usable takes out.

The instruct model is loaded by the first request, the base model by the first recorded voice. Each is served by one
:class:`model_worker.mimo.Engine`, whose thread owns the device and runs the requests of all threads in one batch.
"""

from __future__ import annotations

import atexit
import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

import numpy as np

from model_worker.engines.mimo.weights import BASE, INSTRUCT, NAME, TOKENIZER, Repository, Weights
from model_worker.engines.waves import read_mono
from speechmill import programs
from speechmill.errors import EngineRefused, MissingWeights, Unavailable
from speechmill.lines import RATE_HZ
from speechmill.settings import Settings
from speechmill.takes import Reason

if TYPE_CHECKING:
    from model_worker.mimo import Engine, Model, Request, Sound, Take, Ticket

LANGUAGES = frozenset({"en", "zh"})
CHUNK_S = 30
REVISION = 2  # of what these modules do around the model

FAILURES = {
    "no-audio": ("the model answered without speaking", Reason.SILENT),
    "near-silence": ("nothing can be heard of what the model spoke", Reason.SILENT),
    "never-stops": ("the model did not come to an end", Reason.TOO_LONG),
}


STOP_POLL_S = 0.2  # a step of a large model on a CPU takes seconds: who is cancelled does not wait for its end

_services: WeakSet[Service] = WeakSet()


def figures() -> dict[str, dict[str, float]]:
    """What all loaded engines of this process are at."""
    return {model: found for service in tuple(_services) for model, found in service.figures().items()}


class Service:
    """Requests to MiMo-Audio from any thread."""

    def __init__(self, weights: Weights, settings: Settings) -> None:
        self.weights = weights
        self._settings = settings
        self._engines: dict[Repository, Engine] = {}
        self._loading = threading.Lock()
        self._pending: set[Ticket] = set()
        self._asking = threading.Lock()
        _services.add(self)
        programs.stopped_with_programs(self)

    def figures(self) -> dict[str, dict[str, float]]:
        """What each loaded engine is at, by its model, for whoever watches."""
        return {
            str(repository): {
                "slots": engine.caution.width,
                "running": len(engine.batch.running),
                "waiting": engine.waiting,
                "stalled": engine.stalled_s(),
                "steps": engine.steps,
            }
            for repository, engine in tuple(self._engines.items())
        }

    def check(self) -> None:
        """Raises where MiMo-Audio cannot run on this machine, before anything is loaded."""
        self.weights.check()
        if self._settings.mimo_device.startswith("cuda"):
            from model_worker.mimo.device import settled
            from model_worker.mimo.errors import DeviceError

            try:
                settled(self._settings.mimo_device)
            except DeviceError as error:
                raise Unavailable(str(error), hint=f"{error.hint}; or correct SPEECHMILL_MIMO_DEVICE") from None

    def load(self) -> None:
        """Load the instruct model now, rather than with the first request."""
        self._engine(INSTRUCT)

    def version(self, *tasks: str) -> str:
        """Names whatever else decides about the answer to a request: weights, number format, prompts and sampling."""
        from model_worker.mimo.prompts import TASKS, TEMPLATES

        asked = repr([(name, TASKS[name], TEMPLATES.get(name)) for name in tasks])
        prompts = hashlib.sha256(asked.encode()).hexdigest()[:12]
        return f"{NAME}-{REVISION} {self.weights.digest} {self._device()[1]}{self._loose} {prompts}"

    def means(self, *tasks: str) -> dict[str, str]:
        """What ``version`` digests, in words."""
        from model_worker.mimo.prompts import TASKS, TEMPLATES

        device, dtype = self._device()
        said = {**self.weights.digests, "number format": f"{dtype} on {device}{self._loose}"}
        for name in tasks:
            if name in TEMPLATES:
                said[f"{name}: template"] = " / ".join(TEMPLATES[name])
            task = TASKS[name]
            said[f"{name}: sampling"] = f"text {task.text}" + (f", audio {task.audio}" if task.speaks else "")
        return said

    @property
    def _loose(self) -> str:
        return "" if self._settings.mimo_steady else ", loose"

    @property
    def groups(self) -> int:
        """Groups (text ids, or 160 ms of audio) that a prompt and its answer may have together."""
        return self._settings.mimo_groups

    @property
    def at_once(self) -> int:
        """Requests that are worth submitting at a time; on a GPU it is seen when the model is loaded how many fit."""
        from model_worker.mimo.engine import SLOTS_CPU, SLOTS_GPU

        loaded = self._engines.get(INSTRUCT)
        if loaded is not None:
            return loaded.settings.slots
        return self._settings.mimo_slots or (SLOTS_CPU if self._device()[0] == "cpu" else SLOTS_GPU)

    def run(self, request: Request, repository: Repository = INSTRUCT) -> Take:
        """Submit a request and wait; raises ``EngineRefused`` for what the model cannot do or did not do well."""
        take = self._submit([request], repository)[0]
        if isinstance(take, EngineRefused):
            raise take
        if take.failure is not None:
            what, reason = FAILURES[take.failure.value]
            raise EngineRefused(what, hint="another seed may do better", reason=reason, text=take.text)
        return take

    def run_all(self, requests: Sequence[Request]) -> list[Take | EngineRefused]:
        """All at once; one that failed is no hindrance to the others."""
        return self._submit(requests, INSTRUCT)

    def stop(self) -> None:
        """Give up every request; the threads that wait for one get ``Cancelled``."""
        with self._asking:
            for ticket in self._pending:
                ticket.cancel()

    def close(self) -> None:
        """End the engines' threads; requests that come later start them again."""
        with self._loading:
            engines, self._engines = list(self._engines.values()), {}
        for engine in engines:
            engine.close()

    def _submit(self, requests: Sequence[Request], repository: Repository) -> list[Take | EngineRefused]:
        from model_worker.mimo.errors import MimoError

        engine = self._engine(repository)
        tickets: list[Ticket | EngineRefused] = []
        for request in requests:
            try:
                tickets.append(engine.submit(replace(request, deadline_s=self._settings.mimo_deadline_s)))
            except MimoError as error:
                tickets.append(_refusal(error))
        with self._pending_while(tickets):
            return [one if isinstance(one, EngineRefused) else _answer(one) for one in tickets]

    @contextmanager
    def _pending_while(self, tickets: Sequence[Ticket | EngineRefused]) -> Iterator[None]:
        """``stop`` reaches these tickets; whoever leaves before their end, by Ctrl-C say, gives them up."""
        asked = {one for one in tickets if not isinstance(one, EngineRefused)}
        with self._asking:
            self._pending |= asked
        try:
            programs.raise_if_stopped()  # by now ``stop`` would not have seen them
            yield
        finally:
            with self._asking:
                self._pending -= asked
            for ticket in asked:
                ticket.cancel()

    def _engine(self, repository: Repository) -> Engine:
        with self._loading:
            if repository not in self._engines:
                if not self._engines:
                    atexit.register(self.close)  # a thread inside torch must not outlive the interpreter
                self._engines[repository] = self._load(repository)
            return self._engines[repository]

    def _load(self, repository: Repository) -> Engine:
        from model_worker.mimo import Engine, EngineSettings, Model
        from model_worker.mimo.errors import CheckpointError, ConfigError
        from model_worker.mimo.failures import is_out_of_memory

        self.check()
        device, dtype_name = self._device()
        import torch

        dtype: torch.dtype = getattr(torch, dtype_name)
        try:
            if repository is BASE:  # the audio tokenizer is the same
                model = self._engines[INSTRUCT].model.with_language_model(self.weights.folder(BASE))
            else:
                model = Model.load(self.weights.folder(INSTRUCT), self.weights.folder(TOKENIZER), device, dtype)
            if repository is INSTRUCT:
                left = self._left_bytes(model)
            else:
                left = self._engines[INSTRUCT].settings.reserved_bytes  # which it may not have filled yet
            steady = None if self._settings.mimo_steady else False
            return Engine(model, EngineSettings(self._settings.mimo_slots, self.groups, left_bytes=left, steady=steady))
        except (CheckpointError, ConfigError) as error:
            raise MissingWeights(str(error), hint=error.hint) from None
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise Unavailable(
                f"{repository.name} does not fit into the memory of {device}",
                hint="lower SPEECHMILL_MIMO_SLOTS or SPEECHMILL_MIMO_GROUPS, or use a larger machine",
            ) from error

    def _left_bytes(self, model: Model) -> int:
        """What the instruct model leaves free for a base model that may come: its weights, and as much to work in."""
        folder = self.weights.folders[BASE]
        if folder is None or not folder.is_dir():  # containers name one that need not be there
            return 0
        from model_worker.mimo.device import device_for

        device, weights = device_for(model.lm.device), sum(part.nbytes for part in model.lm.parameters())
        with device.at_work():
            free = device.free_bytes() or 0
        return weights + max(0, free - weights) // 2

    def _device(self) -> tuple[str, str]:
        device, dtype = self._settings.mimo_device, self._settings.mimo_dtype
        if device == "auto":
            import torch

            device = "cuda" if torch.cuda.is_available() else "cpu"
        return device, dtype if dtype != "auto" else "float32" if device == "cpu" else "bfloat16"


def _answer(ticket: Ticket) -> Take | EngineRefused:
    """Wait for a ticket's end; raises ``Cancelled`` as soon as that is asked for, whatever the engine is at."""
    from model_worker.mimo.errors import Cancelled, MimoError

    while True:
        try:
            return ticket.result(STOP_POLL_S)
        except Cancelled:
            raise programs.stopped() from None
        except MimoError as error:
            return _refusal(error)
        except TimeoutError:
            if ticket.cancel_asked:
                raise programs.stopped() from None


def _refusal(error: Exception) -> EngineRefused:
    """What a request's own failure is for the line it was made for; raises where the engine itself is gone."""
    from model_worker.mimo.errors import EngineClosed, MimoError

    assert isinstance(error, MimoError)
    if isinstance(error, EngineClosed):
        raise Unavailable(
            f"MiMo-Audio stopped: {error}", hint="; ".join(filter(None, ("run the same command again", error.hint)))
        ) from error
    return EngineRefused(str(error), hint=error.hint)


def recording(audio: Path) -> Sound:
    """One chunk of sound as the model takes it; raises ``EngineRefused`` for another form, NaN, or more than 30 s."""
    from model_worker.mimo import Sound

    samples = read_mono(audio, CHUNK_S * RATE_HZ)
    if not np.isfinite(samples).all():
        what = "holds samples that are not numbers (NaN or infinity)"
        raise EngineRefused(f"the sound {audio.name} {what}", hint="export it again")
    return Sound(samples, RATE_HZ)
