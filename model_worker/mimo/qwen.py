"""The Qwen2 block (RMSNorm, biased q, k, v, rotary positions, SwiGLU), as all three stacks of the model use it.

Where keys and values live is not the block's business: it hands them to a memory and gets the attended values back.
"""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .checkpoint import Parts, parts_of
from .compiled import Cells, CompiledStack
from .fused import FusedStack
from .progress import got_on
from .projection import Projection, is_ordinary, lay_out
from .rms import rms_norm
from .rotary import inverse_frequencies, rotary_table, rotate


class Memory(Protocol):
    """Keeps keys and values of a stack."""

    def attend(self, layer: int, q: Tensor, kv: Tensor) -> Tensor:
        """Attended values [rows, heads, steps, head_dim] for q of that shape; ``kv`` are the new keys, and below them
        the values: [rows, 2 * kv_heads, steps, head_dim]."""
        ...

    def cells(self, stack: QwenStack, rows: int, steps: int) -> Cells | None:
        """Where a compiled stack finds them itself; None where only :meth:`attend` can tell."""
        ...


class Within:
    """No memory: the steps of one call see each other, all of them or (causal) those before."""

    def __init__(self, *, causal: bool) -> None:
        self.causal = causal

    def attend(self, layer: int, q: Tensor, kv: Tensor) -> Tensor:  # noqa: ARG002 (every memory takes it)
        k, v = kv.chunk(2, 1)
        return functional.scaled_dot_product_attention(
            q, k, v, is_causal=self.causal, enable_gqa=q.shape[1] != k.shape[1]
        )

    def cells(self, stack: QwenStack, rows: int, steps: int) -> Cells:
        blocks = stack.blocks
        keys, values = stack.norm.new_empty(2, len(blocks), rows, blocks[0].kv_heads, steps, blocks[0].head_dim)
        at = torch.arange(steps).repeat(rows)
        return Cells(keys, values, at, steps, None if self.causal else torch.full_like(at, steps))


class QwenBlock(nn.Module):
    """One layer; q, k and v are one matrix, gate and up are another."""

    def __init__(self, width: int, heads: int, kv_heads: int, head_dim: int, ffn_dim: int, eps: float) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim, self.eps = heads, kv_heads, head_dim, eps
        self.qkv = Projection(width, (heads + 2 * kv_heads) * head_dim, bias=True)
        self.o_proj = Projection(heads * head_dim, width)
        self.gate_up = Projection(width, 2 * ffn_dim)
        self.down_proj = Projection(ffn_dim, width)
        self.attention_norm = nn.Parameter(torch.empty(width), requires_grad=False)
        self.ffn_norm = nn.Parameter(torch.empty(width), requires_grad=False)

    def parts(self, prefix: str) -> Parts:
        bias = self.qkv.bias
        assert bias is not None
        sizes = [self.heads * self.head_dim, self.kv_heads * self.head_dim, self.kv_heads * self.head_dim]
        for name, weight, part in zip(
            "qkv", torch.split(self.qkv.weight.data, sizes), torch.split(bias.data, sizes), strict=True
        ):
            yield f"{prefix}self_attn.{name}_proj.weight", weight
            yield f"{prefix}self_attn.{name}_proj.bias", part
        yield from parts_of(self.o_proj, f"{prefix}self_attn.o_proj.")
        gate, up = self.gate_up.weight.data.chunk(2)
        yield f"{prefix}mlp.gate_proj.weight", gate
        yield f"{prefix}mlp.up_proj.weight", up
        yield from parts_of(self.down_proj, f"{prefix}mlp.down_proj.")
        yield f"{prefix}input_layernorm.weight", self.attention_norm.data
        yield f"{prefix}post_attention_layernorm.weight", self.ffn_norm.data

    def weights(self) -> list[Tensor]:
        """All parameters, in the order in which they are used but for the norms, which are last."""
        bias = self.qkv.bias
        assert bias is not None
        products = [self.qkv.weight, bias, self.o_proj.weight, self.gate_up.weight, self.down_proj.weight]
        return [*products, self.attention_norm, self.ffn_norm]

    def forward(self, x: Tensor, steps: int, cos: Tensor, sin: Tensor, memory: Memory, layer: int) -> Tensor:
        """``x`` [rows * steps, width], which is added to; ``cos``, ``sin`` [rows or 1, 1, steps, head_dim]."""
        turning = self.heads + self.kv_heads
        qkv = self.qkv(rms_norm(x, self.attention_norm, self.eps))
        if steps == 1:
            qkv = qkv.view(-1, turning + self.kv_heads, 1, self.head_dim)
        else:
            qkv = qkv.view(-1, steps, turning + self.kv_heads, self.head_dim).transpose(1, 2)
        rotate(qkv[:, :turning], cos, sin, out=qkv[:, :turning])
        seen = memory.attend(layer, qkv[:, : self.heads], qkv[:, self.heads :])
        if steps > 1:
            seen = seen.transpose(1, 2)
        x = self.o_proj.onto(x, seen.reshape(len(x), self.heads * self.head_dim))
        gate, up = self.gate_up(rms_norm(x, self.ffn_norm, self.eps)).chunk(2, 1)
        return self.down_proj.onto(x, functional.silu(gate) * up)


