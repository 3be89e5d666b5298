"""How fast MiMo-Audio is on a GPU, at full size with random weights in bfloat16: no download, nothing but torch, numpy,
safetensors and tokenizers.

Sampling is the product's, of text as well as of audio, over the whole vocabulary; the text head leans to sound, so that
every group is an audio group, the dearest kind. "steady" is the product's mode on a GPU (equal bits in any company),
"loose" gives that up. The engine hands takes out whole: "first group" is when the first 160 ms exist as codes, "take"
when the wave is there, which is the first that can be heard. Every measurement stands alone: one that fails is said to
have, and the others go on. With a golden folder the parity table is run on the device in float32 first.

``--small --device cpu --sizes 1 2 --groups 6`` tries the script itself.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from mimo_cpu import CODEC, EMPTY, GROUP_S, LM, PROMPT_GROUPS, build, prompt, say
from torch import Tensor

from model_worker.mimo import Engine, EngineSettings, Model, Prompt, Request, SpeechLm, Take
from model_worker.mimo.device import settled
from model_worker.mimo.gate import GATE
from model_worker.mimo.graphs import SWITCH, graphs_for
from model_worker.mimo.local import LocalMemory
from model_worker.mimo.parity import main as parity
from model_worker.mimo.projection import ordinary_products
from model_worker.mimo.prompts import AUDIO_SAMPLING, SPEAK_SAMPLING
from model_worker.mimo.reader import Part, Reader
from model_worker.mimo.sampler import Uses
from model_worker.mimo.slots import Settings, Slots, StepMemory
from model_worker.mimo.step import Plan, Stepper
from model_worker.mimo.waves import ShapedWaves

FULL_LM = replace(
    LM, vocab_size=151_680, hidden_size=4096, intermediate_size=11_008, layers=36, heads=32, kv_heads=8, local_dim=1024,
    local_layers=16, local_heads=64, local_ffn_dim=4096, input_layers=6, input_dim=1024,
)  # fmt: skip
FULL_CODEC = replace(
    CODEC, d_model=1280, encoder_layers=32, encoder_heads=20, encoder_ffn_dim=5120, decoder_layers=32,
    decoder_heads=20, decoder_ffn_dim=5120, vocoder_layers=16,
)  # fmt: skip
LEAN = 50.0  # of the text head to sound: more than noise ever is, at the temperature of text
TEXT_IDS_PER_S = 3.5  # of speech; each is a step as well
LENGTH = 512  # keys that the timed parts of a step see
WAVE_S = 10.0
EQUAL_GROUPS = 24


class Speaking(SpeechLm):
    """A model whose every answer is sound."""

    def text_logits(self, hidden: Tensor) -> Tensor:
        logits = super().text_logits(hidden)
        logits[:, EMPTY] += LEAN
        return logits


@dataclass(slots=True)
class Bench:
    """One model on one device, and what went wrong."""

    model: Model
    device: torch.device
    groups: int
    repeats: int
    ends_s: float
    failed: list[str] = field(default_factory=list)

    def measure(self, what: str, work: Callable[[], str]) -> None:
        """Print a line, whatever comes of it."""
        if time.monotonic() > self.ends_s:
            say(f"{what}: left out, the time is over (--minutes)")
            self.failed.append(what)
            return
        try:
            say(work())
        except Exception as error:
            traceback.print_exc()
            say(f"{what}: FAILED, {type(error).__name__}: {error}")
            self.failed.append(what)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def forget_peak(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak(self) -> str:
        return f"{torch.cuda.max_memory_allocated(self.device) / 1e9:.1f}" if self.device.type == "cuda" else "-"

    def engine(self, size: int, *, steady: bool) -> Engine:
        settings = EngineSettings(slots=size, groups=PROMPT_GROUPS + self.groups, prefix_bytes=0, steady=steady)
        return Engine(self.model, settings)

    def requests(self, size: int, first: int, *, decode: bool = True) -> list[Request]:
        """All with prompts of their own."""
        return [
            Request(
                "speak", prompt=Prompt(prompt(seed, self.model.lm.config), 0), text=SPEAK_SAMPLING,
                audio=AUDIO_SAMPLING, stops=(), max_new=self.groups, seed=seed, decode=decode,
            )
            for seed in range(first, first + size)
        ]  # fmt: skip

    def together(self, size: int, *, steady: bool, decode: bool) -> str:
        """``size`` requests that come at the same moment, until the last take is there."""
        self.forget_peak()
        spent, takes = [], list[Take]()
        with self.engine(size, steady=steady) as engine:
            for number in range(self.repeats + 2):  # the first two warm up and record
                asked = self.requests(size, number * size, decode=decode)
                start = time.perf_counter()
                with engine._lock:  # none is taken up before all are there
                    tickets = [engine.submit(request) for request in asked]
                takes = [ticket.result() for ticket in tickets]
                spent.append(time.perf_counter() - start)
        seconds = statistics.median(spent[2:])
        step_s = seconds / self.groups
        with_text = 1 + TEXT_IDS_PER_S * GROUP_S
        first = statistics.median(take.timing.first_group_s for take in takes)
        return (
            f"{size:5} {'steady' if steady else 'loose':7}{'waves' if decode else 'codes':6}{step_s * 1e3:12.2f}"
            f"{size * GROUP_S / step_s:15.1f}{step_s / GROUP_S:9.4f}{step_s / GROUP_S * with_text:11.4f}"
            f"{first * 1e3:16.1f}{seconds * 1e3:10.0f}{self.peak():>9}"
        )

    def staggered(self, slots: int, *, steady: bool) -> str:
        """Three times as many requests as rows, coming one by one about as fast as they can be served."""
        count = 3 * slots
        with self.engine(slots, steady=steady) as engine:
            for number in range(2):  # warm up and record
                start = time.perf_counter()
                asked = self.requests(slots, number * slots)
                for ticket in [engine.submit(request) for request in asked]:
                    ticket.result()
            pause_s = (time.perf_counter() - start) / slots
            asked = self.requests(count, 2 * slots)
            start, tickets = time.perf_counter(), []
            for request in asked:
                tickets.append(engine.submit(request))
                time.sleep(pause_s)
            takes = [ticket.result() for ticket in tickets]
            seconds = time.perf_counter() - start
        first = [take.timing.first_group_s * 1e3 for take in takes]
        whole = [take.timing.spent_s * 1e3 for take in takes]
        return (
            f"{slots:5} {'steady' if steady else 'loose':7}{count * self.groups * GROUP_S / seconds:19.1f}"
            f"{_spread(first)}{_spread(whole)}"
        )

    def equal(self, size: int) -> str:
        """Whether a seed gives the same codes alone, in company, and without graphs, as steady engines promise."""
        asked = [replace(request, max_new=EQUAL_GROUPS) for request in self.requests(size, 0, decode=False)]

        def codes(engine: Engine, requests: list[Request]) -> list[Tensor]:
            return [ticket.result().groups.codes for ticket in [engine.submit(request) for request in requests]]

        with self.engine(size, steady=True) as engine:
            found = codes(engine, asked)
            others = {
                "alone": codes(engine, asked[:1]),
                "in half the company": codes(engine, asked[: 1 + size // 2]),
                "in another order": codes(engine, asked[::-1])[::-1],
            }
        with patch.dict(os.environ, {SWITCH: "0"}), self.engine(size, steady=True) as engine:
            others["without graphs"] = codes(engine, asked)
        told = {what: sum(map(torch.equal, made, found)) / len(made) for what, made in others.items()}
        line = f"batch {size}: equal codes " + ", ".join(f"{what} {share:.0%}" for what, share in told.items())
        if min(told.values()) < 1:
            raise AssertionError(line)
        return line

    def parts(self, size: int) -> str:
        """Milliseconds of the parts of one step, each recorded on its own, and what share of the step each is."""
        lm = self.model.lm
        slots = Slots(lm, size, LENGTH)
        stepper = Stepper(lm, slots, EMPTY, static=True)
        settings = Settings(SPEAK_SAMPLING, AUDIO_SAMPLING, 7, (), 0, LENGTH)
        slots.place(0, [(300, settings)] * size)
        uses = Uses.of([AUDIO_SAMPLING])
        plan = Plan(size, LENGTH, Uses.of([SPEAK_SAMPLING]), uses, mutes=False, holds=False)
        state = torch.randn(size, lm.config.local_dim, device=self.device, dtype=lm.dtype)
        codes = lm.empty_codes.expand(size, lm.config.group_size, -1) - 1
        x, start = torch.zeros(size, 1, lm.config.hidden_size, device=self.device, dtype=lm.dtype), slots.state.clone()

        def step() -> None:
            stepper.step(plan)
            slots.state.copy_(start)

        def backbone() -> None:
            memory = StepMemory(slots, size, LENGTH)
            lm.backbone(x, memory.position[:, None], memory)

        spent = {
            name: self._recorded(name, work)
            for name, work in {
                "step": step,
                "backbone": backbone,
                "local": lambda: lm.local(state, lm.speech_table, lambda _, logits: logits.argmax(-1)),
                "sound": lambda: stepper._sound(size, uses, slice(0, size)),
                "patch": lambda: lm.embed_audio(codes),
                "head": lambda: lm.text_logits(slots.hidden),
                "text": lambda: stepper._choose_text(plan),
            }.items()
        }
        whole = spent["step"]
        shares = {
            "backbone": spent["backbone"],
            "local decoder": spent["local"],
            "audio sampler": spent["sound"] - spent["local"],
            "patch encoder": spent["patch"],
            "text head": spent["head"],
            "text sampler": spent["text"] - spent["head"],
        }
        shares["the rest"] = whole - sum(shares.values())
        told = ", ".join(f"{name} {ms:.2f} ({ms / whole:.0%})" for name, ms in shares.items())
        return f"batch {size:3}: step {whole:.2f} ms: {told}"

    def agreement(self) -> str:
        """How far the passes of a group are from PyTorch's for one row, which has a kernel of its own where that can be
        had, and for the first row of two, which has not."""
        lm = self.model.lm
        lm.lay_out()
        shape, stack = lm.config, lm.local.stack
        given = torch.randn(shape.local_steps, 2, 1, shape.local_dim, device=self.device, dtype=lm.dtype)

        def passes(rows: int) -> Tensor:
            heads = shape.local_heads
            memory = LocalMemory(shape.local_layers, rows, heads, shape.local_steps, shape.local_dim // heads, given)
            made = []
            for step, x in enumerate(given):
                memory.step = step
                made.append(stack(x[:rows], slice(step, step + 1), memory)[0].float())
            return torch.cat(made)

        with GATE.at_work(), torch.inference_mode():
            with ordinary_products():
                wanted = passes(1)
            off = [float((passes(rows) - wanted).abs().mean() / wanted.abs().mean()) for rows in (1, 2)]
        line = f"local decoder, from PyTorch's: one row off by {off[0]:.1e} of it, the first of two by {off[1]:.1e}"
        if not off[0] < 1.5 * off[1] + 1e-4:
            raise AssertionError(line)
        return line

    def prompts(self, size: int) -> str:
        """Reading prompts, one and several, in the shapes of steady and of loose engines, and as they are."""
        lm = self.model.lm
        slots = Slots(lm, size, LENGTH)
        given = [Part(row, 0, prompt(row, lm.config)) for row in range(size)]
        told = []
        for name, graphs, steady in (
            ("steady", graphs_for(self.device, "prompts"), True),
            ("loose", graphs_for(self.device, "prompts"), False),
            ("as they are", None, False),
        ):
            reader = Reader(lm, slots, EMPTY, graphs, steady=steady)
            alone, together = (self._timed(partial(reader.read, some)) for some in (given[:1], given))
            told.append(f"{name} one {alone:.2f} ms, {size} together {together:.2f} ms")
        return f"prompts of {PROMPT_GROUPS} groups: {'; '.join(told)}"

    def tokenizer(self, size: int) -> str:
        """Encoding and decoding recordings of 10 s, in one batch, and decoding them as steady engines do."""
        codec = self.model.codec
        waves = [0.1 * torch.randn(int(WAVE_S * codec.config.sampling_rate_hz)) for _ in range(size)]
        codes = [torch.randint(0, 128, (8, int(WAVE_S * 25))) for _ in range(size)]
        shaped = ShapedWaves(codec, 8, codes[0].shape[1], graphs_for(self.device, "waves"))
        spent = {
            "encodes": self._timed(lambda: codec.encode(waves, 8)),
            "decodes": self._timed(lambda: codec.decode(codes)),
            "decodes in few shapes": self._timed(lambda: codec.decode(codes, shaped=shaped)),
        }
        told = [f"{what} in {ms:.1f} ms ({WAVE_S * size / ms * 1e3:.0f} s a second)" for what, ms in spent.items()]
        return f"tokenizer, {size:3} of {WAVE_S:.0f} s: {', '.join(told)}"

    def _recorded(self, name: str, work: Callable[[], object]) -> float:
        graphs = graphs_for(self.device, "parts")
        return self._timed(lambda: graphs.run(name, work))  # type: ignore[arg-type]

    def _timed(self, work: Callable[[], object]) -> float:
        """Milliseconds of one call."""
        with GATE.at_work(), torch.inference_mode():
            for _ in range(3):
                work()
            self.wait()
            start = time.perf_counter()
            for _ in range(5 * self.repeats):
                work()
            self.wait()
        return (time.perf_counter() - start) / (5 * self.repeats) * 1e3


def _spread(values: list[float]) -> str:
    ordered = sorted(values)
    return f"{statistics.median(ordered):12.0f}{ordered[int(0.95 * (len(ordered) - 1))]:8.0f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="the mid-size model in float32")
    parser.add_argument("--goldens", type=Path, help="run the parity table of this folder on the device first")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 16, 64, 128, 256])
    parser.add_argument("--groups", type=int, default=64, help="new groups of each request (160 ms each)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=8, help="what has not begun by then is left out")
    options = parser.parse_args()
    ends_s = time.monotonic() + 60 * options.minutes
    device = settled(options.device)
    failed = []
    if options.goldens is not None and parity([str(options.goldens), "--device", str(device)]):
        failed.append("parity")
    shapes = (LM, CODEC, device, torch.float32) if options.small else (FULL_LM, FULL_CODEC, device, torch.bfloat16)
    model = build(*shapes, kind=Speaking)
    bench = Bench(model, device, options.groups, options.repeats, ends_s, failed)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    say(f"\nMiMo-Audio on {name}, {model.lm.dtype}, torch {torch.__version__}")
    say(f"weights {bench.peak()} GB; {PROMPT_GROUPS} groups of prompt and {options.groups} new ones each")
    bench.measure("local decoder", bench.agreement)
    say(
        f"\n{'batch':>5} {'mode':7}{'makes':6}{'ms per step':>12}{'audio s per s':>15}{'RTF':>9}{'with text':>11}"
        f"{'first group ms':>16}{'take ms':>10}{'peak GB':>9}"
    )
    for size in options.sizes:
        for steady, decode in ((True, True), (False, True), (False, False)):
            what = f"batch {size} {'steady' if steady else 'loose'}"
            bench.measure(what, lambda n=size, s=steady, d=decode: bench.together(n, steady=s, decode=d))
    say(f"\none by one{'':2}{'audio s per s':>19}{'first group ms, 95 %':>20}{'take ms, 95 %':>20}")
    for size in options.sizes[1:3]:
        for steady in (True, False):
            bench.measure(f"one by one, {size}", lambda n=size, s=steady: bench.staggered(n, steady=s))
    say("")
    for size in options.sizes[1:2]:
        bench.measure(f"equal codes, {size}", lambda n=size: bench.equal(n))
    for size in options.sizes:
        bench.measure(f"parts of batch {size}", lambda n=size: bench.parts(n))
    bench.measure("prompts", lambda: bench.prompts(options.sizes[min(1, len(options.sizes) - 1)]))
    for size in options.sizes[:2]:
        bench.measure(f"tokenizer, {size}", lambda n=size: bench.tokenizer(n))
    say(f"\nfailed: {', '.join(failed)}" if failed else "\nall measured")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
