"""Prompts on a device with a queue: few shapes, recorded, and the numbers that each prompt has alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import rms_norm

from model_worker.mimo import Engine, EngineSettings, Model, Request, read_wav
from model_worker.mimo.graphs import Graphs
from model_worker.mimo.groups import Groups
from model_worker.mimo.reader import Part, Reader, Shape
from model_worker.mimo.slots import Slots

from .asking import SENTENCES, equal
from .captured import Captured, Forbidden
from .queueing import Queueing

LENGTHS = (33, 5, 70, 40, 100, 64)


@pytest.fixture(scope="module")
def plain(folder: Path) -> Iterator[Model]:
    """Without what only a processor does: the kernel, whose work no recording could see, and the norm of one row."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIMO_NUMBA", "0")
        patch.setattr(
            "model_worker.mimo.qwen.rms_norm", lambda x, weight, eps: rms_norm(x, (x.shape[-1],), weight, eps)
        )
        yield Model.load(folder / "lm", folder / "tokenizer")


def mixed(model: Model, length: int, seed: int) -> Groups:
    """Text and sound."""
    config, draw = model.lm.config, torch.Generator().manual_seed(seed)
    text = torch.randint(1, 200, (length,), generator=draw)
    text[length // 3 : length // 2] = model.text.empty
    codes = torch.randint(0, min(config.speech_vocab) - 1, (length, config.group_size, config.channels), generator=draw)
    empty = torch.tensor(config.speech_empty).expand_as(codes)
    return Groups(text, torch.where((text == model.text.empty)[:, None, None], codes, empty))


def read(model: Model, prompts: list[Groups], *, prefix: int, recorded: bool, steady: bool) -> tuple[Tensor, ...]:
    """Hidden states, and keys and values, after reading prompts whose first ``prefix`` groups are read before."""
    slots = Slots(model.lm, len(prompts), 256)
    graphs = Graphs("prompts", lambda: Captured) if recorded else None
    reader = Reader(model.lm, slots, model.text.empty, graphs, steady=steady)
    with torch.inference_mode():
        for _ in range(3 if recorded else 1):  # as it is, recorded, replayed
            slots.cache.zero_(), slots.hidden.zero_()
            starts = [prefix if len(prompt) > prefix else 0 for prompt in prompts]
            if any(starts):
                reader.read([Part(row, 0, prompts[row][:start]) for row, start in enumerate(starts) if start])
            reader.read([Part(row, start, prompts[row][start:]) for row, start in enumerate(starts)])
    if graphs is not None:
        assert sum(recording.replays for recording in graphs.recordings.values()) >= 2
    kept = torch.cat([slots.cache[:, :, row, :, : len(prompt)] for row, prompt in enumerate(prompts)], 3)
    return slots.hidden, kept


@pytest.mark.parametrize("steady", [False, True])
@pytest.mark.parametrize("prefix", [0, 20])
@pytest.mark.parametrize("chunk", [1024, 48])
def test_recorded_shapes_give_what_reading_as_it_is_gives(
    plain: Model, prefix: int, steady: bool, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model_worker.mimo.reader.PROMPT_CHUNK", chunk)
    prompts = [mixed(plain, length, seed) for seed, length in enumerate(LENGTHS)]
    wanted = read(plain, prompts, prefix=prefix, recorded=False, steady=True)
    found = read(plain, prompts, prefix=prefix, recorded=True, steady=steady)
    for one, other in zip(wanted, found, strict=True):
        assert one.abs().max() > 0.1
        assert torch.allclose(one, other, atol=1e-5)


def test_a_steady_shape_gives_a_prompt_the_same_bits_in_any_company(plain: Model) -> None:
    prompts = [mixed(plain, length, seed) for seed, length in enumerate(LENGTHS)]
    together, _ = read(plain, prompts, prefix=20, recorded=True, steady=True)
    for row, prompt in enumerate(prompts):
        alone, _ = read(plain, [prompt], prefix=20, recorded=True, steady=True)
        assert torch.equal(alone[0], together[row])
    backwards, _ = read(plain, prompts[::-1], prefix=20, recorded=True, steady=True)
    assert torch.equal(backwards.flip(0), together)


@pytest.mark.parametrize(
    ("steady", "lengths", "shapes"),
    [
        (True, [5], [(8, 32, 0)]),
        (True, [33, 64, 60, 34, 50], [(4, 64, 0), (4, 64, 0)]),
        (True, [300, 200], [(1, 512, 0), (1, 256, 0)]),
        (True, [600], [(1, 768, 0)]),
        (True, [1100], [(1, 1024, 0), (2, 128, 1280)]),
        (False, [5], [(1, 32, 0)]),
        (False, [33, 64, 60], [(4, 64, 0)]),
        (False, [600] * 6, [(5, 768, 0), (1, 768, 0)]),
    ],
)
def test_prompts_of_like_lengths_are_read_in_one_shape(
    plain: Model, steady: bool, lengths: list[int], shapes: list[tuple[int, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[Shape]()
    monkeypatch.setattr(Reader, "_read", lambda _self, shape, _parts: seen.append(shape))
    slots = Slots(plain.lm, 8, 1500)
    reader = Reader(plain.lm, slots, plain.text.empty, Graphs("prompts", None), steady=steady)
    config = plain.lm.config
    reader.read([Part(row, 0, Groups.of_text([7] * length, config)) for row, length in enumerate(lengths)])
    assert [(shape.prompts, shape.steps, shape.length) for shape in seen] == shapes
    assert not any(shape.audio for shape in seen)
    assert all(shape.prompts * shape.steps <= 4096 for shape in seen)


@pytest.mark.parametrize("steady", [False, True])
def test_a_recording_of_operations_alone_gives_the_same_takes(plain: Model, folder: Path, steady: bool) -> None:
    """Of steps, prompts and waves nothing may hang on what Python knew when they were recorded."""
    speech = read_wav(folder / "wavs" / "weather_22k.wav")
    asked = [Request("speak", {"text": SENTENCES[seed % 5]}, seed=seed, max_new=8 + 5 * seed) for seed in range(5)]
    asked += [Request("transcribe", {"speech": speech}, seed=seed, max_new=20, min_new=9) for seed in range(2)]
    with Engine(plain, EngineSettings(slots=1, groups=256)) as engine:
        wanted = [engine.run(replace(request)) for request in asked]
    with Engine(plain, EngineSettings(slots=4, groups=256, steady=steady), Queueing(Captured)) as engine:
        sounds = engine._handout._sounds
        for _ in range(3):
            tickets = [engine.submit(request) for request in asked]
            assert all(map(equal, [ticket.result(60) for ticket in tickets], wanted))
        kinds = [engine.batch.graphs, engine.batch.prompt_graphs, *([sounds.graphs] if steady else [])]
        for graphs in kinds:
            assert graphs.on
            assert sum(recording.replays for recording in graphs.recordings.values()) > 1


def test_what_waits_for_the_device_cannot_be_captured() -> None:
    """Else the tests above would show nothing."""
    x = torch.arange(4.0)
    for work in (lambda: x.sum().item(), lambda: x.nonzero(), lambda: x[x > 1]):
        with pytest.raises(Forbidden):
            Captured(work)
