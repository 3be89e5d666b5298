"""How fast MiMo-Audio is on a GPU, at full size with random weights in bfloat16: no download, nothing but torch.

Prints what one request costs (real-time factor, first audio), what many at once give (audio seconds per second, all
prompts different, answers that are all audio), where the time of a step goes, and the memory taken. With a golden
folder it runs the parity table on the device in float32 first. ``--small --device cpu`` tries the script itself.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from mimo_cpu import CODEC, EMPTY, GROUP_S, LM, PROMPT_GROUPS, SAMPLED, build, prompt, say

from model_worker.mimo import GREEDY, Engine, EngineSettings, Model, Prompt, Request
from model_worker.mimo.graphs import graphs_for
from model_worker.mimo.parity import main as parity
from model_worker.mimo.sampler import SamplingRows, Uses
from model_worker.mimo.slots import Settings, Slots
from model_worker.mimo.step import Plan, Stepper

FULL_LM = replace(
    LM, vocab_size=151_680, hidden_size=4096, intermediate_size=11_008, layers=36, heads=32, kv_heads=8, local_dim=1024,
    local_layers=16, local_heads=64, local_ffn_dim=4096, input_layers=6, input_dim=1024,
)  # fmt: skip
FULL_CODEC = replace(
    CODEC, d_model=1280, encoder_layers=32, encoder_heads=20, encoder_ffn_dim=5120, decoder_layers=32,
    decoder_heads=20, decoder_ffn_dim=5120, vocoder_layers=16,
)  # fmt: skip


def wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def requests(model: Model, size: int, groups: int, *, decode: bool, first: int) -> list[Request]:
    return [
        Request(
            "speak", prompt=Prompt(prompt(first + seed, model.lm.config), 0), text=GREEDY, audio=SAMPLED, stops=(),
            max_new=groups, seed=first + seed, decode=decode,
        )
        for seed in range(size)
    ]  # fmt: skip


def serve(model: Model, size: int, groups: int, *, decode: bool, steady: bool, repeats: int) -> None:
    """One line: ``size`` requests at once, from submitting the first to having the last."""
    settings = EngineSettings(slots=size, groups=PROMPT_GROUPS + groups + 4, prefix_bytes=0, steady=steady)
    with Engine(model, settings) as engine:
        spent, first = [], []
        for number in range(repeats + 2):  # the first two warm up and record
            start = time.perf_counter()
            orders = requests(model, size, groups, decode=decode, first=number * size)
            takes = [ticket.result() for ticket in [engine.submit(order) for order in orders]]
            spent.append(time.perf_counter() - start)
            first.append(statistics.median(take.timing.first_group_s for take in takes))
        seconds = statistics.median(spent[2:])
        audio_s = size * groups * GROUP_S
        say(
            f"{size:5} {'steady' if steady else 'loose':7} {'wave' if decode else 'codes':6}{seconds:9.2f}"
            f"{seconds / groups * 1e3:12.2f}{audio_s / seconds:15.1f}{seconds / groups / GROUP_S:10.4f}"
            f"{statistics.median(first[2:]) * 1e3:15.1f}"
        )


def parts(model: Model, size: int, device: str, repeats: int) -> None:
    """Milliseconds of the parts of one step, each recorded on its own."""
    lm = model.lm
    slots = Slots(lm, size, 512)
    stepper = Stepper(lm, slots, EMPTY, static=True)
    for row in range(size):
        slots.place(row, 300, Settings(GREEDY, SAMPLED, row, (), 0, 500))
    how = SamplingRows.of([SAMPLED] * size, lm.device)
    state = torch.randn(size, lm.config.local_dim, device=device, dtype=lm.dtype)
    codes = lm.empty_codes.expand(size, lm.config.group_size, -1) - 1
    plan = Plan(size, 512, Uses(False, False, False), how.uses, mutes=False, holds=False)
    works: dict[str, Callable[[], object]] = {
        "step": lambda: (stepper.step(plan), slots.position.fill_(300), slots.made.fill_(0)),
        "local decoder, greedy": lambda: lm.local(
            state, lm.speech_table, lambda run, logits: logits.masked_fill(run.forbidden, -1e9).argmax(-1)
        ),
        "local decoder, sampled": lambda: stepper._sound(plan, slice(0, size)),
        "patch encoder": lambda: lm.embed_audio(codes),
        "text head": lambda: lm.text_logits(slots.hidden),
    }
    cells = []
    for name, work in works.items():
        graphs = graphs_for(lm.device)
        for _ in range(3):
            graphs.run(name, work)
        wait(device)
        start = time.perf_counter()
        for _ in range(repeats):
            graphs.run(name, work)
        wait(device)
        cells.append(f"{name} {(time.perf_counter() - start) / repeats * 1e3:.2f} ms")
    say(f"batch {size:3}: {', '.join(cells)}")


def tokenizer(model: Model, sizes: list[int], device: str, repeats: int) -> None:
    """Audio seconds per second of encoding and decoding 20 s recordings."""
    for size in sizes:
        waves = [0.1 * torch.randn(20 * 24_000, device=device) for _ in range(size)]
        codes = [torch.randint(0, 128, (8, 500), device=device) for _ in range(size)]
        spent = []
        for _ in range(repeats + 1):
            wait(device)
            start = time.perf_counter()
            model.codec.encode(waves, 8)
            wait(device)
            middle = time.perf_counter()
            model.codec.decode(codes)
            wait(device)
            spent.append((middle - start, time.perf_counter() - middle))
        encode, decode = (20 * size / statistics.median(column) for column in zip(*spent[1:], strict=True))
        say(f"tokenizer, {size:3} recordings of 20 s: encodes {encode:.0f}, decodes {decode:.0f} audio s per s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="the mid-size model in float32")
    parser.add_argument("--goldens", type=Path, help="run the parity table of this folder on the device first")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 16, 64, 128, 256])
    parser.add_argument("--groups", type=int, default=64, help="new groups of each request (160 ms each)")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    if options.goldens is not None and parity([str(options.goldens), "--device", options.device]):
        return 1
    shapes = (LM, CODEC, options.device, torch.float32)
    if not options.small:
        shapes = (FULL_LM, FULL_CODEC, options.device, torch.bfloat16)
    model = build(*shapes)
    cuda = options.device.startswith("cuda")
    name = torch.cuda.get_device_name() if cuda else "cpu"
    say(f"\nMiMo-Audio on {name}, {shapes[3]}, torch {torch.__version__}; {PROMPT_GROUPS} + {options.groups} groups\n")
    columns = f"{'ms per step':>12}{'audio s per s':>15}{'RTF':>10}{'first group ms':>15}"
    say(f"{'batch':>5} {'mode':7} {'makes':6}{'seconds':>9}{columns}")
    for size in options.sizes:
        serve(model, size, options.groups, decode=True, steady=False, repeats=options.repeats)
    for size in options.sizes[:3]:
        serve(model, size, options.groups, decode=False, steady=True, repeats=options.repeats)
    say("")
    with torch.inference_mode():
        for size in options.sizes:
            parts(model, size, options.device, options.repeats * 5)
        tokenizer(model, options.sizes[:3], options.device, options.repeats)
    if cuda:
        say(f"peak memory {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