class QwenStack(nn.Module):
    """Layers with the final norm and a rotary table of ``positions``."""

    cos: Tensor  # [positions, head_dim]
    sin: Tensor

    def __init__(
        self,
        layers: int,
        width: int,
        heads: int,
        kv_heads: int,
        head_dim: int,
        ffn_dim: int,
        eps: float,
        theta: float,
        positions: int,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(QwenBlock(width, heads, kv_heads, head_dim, ffn_dim, eps) for _ in range(layers))
        self.norm = nn.Parameter(torch.empty(width), requires_grad=False)
        self.width, self.eps = width, eps
        self._head_dim, self._theta, self._positions = head_dim, theta, positions
        self._compiled: CompiledStack | FusedStack | None = None

    @property
    def blocks(self) -> list[QwenBlock]:
        return cast(list[QwenBlock], list(self.layers))

    def parts(self, prefix: str) -> Parts:
        yield from parts_of(self.layers, f"{prefix}layers.")
        yield f"{prefix}norm.weight", self.norm.data

    def make_tables(self, device: torch.device, dtype: torch.dtype) -> None:
        """Compute the rotary table; it is not part of a checkpoint."""
        frequencies = inverse_frequencies(self._head_dim, self._theta, device)
        self.cos, self.sin = rotary_table(frequencies, self._positions, dtype)

    def lay_out(self) -> None:
        """Bring the weights into the order that an engine needs; see :func:`.projection.lay_out`."""
        lay_out(self, self.norm.dtype)
        self._compiled = CompiledStack(self) if self.blocks[0].qkv.laid_out else FusedStack.of(self)

    def forward(self, x: Tensor, positions: slice | Tensor, memory: Memory) -> Tensor:
        """Run all layers on [rows, steps, width], without the final norm.

        ``positions`` are a slice that holds for all rows, or [rows, steps].
        """
        rows, steps, width = x.shape
        if self._compiled is not None and self._compiled.takes(rows, steps) and not is_ordinary():
            cells = memory.cells(self, rows, steps)
            if cells is not None:
                got_on()
                return self._compiled.run(x, cells)
        cos, sin = self.cos[positions], self.sin[positions]
        if cos.dim() == 3:
            cos, sin = cos[:, None], sin[:, None]
        x = x.reshape(rows * steps, width).clone()  # the layers add to it in place
        for number, layer in enumerate(self.layers):
            got_on()
            x = layer(x, steps, cos, sin, memory, number)
        return x.view(rows, steps, width)

    def normed_part(self, x: Tensor, by: Projection, outputs: slice) -> Tensor:
        """Some of a projection's outputs (it has no bias) of the normed ``x`` [rows, width], in float32."""
        if isinstance(self._compiled, FusedStack) and not is_ordinary():
            made = self._compiled.normed_product(x, by.weight[outputs])
            if made is not None:
                return made
        return by.part(self.normed(x), outputs).float()

    def normed(self, x: Tensor) -> Tensor:
        """The final norm of [..., width]."""
        return rms_norm(x.reshape(-1, self.width), self.norm, self.eps).view(x.shape)
