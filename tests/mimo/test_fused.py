"""The kernels for few rows on a GPU, in Triton's interpreter, held against PyTorch; and doing without them.

On a GPU itself ``python -m model_worker.mimo.parity FOLDER --device cuda --laid-out`` runs them through the goldens.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from model_worker.mimo import Engine, EngineSettings, Model, Request, fused
from model_worker.mimo.checkpoint import settle
from model_worker.mimo.local import LocalMemory
from model_worker.mimo.projection import Projection, ordinary_products
from model_worker.mimo.qwen import QwenStack
from model_worker.mimo.sampler import Sampling, SamplingRows, choose, gumbel
from model_worker.mimo.slots import COLUMNS, POSITION, StepMemory

os.environ["TRITON_INTERPRET"] = "1"  # looked at when Triton is imported
pytest.importorskip("triton", reason="Triton is not installed")

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Processors count as GPUs, and kernels run in Triton's interpreter."""
    monkeypatch.setenv("MIMO_NUMBA", "0")
    monkeypatch.setattr(fused, "_on_gpu", lambda _: True)
    found = fused.kernels  # tests put others in its place
    found.cache_clear()
    yield
    found.cache_clear()


def filled(module: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.15 + 0.05)
    return module


def stack_of(heads: int, kv_heads: int, head_dim: int, positions: int) -> QwenStack:
    with torch.device("meta"):
        stack = QwenStack(2, 48, heads, kv_heads, head_dim, 70, 1e-6, 10_000.0, positions)
    filled(settle(stack, CPU, torch.float32), heads)
    stack.make_tables(CPU, torch.float32)
    return stack


def agree(ones: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.allclose(one, other, atol=1e-4) for one, other in zip(ones, others, strict=True))


@pytest.mark.parametrize("rows", [1, 3])
def test_the_passes_of_a_group_are_what_they_were(rows: int) -> None:
    stack, inputs = stack_of(6, 6, 8, 5), [torch.randn(rows, 1, 48) for _ in range(5)]
    heads = filled(Projection(48, 33), 1)

    def answers() -> list[Tensor]:
        memory, said = LocalMemory(2, rows, 6, 5, 8, inputs[0]), []
        for step, x in enumerate(inputs):
            memory.step = step
            said.append(stack(x, slice(step, step + 1), memory))
            said.append(stack.normed_part(said[-1][:, 0], heads, slice(3, 33)))
        return [*said, memory.cache]

    wanted = answers()
    stack.lay_out()
    assert isinstance(stack._compiled, fused.FusedStack)
    assert agree(answers(), wanted)
    with ordinary_products():
        assert all(map(torch.equal, answers(), wanted))


@pytest.mark.parametrize(("heads", "rows"), [(4, 1), (6, 3)])
def test_rows_of_any_length_see_all_their_keys_and_keep_the_new_one(heads: int, rows: int) -> None:
    """Of one stretch and of several, the first and the last of a stretch among them."""
    stack, groups = stack_of(heads, 2, 16, 700), 639
    places = torch.tensor([599, 255, 0])[:rows]
    kept = torch.randn(2, 2, rows, 2, groups + 1, 16)
    inputs = [torch.randn(rows, 1, 48) for _ in range(2)]

    def answers() -> list[Tensor]:
        slots = SimpleNamespace(cache=kept.clone(), groups=groups, state=torch.zeros(rows, COLUMNS, dtype=torch.int32))
        said = []
        for step, x in enumerate(inputs):
            slots.state[:, POSITION] = (places + step).int()
            memory = StepMemory(slots, rows, groups + 1)  # type: ignore[arg-type]
            said.append(stack(x, memory.position[:, None], memory))
        return [*said, slots.cache]

    wanted = answers()
    stack.lay_out()
    assert isinstance(stack._compiled, fused.FusedStack)
    assert agree(answers(), wanted)


@pytest.mark.parametrize(("channels", "ids"), [(2, 1025), (6, 129), (1, 20)])
def test_the_same_ids_are_drawn(channels: int, ids: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = [
        Sampling(0.9, top_p=0.95),
        Sampling(0.5, top_p=0.3),
        Sampling(1.0),
        Sampling(greedy=True),
        Sampling(2.0, top_p=0.999),
        Sampling(top_p=1e-6),
    ]
    rows, generator = len(ways), torch.Generator().manual_seed(ids)
    how = SamplingRows.of(ways, CPU)
    wide = torch.randn(rows, channels * ids + 5, generator=generator) * 3
    scores = wide[:, 5:].view(rows, channels, ids)
    words = torch.randint(-(2**31), 2**31 - 1, (rows, 2), generator=generator, dtype=torch.int32)
    sites = torch.arange(channels * ids, dtype=torch.int32)
    noise = gumbel(words, torch.arange(rows, dtype=torch.int32), 1, sites).view(rows, channels, ids)
    forbidden = torch.zeros(channels, ids, dtype=torch.bool)
    forbidden[:, -1] = True
    forbidden[0, scores[5, 0].argmax()] = True  # all that this row would keep
    assert fused.kernels(CPU) is not None
    drawn = choose(scores, how, noise, forbidden)
    monkeypatch.setattr(fused, "kernels", lambda _: None)
    assert torch.equal(drawn, choose(scores, how, noise, forbidden))


def test_an_engine_gives_the_same_codes_with_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def takes() -> list[Tensor]:
        model = Model.load(folder / "lm", folder / "tokenizer")
        asked = [
            Request("speak", {"text": "Two rows."}, seed=seed, stops=(), max_new=1 + seed, decode=False)
            for seed in (0, 1)
        ]
        with Engine(model, EngineSettings(slots=2, groups=128)) as engine:
            assert isinstance(model.lm.backbone._compiled, fused.FusedStack) == (fused.kernels(CPU) is not None)
            tickets = [engine.submit(request) for request in asked]
            return [ticket.result(300).groups.codes for ticket in tickets]

    made = takes()
    monkeypatch.setattr(fused, "kernels", lambda _: None)
    assert all(map(torch.equal, made, takes()))


def test_they_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fused.SWITCH, "0")
    assert fused.kernels(CPU) is None
    assert fused.FusedStack.of(stack_of(4, 2, 16, 9)) is None


def test_where_they_cannot_be_compiled_pytorch_does_the_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(*_: object) -> None:
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(fused, "import_module", missing)
    with caplog.at_level(logging.WARNING):
        assert fused.kernels(CPU) is None
    assert "without kernels of our own, more slowly (RuntimeError: Failed to find C compiler)" in caplog.text


def test_heads_of_a_shape_they_do_not_know_are_left_to_pytorch() -> None:
    assert fused.FusedStack.of(stack_of(4, 2, 12, 9)) is None  # no power of two
    assert fused.FusedStack.of(stack_of(4, 2, 8, 9)) is None  # too narrow for a product of blocks
