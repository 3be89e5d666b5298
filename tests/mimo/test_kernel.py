"""The kernel for few rows on a CPU, held against PyTorch; and doing without it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from model_worker.mimo import Engine, EngineSettings, Model, Request
from model_worker.mimo.checkpoint import settle
from model_worker.mimo.compiled import can_compile
from model_worker.mimo.crew import Crew
from model_worker.mimo.local import LocalMemory
from model_worker.mimo.parity import Goldens
from model_worker.mimo.projection import Projection, lay_out, ordinary_products
from model_worker.mimo.qwen import QwenStack, Within

needs_numba = pytest.mark.skipif(not can_compile(), reason="the kernel needs numba")


def filled(module: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data.normal_(0.1, 0.3, generator=generator)
    return module


@needs_numba
@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 20), inputs=st.integers(1, 300), outputs=st.integers(1, 90), biased=st.booleans(),
    held=st.sampled_from([torch.float32, torch.bfloat16]),
)  # fmt: skip
def test_a_product_is_the_product(rows: int, inputs: int, outputs: int, biased: bool, held: torch.dtype) -> None:
    layer = filled(Projection(inputs, outputs, bias=biased), rows)
    layer.weight.data = layer.weight.to(held)
    x, part = torch.randn(rows, 1, inputs), slice(outputs // 3, outputs // 2 + 1)
    wanted = layer(x)
    lay_out(layer, torch.float32)
    assert layer.laid_out
    got = layer(x)
    assert got.shape == (rows, 1, outputs)
    assert torch.allclose(got, wanted, atol=1e-4)
    assert torch.allclose(layer.part(x, part), wanted[..., part], atol=1e-4)
    with ordinary_products():
        assert torch.equal(layer(x), wanted)


def test_weights_held_in_bfloat16_give_what_the_same_numbers_give_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many rows too, for which some weights are widened at a time; they stay as they are."""
    monkeypatch.setattr("model_worker.mimo.projection.WIDENED_BYTES", 7 * 48 * 4)  # 7 of 90 outputs
    held, whole = filled(Projection(48, 90, bias=True), 1), Projection(48, 90, bias=True)
    held.weight.data = held.weight.bfloat16()
    whole.weight.data, whole.bias = held.weight.float(), held.bias
    x, total = torch.randn(100, 48), torch.randn(100, 90)
    assert torch.allclose(held(x), whole(x), atol=1e-5)
    assert torch.allclose(held.part(x, slice(11, 61)), whole.part(x, slice(11, 61)), atol=1e-5)
    held.bias = whole.bias = None
    assert torch.allclose(held.onto(total.clone(), x), whole.onto(total.clone(), x), atol=1e-5)
    assert held.weight.dtype == torch.bfloat16


