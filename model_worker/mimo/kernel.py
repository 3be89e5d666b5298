"""Few rows through a stack of layers, or through one matrix, compiled: every weight is read from memory once.

All threads call the same function with the same arguments. They share its work by tickets: whoever is free takes the
next piece (a few outputs of a product, a few heads of an attention), and a piece waits until all that it depends on
is done. So no thread waits for one that sleeps, and one alone finishes as well; and as a phase of a layer ends for one
thread, the other still reads, so that the memory is never idle.

Weights are float32, or bfloat16 (as their 16 bits): half the reading, and the same numbers, since each is widened
before it is multiplied.

Importing this module imports numba and compiles, or finds what was compiled before.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import carray, types
from numba.extending import overload
from numpy.typing import NDArray

from .atomic import DONE, NEXT, Ints, ask_for, compiled, count, counters, pointer, wait, widened

__all__ = ["counters", "run_product", "run_stack"]

Floats = NDArray[np.float32]
Weights = NDArray[np.float32] | NDArray[np.int16]

PIECE_BYTES = 64 << 10  # of weights: long enough for the processor to read ahead, short enough to share evenly
FEWEST_OUTPUTS = 4  # of a piece
WIDENED_AT_A_TIME = 256  # bfloat16 weights, for which memory is asked …
AHEAD = 4096  # … so many weights before
LINE = 32  # bfloat16 weights that memory brings at once
SPARE = 3  # columns behind the outputs of a piece
ATTENTION_PIECES = 16  # of one layer, at most
QKV, QKV_BIAS, OUT, GATE_UP, DOWN, ATTENTION_NORM, FFN_NORM = range(7)  # columns of the table of weights


@compiled()
def _outputs(inputs: int, weight_bytes: int) -> int:
    """How many outputs of a product with so many inputs make a piece."""
    return max(FEWEST_OUTPUTS, PIECE_BYTES // (weight_bytes * inputs) // FEWEST_OUTPUTS * FEWEST_OUTPUTS)


@compiled()
def _multiply(w: Floats, first: int, last: int, x: Floats, part: Floats, at: int) -> None:
    """Outputs ``first``..``last`` of all rows of ``x`` times ``w`` transposed, into ``part`` from column ``at`` on.

    Four outputs at a time (a to d), of four rows (0 to 3) where there are so many: that keeps the vector unit fed from
    registers. Where the outputs are no multiple of four, the last is computed again, into columns that are spare.
    """
    rows, inputs = x.shape
    fours, end = rows // 4 * 4, last - 1
    for j in range(first, last, 4):
        k, l, m, to = min(j + 1, end), min(j + 2, end), min(j + 3, end), at + j - first  # noqa: E741 (j, k, l, m)
        for r in range(0, fours, 4):
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = np.float32(0)
            c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = np.float32(0)
            for i in range(inputs):
                a, b, c, d = w[j, i], w[k, i], w[l, i], w[m, i]
                x0, x1, x2, x3 = x[r, i], x[r + 1, i], x[r + 2, i], x[r + 3, i]
                a0 += a * x0
                a1 += a * x1
                a2 += a * x2
                a3 += a * x3
                b0 += b * x0
                b1 += b * x1
                b2 += b * x2
                b3 += b * x3
                c0 += c * x0
                c1 += c * x1
                c2 += c * x2
                c3 += c * x3
                d0 += d * x0
                d1 += d * x1
                d2 += d * x2
                d3 += d * x3
            part[r, to], part[r, to + 1], part[r, to + 2], part[r, to + 3] = a0, b0, c0, d0
            part[r + 1, to], part[r + 1, to + 1], part[r + 1, to + 2], part[r + 1, to + 3] = a1, b1, c1, d1
            part[r + 2, to], part[r + 2, to + 1], part[r + 2, to + 2], part[r + 2, to + 3] = a2, b2, c2, d2
            part[r + 3, to], part[r + 3, to + 1], part[r + 3, to + 2], part[r + 3, to + 3] = a3, b3, c3, d3
        for r in range(fours, rows):
            a0 = b0 = c0 = d0 = np.float32(0)
            for i in range(inputs):
                x0 = x[r, i]
                a0 += w[j, i] * x0
                b0 += w[k, i] * x0
                c0 += w[l, i] * x0
                d0 += w[m, i] * x0
            part[r, to], part[r, to + 1], part[r, to + 2], part[r, to + 3] = a0, b0, c0, d0


@compiled()
def _widen(halves: Any, to: Floats) -> None:
    """Some bfloat16 weights, in float32. Meanwhile memory is asked for those behind them: it would idle later."""
    whole = len(halves) // WIDENED_AT_A_TIME * WIDENED_AT_A_TIME
    for begin in range(0, whole, WIDENED_AT_A_TIME):
        some, wide = halves[begin : begin + WIDENED_AT_A_TIME], to[begin : begin + WIDENED_AT_A_TIME]
        for i in range(0, WIDENED_AT_A_TIME, LINE):
            ask_for(some, i + AHEAD)
        for i in range(WIDENED_AT_A_TIME):
            wide[i] = widened(some[i])
    for i in range(whole, len(halves)):
        to[i] = widened(halves[i])


def _times(w: Weights, first: int, last: int, x: Floats, part: Floats, at: int, room: Floats) -> None:
    """:func:`_multiply`, whatever the weights are; ``room`` [at least 4 outputs of them] is for widening them."""
    raise NotImplementedError("for compiled functions only; they take what is below")


@overload(_times, strict=False)  # type: ignore[untyped-decorator]
def _times_of(w: Any, first: Any, last: Any, x: Any, part: Any, at: Any, room: Any) -> Any:  # noqa: ARG001
    if w.dtype == types.float32:
        return lambda w, first, last, x, part, at, room: _multiply(w, first, last, x, part, at)  # noqa: ARG005

    def times(w: Any, first: int, last: int, x: Floats, part: Floats, at: int, room: Floats) -> None:
        inputs = x.shape[1]
        halves, flat = w.reshape(-1), room[: 4 * inputs]
        four = flat.reshape(4, inputs)
        for j in range(first, last, 4):
            end = min(j + 4, last)
            _widen(halves[j * inputs : end * inputs], flat)
            _multiply(four, 0, end - j, x, part, at + j - first)

    return times


@compiled(
    ["void(int64[::1], float32[:, ::1], float32[::1], float32[:, ::1], float32[:, ::1])",
     "void(int64[::1], int16[:, ::1], float32[::1], float32[:, ::1], float32[:, ::1])"]
)  # fmt: skip
def run_product(counters: Ints, w: Weights, bias: Floats, x: Floats, out: Floats) -> None:
    """``x`` [rows, inputs] times ``w`` [outputs, inputs] transposed, plus ``bias`` [outputs or 0], into ``out``."""
    outputs, inputs = w.shape
    rows = len(x)
    size = _outputs(inputs, w.itemsize)
    pieces = (outputs + size - 1) // size
    part, room = np.empty((rows, size + SPARE), np.float32), np.empty(4 * inputs, np.float32)
    while True:
        ticket = count(counters, NEXT)
        if ticket >= pieces:
            break
        first = ticket * size
        last = min(first + size, outputs)
        _times(w, first, last, x, part, 0, room)
        for r in range(rows):
            for j in range(first, last):
                out[r, j] = part[r, j - first] + (bias[j] if len(bias) else np.float32(0))
        count(counters, DONE)
    wait(counters, pieces)


@compiled()
def _norm(x: Floats, weight: Floats, eps: float, out: Floats) -> None:
    """Every row over its root mean square, times ``weight``."""
    rows, width = x.shape
    for r in range(rows):
        squares = np.float32(0)
        for i in range(width):
            squares += x[r, i] * x[r, i]
        scale = np.float32(1 / math.sqrt(squares / width + eps))
        for i in range(width):
            out[r, i] = x[r, i] * scale * weight[i]


@compiled()
def _attend(
    qkv: Floats, r: int, head: int, angle: int, cos: Floats, sin: Floats, keys: Floats, values: Floats,
    layer: int, item: int, group: int, seen: int, scores: Floats, query: Floats, out: Floats,
) -> None:  # fmt: skip
    """One head of row ``r`` of ``qkv``, turned by its angles, over the first ``seen`` positions of its item."""
    size = len(query)
    half, start = size // 2, head * size
    scale, most, whole = np.float32(1 / math.sqrt(size)), np.float32(-np.inf), np.float32(0)
    for i in range(half):  # the first half of the sines is negative
        near, far = qkv[r, start + i], qkv[r, start + half + i]
        query[i] = (near * cos[angle, i] + far * sin[angle, i]) * scale
        query[half + i] = (far * cos[angle, half + i] + near * sin[angle, half + i]) * scale
        out[r, start + i] = out[r, start + half + i] = np.float32(0)
    for p in range(seen):
        total = np.float32(0)
        for i in range(size):
            total += query[i] * keys[layer, item, group, p, i]
        scores[p] = total
        most = max(most, total)
    for p in range(seen):
        weight = np.float32(math.exp(scores[p] - most))
        whole += weight
        for i in range(size):
            out[r, start + i] += weight * values[layer, item, group, p, i]
    for i in range(size):
        out[r, start + i] /= whole


STACK = (
    "void(int64[::1], int64[:, ::1], {}[::1], int64, int64, float32, float32[:, ::1], float32[:, ::1], float32[:, ::1],"
    "float32[:, :, :, :, ::1], float32[:, :, :, :, ::1], int64[::1], int64[::1], int64,"
    "float32[:, ::1], float32[:, ::1], float32[:, ::1])"
)


@compiled([STACK.format("float32"), STACK.format("int16")])
def run_stack(
    counters: Ints, weights: Ints, like: Weights, heads: int, kv_heads: int, eps: float, cos: Floats, sin: Floats,
    x: Floats, keys: Floats, values: Floats, at: Ints, seen: Ints, steps: int,
    qkv: Floats, attended: Floats, act: Floats,
) -> None:  # fmt: skip
    """All layers on ``x`` [rows, width], in place.

    ``weights`` [layers, 7] are addresses; the matrices hold what ``like`` [0] would. ``cos``, ``sin``
    [positions, head_dim]; ``keys``, ``values`` [layers, items, kv_heads, positions, head_dim]. Row r is step
    r % ``steps`` of item r // ``steps``: its key goes to position ``at[r]``, and it sees the first ``seen[r]``
    positions. The last three are room for one layer.
    """
    rows, width = x.shape
    head_dim, half, shared = cos.shape[1], cos.shape[1] // 2, heads // kv_heads
    joined, inner, ffn = qkv.shape[1], attended.shape[1], act.shape[1]
    turning = inner + kv_heads * head_dim
    units = rows // steps * kv_heads  # of attention: what shares keys
    unit_pieces = min(units, ATTENTION_PIECES)
    qkv_size, out_size = _outputs(width, like.itemsize), _outputs(inner, like.itemsize)
    ffn_size, down_size = _outputs(2 * width, like.itemsize), _outputs(ffn, like.itemsize)
    # the numbers of the first piece of every phase of a layer
    attention_at = (joined + qkv_size - 1) // qkv_size
    out_at = attention_at + unit_pieces
    ffn_at = out_at + (width + out_size - 1) // out_size
    down_at = ffn_at + (ffn + ffn_size - 1) // ffn_size
    per_layer = down_at + (width + down_size - 1) // down_size
    largest = max(qkv_size, out_size, ffn_size, down_size)
    part, normed = np.empty((rows, 2 * (largest + SPARE)), np.float32), np.empty((rows, width), np.float32)
    room = np.empty(4 * max(width, inner, ffn), np.float32)
    normed_for, one = -1, np.float32(1)
    scores, query = np.empty(keys.shape[3], np.float32), np.empty(head_dim, np.float32)
    while True:
        ticket = count(counters, NEXT)
        layer = ticket // per_layer
        if layer >= len(weights):
            break
        begin, piece = layer * per_layer, ticket % per_layer
        if attention_at <= piece < out_at:
            wait(counters, begin + attention_at)
            number = piece - attention_at
            for unit in range(number * units // unit_pieces, (number + 1) * units // unit_pieces):
                item, group = unit // kv_heads, unit % kv_heads
                key, value = inner + group * head_dim, turning + group * head_dim
                for r in range(item * steps, (item + 1) * steps):
                    p = at[r]
                    angle = min(p, len(cos) - 1)  # beyond the last position stands what nobody reads
                    for i in range(half):
                        near, far = qkv[r, key + i], qkv[r, key + half + i]
                        keys[layer, item, group, p, i] = near * cos[angle, i] + far * sin[angle, i]
                        turned = far * cos[angle, half + i] + near * sin[angle, half + i]
                        keys[layer, item, group, p, half + i] = turned
                    for i in range(head_dim):
                        values[layer, item, group, p, i] = qkv[r, value + i]
                for r in range(item * steps, (item + 1) * steps):
                    angle = min(at[r], len(cos) - 1)
                    for head in range(group * shared, (group + 1) * shared):
                        _attend(
                            qkv, r, head, angle, cos, sin, keys, values, layer, item, group, seen[r], scores, query,
                            attended,
                        )  # fmt: skip
            count(counters, DONE)
            continue
        if piece < attention_at:
            kind, start, size, outputs, given = QKV, 0, qkv_size, joined, normed
        elif piece < ffn_at:
            kind, start, size, outputs, given = OUT, out_at, out_size, width, attended
        elif piece < down_at:
            kind, start, size, outputs, given = GATE_UP, ffn_at, ffn_size, ffn, normed
        else:
            kind, start, size, outputs, given = DOWN, down_at, down_size, width, act
        wait(counters, begin + start)
        if kind in (QKV, GATE_UP) and normed_for != begin + start:
            norm = weights[layer, ATTENTION_NORM if kind == QKV else FFN_NORM]
            _norm(x, carray(pointer(norm, normed), (width,)), eps, normed)
            normed_for = begin + start
        times = 2 if kind == GATE_UP else 1  # the gates are the first half of the outputs
        w = carray(pointer(weights[layer, kind], like), (times * outputs, given.shape[1]))
        first = (piece - start) * size
        last = min(first + size, outputs)
        other = size + SPARE  # column of the second half
        for time in range(times):
            _times(w, first + time * outputs, last + time * outputs, given, part, time * other, room)
        if kind == QKV:
            bias = carray(pointer(weights[layer, QKV_BIAS], normed), (outputs,))
            for r in range(rows):
                for j in range(first, last):
                    qkv[r, j] = part[r, j - first] + bias[j]
        elif kind == GATE_UP:
            for r in range(rows):
                for j in range(first, last):
                    gate = part[r, j - first]
                    act[r, j] = gate / (one + math.exp(-gate)) * part[r, other + j - first]
        else:
            for r in range(rows):
                for j in range(first, last):
                    x[r, j] += part[r, j - first]
        count(counters, DONE)
    wait(counters, len(weights) * per_layer)
