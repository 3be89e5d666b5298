"""The local decoder: from one hidden state to the 4 x 8 codes of a group, in as many passes as the delays ask for.

At pass t every channel c with delay_c <= t < delay_c + group_size gives the code of frame t - delay_c; the sum of
the embeddings of what was chosen is the input of pass t + 1. The hidden state enters at pass 0 only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .checkpoint import Parts, parts_of
from .compiled import Cells
from .config import LmConfig
from .projection import Projection
from .qwen import QwenStack

Pick = Callable[["Run", Tensor], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Neighbouring channels with equally many ids that are chosen in one pass."""

    channels: list[int]
    frames: list[int]  # of each channel, the frame it gives in this pass
    heads: slice  # rows of the joined heads
    noise: slice  # columns of the group's noise
    vocab: int
    forbidden: Tensor  # [channels, vocab]: the empty ids
    offsets: Tensor  # [channels]: where each channel's embeddings begin in the joined table


class LocalMemory:
    """Keys and values of the passes of one group; filled from the front, fresh for every group."""

    def __init__(self, layers: int, rows: int, heads: int, steps: int, head_dim: int, like: Tensor) -> None:
        self.cache = like.new_empty(2, layers, rows, heads, steps, head_dim)  # keys, values
        self.steps = torch.arange(steps, device=like.device)
        self.step = 0

    def attend(self, layer: int, q: Tensor, kv: Tensor) -> Tensor:
        rows, heads, _, head_dim = q.shape
        cache, end = self.cache[:, layer], self.step + 1
        cache[:, :, :, self.step : end] = kv.view(rows, 2, heads, 1, head_dim).transpose(0, 1)
        return functional.scaled_dot_product_attention(q, *cache[:, :, :, :end])

    def cells(self, _stack: QwenStack, rows: int, _steps: int) -> Cells:
        keys, values = self.cache
        return Cells(keys, values, self.steps[self.step].expand(rows), self.step + 1)


class LocalDecoder(nn.Module):
    """The stack, the heads of all channels as one matrix, and the plan of passes."""

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        self.config = config
        self.order = sorted(range(config.channels), key=lambda channel: config.delays[channel])
        self.stack = QwenStack(
            config.local_layers, config.local_dim, config.local_heads, config.local_heads,
            config.local_dim // config.local_heads, config.local_ffn_dim, config.rms_norm_eps, config.rope_theta,
            config.local_steps,
        )  # fmt: skip
        self.heads = Projection(config.local_dim, sum(config.speech_vocab))
        differs = config.input_dim != config.local_dim
        self.to_local = Projection(config.input_dim, config.local_dim) if differs else None
        self.passes: list[list[Run]] = []
        self.sites: Tensor
        self._back: Tensor

    def parts(self, prefix: str) -> Parts:
        yield from parts_of(self.stack, f"{prefix}local_transformer.")
        sizes = [self.config.speech_vocab[channel] for channel in self.order]
        for channel, rows in zip(self.order, torch.split(self.heads.weight.data, sizes), strict=True):
            yield f"{prefix}local_transformer_lm_heads.{channel}.weight", rows
        if self.to_local is not None:
            yield from parts_of(self.to_local, f"{prefix}speech_embeddings_to_local.")

    def make_tables(self, device: torch.device, dtype: torch.dtype) -> None:
        """Lay out the passes; channels are ordered by delay, so those of one pass are neighbours."""
        config = self.config
        self.stack.make_tables(device, dtype)
        starts = torch.tensor([0, *config.speech_vocab]).cumsum(0).tolist()
        rows = torch.tensor([0, *(config.speech_vocab[channel] for channel in self.order)]).cumsum(0).tolist()
        widest = max(config.speech_vocab)
        self.passes, sites, chosen, noise = [], [], [], 0
        for step in range(config.local_steps):
            runs: list[Run] = []
            at = 0
            while at < len(self.order):
                vocab = config.speech_vocab[self.order[at]]
                end = at
                while (
                    end < len(self.order) and self._active(end, step) and config.speech_vocab[self.order[end]] == vocab
                ):
                    end += 1
                if end == at:
                    at += 1
                    continue
                channels = self.order[at:end]
                frames = [step - config.delays[channel] for channel in channels]
                forbidden = torch.zeros(len(channels), vocab, dtype=torch.bool, device=device)
                for row, channel in enumerate(channels):
                    forbidden[row, config.speech_empty[channel]] = True
                    cell = frames[row] * config.channels + channel
                    chosen.append(cell)
                    sites.append(torch.arange(vocab) + cell * widest)
                size = len(channels) * vocab
                offsets = torch.tensor([starts[channel] for channel in channels], device=device)
                runs.append(
                    Run(
                        channels,
                        frames,
                        slice(rows[at], rows[end]),
                        slice(noise, noise + size),
                        vocab,
                        forbidden,
                        offsets,
                    )
                )
                noise += size
                at = end
            self.passes.append(runs)
        self.sites = torch.cat(sites).to(torch.int32).to(device)
        self._back = torch.tensor(chosen).argsort().to(device)

    def _active(self, place: int, step: int) -> bool:
        return 0 <= step - self.config.delays[self.order[place]] < self.config.group_size

    def forward(self, state: Tensor, table: Tensor, pick: Pick) -> Tensor:
        """Codes [rows, group_size, channels] from states [rows, local_dim].

        ``table`` holds the embeddings of all channels one below the other; ``pick`` chooses ids [rows, channels] of
        a run from its logits [rows, channels, vocab] float32, of which the forbidden ones are not masked yet.
        """
        config = self.config
        rows = len(state)
        head_dim = config.local_dim // config.local_heads
        memory = LocalMemory(config.local_layers, rows, config.local_heads, config.local_steps, head_dim, state)
        x = state[:, None]
        chosen: list[Tensor] = []
        for step, runs in enumerate(self.passes):
            memory.step = step
            logits = hidden = self.stack(x, slice(step, step + 1), memory)[:, 0]
            if runs:  # one product for all channels of the pass: they are neighbours in the joined heads
                logits = self.stack.normed_part(hidden, self.heads, slice(runs[0].heads.start, runs[-1].heads.stop))
            ids: list[Tensor] = []
            cells: list[Tensor] = []
            for run in runs:
                first = run.heads.start - runs[0].heads.start
                part = logits[:, first : first + len(run.channels) * run.vocab]
                picked = pick(run, part.reshape(rows, len(run.channels), run.vocab))
                ids.append(picked)
                cells.append(picked + run.offsets)
            chosen += ids
            if step + 1 < len(self.passes):
                x = self._embedded(cells, table, rows)
        return torch.cat(chosen, 1)[:, self._back].view(rows, config.group_size, config.channels)

    def _embedded(self, cells: list[Tensor], table: Tensor, rows: int) -> Tensor:
        if not cells:
            return table.new_zeros(rows, 1, self.config.local_dim)
        summed = functional.embedding(torch.cat(cells, 1), table).sum(1, keepdim=True)
        return summed if self.to_local is None else self.to_local(summed)
