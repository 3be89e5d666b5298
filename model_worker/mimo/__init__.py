"""MiMo-Audio (Xiaomi's audio tokenizer and 7B speech language model) in plain PyTorch: exact, batched, fast.

::

    model = Model.load(Path("MiMo-Audio-7B-Instruct"), Path("MiMo-Audio-Tokenizer"), "cuda", torch.bfloat16)
    with Engine(model, EngineSettings(slots=64)) as engine:
        take = engine.run(Request("speak", {"text": "Good evening."}, seed=7))

Importing this package costs no torch; the names below are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .codec import Codec, Seams, StreamingDecoder
    from .config import CodecConfig, LmConfig
    from .engine import Engine, EngineSettings
    from .errors import (
        AudioError,
        Cancelled,
        CheckpointError,
        ConfigError,
        DeadlineOver,
        DeviceError,
        EngineClosed,
        EngineError,
        MimoError,
        OutOfMemory,
        PromptError,
    )
    from .lm import SpeechLm
    from .model import Model
    from .prompts import TASKS, Prompt
    from .request import Request, Ticket
    from .sampler import GREEDY, Sampling
    from .takes import Failure, Take, Timing
    from .text import TextTokenizer
    from .wav import Sound, read_wav

_HOMES = {
    "codec": ("Codec", "Seams", "StreamingDecoder"),
    "config": ("CodecConfig", "LmConfig"),
    "engine": ("Engine", "EngineSettings"),
    "errors": (
        "AudioError", "Cancelled", "CheckpointError", "ConfigError", "DeadlineOver", "DeviceError", "EngineClosed",
        "EngineError", "MimoError", "OutOfMemory", "PromptError",
    ),
    "lm": ("SpeechLm",),
    "model": ("Model",),
    "prompts": ("TASKS", "Prompt"),
    "request": ("Request", "Ticket"),
    "sampler": ("GREEDY", "Sampling"),
    "takes": ("Failure", "Take", "Timing"),
    "text": ("TextTokenizer",),
    "wav": ("Sound", "read_wav"),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022 (in the order of the table above)
    "Codec", "Seams", "StreamingDecoder", "CodecConfig", "LmConfig", "Engine", "EngineSettings", "AudioError",
    "Cancelled", "CheckpointError", "ConfigError", "DeadlineOver", "DeviceError", "EngineClosed", "EngineError",
    "MimoError", "OutOfMemory", "PromptError", "SpeechLm", "Model", "TASKS", "Prompt", "Request", "Ticket", "GREEDY",
    "Sampling", "Failure", "Take", "Timing", "TextTokenizer", "Sound", "read_wav",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
