"""What an engine does on a device with a queue: late results, recorded steps, little memory, others beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from model_worker.mimo import (
    Cancelled,
    Codec,
    Engine,
    EngineClosed,
    EngineSettings,
    Model,
    OutOfMemory,
    Prompt,
    Request,
    Take,
    Ticket,
    read_wav,
)
from model_worker.mimo.codec import Seams
from model_worker.mimo.device import Coming, Device
from model_worker.mimo.engine import WORK_BYTES
from model_worker.mimo.failures import Failed
from model_worker.mimo.gate import Gate
from model_worker.mimo.graphs import SWITCH, Graphs
from model_worker.mimo.groups import Groups
from model_worker.mimo.slots import Slots
from model_worker.mimo.sounds import Sounds
from model_worker.mimo.step import Plan, Stepper
from model_worker.mimo.waves import ShapedWaves

from .asking import SENTENCES, endless, equal
from .queueing import Queueing, Tape


def asked(count: int) -> list[Request]:
    return [Request("speak", {"text": SENTENCES[seed % 5]}, seed=seed, max_new=8 + 5 * seed) for seed in range(count)]


def takes(engine: Engine, requests: list[Request]) -> list[Take]:
    return [ticket.result(60) for ticket in [engine.submit(request) for request in requests]]


@pytest.fixture(scope="module")
def wanted(model: Model) -> Iterator[list[Take]]:
    """What five requests get on a processor, one after the other."""
    with Engine(model, EngineSettings(slots=1, groups=256)) as engine:
        yield [engine.run(request) for request in asked(5)]


def queued(model: Model, device: Device, *, slots: int = 4, steady: bool = False) -> Engine:
    return Engine(model, EngineSettings(slots=slots, groups=256, steady=steady), device)


@pytest.mark.parametrize("steady", [False, True])
@pytest.mark.parametrize("slots", [1, 3, 8])
def test_late_results_and_recorded_steps_change_no_take(
    model: Model, wanted: list[Take], slots: int, steady: bool
) -> None:
    device = Queueing()
    with queued(model, device, slots=slots, steady=steady) as engine:
        for _ in range(2):
            assert all(map(equal, takes(engine, asked(5)), wanted))
        assert sum(tape.replays for tape in engine.batch.graphs.recordings.values()) > 20
        assert device.owner is engine._thread


@pytest.mark.parametrize("steady", [False, True])
def test_answers_in_text_do_not_pay_for_sound_and_are_the_same_beside_speech(
    model: Model, wanted: list[Take], monkeypatch: pytest.MonkeyPatch, steady: bool
) -> None:
    """The local decoder is three quarters of a step's kernels."""
    plans, step = list[Plan](), Stepper.step

    def watched(self: Stepper, plan: Plan) -> None:
        plans.append(plan)
        step(self, plan)

    monkeypatch.setattr(Stepper, "step", watched)
    written = [Request("chat", {"text": SENTENCES[seed]}, seed=seed, max_new=30, min_new=30) for seed in range(3)]
    with queued(model, Queueing(), slots=8, steady=steady) as engine:
        alone = [engine.run(request) for request in written]
        assert plans
        assert all(plan.audio is None for plan in plans)
        mixed = takes(engine, [*written, *asked(5)])
        assert any(plan.audio is not None and plan.mutes for plan in plans)
    assert all(map(equal, mixed, [*alone, *wanted]))
    assert all(take.text and not take.codes.numel() for take in alone)
    assert not any((take.groups.text == model.text.empty).any() for take in alone)


def test_a_prompt_that_is_continued_as_it_is_may_be_answered_in_sound(model: Model) -> None:
    """Whatever its task, as the reference does; unless the request says no."""
    groups = model.prompts.build("speak", {"text": "Hello.", "template": "Say"}).groups
    request = Request("chat", prompt=Prompt(groups, 0), seed=1, max_new=12, decode=False)
    with queued(model, Queueing()) as engine:
        assert (engine.run(request).groups.text == model.text.empty).any()
        assert not (engine.run(replace(request, speaks=False)).groups.text == model.text.empty).any()


