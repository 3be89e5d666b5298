"""The engine: agreement with plain generation, batches, seeds, limits, prefixes."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from model_worker.mimo import (
    GREEDY,
    Cancelled,
    DeadlineOver,
    Engine,
    EngineClosed,
    EngineSettings,
    Failure,
    Model,
    Prompt,
    Request,
    Sampling,
    Take,
    Ticket,
    read_wav,
)
from model_worker.mimo.batch import Batch
from model_worker.mimo.codec import Seams
from model_worker.mimo.engine import BUSY_GROUPS
from model_worker.mimo.groups import Groups
from model_worker.mimo.orders import Composer
from model_worker.mimo.plain import generate
from model_worker.mimo.reader import Part, Reader
from model_worker.mimo.step import Plan, Stepper

from .asking import SENTENCES, endless, equal, requests
from .queueing import Queueing


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

    composer = Composer(model, 256, Seams.SMOOTH)
    for request, take in zip(tasks, takes, strict=True):
        task = TASKS[request.task]
        alone = generate(
            model.lm,
            composer.asked(request, Ticket(lambda: None), 0.0).prompt.groups,
            model.text.empty,
            model.prompts.stops(request.task),
            max_new=12,
            min_new=request.min_new,
            text=request.text or task.text,
            audio=request.audio or task.audio,
            seed=request.seed,
            speaks=task.speaks,
        )
        assert torch.equal(alone.text, take.groups.text)
        assert torch.equal(alone.codes, take.groups.codes)


def test_a_request_gives_the_same_codes_alone_and_in_any_batch(engine: Engine) -> None:
    together = [ticket.result(60) for ticket in [engine.submit(request) for request in requests(6)]]
    alone = [engine.submit(request).result(60) for request in requests(6)]
    assert all(map(equal, together, alone))
    assert all(np.array_equal(one.wave, other.wave) for one, other in zip(together, alone, strict=True))
    assert len({take.groups.codes.numpy().tobytes() for take in alone}) == 6  # and other seeds give other codes


def test_a_steady_engine_gives_equal_bits(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even the hidden states after every step: rows meet the same kernels whoever else is running."""
    launch, seen = Batch.launch, list[torch.Tensor]()

    def watched(self: Batch, width: int) -> None:
        launch(self, width)
        seen.extend(self.slots.hidden[row].clone() for row, one in enumerate(self.running) if one.settings.seed == 0)

    def states(engine: Engine, mates: int) -> torch.Tensor:
        seen.clear()
        tickets = [engine.submit(request) for request in requests(1 + mates)]
        takes = [ticket.result(60) for ticket in tickets]
        assert len(takes[0].groups) == len(seen)
        return torch.stack(seen)

    monkeypatch.setattr(Batch, "launch", watched)
    with Engine(model, EngineSettings(slots=3, groups=256, steady=True)) as engine:
        assert torch.equal(states(engine, 0), states(engine, 2))


def test_in_coarse_numbers_takes_are_equal_bit_for_bit_in_any_company(folder: Path) -> None:
    """As on a GPU: late results, recorded steps, all rows in every step, one prompt, recording and wave at a time."""
    model = Model.load(folder / "lm", folder / "tokenizer", dtype=torch.bfloat16)
    speech = read_wav(folder / "wavs" / "weather_22k.wav")
    asked = [
        *requests(4),
        Request("transcribe", {"speech": speech}, max_new=12),
        Request("chat", {"text": "Why?"}, seed=3, max_new=20),
        Request("converse", {"speech": speech}, seed=4, max_new=20),
    ]
    with Engine(model, EngineSettings(slots=4, groups=256), Queueing()) as engine:
        alone = [engine.run(request) for request in asked]
        together = [ticket.result(60) for ticket in [engine.submit(request) for request in reversed(asked)]]
    for one, other in zip(alone, reversed(together), strict=True):
        assert equal(one, other)
        assert np.array_equal(one.wave, other.wave)


def test_freed_rows_are_filled_at_once(model: Model) -> None:
    with Engine(model, EngineSettings(slots=2, groups=256)) as engine:
        tickets = [engine.submit(endless(seed, groups)) for seed, groups in enumerate((60, 10, 10, 10, 10))]
        assert [len(ticket.result(60).groups) for ticket in tickets] == [60, 10, 10, 10, 10]
        assert engine.steps == 60  # the short ones took turns beside the long one


def test_who_runs_does_not_wait_for_many_long_prompts(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read a few at a time, between steps."""
    read, step, between = Reader.read, Stepper.step, [0]

    def reading(self: Reader, prompts: list[Part]) -> None:
        between[-1] += sum(len(prompt.groups) for prompt in prompts)
        read(self, prompts)

    def stepping(self: Stepper, plan: Plan) -> None:
        between.append(0)
        step(self, plan)

    monkeypatch.setattr(Reader, "read", reading)
    monkeypatch.setattr(Stepper, "step", stepping)
    ids = model.text.encode("a long story about a river " * 100)[:500]
    prompt = Prompt(Groups.of_text(ids, model.lm.config), 0)
    with Engine(model, EngineSettings(slots=8, groups=700)) as engine:
        first = engine.submit(endless(0, 200))
        while not engine.steps:
            time.sleep(0.001)
        del between[:-1]
        others = [engine.submit(Request("chat", prompt=prompt, stops=(), max_new=2, decode=False)) for _ in range(6)]
        assert all(len(ticket.result(60).groups) == 2 for ticket in others)
        assert len(first.result(60).groups) == 200
    assert sum(between) == 3000
    assert max(between) <= BUSY_GROUPS + 500


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
        monkeypatch.setattr("model_worker.mimo.reader.PROMPT_CHUNK", 50)
        assert whole.timing.prompt_groups > 100
        assert equal(whole, engine.run(request))


def test_a_take_without_speech_is_a_failure_with_a_reason(engine: Engine) -> None:
    never = engine.run(Request("speak", {"text": "Hello."}, seed=1, stops=(), max_new=20))
    assert not never.stopped
    assert never.failure in (Failure.NEVER_STOPS, Failure.NO_AUDIO)
    assert len(never.groups) == 20
    written = engine.model.prompts.build("chat", {"text": "Hello."})  # this prompt is answered in text first
    mute = engine.run(Request("speak", prompt=written, text=GREEDY, max_new=1))
    assert mute.failure is Failure.NO_AUDIO
    assert not len(mute.wave)


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
    takes = [ticket.result(60) for ticket in tickets]
    assert [len(take.groups) for take in takes] == [8] * 5
    assert [len(take.wave) > 0 for take in takes] == [False, False, False, True, True]


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


def test_a_prompt_can_be_continued_as_it_is(engine: Engine, model: Model) -> None:
    prompt = model.prompts.build("chat", {"text": "Hello."})
    again = engine.run(Request("chat", prompt=Prompt(prompt.groups, 0), seed=2, max_new=6))
    assert equal(again, engine.run(Request("chat", {"text": "Hello."}, seed=2, max_new=6)))
