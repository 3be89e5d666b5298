"""The engine: agreement with plain generation, batches, seeds, limits, failures, memory."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from model_worker.mimo import (
    GREEDY,
    AudioError,
    Cancelled,
    Codec,
    DeadlineOver,
    Engine,
    EngineClosed,
    EngineError,
    EngineSettings,
    Failure,
    Model,
    OutOfMemory,
    Prompt,
    PromptError,
    Request,
    Sampling,
    Sound,
    Take,
    TextTokenizer,
    read_wav,
)
from model_worker.mimo.batch import Batch
from model_worker.mimo.failures import is_broken, is_out_of_memory
from model_worker.mimo.plain import generate
from model_worker.mimo.slots import Slots
from model_worker.mimo.step import Plan, Stepper

SENTENCES = [
    "The train leaves at nine.",
    "Bring me the blue bowl, please.",
    "今天天气真好",
    "Hello.",
    "One, two, three, four.",
]


def requests(count: int, **settings: object) -> list[Request]:
    return [
        Request("speak", {"text": SENTENCES[seed % len(SENTENCES)]}, seed=seed, max_new=16, **settings)
        for seed in range(count)
    ]


def equal(one: Take, other: Take) -> bool:
    return torch.equal(one.groups.text, other.groups.text) and torch.equal(one.groups.codes, other.groups.codes)


def endless(seed: int = 0, groups: int = 400, **settings: object) -> Request:
    """A request that keeps a row busy until its limit."""
    return Request("speak", {"text": "Hello."}, seed=seed, stops=(), max_new=groups, decode=False, **settings)


@pytest.mark.parametrize(("slots", "steady"), [(3, False), (3, True), (16, False), (1, False)])
def test_the_engine_agrees_with_plain_generation(model: Model, slots: int, steady: bool) -> None:
    """For one row, for a few, and for many."""
    tasks = [
        Request("speak", {"text": SENTENCES[0]}, seed=3, max_new=12),
        Request("speak", {"text": SENTENCES[2]}, seed=4, max_new=12, text=GREEDY, audio=GREEDY),
        Request("chat", {"text": "北京"}, seed=5, max_new=12, min_new=6),
        Request(
            "chat", {"text": "Why?", "thinking": True}, seed=6, max_new=12, text=Sampling(0.8, top_k=20, top_p=0.9)
        ),
    ]
    with Engine(model, EngineSettings(slots=slots, groups=256, steady=steady)) as engine:
        takes = [ticket.result(60) for ticket in [engine.submit(task) for task in tasks]]
    from model_worker.mimo.prompts import TASKS
    from model_worker.mimo.request import prepared

    for request, take in zip(tasks, takes, strict=True):
        task = TASKS[request.task]
        alone = generate(
            model.lm,
            model.prompts.build(request.task, prepared(request, model.codec)).groups,
            model.text.empty,
            model.prompts.stops(request.task),
            max_new=12,
            min_new=request.min_new,
            text=request.text or task.text,
            audio=request.audio or task.audio,
            seed=request.seed,
        )
        assert torch.equal(alone.text, take.groups.text)
        assert torch.equal(alone.codes, take.groups.codes)


def test_a_request_gives_the_same_codes_alone_and_in_any_batch(engine: Engine) -> None:
    together = [ticket.result(60) for ticket in [engine.submit(request) for request in requests(6)]]
    alone = [engine.submit(request).result(60) for request in requests(6)]
    assert all(map(equal, together, alone))
    assert all(np.array_equal(one.wave, other.wave) for one, other in zip(together, alone, strict=True))
    assert len({take.groups.codes.numpy().tobytes() for take in alone}) == 6  # and other seeds give other codes


def test_a_steady_engine_gives_equal_bits(model: Model) -> None:
    """Even the hidden states: rows meet the same kernels whoever else is running."""
    seen: list[torch.Tensor] = []

    def states(engine: Engine, mates: int) -> torch.Tensor:
        tickets = [engine.submit(request) for request in requests(1 + mates)]
        takes = [ticket.result(60) for ticket in tickets]
        seen.append(engine.batch.slots.hidden.clone())
        return takes[0].groups.codes

    with Engine(model, EngineSettings(slots=3, groups=256, steady=True)) as engine:
        assert torch.equal(states(engine, 0), states(engine, 2))
    assert any(torch.equal(seen[0][0], row) for row in seen[1])


def test_freed_rows_are_filled_at_once(model: Model) -> None:
    with Engine(model, EngineSettings(slots=2, groups=256)) as engine:
        tickets = [engine.submit(endless(seed, groups)) for seed, groups in enumerate((60, 10, 10, 10, 10))]
        assert [len(ticket.result(60).groups) for ticket in tickets] == [60, 10, 10, 10, 10]
        assert engine.steps == 60  # the short ones took turns beside the long one


def test_a_deadline_ends_a_running_and_a_waiting_request(model: Model) -> None:
    with Engine(model, EngineSettings(slots=1, groups=512)) as engine:
        running, waiting = engine.submit(endless(deadline_s=0.3)), engine.submit(endless(deadline_s=0.2))
        with pytest.raises(DeadlineOver, match=r"0\.2 s"):
            waiting.result(60)
        with pytest.raises(DeadlineOver, match=r"0\.3 s"):
            running.result(60)
        assert engine.run(requests(1)[0]).groups.text.numel()


def test_cancelling_ends_a_request_and_no_other(model: Model) -> None:
    with Engine(model, EngineSettings(slots=2, groups=512)) as engine:
        first, second, waiting = (engine.submit(endless(seed, 120)) for seed in range(3))
        assert first.cancel()
        assert waiting.cancel()
        for ticket in (first, waiting):
            with pytest.raises(Cancelled):
                ticket.result(60)
        assert len(second.result(60).groups) == 120
        assert not second.cancel()


def test_a_voice_prompt_is_read_once_and_changes_nothing(model: Model, folder: Path) -> None:
    voice = read_wav(folder / "wavs" / "beijing_32k.wav")
    lines = [
        Request("speak-styled", {"text": text, "instruct": "calm", "voice": voice}, seed=seed, max_new=10)
        for seed, text in enumerate(SENTENCES)
    ]
    with Engine(model, EngineSettings(slots=2, groups=512)) as engine:
        takes = [engine.run(line) for line in lines]
        again = engine.run(lines[0])
        assert takes[0].timing.cached_groups == 0
        assert [take.timing.cached_groups > 20 for take in [*takes[1:], again]] == [True] * len(takes)
        assert equal(takes[0], again)
        assert len(engine.batch.prefixes) == 1
    with Engine(model, EngineSettings(slots=2, groups=512, prefix_bytes=0)) as engine:
        assert all(map(equal, takes, [engine.run(line) for line in lines]))


def test_a_prompt_longer_than_one_chunk_is_read_the_same(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request("chat", {"text": "a long story about a river " * 12}, seed=1, max_new=6)
    with Engine(model, EngineSettings(slots=2, groups=512)) as engine:
        whole = engine.run(request)
        monkeypatch.setattr("model_worker.mimo.step.PROMPT_CHUNK", 50)
        assert whole.timing.prompt_groups > 100
        assert equal(whole, engine.run(request))


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
    read = Stepper.read

    def limited(self: Stepper, first: int, prompts: list, starts: list[int]) -> None:
        if any(len(prompt) > 60 for prompt in prompts):
            raise torch.OutOfMemoryError("CUDA out of memory")
        read(self, first, prompts, starts)

    monkeypatch.setattr(Stepper, "read", limited)
    large = strict.submit(Request("chat", {"text": "a long story about a river " * 8}))
    small = [strict.submit(request) for request in requests(4)]
    with pytest.raises(OutOfMemory):
        large.result(60)
    assert all(len(ticket.result(60).groups) for ticket in small)


@pytest.mark.parametrize("fails", [1, 2])
@pytest.mark.parametrize("part", ["read", "step"])
def test_a_request_alone_that_finds_no_memory_is_tried_once_more(
    strict: Engine, engine: Engine, monkeypatch: pytest.MonkeyPatch, part: str, fails: int
) -> None:
    work, left = getattr(Stepper, part), [fails]

    def short(self: Stepper, *given: object) -> None:
        if self is strict.batch.stepper and left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        work(self, *given)

    monkeypatch.setattr(Stepper, part, short)
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

    def short(self: Codec, *given: object) -> object:
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return work(self, *given)

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
    read = Stepper.read

    def limited(self: Stepper, first: int, prompts: list, starts: list[int]) -> None:
        if len(prompts) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        read(self, first, prompts, starts)

    wanted = [engine.run(request) for request in requests(4)]
    monkeypatch.setattr(Stepper, "read", limited)
    assert all(map(equal, [ticket.result(60) for ticket in [strict.submit(one) for one in requests(4)]], wanted))


@pytest.mark.parametrize("part", ["read", "step", "history"])
def test_nobody_waits_for_ever_when_the_device_breaks(model: Model, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """While prompts are read, in a step, or as an answer is fetched: wherever a request was just then."""

    def broken(*_: object) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(Slots if part == "history" else Stepper, part, broken)
    with Engine(model, EngineSettings(slots=2, groups=256)) as engine:
        tickets = [engine.submit(request) for request in requests(4)]
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


def test_a_take_without_speech_is_a_failure_with_a_reason(engine: Engine) -> None:
    never = engine.run(Request("speak", {"text": "Hello."}, seed=1, stops=(), max_new=20))
    assert not never.stopped
    assert never.failure in (Failure.NEVER_STOPS, Failure.NO_AUDIO)
    assert len(never.groups) == 20
    written = engine.model.prompts.build("chat", {"text": "Hello."})  # this prompt is answered in text first
    mute = engine.run(Request("speak", prompt=written, text=GREEDY, max_new=1))
    assert mute.failure is Failure.NO_AUDIO
    assert not len(mute.wave)


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (Request("sing", {"text": "la"}), "no task 'sing'"),
        (Request("speak", {}), "no text"),
        (Request("speak", {"text": " \n\t"}), "no text"),
        (Request("chat", {}), "'text' is needed"),
        (Request("chat-turns", {"turns": [{"role": "ghost", "content": "boo"}]}), "role 'ghost'"),
        (Request("speak", {"text": "so " * 30_000}), "context holds 512|too long"),
        (Request("chat", {"text": "x" * 300_000}), "too long"),
        (Request("chat", {"text": "\ud800"}), "lone surrogates"),
        (Request("chat", {"text": "hi"}, stops=tuple(range(9))), "stop ids"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_by_name(engine: Engine, request_: Request, problem: str) -> None:
    with pytest.raises(PromptError, match=problem):
        engine.run(request_)
    assert len(engine.run(requests(1)[0]).groups)  # and the engine goes on


def test_control_characters_are_just_text(engine: Engine) -> None:
    assert len(engine.run(Request("speak", {"text": "a\x00b\x07\u202e{x}%s"}, max_new=4)).groups)


def test_a_broken_recording_is_refused_at_once(engine: Engine) -> None:
    broken = Sound(np.full(24_000, np.nan, np.float32), 24_000)
    with pytest.raises(AudioError):
        engine.submit(Request("transcribe", {"speech": broken}))


def test_a_recording_is_transcribed_understood_and_answered(engine: Engine, folder: Path) -> None:
    speech = read_wav(folder / "wavs" / "weather_22k.wav")
    tickets = [
        engine.submit(Request(task, {**given}, max_new=8))
        for task, given in (
            ("transcribe", {"speech": speech}),
            ("understand", {"speech": speech, "question": "Who speaks?", "thinking": True}),
            ("reply", {"content": speech}),
            ("converse", {"speech": speech, "system": "Be brief.", "voice": speech}),
            ("convert", {
                "instruction": "Convert the timbre.", "speech": speech,
                "examples": [{"before": speech, "text": "It rains.", "after": speech}],
            }),
        )
    ]  # fmt: skip
    assert all(isinstance(ticket.result(60).text, str) for ticket in tickets)


def test_many_threads_may_submit(engine: Engine) -> None:
    takes: dict[int, Take] = {}

    def work(seed: int) -> None:
        takes[seed] = engine.run(requests(seed + 1)[seed])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [takes[seed].seed for seed in range(8)] == list(range(8))


def test_closing_fails_what_is_unfinished_and_refuses_what_comes_later(model: Model) -> None:
    engine = Engine(model, EngineSettings(slots=1, groups=512))
    tickets = [engine.submit(endless(seed)) for seed in range(3)]
    engine.close()
    for ticket in tickets:
        with pytest.raises(EngineClosed):
            ticket.result(60)
    with pytest.raises(EngineClosed):
        engine.submit(endless())


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


def test_a_prompt_can_be_continued_as_it_is(engine: Engine, model: Model) -> None:
    prompt = model.prompts.build("chat", {"text": "Hello."})
    again = engine.run(Request("chat", prompt=Prompt(prompt.groups, 0), seed=2, max_new=6))
    assert equal(again, engine.run(Request("chat", {"text": "Hello."}, seed=2, max_new=6)))