def test_attention_reads_whole_lines_and_few_lengths(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt of 600 groups is not paid for as one of 1,024."""
    seen, step = set[int](), Stepper.step

    def watched(self: Stepper, plan: Plan) -> None:
        seen.add(plan.length)
        step(self, plan)

    monkeypatch.setattr(Stepper, "step", watched)
    with Engine(model, EngineSettings(slots=1, groups=129), Queueing()) as engine:
        engine.run(asked(1)[0])
        assert seen == {192}
        assert engine.batch.slots.cache.shape[4] == 192
    seen.clear()
    text = model.text.encode("a long story about a river and a boat " * 80)
    with Engine(model, EngineSettings(slots=1, groups=2000), Queueing()) as engine:
        for count in (250, 600, 1300):
            groups = Groups.of_text(text[:count], model.lm.config)
            engine.run(Request("chat", prompt=Prompt(groups, 0), stops=(), max_new=8, decode=False))
    assert seen == {256, 512, 768, 1536}


def test_a_request_that_is_given_up_while_it_is_encoded_does_not_run(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, tickets = Codec.encode, list[Ticket]()

    def cancelled(self: Codec, *given: object) -> object:
        while len(tickets) < 2:
            time.sleep(0.001)
        tickets[1].cancel()
        return encode(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Codec, "encode", cancelled)
    speech = read_wav(folder / "wavs" / "weather_22k.wav")
    with queued(model, Queueing()) as engine:
        tickets.append(engine.submit(endless(0, 60)))
        while not engine.steps:
            time.sleep(0.001)
        tickets.append(engine.submit(Request("transcribe", {"speech": speech}, stops=(), max_new=50)))
        with pytest.raises(Cancelled):
            tickets[1].result(30)
        assert len(tickets[0].result(30).groups) == 60


def test_an_answer_that_cannot_be_fetched_for_lack_of_memory_is_made_again(
    model: Model, wanted: list[Take], monkeypatch: pytest.MonkeyPatch
) -> None:
    histories, left = Slots.histories, [1]

    def short(self: Slots, *given: object) -> object:
        if left:
            left.clear()
            raise torch.OutOfMemoryError("CUDA out of memory")
        return histories(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Slots, "histories", short)
    with queued(model, Queueing()) as engine:
        assert all(map(equal, takes(engine, asked(5)), wanted))
    assert not left


@pytest.mark.parametrize(("rows", "slots"), [(-10, 1), (0.9, 1), (7.5, 7), (1e6, 32)])
def test_as_many_requests_run_at_once_as_there_is_room_for(model: Model, rows: float, slots: int) -> None:
    kept = 1 << 30
    with Engine(model, EngineSettings(slots=1, groups=512)) as one:
        row_bytes = one.batch.slots.cache.nbytes + one.batch.slots.history.nbytes
    device = Queueing(free_bytes=int(rows * row_bytes) + WORK_BYTES + 2 * kept)
    with Engine(model, EngineSettings(groups=512, prefix_bytes=kept, left_bytes=kept), device) as engine:
        assert engine.settings.slots == engine.batch.slots.count == slots


def test_waves_that_end_together_are_decoded_four_at_a_time(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as their shape is one: with a steady engine too."""
    decode, sizes = ShapedWaves.decode, list[int]()

    def counted(self: ShapedWaves, items: list[torch.Tensor]) -> list[torch.Tensor]:
        sizes.append(len(items))
        return decode(self, items)

    monkeypatch.setattr(ShapedWaves, "decode", counted)
    together = [Request("speak", {"text": SENTENCES[0]}, seed=1, stops=(), max_new=12) for _ in range(5)]
    with queued(model, Queueing(), slots=5, steady=True) as engine:
        made = takes(engine, together)
        assert sizes == [4, 1]
        assert torch.equal(torch.from_numpy(made[0].wave), torch.from_numpy(engine.run(together[0]).wave))
    assert made[0].wave.any()


@pytest.mark.parametrize("together", [False, True])
def test_waves_that_cannot_be_decoded_together_are_decoded_one_by_one(
    model: Model, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    """One that does not fit alone fails, after a second try, and no other."""
    decode, tried, spared = Codec.decode, list[int](), list[None]()
    items = [torch.randint(0, 16, (8, frames)) for frames in (48, 60, 48)]
    shaped = None if together else ShapedWaves(model.codec, 8, 60, Graphs("waves", None))
    alone = [decode(model.codec, [item], shaped=shaped)[0] for item in items]

    def short(self: Codec, some: list[torch.Tensor], *given: Any, **how: Any) -> list[torch.Tensor]:
        tried.append(sum(item.shape[1] for item in some))
        if tried[-1] > 50:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(self, some, *given, **how)

    monkeypatch.setattr(Codec, "decode", short)
    spare = partial(spared.append, None)
    sounds = Sounds(model.codec, Queueing(), 8, Seams.SMOOTH, together=together, spare=spare)
    first, second, third = sounds.waves(items)
    assert tried == [48 + 60 + 48, 48, 60, 60, 48]
    assert spared == [None]
    assert isinstance(second, Failed)
    assert second.out_of_memory
    for one, wave in ((first, alone[0]), (third, alone[2])):
        assert isinstance(one, Coming)
        assert torch.equal(one.wait(), wave)


def limited(monkeypatch: pytest.MonkeyPatch, rows: int) -> list[Plan]:
    """Steps of more rows find no memory; the plans of those that do."""
    step, went = Stepper.step, list[Plan]()

    def short(self: Stepper, plan: Plan) -> None:
        if plan.rows > rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        went.append(plan)
        step(self, plan)

    monkeypatch.setattr(Stepper, "step", short)
    return went


def test_a_steady_engine_narrows_its_steps_when_memory_is_short(
    model: Model, wanted: list[Take], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its steps have as many rows as there may ever be, so running fewer requests alone would give nothing back."""
    went = limited(monkeypatch, 2)
    with queued(model, Queueing(), steady=True) as engine:
        assert all(map(equal, takes(engine, asked(5)), wanted))
        assert engine.caution.width == 2
        assert not engine.batch.graphs.on
    assert {plan.rows for plan in went} == {2}


def test_what_finds_no_memory_in_the_narrowest_step_is_refused(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, 0)
    with queued(model, Queueing(), steady=True) as engine, pytest.raises(OutOfMemory):
        takes(engine, asked(2))


def test_recorded_steps_are_given_up_before_rows_are(model: Model, wanted: list[Take]) -> None:
    """Their memory may be all that is missing; they are recorded again when all went well for a while."""
    tapes: list[Tape] = []

    def record(work: Callable[[], None]) -> Tape:
        if not tapes:
            tapes.append(Tape(work))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return Tape(work)

    device = Queueing(record)
    with queued(model, device) as engine:
        assert all(map(equal, takes(engine, asked(5)), wanted))
        assert engine.caution.width == 4
        assert not engine.batch.graphs.on
        engine.caution._needed = 10
        assert all(map(equal, takes(engine, asked(5)), wanted))
        assert engine.batch.graphs.recordings
        assert device.recorders == 2  # the pool of the first recordings went with them


def test_steps_and_prompts_that_cannot_be_recorded_run_as_they_are(
    model: Model, wanted: list[Take], caplog: pytest.LogCaptureFixture
) -> None:
    def record(_: Callable[[], None]) -> Tape:
        raise torch.AcceleratorError("CUDA error: operation failed due to a previous error during capture")

    with queued(model, Queueing(record)) as engine:
        assert all(map(equal, [engine.run(request) for request in asked(5)], wanted))
        assert not engine.batch.graphs.on
        assert not engine.batch.prompt_graphs.on
    told = [record.getMessage() for record in caplog.records]
    assert sorted(line.split()[0] for line in told) == ["prompts", "steps"]
    assert all(f"{SWITCH}=0" in line for line in told)


@pytest.mark.parametrize("kind", ["steps", "prompts"])
def test_one_kind_of_work_that_cannot_be_recorded_leaves_the_other_recorded(
    model: Model, wanted: list[Take], kind: str
) -> None:
    class Half(Queueing):
        def graphs(self, what: str) -> Graphs:
            def recorder() -> Callable[[Callable[[], None]], Tape]:
                raise torch.AcceleratorError("CUDA error: operation failed due to a previous error during capture")

            return Graphs(what, recorder) if what == kind else super().graphs(what)

    with queued(model, Half()) as engine:
        assert all(map(equal, [engine.run(request) for request in asked(5)], wanted))
        assert engine.batch.graphs.on == bool(engine.batch.graphs.recordings) == (kind == "prompts")
        assert engine.batch.prompt_graphs.on == bool(engine.batch.prompt_graphs.recordings) == (kind == "steps")


def test_an_engine_that_broke_names_the_switch_of_its_recordings(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Tape) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(Tape, "replay", broken)
    with queued(model, Queueing()) as engine, pytest.raises(EngineClosed, match="illegal memory") as refused:
        takes(engine, asked(2))
    assert f"{SWITCH}=0" in refused.value.hint


def test_nobody_works_while_somebody_records(model: Model, wanted: list[Take], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two engines in one process, as the instruct and the base model are: CUDA would spoil the recording."""
    step, gate = Stepper.step, Gate()
    busy, seen = set[Stepper](), list[int]()

    def watched(self: Stepper, plan: Plan) -> None:
        busy.add(self)
        time.sleep(0.001)
        step(self, plan)
        busy.discard(self)

    def record(work: Callable[[], None]) -> Tape:
        for _ in range(5):
            time.sleep(0.001)
            seen.append(len(busy))
        return Tape(work)

    monkeypatch.setattr(Stepper, "step", watched)
    with (
        queued(model, Queueing(record, gate)) as first,
        queued(model, Queueing(record, gate), slots=2) as second,
    ):
        tickets = [engine.submit(request) for request in asked(5) for engine in (first, second)]
        found = [ticket.result(60) for ticket in tickets]
    assert all(map(equal, found[::2], wanted))
    assert all(map(equal, found[1::2], wanted))
    assert len(seen) >= 10
    assert not any(seen)
