"""The engine when something fails: memory, a request, the device; nobody waits for ever, and the others are served."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from model_worker.mimo import (
    Codec,
    Engine,
    EngineClosed,
    EngineError,
    EngineSettings,
    Model,
    OutOfMemory,
    Request,
    TextTokenizer,
    read_wav,
)
from model_worker.mimo.batch import Batch
from model_worker.mimo.blocks import Block
from model_worker.mimo.failures import is_broken, is_out_of_memory
from model_worker.mimo.qwen import QwenBlock
from model_worker.mimo.reader import Part, Reader
from model_worker.mimo.slots import Slots
from model_worker.mimo.step import Plan, Stepper

from .asking import endless, equal, requests


@pytest.fixture
def strict(model: Model) -> Iterator[Engine]:
    """An engine whose stepper can be made to fail."""
    with Engine(model, EngineSettings(slots=4, groups=256)) as engine:
        yield engine


def test_out_of_memory_narrows_the_batch_and_loses_nothing(
    strict: Engine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Stepper.step

    def limited(self: Stepper, plan: object) -> None:
        if plan.rows > 2:  # type: ignore[attr-defined]
            raise torch.OutOfMemoryError("CUDA out of memory")
        step(self, plan)  # type: ignore[arg-type]

    wanted = [engine.run(request) for request in requests(5)]
    monkeypatch.setattr(strict.caution, "_needed", 10**9)
    monkeypatch.setattr(Stepper, "step", limited)
    takes = [ticket.result(60) for ticket in [strict.submit(request) for request in requests(5)]]
    assert all(map(equal, takes, wanted))
    assert strict.caution.width <= 2


def test_what_does_not_fit_even_alone_is_refused_and_the_others_are_served(
    strict: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Reader.read

    def limited(self: Reader, prompts: list[Part]) -> None:
        if any(len(prompt.groups) > 60 for prompt in prompts):
            raise torch.OutOfMemoryError("CUDA out of memory")
        read(self, prompts)

    monkeypatch.setattr(Reader, "read", limited)
    large = strict.submit(Request("chat", {"text": "a long story about a river " * 8}))
    small = [strict.submit(request) for request in requests(4)]
    with pytest.raises(OutOfMemory):
        large.result(60)
    assert all(len(ticket.result(60).groups) for ticket in small)


@pytest.mark.parametrize("fails", [1, 2])
@pytest.mark.parametrize(("kind", "part"), [(Reader, "read"), (Stepper, "step")])
def test_a_request_alone_that_finds_no_memory_is_tried_once_more(
    strict: Engine, engine: Engine, monkeypatch: pytest.MonkeyPatch, kind: type, part: str, fails: int
) -> None:
    work, left = getattr(kind, part), [fails]

    def short(self: Reader | Stepper, *given: object) -> None:
        if self in (strict.batch.reader, strict.batch.stepper) and left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        work(self, *given)

    monkeypatch.setattr(kind, part, short)
    asked = requests(3)[2]
    if fails == 1:
        assert equal(strict.run(asked), engine.run(asked))
    else:
        with pytest.raises(OutOfMemory):
            strict.run(asked)
        assert equal(strict.run(asked), engine.run(asked))


def test_what_a_failed_try_made_is_given_back_before_the_next(strict: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a second try has less room than the first had."""
    step, made, alive = Stepper.step, [], []

    def short(self: Stepper, plan: Plan) -> None:
        if not made:
            activations = torch.zeros(1000)
            made.append(weakref.ref(activations))
            raise torch.OutOfMemoryError("CUDA out of memory")
        alive.append(made[0]() is not None)
        step(self, plan)

    spare = Batch.spare

    def watched(self: Batch) -> None:
        alive.append(made[0]() is not None)
        spare(self)

    monkeypatch.setattr(Stepper, "step", short)
    monkeypatch.setattr(Batch, "spare", watched)
    assert len(strict.run(requests(1)[0]).groups)
    assert not any(alive)


@pytest.mark.parametrize("fails", [1, 2])
@pytest.mark.parametrize("part", ["encode", "decode"])
def test_the_audio_tokenizer_tries_again_when_memory_is_short(
    strict: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch, part: str, fails: int
) -> None:
    """Once: what was spared meanwhile may be enough. What does not fit then fails alone."""
    work, left = getattr(Codec, part), [fails]

    def short(self: Codec, *given: object, **how: object) -> object:
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return work(self, *given, **how)

    monkeypatch.setattr(Codec, part, short)
    speech = read_wav(folder / "wavs" / "weather_22k.wav")
    converse = Request("converse", {"speech": speech}, seed=2, max_new=40, min_new=40)
    chat = strict.submit(Request("chat", {"text": "Hello."}, max_new=8, decode=False))
    if fails == 1:
        assert strict.run(converse).wave.any()
    else:
        with pytest.raises(OutOfMemory, match="does not fit"):
            strict.run(converse)
        assert strict.run(converse).wave.any()
    assert len(chat.result(60).groups)


