"""One step for all running requests.

A step turns the hidden states of the rows into their next text ids, the next audio groups of those rows that chose
``<|empty|>``, and the hidden states after those groups. It reads and writes the slots only, so a captured graph of
it can be replayed; on a CPU, where shapes may change freely, text rows skip the work of audio rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .lm import SpeechLm
from .local import Run
from .sampler import SamplingRows, Uses, choose, gumbel
from .slots import MADE, MIN_NEW, MOST_STOPS, MUTE, POSITION, STOPS, WORDS, Slots, StepMemory


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
    """Runs steps of one model on one set of slots."""

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