@needs_numba
@pytest.mark.parametrize("held", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("helpers", [0, 1, 3])
@pytest.mark.parametrize(("heads", "kv_heads", "rows"), [(6, 2, 1), (4, 4, 5)])
def test_a_stack_is_the_stack(
    heads: int, kv_heads: int, rows: int, helpers: int, held: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step after the other, and several that see each other, whoever shares the work."""
    crew = Crew(helpers)
    monkeypatch.setattr("model_worker.mimo.compiled.crew", lambda: crew)
    with torch.device("meta"):
        stack = QwenStack(3, 40, heads, kv_heads, 8, 50, 1e-6, 10_000.0, 7)
    filled(settle(stack, torch.device("cpu"), torch.float32, held), heads)
    stack.make_tables(torch.device("cpu"), torch.float32)
    inputs = [torch.randn(rows, 1, 40) for _ in range(7)]

    def answers() -> list[torch.Tensor]:
        memory = LocalMemory(3, rows, kv_heads, 7, 8, inputs[0]) if heads == kv_heads else None
        said = []
        for step, x in enumerate(inputs):
            if memory is not None:
                memory.step = step
                said.append(stack(x, slice(step, step + 1), memory))
            together = torch.cat(inputs[: step + 1], 1)
            said += [stack(together, slice(0, step + 1), Within(causal=causal)) for causal in (True, False)]
        return said

    wanted = answers()
    stack.lay_out()
    for _ in range(5):  # whoever comes first
        assert all(torch.allclose(one, other, atol=1e-4) for one, other in zip(answers(), wanted, strict=True))
    with ordinary_products():
        assert all(torch.equal(one, other) for one, other in zip(answers(), wanted, strict=True))


@needs_numba
def test_work_is_finished_though_no_helper_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asleep(Crew):
        def __init__(self) -> None:
            self._desks = []

    monkeypatch.setattr("model_worker.mimo.compiled.crew", Asleep)
    layer = filled(Projection(64, 5000), 1)
    lay_out(layer, torch.float32)
    assert torch.allclose(layer(torch.ones(1, 64)), layer.weight.sum(1), atol=1e-3)


@needs_numba
@pytest.mark.parametrize("name", ["local_decode", "lm_prefill"])
def test_the_reference_computes_the_same_as_laid_out_weights(folder: Path, name: str) -> None:
    goldens = Goldens(folder, laid_out=True)
    assert goldens.lm.local.heads.laid_out
    cases = [case for case in goldens.index["cases"] if case["kind"] == name]
    assert cases
    for case in cases:
        row = goldens.row(case)
        assert row.passed, (row.worst, row.problem)


@pytest.mark.parametrize("switch", ["1", "0"])
def test_sixteen_requests_give_the_codes_that_each_gives_alone(
    folder: Path, switch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen rows, fewer and fewer as they end, and one; with the kernel and without."""
    monkeypatch.setenv("MIMO_NUMBA", switch)
    model = Model.load(folder / "lm", folder / "tokenizer")
    asked = [
        Request("speak", {"text": f"Number {seed}."}, seed=seed, stops=(), max_new=6 + seed, decode=False)
        for seed in range(16)
    ]
    with Engine(model, EngineSettings(slots=16, groups=128)) as engine:
        together = [ticket.result(60) for ticket in [engine.submit(request) for request in asked]]
    with Engine(model, EngineSettings(slots=1, groups=128)) as engine:
        alone = [engine.submit(request).result(60) for request in asked]
    assert model.lm.local.heads.laid_out == (switch == "1" and can_compile())
    for one, other in zip(together, alone, strict=True):
        assert torch.equal(one.groups.text, other.groups.text)
        assert torch.equal(one.groups.codes, other.groups.codes)


@pytest.mark.parametrize(("switch", "others"), [("1", "BF16"), ("0", "BF16"), ("1", "F32")])
def test_a_checkpoint_in_bfloat16_stays_so_and_gives_the_codes_of_its_numbers_in_float32(
    folder: Path, tmp_path: Path, switch: str, others: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel can be had and all matrices are; else they are float32. Norms and biases always are."""
    monkeypatch.setenv("MIMO_NUMBA", switch)
    halves, whole = (Path(shutil.copytree(folder / "lm", tmp_path / name)) for name in ("halves", "whole"))
    tensors = {key: tensor.bfloat16() for key, tensor in load_file(folder / "lm" / "model.safetensors").items()}
    save_file({key: tensor.float() for key, tensor in tensors.items()}, whole / "model.safetensors")
    if others == "F32":
        tensors["lm_head.weight"] = tensors["lm_head.weight"].float()
    save_file(tensors, halves / "model.safetensors")
    wanted, model = (Model.load(lm, folder / "tokenizer") for lm in (whole, halves))
    stay = switch == "1" and others == "BF16" and can_compile()
    sizes = [sum(part.weight.nbytes for part in one.lm.modules() if isinstance(part, Projection))
             for one in (model, wanted)]  # fmt: skip
    assert sizes[0] * (2 if stay else 1) == sizes[1]
    assert {part.dtype for part in model.lm.parameters() if part.dim() == 1} == {torch.float32}
    assert model.lm.dtype == torch.float32

    asked = [
        Request("speak", {"text": f"Number {seed}."}, seed=seed, stops=(), max_new=6, decode=False) for seed in range(3)
    ]
    answers = []
    for one in (model, wanted):
        with Engine(one, EngineSettings(slots=3, groups=128)) as engine:
            answers.append([ticket.result(60).groups for ticket in [engine.submit(request) for request in asked]])
    assert (model.lm.lm_head.weight.dtype == torch.bfloat16) == stay
    for groups, same in zip(*answers, strict=True):
        assert torch.equal(groups.text, same.text)
        assert torch.equal(groups.codes, same.codes)


def test_importing_the_package_does_not_import_numba() -> None:
    program = "import sys, model_worker.mimo.engine; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@needs_numba
def test_the_kernel_is_compiled_where_no_folder_can_be_written_to() -> None:
    from model_worker.mimo.atomic import compiled

    room: dict = {}
    exec("def twice(x):\n    return 2 * x", room)  # a function without a file: nothing to keep it beside
    assert compiled("int64(int64)")(room["twice"])(21) == 42


@needs_numba
def test_what_was_compiled_with_another_atomic_is_compiled_again(tmp_path: Path) -> None:
    """numba looks at the file of a function, not at those that the function calls into."""
    from model_worker.mimo import atomic

    package = tmp_path / "kept"
    package.mkdir()
    source = Path(atomic.__file__).read_text()
    (package / "whole.py").write_text(
        "from .atomic import compiled, widened\n\n@compiled('float32(int16)')\ndef whole(bits):\n"
        "    return widened(bits)\n"
    )
    program = (
        "from kept.whole import whole\n"
        "print(whole(0x3FC0), sum(whole.stats.cache_hits.values()), sum(whole.stats.cache_misses.values()))"
    )

    def run() -> str:
        # without bytecode: Python takes that of another file of the same length and second
        command = [sys.executable, "-B", "-c", program]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    (package / "atomic.py").write_text(source)
    assert [run(), run()] == ["1.5 0 1", "1.5 1 0"]
    (package / "atomic.py").write_text(source.replace("ir.Constant(whole, 16)", "ir.Constant(whole, 15)"))
    assert run().split()[0] != "1.5"
    (package / "atomic.py").write_text(source)
    assert run() == "1.5 0 1"
