"""How fast MiMo-Audio is on this CPU: the engine beside a plain loop of the same modules, in one run.

A mid-size random model (205 million parameters, no download), computed in float32. Its text head is zero, so every new
group is an audio group, the dearest kind. The plain loop makes one sequence after the other with growing caches; both
are timed alternately, because a shared machine drifts. Floors: 1.6 times the plain loop at batch 1, 8 times at 16.

The engine is timed twice: with weights in float32, as the plain loop has them, and with the same numbers held in
bfloat16, as the published checkpoints have theirs and as the engine keeps those; the exit status is that of the latter.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from model_worker.mimo import (
    GREEDY,
    Codec,
    CodecConfig,
    Engine,
    EngineSettings,
    LmConfig,
    Model,
    Prompt,
    Request,
    Sampling,
    SpeechLm,
)
from model_worker.mimo.groups import Groups
from model_worker.mimo.pages import LargePages
from model_worker.mimo.plain import generate
from model_worker.mimo.prompts import PromptBuilder

GROUP_S = 0.16  # audio in one group
EMPTY = 0  # the id that the zero text head chooses
PROMPT_GROUPS = 60
SAMPLED = Sampling(temperature=0.9, top_p=0.95)
FLOORS = {1: 1.6, 16: 8.0}

LM = LmConfig(
    vocab_size=8192, hidden_size=1024, intermediate_size=2752, layers=12, heads=8, kv_heads=2, head_dim=128,
    rope_theta=640_000.0, rms_norm_eps=1e-6, context_groups=8192, tied_embeddings=False, group_size=4, channels=8,
    speech_vocab=(1025, 1025, *[129] * 6), speech_empty=(1024, 1024, *[128] * 6), delays=tuple(range(8)),
    local_dim=512, local_layers=8, local_heads=32, local_ffn_dim=2048, input_layers=4, input_dim=512,
    input_bidirectional=True, eos_token_id=None,
)  # fmt: skip
CODEC = CodecConfig(
    sampling_rate_hz=24_000, nfft=960, window_size=960, hop_length=240, n_mels=128, fmin_hz=0.0, fmax_hz=12_000.0,
    max_audio_s=1800.0, d_model=512, kernel_size=3, stride=2, pool=2, encoder_layers=8, encoder_heads=8,
    encoder_ffn_dim=2048, encoder_skip_layer=3, encoder_window=(-1, -1), codebook_sizes=(1024, 1024, *[128] * 18),
    decoder_layers=8, decoder_heads=8, decoder_ffn_dim=2048, decoder_kernel_size=3, decoder_stride=2,
    decoder_window=(-1, 0), vocoder_dim=256, vocoder_layers=8, vocoder_heads=16, vocoder_ffn_dim=1024,
    vocoder_window=(40, 10), rope_theta=10_000.0,
)  # fmt: skip


class NoText:
    """Stands in for the text tokenizer: the benchmark has no text."""

    empty = eos = EMPTY

    def id(self, _token: str) -> int:
        return -1

    def decode(self, _ids: list[int]) -> str:
        return ""


def random_weights(module: torch.nn.Module) -> None:
    """Matrices small and random, of numbers that bfloat16 can tell; norms one, biases zero."""
    generator = torch.Generator(next(module.parameters()).device).manual_seed(0)
    for name, parameter in module.named_parameters():
        if parameter.dim() >= 2:
            some = torch.empty(parameter.shape, device=parameter.device).normal_(0, 0.02, generator=generator)
            parameter.data.copy_(some.bfloat16())
        else:
            parameter.data.fill_(1.0 if "norm" in name and "bias" not in name else 0.0)


def build(
    lm_shape: LmConfig, codec_shape: CodecConfig, device: str | torch.device, dtype: torch.dtype,
    kind: type[SpeechLm] = SpeechLm, held: torch.dtype | None = None,
) -> Model:  # fmt: skip
    """A random model; ``held``: as in :meth:`SpeechLm.empty`."""
    lm = kind.empty(lm_shape, device, dtype, held)
    codec = Codec.empty(codec_shape, device, dtype)
    random_weights(lm)
    random_weights(codec)
    lm.mask_empty()
    return Model(lm, codec, NoText(), PromptBuilder(lm_shape, NoText()), "random")


def speaking(held: torch.dtype = torch.float32) -> Model:
    """A random model of the middle size whose every answer is audio."""
    model = build(LM, CODEC, "cpu", torch.float32, held=held)
    model.lm.lm_head.weight.data.zero_()
    return model


def prompt(seed: int, shape: LmConfig = LM) -> Groups:
    """A prompt of its own for every seed."""
    ids = torch.randint(1, 7000, (PROMPT_GROUPS,), generator=torch.Generator().manual_seed(seed))
    return Groups.of_text(ids.tolist(), shape)


def seconds(work: Callable[[int], None], groups: int) -> float:
    """Seconds per group: many groups minus one group, so that reading the prompt does not count."""
    start = time.perf_counter()
    work(1)
    middle = time.perf_counter()
    work(1 + groups)
    return (time.perf_counter() - middle - (middle - start)) / groups


def plain(model: Model, audio: Sampling) -> Callable[[int], None]:
    def work(groups: int) -> None:
        made = generate(model.lm, prompt(1), EMPTY, (), max_new=groups, audio=audio, seed=1)
        assert len(made) == groups

    return work


def batched(engine: Engine, size: int, audio: Sampling) -> Callable[[int], None]:
    def work(groups: int) -> None:
        tickets = [
            engine.submit(
                Request(
                    "audio", prompt=Prompt(prompt(seed), 0), text=GREEDY, audio=audio, stops=(), max_new=groups,
                    seed=seed, decode=False,
                )
            )
            for seed in range(size)
        ]  # fmt: skip
        assert all(len(ticket.result().groups) == groups for ticket in tickets)

    return work


def pair(model: Model, loop: Callable[[int], None], size: int, audio: Sampling, groups: int) -> tuple[float, float]:
    """Seconds of a group of the plain loop, and of a step of ``size`` rows, one right after the other."""
    loop(1)
    alone = seconds(loop, groups)
    with Engine(model, EngineSettings(slots=size, groups=256, prefix_bytes=0)) as engine:
        work = batched(engine, size, audio)
        work(1)
        return alone, seconds(work, groups)


def language_model(plain_model: Model, model: Model, sizes: list[int], groups: int, repeats: int) -> bool:
    """Print the table of the language model; False when a floor is missed."""
    kept = True
    say(f"\nweights in {str(model.lm.lm_head.weight.dtype).removeprefix('torch.')}")
    say(f"{'':26}{'ms per group':>14}{'audio s per s':>15}{'times plain':>13}  floor")
    for name, audio in (("greedy", GREEDY), ("sampled", SAMPLED)):
        loop = plain(plain_model, audio)
        for size in sizes:
            pairs = [pair(model, loop, size, audio, groups) for _ in range(repeats)]
            alone, step = (statistics.median(column) for column in zip(*pairs, strict=True))
            times = statistics.median(one * size / other for one, other in pairs)
            floor = FLOORS.get(size) if audio is GREEDY else None
            if size == sizes[0]:
                say(f"plain loop, {name:14}{alone * 1e3:14.1f}{GROUP_S / alone:15.2f}{1.0:13.2f}")
            verdict = "" if floor is None else f"  {floor:g} {'kept' if times >= floor else 'MISSED'}"
            kept &= floor is None or times >= floor
            rate = size * GROUP_S / step
            say(f"batch {size:3}, {name:15}{step / size * 1e3:14.1f}{rate:15.2f}{times:13.2f}{verdict}")
    return kept


def group_bytes(lm: SpeechLm) -> int:
    """Bytes of weights that one audio group of one request has to read."""

    def size(*modules: torch.nn.Module) -> int:
        return sum(part.numel() * part.element_size() for module in modules for part in module.parameters())

    once = size(lm.backbone, lm.patch_encoder, lm.lm_head, lm.group_downcast, lm.hidden_downcast)
    # every channel's head is read once for each of its frames
    return once + lm.config.local_steps * size(lm.local.stack) + lm.config.group_size * size(lm.local.heads)


def streaming_bytes_per_s() -> float:
    """The speed at which this machine reads one large matrix, for one product with a vector after another."""
    matrix = LargePages().copy(torch.ones(65_536, 1024))
    vector, fastest = torch.ones(1024), float("inf")
    for _ in range(10):
        start = time.perf_counter()
        torch.mv(matrix, vector)
        fastest = min(fastest, time.perf_counter() - start)
    return matrix.numel() * matrix.element_size() / fastest


def ceiling(model: Model) -> None:
    """Print how fast batch 1 could be at most: weights over memory speed, everything else for nothing."""
    read, speed = group_bytes(model.lm), streaming_bytes_per_s()
    least_ms = read / speed * 1e3
    say(f"a group reads {read / 1e9:.2f} GB; memory gives {speed / 1e9:.1f} GB/s: {least_ms:.0f} ms at least\n")


def tokenizer(model: Model, repeats: int) -> None:
    """Print the time of encoding and decoding a second of audio."""
    codec = model.codec
    generator = torch.Generator().manual_seed(3)
    say(f"{'audio tokenizer':26}{'encode ms/s':>14}{'decode ms/s':>15}")
    for length_s in (5, 30):
        wave = 0.1 * torch.randn(length_s * 24_000, generator=generator)
        codes = torch.randint(0, 128, (8, length_s * 25), generator=generator)
        spent = []
        for _ in range(repeats + 1):  # the first warms up
            start = time.perf_counter()
            codec.encode([wave], 8)
            middle = time.perf_counter()
            codec.decode([codes])
            spent.append((middle - start, time.perf_counter() - middle))
        encode, decode = (statistics.median(column) / length_s * 1e3 for column in zip(*spent[1:], strict=True))
        say(f"{length_s:3} s{'':21}{encode:14.1f}{decode:15.1f}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--groups", type=int, default=12, help="groups timed in each run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 4, 16, 32])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    say(f"MiMo-Audio, mid-size random model, float32, {options.threads} threads, torch {torch.__version__}")
    plain_model, kept = speaking(), False  # the plain loop's weights stay as they were loaded
    for held in (torch.float32, torch.bfloat16):
        model = speaking(held)
        kept = language_model(plain_model, model, options.sizes, options.groups, options.repeats)
        ceiling(model)
    tokenizer(model, options.repeats)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