def test_prompts_that_do_not_fit_together_are_read_a_few_at_a_time(
    strict: Engine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, refused = Reader.read, []

    def limited(self: Reader, prompts: list[Part]) -> None:
        if len(prompts) > 1:
            refused.append(len(prompts))
            raise torch.OutOfMemoryError("CUDA out of memory")
        read(self, prompts)

    wanted = [engine.run(request) for request in requests(4)]
    monkeypatch.setattr(Reader, "read", limited)
    assert all(map(equal, [ticket.result(60) for ticket in [strict.submit(one) for one in requests(4)]], wanted))
    assert refused


@pytest.mark.parametrize(("kind", "part"), [(Reader, "read"), (Stepper, "step"), (Slots, "histories")])
def test_nobody_waits_for_ever_when_the_device_breaks(
    model: Model, monkeypatch: pytest.MonkeyPatch, kind: type, part: str
) -> None:
    """While prompts are read, in a step, or as an answer is fetched: wherever a request was just then."""

    submitted = threading.Event()

    def broken(*_: object) -> None:
        submitted.wait(20)
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(kind, part, broken)
    with Engine(model, EngineSettings(slots=2, groups=256)) as engine:
        tickets = [engine.submit(request) for request in requests(4)]
        submitted.set()
        for ticket in tickets:
            with pytest.raises(EngineClosed, match="device-side assert"):
                ticket.result(20)
        assert engine.stalled_s() == float("inf")
        with pytest.raises(EngineClosed):
            engine.submit(requests(1)[0])


def test_an_answer_that_cannot_be_read_fails_alone(strict: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = TextTokenizer.decode

    def failing(self: TextTokenizer, ids: list[int]) -> str:
        if len(ids) == 5:
            raise ValueError("these ids make no text")
        return decode(self, ids)

    monkeypatch.setattr(TextTokenizer, "decode", failing)
    tickets = [strict.submit(endless(seed, groups)) for seed, groups in enumerate((4, 5, 6))]
    with pytest.raises(EngineError, match="make no text"):
        tickets[1].result(20)
    assert [len(tickets[index].result(20).groups) for index in (0, 2)] == [4, 6]


def test_an_engine_that_broke_says_so_to_its_watchdog(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Engine) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(Engine, "_admit", broken)
    with Engine(model, EngineSettings(slots=2, groups=256)) as engine:
        with pytest.raises(EngineClosed, match="illegal memory access"):
            engine.run(requests(1)[0])
        assert engine.stalled_s() == float("inf")
    assert Engine(model, EngineSettings(slots=2, groups=256)).stalled_s() == 0


def test_memory_that_is_short_and_a_device_that_broke_are_told_apart() -> None:
    with pytest.raises(RuntimeError) as short:
        torch.empty(1 << 46)  # more than any machine has
    assert is_out_of_memory(short.value)
    for said in ("CUDA error: out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"):
        assert is_out_of_memory(torch.AcceleratorError(said))
        assert not is_broken(torch.AcceleratorError(said))
    for said in ("CUDA error: device-side assert triggered", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"):
        assert is_broken(RuntimeError(said))
        assert not is_out_of_memory(RuntimeError(said))
    assert is_broken(torch.AcceleratorError("an illegal memory access was encountered"))
    assert not is_broken(ValueError("a request that says CUDA error"))


def test_one_bad_request_does_not_take_others_along(strict: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Stepper.step

    def failing(self: Stepper, plan: object) -> None:
        if any(order.settings.seed == 666 for order in strict.batch.running):
            raise RuntimeError("a bug that only this request meets")
        step(self, plan)  # type: ignore[arg-type]

    monkeypatch.setattr(Stepper, "step", failing)
    tickets = [strict.submit(request) for request in [*requests(3), endless(666, 10)]]
    with pytest.raises(EngineError, match="only this request"):
        tickets.pop().result(60)
    assert all(len(ticket.result(60).groups) for ticket in tickets)


def test_a_watchdog_sees_an_engine_that_hangs(strict: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert strict.stalled_s() == 0
    step, release = Stepper.step, threading.Event()

    def hanging(self: Stepper, plan: object) -> None:
        release.wait(30)
        step(self, plan)  # type: ignore[arg-type]

    monkeypatch.setattr(Stepper, "step", hanging)
    ticket = strict.submit(requests(1)[0])
    time.sleep(0.3)
    stalled = strict.stalled_s()
    release.set()
    ticket.result(60)
    assert 0.2 < stalled < 20


def test_a_watchdog_sees_that_a_slow_engine_gets_on(
    strict: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a processor one recording, prompt or wave may take longer than a watchdog waits."""
    slow_s, least_s = 0.15, 0.6

    def slowly(kind: type[Block] | type[QwenBlock]) -> None:
        forward = kind.forward

        def slow(self: Block | QwenBlock, *given: object) -> torch.Tensor:
            if len(given[0]) > 1 or kind is Block:  # prompts, recordings and waves, not steps
                time.sleep(slow_s)
            return forward(self, *given)

        monkeypatch.setattr(kind, "forward", slow)

    slowly(Block)
    slowly(QwenBlock)
    began_s, seen = time.monotonic(), []
    speech = read_wav(folder / "wavs" / "weather_22k.wav")
    ticket = strict.submit(Request("converse", {"speech": speech}, seed=2, max_new=40, min_new=40))
    while not ticket.done():
        seen.append(strict.stalled_s())
        time.sleep(0.02)
    assert ticket.result().wave.any()
    assert time.monotonic() - began_s > 3 * least_s
    assert max(seen) < least_s
