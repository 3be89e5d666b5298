"""Generation one sequence at a time with nothing clever in it: what the engine has to agree with.

Growing caches, the patch encoder for every group, one choice after the other. Its agreement with the golden
generations shows that the modules are right; the engine's agreement with it shows that batching changes nothing.
It is also the loop that the benchmark compares with.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .groups import Groups
from .lm import SpeechLm
from .projection import ordinary_products
from .qwen import QwenStack
from .sampler import GREEDY, Sampling, SamplingRows, choose, gumbel, seed_words


class GrowingMemory:
    """Keys and values that are joined to the ones before, call by call."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}

    def attend(self, layer: int, q: Tensor, kv: Tensor) -> Tensor:
        k, v = kv.chunk(2, 1)
        if layer in self.kept:
            keys, values = self.kept[layer]
            k, v = torch.cat((keys, k), 2), torch.cat((values, v), 2)
        self.kept[layer] = (k, v)
        shared = q.shape[1] != k.shape[1]
        return functional.scaled_dot_product_attention(q, k, v, is_causal=q.shape[2] > 1, enable_gqa=shared)

    def cells(self, _stack: QwenStack, _rows: int, _steps: int) -> None:
        """They move with every call."""


@ordinary_products()
@torch.inference_mode()
def generate(
    lm: SpeechLm,
    prompt: Groups,
    empty_id: int,
    stops: tuple[int, ...],
    *,
    max_new: int,
    min_new: int = 0,
    text: Sampling = GREEDY,
    audio: Sampling = GREEDY,
    seed: int = 0,
    speaks: bool = True,
) -> Groups:
    """Continue ``prompt`` until a stop id or ``max_new`` groups; the stop group is part of the result.

    Without ``speaks`` no audio group is chosen.
    """
    memory = GrowingMemory()
    device = lm.device
    words = torch.tensor([seed_words(seed)], dtype=torch.int32, device=device)
    text_how, audio_how = (SamplingRows.of([one], device) for one in (text, audio))
    text_sites = torch.arange(lm.config.vocab_size, dtype=torch.int32, device=device)
    latest, start = prompt, 0
    made: list[Groups] = []
    while len(made) < max_new:
        embedded = lm.embed(latest.text, latest.codes, empty_id)[None]
        hidden = lm.backbone(embedded, slice(start, start + len(latest)), memory)[:, -1]
        hidden = lm.backbone.normed(hidden)
        start += len(latest)
        counter = torch.tensor([len(made)], device=device)
        logits = lm.text_logits(hidden)
        if not speaks:
            logits[:, empty_id] = float("-inf")
        forbidden = torch.zeros_like(logits, dtype=torch.bool)
        if len(made) < min_new:
            forbidden[:, list(stops)] = True
        noise = None if text.greedy else gumbel(words, counter, 0, text_sites)
        chosen = int(choose(logits, text_how, noise, forbidden)[0])
        codes = lm.empty_codes.expand(1, lm.config.group_size, -1)
        if chosen == empty_id:
            sounds = None if audio.greedy else gumbel(words, counter, 1, lm.local.sites)
            codes = _audio_group(lm, lm.local_state(hidden), audio_how, sounds)
        latest = Groups(torch.tensor([chosen]), codes.cpu())
        made.append(latest)
        if chosen in stops and len(made) >= min_new:
            break
    return Groups.joined(made) if made else prompt[:0]


def _audio_group(lm: SpeechLm, state: Tensor, how: SamplingRows, sounds: Tensor | None) -> Tensor:
    """The codes [1, frames, channels] of one group, pass by pass and channel by channel."""
    config = lm.config
    codes = torch.zeros(1, config.group_size, config.channels, dtype=torch.long, device=state.device)
    heads, tables = _by_channel(lm)
    memory = GrowingMemory()
    x = state[:, None]
    for step, runs in enumerate(lm.local.passes):
        hidden = lm.local.stack.normed(lm.local.stack(x, slice(step, step + 1), memory)[:, 0])
        summed = torch.zeros(1, 1, config.input_dim, dtype=state.dtype, device=state.device)
        for run in runs:
            for place, (channel, frame) in enumerate(zip(run.channels, run.frames, strict=True)):
                logits = functional.linear(hidden, heads[channel]).float()
                noise = None
                if sounds is not None:
                    noise = sounds[:, run.noise].view(1, -1, run.vocab)[:, place]
                chosen = choose(logits, how, noise, run.forbidden[place])
                codes[:, frame, channel] = chosen
                summed = summed + tables[channel][chosen]
        x = summed if lm.local.to_local is None else lm.local.to_local(summed)
    return codes


def _by_channel(lm: SpeechLm) -> tuple[dict[int, Tensor], list[Tensor]]:
    """Heads and embedding tables of each channel, as the checkpoint has them."""
    sizes = list(lm.config.speech_vocab)
    heads = torch.split(lm.local.heads.weight.to(lm.dtype), [sizes[channel] for channel in lm.local.order])
    return dict(zip(lm.local.order, heads, strict=True)), list(torch.split(lm.speech_table, sizes))
