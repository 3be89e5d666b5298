"""Requests that cannot be served: refused at once, by name, before anything is encoded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model_worker.mimo import AudioError, Codec, Engine, Prompt, PromptError, Request, Sound
from model_worker.mimo.groups import Groups

from .asking import requests


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (Request("sing", {"text": "la"}), "no task 'sing'"),
        (Request("speak", {}), "no text"),
        (Request("speak", {"text": " \n\t"}), "no text"),
        (Request("chat", {}), "'text' is needed"),
        (Request("chat", {"text": None}), "'text' is needed"),
        (Request("chat", None), "'given' must have the names and values"),  # type: ignore[arg-type]
        (Request("chat-turns", {"turns": [{"role": "ghost", "content": "boo"}]}), "role 'ghost'"),
        (Request("speak", {"text": "so " * 30_000}), "context holds 512|too long"),
        (Request("chat", {"text": "x" * 300_000}), "too long"),
        (Request("chat", {"text": "\ud800"}), "lone surrogates"),
        (Request("chat", {"text": "hi"}, stops=tuple(range(9))), "stop ids"),
        (Request("chat", {"text": "hi"}, stops=(1040,), min_new=3), "'stops' .* from 0 to 1039, but is 1040"),
        (Request("chat", {"text": "hi"}, stops=(-1,), min_new=3), "'stops'"),
        (Request("chat", {"text": "hi"}, seed="x"), "'seed' must be a whole number, but is 'x'"),  # type: ignore[arg-type]
        (Request("chat", {"text": "hi"}, min_new=-1), "'min_new' .* at least 0"),
        (Request("chat", {"text": "hi"}, max_new=2.5), "'max_new'"),  # type: ignore[arg-type]
        (Request("chat", {"text": "hi"}, deadline_s=float("nan")), "'deadline_s'"),
        (Request("chat", {"text": "hi"}, text="greedy"), "'text' must be a way to sample"),  # type: ignore[arg-type]
        (Request("transcribe", {"speech": "a.wav"}), "'speech' must be a recording"),
        (Request("transcribe", {"speech": torch.zeros(8, 12)}), "'speech' must have whole numbers"),
        (Request("transcribe", {"speech": torch.full((8, 12), 1025)}), "audio id 1025"),
        (Request("chat-turns", {"turns": "hello"}), "'turns' must be a list"),
        (Request("chat", prompt=Prompt(Groups(torch.tensor([1040]), torch.zeros(1, 4, 8).long()), 0)), "text id 1040"),
        (Request("chat", prompt=Prompt(Groups(torch.tensor([3]), torch.zeros(1, 4, 8)), 0)), "int64 is taken"),
        (Request("chat-turns", {"turns": [{"role": ["user"], "content": "boo"}]}), "a turn has the role"),
        (Request("chat", prompt=Prompt(Groups(torch.tensor([3]), torch.zeros(1, 4, 7)), 0)), r"\[1, 4, 8\]"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_by_name(engine: Engine, request_: Request, problem: str) -> None:
    """Before the device sees it: an id outside its table would be the end of everybody's work on a GPU."""
    with pytest.raises(PromptError, match=problem):
        engine.submit(request_)
    assert len(engine.run(requests(1)[0]).groups)  # and the engine goes on


def test_a_prompt_that_does_not_fit_is_refused_before_anything_is_encoded(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Codec, "encode", lambda *_: pytest.fail("a recording was encoded"))
    minute_and_more = Sound(np.full(90 * 8000, 0.1, np.float32), 8000)
    with pytest.raises(PromptError, match=r"the prompt has 5\d\d groups, but the context holds 512"):
        engine.submit(Request("transcribe", {"speech": minute_and_more}))


def test_a_recording_that_cannot_be_used_is_named(engine: Engine) -> None:
    good = Sound(np.full(8000, 0.1, np.float32), 8000)
    bad = Sound(np.full(8000, np.nan, np.float32), 8000)
    examples = [{"before": good, "text": "a", "after": good}, {"before": good, "text": "b", "after": bad}]
    for request, name in (
        (Request("converse", {"speech": good, "voice": bad}), "'voice'"),
        (Request("convert", {"instruction": "x", "speech": good, "examples": examples}), r"'examples\[1\]\.after'"),
    ):
        with pytest.raises(AudioError, match=rf"{name}: .* not numbers \(NaN"):
            engine.submit(request)


def test_control_characters_are_just_text(engine: Engine) -> None:
    assert len(engine.run(Request("speak", {"text": "a\x00b\x07\u202e{x}%s"}, max_new=4)).groups)


def test_a_broken_recording_is_refused_at_once(engine: Engine) -> None:
    broken = Sound(np.full(24_000, np.nan, np.float32), 24_000)
    with pytest.raises(AudioError):
        engine.submit(Request("transcribe", {"speech": broken}))
