"""The speech language model: groups in, next text id and next audio group out.

One position is one group (160 ms of audio, or one text id). The input of a text group is its token embedding; that
of an audio group is its 4 x 8 codes, summed over channels, passed through the patch encoder, and joined.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from .checkpoint import Checkpoint, Parts, parts_of, settle
from .config import LmConfig
from .device import exact, send, settled
from .gate import GATE
from .local import LocalDecoder
from .projection import Projection, has_kernel, lay_out
from .qwen import QwenStack, Within


class SpeechLm(nn.Module):
    """Patch encoder, backbone, heads and local decoder, with their weights on one device."""

    def __init__(self, config: LmConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = QwenStack(
            config.layers, config.hidden_size, config.heads, config.kv_heads, config.head_dim,
            config.intermediate_size, config.rms_norm_eps, config.rope_theta, config.context_groups,
        )  # fmt: skip
        self.embed_tokens = nn.Parameter(torch.empty(config.vocab_size, config.hidden_size), requires_grad=False)
        self.lm_head = None if config.tied_embeddings else Projection(config.hidden_size, config.vocab_size)
        self.patch_encoder = QwenStack(
            config.input_layers, config.input_dim, config.local_heads, config.local_heads,
            config.input_dim // config.local_heads, 4 * config.input_dim, config.rms_norm_eps, config.rope_theta,
            config.group_size,
        )  # fmt: skip
        self.speech_table = nn.Parameter(torch.empty(sum(config.speech_vocab), config.input_dim), requires_grad=False)
        self.group_downcast = Projection(config.group_size * config.input_dim, config.hidden_size)
        self.hidden_downcast = Projection(config.hidden_size, config.local_dim)
        self.local = LocalDecoder(config)
        self.offsets: Tensor  # [channels]: where each channel begins in the speech table
        self.empty_codes: Tensor  # [channels]
        self.laid_out = False

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Self:
        """Load the official folder; raises ConfigError or CheckpointError naming the file, field or tensor."""
        config = LmConfig.read(folder)
        with Checkpoint(folder) as checkpoint:
            checkpoint.check_counts(config.families)
            with torch.device("meta"):
                shape = cls(config)
            checkpoint.check(shape)
            halves = checkpoint.kinds(shape) == {"BF16"} and has_kernel(settled(device), dtype)
            model = cls.empty(config, device, dtype, torch.bfloat16 if halves else dtype)
            checkpoint.fill(model)
        model.mask_empty()
        return model

    @classmethod
    def empty(
        cls, config: LmConfig, device: torch.device | str, dtype: torch.dtype, held: torch.dtype | None = None
    ) -> Self:
        """All parameters in place, uninitialised; the matrices of projections are of the dtype ``held``, if given."""
        device = settled(device)
        exact(device)
        with torch.device("meta"):
            model = cls(config)
        with GATE.at_work():
            settle(model, device, dtype, held)
            for part in (model.backbone, model.patch_encoder, model.local):
                part.make_tables(device, dtype)
            model.offsets = torch.tensor([0, *config.speech_vocab[:-1]], device=device).cumsum(0)
            model.empty_codes = torch.tensor(config.speech_empty, device=device)
        return model.eval()

    def parts(self, prefix: str) -> Parts:
        yield f"{prefix}model.embed_tokens.weight", self.embed_tokens.data
        yield from parts_of(self.backbone, f"{prefix}model.")
        if self.lm_head is not None:
            yield from parts_of(self.lm_head, f"{prefix}lm_head.")
        yield from parts_of(self.patch_encoder, f"{prefix}input_local_transformer.")
        for channel, rows in enumerate(torch.split(self.speech_table.data, list(self.config.speech_vocab))):
            yield f"{prefix}speech_embeddings.{channel}.weight", rows
        yield from parts_of(self.group_downcast, f"{prefix}speech_group_downcast.")
        yield from parts_of(self.hidden_downcast, f"{prefix}hidden_states_downcast.")
        yield from parts_of(self.local, prefix)

    def mask_empty(self) -> None:
        """Zero the embedding of every channel's empty id: it counts as nothing, whatever the file holds there."""
        with GATE.at_work():
            self.speech_table.data[self.offsets + self.empty_codes] = 0

    def lay_out(self) -> None:
        """Bring the weights into the order in which steps read them fastest; a second time does nothing."""
        if self.laid_out:
            return
        for stack in (self.backbone, self.local.stack, self.patch_encoder):
            stack.lay_out()
        for part in (self.local.to_local, self.local.heads, self.lm_head, self.group_downcast, self.hidden_downcast):
            if part is not None:
                lay_out(part, self.dtype)
        self.laid_out = True

    @property
    def device(self) -> torch.device:
        return self.embed_tokens.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embed_tokens.dtype

    def embed_audio(self, codes: Tensor) -> Tensor:
        """Input vectors [groups, hidden] of audio groups with codes [groups, frames, channels]."""
        groups, frames, _ = codes.shape
        x = functional.embedding(codes + self.offsets, self.speech_table).sum(2)
        memory = Within(causal=not self.config.input_bidirectional)
        x = self.patch_encoder.normed(self.patch_encoder(x, slice(0, frames), memory))
        out: Tensor = self.group_downcast(x.reshape(groups, -1))
        return out

    def embed_text(self, ids: Tensor) -> Tensor:
        """Input vectors [groups, hidden] of text groups."""
        return functional.embedding(ids, self.embed_tokens)

    def embed(self, text: Tensor, codes: Tensor, empty_id: int) -> Tensor:
        """Input vectors [groups, hidden] of mixed groups; the patch encoder runs for the audio groups only.

        Ids and codes are on the host: which groups are audio is then known without waiting for the device.
        """
        audio = (text == empty_id).nonzero()[:, 0]
        out = self.embed_text(send(text, self.device))
        if len(audio):
            out[send(audio, self.device)] = self.embed_audio(send(codes[audio], self.device))
        return out

    def text_logits(self, hidden: Tensor) -> Tensor:
        """[rows, vocab] float32 of normed hidden states [rows, hidden]."""
        logits: Tensor = functional.linear(hidden, self.embed_tokens) if self.lm_head is None else self.lm_head(hidden)
        return logits.float()

    def local_state(self, hidden: Tensor) -> Tensor:
        """What the local decoder starts from: [rows, local_dim]."""
        state: Tensor = self.hidden_downcast(hidden)
        return state
