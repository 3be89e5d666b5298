"""One step for all running requests, and reading their prompts: everything the language model does for the engine.

A step turns the hidden states of the rows into their next text ids, the next audio groups of those rows that chose
``<|empty|>``, and the hidden states after those groups. It reads and writes the slots only, so a captured graph of
it can be replayed; on a CPU, where shapes may change freely, text rows skip the work of audio rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .device import send
from .groups import Groups
from .lm import SpeechLm
from .local import Run
from .sampler import SamplingRows, Uses, choose, gumbel
from .slots import MADE, MIN_NEW, MOST_STOPS, MUTE, POSITION, STOPS, WORDS, PromptMemory, Slots, StepMemory

PROMPT_CHUNK = 1024  # groups of one prompt read in one go; bounds the attention mask
PROMPT_BATCH = 4096  # groups, padded, of several prompts read in one go


@dataclass(frozen=True, slots=True)
class Plan:
    """The shape of a step: whatever decides which kernels run. Steps of one plan can share a graph."""

    rows: int
    length: int  # keys seen by attention
    text: Uses
    audio: Uses | None  # None: no row may speak
    mutes: bool  # some row may not
    holds: bool  # some row may not stop yet


class Stepper:
    """Runs steps and prompts of one model on one set of slots."""

    def __init__(self, lm: SpeechLm, slots: Slots, empty_id: int, *, static: bool) -> None:
        """``static``: no shape and no branch may depend on values, as graphs need it."""
        self.lm, self.slots, self.empty_id, self.static = lm, slots, empty_id, static
        self.text_sites = torch.arange(lm.config.vocab_size, dtype=torch.int32, device=lm.device)

    def step(self, plan: Plan) -> None:
        """Advance rows 0..``plan.rows``-1 by one group; the chosen text ids stand in ``slots.latest``."""
        slots, rows = self.slots, plan.rows
        ids = self._choose_text(plan)
        codes, x = self._audio(plan, ids)
        memory = StepMemory(slots, rows, plan.length)
        positions = memory.position.clamp(max=slots.groups - 1)[:, None]
        hidden = self.lm.backbone(x[:, None], positions, memory)[:, 0]
        slots.hidden[:rows] = self.lm.backbone.normed(hidden)
        made = slots.state[:rows, MADE].long().clamp_(max=slots.groups)
        slots.history[memory.index, made] = torch.cat((ids[:, None], codes.flatten(1)), 1).to(torch.int32)
        slots.latest[:rows] = ids
        slots.state[:rows, POSITION : MADE + 1] += 1

    def _choose_text(self, plan: Plan) -> Tensor:
        slots, rows = self.slots, plan.rows
        logits = self.lm.text_logits(slots.hidden[:rows])
        if plan.mutes:
            logits[:, self.empty_id].masked_fill_(slots.state[:rows, MUTE].bool(), float("-inf"))
        forbidden = None
        if plan.holds:
            state = slots.state[:rows]
            held = (state[:, MADE] < state[:, MIN_NEW])[:, None].expand(-1, MOST_STOPS)
            columns = torch.zeros(rows, slots.no_stop + 1, dtype=torch.bool, device=logits.device)
            forbidden = columns.scatter_(1, state[:, STOPS:].long(), held)[:, : slots.no_stop]
        noise = None
        if plan.text.draws:
            noise = self._noise(slice(0, rows), 0, self.text_sites)
        return choose(logits, slots.how(0, rows, plan.text), noise, forbidden)

    def _noise(self, rows: slice | Tensor, site: int, sites: Tensor) -> Tensor:
        """Of the rows' next groups."""
        state = self.slots.state[rows]
        return gumbel(state[:, WORDS : WORDS + 2], state[:, MADE], site, sites)

    def _audio(self, plan: Plan, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [rows, frames, channels] of the new groups, and what goes into the backbone for them."""
        lm, rows = self.lm, plan.rows
        codes, x = lm.empty_codes.repeat(rows, lm.config.group_size, 1), lm.embed_text(ids)
        if plan.audio is None:
            return codes, x
        is_audio = ids == self.empty_id
        if self.static:
            here = is_audio[:, None]
            codes = torch.where(here[..., None], self._sound(rows, plan.audio, slice(0, rows)), codes)
            return codes, torch.where(here, lm.embed_audio(codes), x)
        chosen = is_audio.nonzero()[:, 0]
        if len(chosen):
            codes[chosen] = made = self._sound(rows, plan.audio, chosen)
            x[chosen] = lm.embed_audio(made)
        return codes, x

    def _sound(self, rows: int, uses: Uses, chosen: slice | Tensor) -> Tensor:
        """Audio groups [chosen rows, frames, channels] from the local decoder."""
        slots, lm = self.slots, self.lm
        how: SamplingRows = slots.how(1, rows, uses).rows(chosen)
        noise = None
        if uses.draws:
            noise = self._noise(chosen, 1, lm.local.sites)

        def pick(run: Run, logits: Tensor) -> Tensor:
            part = None if noise is None else noise[:, run.noise].view(logits.shape)
            return choose(logits, how, part, run.forbidden)

        codes: Tensor = lm.local(lm.local_state(slots.hidden[:rows][chosen]), lm.speech_table, pick)
        return codes

    def read(self, first: int, prompts: list[Groups], starts: list[int]) -> None:
        """Read prompts into rows ``first``.. and leave their last hidden states; longest prompts first.

        Row i continues at ``starts[i]``, where its keys and values already hold a prefix.
        """
        at = 0
        while at < len(prompts):
            longest = min(len(prompts[at]), PROMPT_CHUNK)
            count = max(1, PROMPT_BATCH // longest)
            self._read(first + at, prompts[at : at + count], starts[at : at + count])
            at += count

    def _read(self, first: int, prompts: list[Groups], starts: list[int]) -> None:
        lm = self.lm
        for offset in range(0, len(prompts[0]), PROMPT_CHUNK):
            parts = [prompt[offset : offset + PROMPT_CHUNK] for prompt in prompts if len(prompt) > offset]
            lengths = [len(part) for part in parts]
            joined = Groups.joined(parts)
            embedded = torch.split(lm.embed(joined.text, joined.codes, self.empty_id), lengths)
            x = torch.nn.utils.rnn.pad_sequence(list(embedded), batch_first=True)
            memory = PromptMemory(self.slots, first, [start + offset for start in starts[: len(parts)]], lengths)
            x = lm.backbone(x, memory.positions, memory)
            last = x[torch.arange(len(parts), device=x.device), send(torch.tensor(lengths) - 1, x.device)]
            # rows with more to come are overwritten by their next chunk
            self.slots.hidden[first : first + len(parts)] = lm.backbone.normed(last)
