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
from .local import Run
from .projection import ordinary_products
from .sampler import GREEDY, Sampling, SamplingRows, choose, gumbel, seed_words


class GrowingMemory:
    """Keys and values that are joined to the ones before, call by call."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if layer in self.kept:
            keys, values = self.kept[layer]
            k, v = torch.cat((keys, k), 2), torch.cat((values, v), 2)
        self.kept[layer] = (k, v)
        shared = q.shape[1] != k.shape[1]
        return functional.scaled_dot_product_attention(q, k, v, is_causal=q.shape[2] > 1, enable_gqa=shared)


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
) -> Groups:
    """Continue ``prompt`` until a stop id or ``max_new`` groups; the stop group is part of the result."""
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
        forbidden = torch.zeros_like(logits, dtype=torch.bool)
        if len(made) < min_new:
            forbidden[:, list(stops)] = True
        noise = None if text.greedy else gumbel(words, counter, 0, text_sites)
        chosen = int(choose(logits, text_how, noise, forbidden)[0])
        codes = lm.empty_codes.expand(1, lm.config.group_size, -1)
        if chosen == empty_id:
            sounds = None if audio.greedy else gumbel(words, counter, 1, lm.local.sites)

            def pick(run: Run, scores: Tensor, sounds: Tensor | None = sounds) -> Tensor:
                part = None if sounds is None else sounds[:, run.noise].view(scores.shape)
                return choose(scores, audio_how, part, run.forbidden)

            codes = lm.local(lm.local_state(hidden), lm.speech_table, pick)
        latest = Groups(torch.tensor([chosen]), codes.cpu())
        made.append(latest)
        if chosen in stops and len(made) >= min_new:
            break
    return Groups.joined(made) if made else prompt[:0]
