"""The kernels of a step on a GPU, in Triton: what PyTorch needs many for.

With few rows a step is nothing but reading weights, and at full size it is thousands of kernels, each of which takes
longer to start and to end than to do its work. With one row a layer is five kernels here: norm, product and bias;
rotation, the new key and value and attention; product and sum; norm, two products and their gate; product and sum. With
more rows the products are PyTorch's, which cannot be beaten at it.

What a row gets is added up in an order that depends on shapes alone, never on other rows. Sums are float32; what is
kept has the type of the weights.
"""

from __future__ import annotations

import triton
import triton.language as tl

UNSEEN = tl.constexpr(-1e30)  # the score of what is not seen: finite, so that a stretch without keys joins as nothing


@triton.jit
def row_product(
    x, norm, weight, bias, out, outputs, eps,
    inputs: tl.constexpr,
    NORMED: tl.constexpr, BIASED: tl.constexpr, GATED: tl.constexpr, ADDED: tl.constexpr,
    OUTPUTS: tl.constexpr, INPUTS: tl.constexpr,
):  # fmt: skip
    """``out`` [outputs] = ``x`` [inputs], normed or not, times ``weight`` [outputs, inputs] transposed.

    ``GATED``: the weights are those of gates and, below them, of as many values; out is silu(gate) * value.
    ``ADDED``: it is added to what out holds. A program makes ``OUTPUTS`` of them, ``INPUTS`` inputs at a time.
    """
    column = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    real = column < outputs
    from_weight = weight + column[:, None].to(tl.int64) * inputs
    total = tl.zeros((OUTPUTS, INPUTS), tl.float32)
    values = tl.zeros((OUTPUTS, INPUTS), tl.float32)
    squares = tl.zeros((INPUTS,), tl.float32)
    for first in tl.static_range(0, inputs, INPUTS):
        place = first + tl.arange(0, INPUTS)
        inside = place < inputs
        here = real[:, None] & inside[None, :]
        given = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
        if NORMED:
            squares += given * given
            given *= tl.load(norm + place, mask=inside, other=0.0).to(tl.float32)
        total += tl.load(from_weight + place[None, :], mask=here, other=0.0).to(tl.float32) * given[None, :]
        if GATED:
            part = tl.load(from_weight + outputs * inputs + place[None, :], mask=here, other=0.0)
            values += part.to(tl.float32) * given[None, :]
    made, value = tl.sum(total, 1), tl.sum(values, 1)
    if NORMED:
        scale = tl.rsqrt(tl.sum(squares, 0) / inputs + eps)
        made *= scale
        value *= scale
    if BIASED:
        made += tl.load(bias + column, mask=real, other=0.0).to(tl.float32)
    if GATED:
        made = made * tl.sigmoid(made) * value
    if ADDED:
        made += tl.load(out + column, mask=real, other=0.0).to(tl.float32)
    tl.store(out + column, made.to(out.dtype.element_ty), mask=real)


@triton.jit
def gate(x, out, width, size, SIZE: tl.constexpr):
    """``out`` [rows, width] (``size`` in all) = silu(gates) * values, which stand side by side in ``x``."""
    place = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    inside = place < size
    at = x + place + place // width * width
    gates = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    values = tl.load(at + width, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + place, (gates * tl.sigmoid(gates) * values).to(out.dtype.element_ty), mask=inside)


@triton.jit
def choose(
    scores, of_row, of_channel, noise, noise_of_row, noise_of_channel, forbidden,
    temperature, top_p, greedy, of_setting, of_greedy, out, ids,
    CUT: tl.constexpr, IDS: tl.constexpr,
):  # fmt: skip
    """Draw one id of [rows, channels, ids]; see :func:`.sampler.choose`. ``CUT``: some row keeps a share (top-p) only.

    What a share keeps is found by halving: the greatest probability up to which all together are not too much. Ids
    that are equally probable are kept or removed together.
    """
    row, channel = tl.program_id(0), tl.program_id(1)
    index = tl.arange(0, IDS)
    inside = index < ids
    score = tl.load(scores + row * of_row + channel * of_channel + index, mask=inside, other=float("-inf"))
    score = score.to(tl.float32)
    banned = tl.load(forbidden + channel * ids + index, mask=inside, other=1) != 0
    best = tl.argmax(tl.where(banned, float("-inf"), score), 0)
    score = score / tl.load(temperature + row * of_setting)
    kept = inside
    if CUT:
        shares = tl.exp(score - tl.max(score, 0))
        shares /= tl.sum(shares, 0)
        share = tl.load(top_p + row * of_setting)
        order = shares.to(tl.int32, bitcast=True)  # positive floats are ordered as their bits are
        low, high = tl.min(order, 0) * 0, tl.max(order, 0)
        for _ in range(31):
            middle = low + (high - low) // 2
            fits = tl.sum(tl.where(order <= middle, shares, 0.0), 0) <= 1.0 - share
            low, high = tl.where(fits, middle, low), tl.where(fits, high, middle)
        kept = inside & (order >= tl.where(share < 1.0, high, 0))
    score = tl.where(kept & (banned == 0), score, float("-inf"))
    draw = score + tl.load(noise + row * noise_of_row + channel * noise_of_channel + index, mask=inside, other=0.0)
    chosen = tl.where(tl.max(score, 0) == float("-inf"), best, tl.argmax(draw, 0))
    chosen = tl.where(tl.load(greedy + row * of_greedy) != 0, best, chosen)
    tl.store(out + row * tl.num_programs(1) + channel, chosen.to(tl.int64))


@triton.jit
def _turned(base, place, cos, sin, mask, DIM: tl.constexpr):
    """A head's vector turned by its position, rounded as it is kept; see :func:`.rotary.rotate`."""
    x = tl.load(base + place, mask=mask, other=0.0)
    other = tl.load(base + (place + DIM // 2) % DIM, mask=mask, other=0.0)
    return (x.to(tl.float32) * cos + other.to(tl.float32) * sin).to(x.dtype)


@triton.jit
def attend_few(
    qkv, cos, sin, keys, values, at, at_stride, out, heads, positions, scale, of_item, of_head, of_position,
    HEADS: tl.constexpr, STEPS: tl.constexpr, DIM: tl.constexpr,
):  # fmt: skip
    """One new step of each row, all of whose keys (at most ``STEPS``) fit into registers; a key head per query head."""
    row = tl.program_id(0)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    place = tl.arange(0, DIM)[None, :]
    real = (head < heads)[:, None]
    position = tl.load(at + row * at_stride).to(tl.int32)
    turn = tl.minimum(position, positions - 1) * DIM
    c = tl.load(cos + turn + place).to(tl.float32)
    s = tl.load(sin + turn + place).to(tl.float32)
    base = qkv + row * 3 * heads * DIM + head[:, None] * DIM
    q = _turned(base, place, c, s, real, DIM)
    k = _turned(base + heads * DIM, place, c, s, real, DIM)
    v = tl.load(base + 2 * heads * DIM + place, mask=real, other=0.0)
    cell = row.to(tl.int64) * of_item + head[:, None] * of_head
    tl.store(keys + cell + position * of_position + place, k, mask=real)
    tl.store(values + cell + position * of_position + place, v, mask=real)
    step = tl.arange(0, STEPS)
    cells = cell[:, :, None] + (step * of_position)[None, :, None] + place[:, None, :]
    known = (head < heads)[:, None, None] & (step < position)[None, :, None]
    newest = (step == position)[None, :, None]
    all_k = tl.where(newest, k[:, None, :], tl.load(keys + cells, mask=known, other=0.0)).to(tl.float32)
    scores = tl.sum(q[:, None, :].to(tl.float32) * all_k, 2) * scale
    scores = tl.where((step <= position)[None, :], scores, float("-inf"))
    shares = tl.exp(scores - tl.max(scores, 1)[:, None])
    all_v = tl.where(newest, v[:, None, :], tl.load(values + cells, mask=known, other=0.0)).to(tl.float32)
    seen = tl.sum(shares[:, :, None] * all_v, 1) / tl.sum(shares, 1)[:, None]
    tl.store(out + row * heads * DIM + head[:, None] * DIM + place, seen.to(out.dtype.element_ty), mask=real)


@triton.jit
def attend_many(
    qkv, cos, sin, keys, values, at, at_stride, out, parts, peaks, kv_heads, positions, scale,
    of_item, of_head, of_position,
    GROUP: tl.constexpr, QUERIES: tl.constexpr, DIM: tl.constexpr,
    STRETCH: tl.constexpr, STRETCHES: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """One new step of each row over one stretch of its keys, for the ``GROUP`` query heads of a key head.

    With several stretches a program leaves what it found in ``parts`` [rows, heads, stretches, dim] and its greatest
    score and sum in ``peaks`` [rows, heads, stretches, 2], for :func:`join`. A stretch is so many keys by their
    positions, wherever the longest row ends.
    """
    row, head, stretch = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    place = tl.arange(0, DIM)[None, :]
    query = tl.arange(0, QUERIES)
    real = (query < GROUP)[:, None]
    position = tl.load(at + row * at_stride).to(tl.int32)
    turn = tl.minimum(position, positions - 1) * DIM
    c = tl.load(cos + turn + place).to(tl.float32)
    s = tl.load(sin + turn + place).to(tl.float32)
    base = qkv + row * (GROUP + 2) * kv_heads * DIM
    q = _turned(base + (head * GROUP + query)[:, None] * DIM, place, c, s, real, DIM)
    mine = base + (GROUP * kv_heads + head) * DIM
    k = _turned(mine, place, c, s, place >= 0, DIM)
    v = tl.load(mine + kv_heads * DIM + place)
    cell = row.to(tl.int64) * of_item + head * of_head
    first = stretch * STRETCH
    if (position >= first) & (position < first + STRETCH):
        tl.store(keys + cell + position * of_position + place, k)
        tl.store(values + cell + position * of_position + place, v)
    # it begins with the newest key, which no program can read yet
    newest = ((position >= first) & (position < first + STRETCH)).to(tl.float32)
    own = tl.sum(q.to(tl.float32) * k.to(tl.float32), 1) * scale
    peak = tl.where(newest > 0, own, UNSEEN)
    total = tl.zeros((QUERIES,), tl.float32) + newest
    seen = tl.zeros((QUERIES, DIM), tl.float32) + v.to(tl.float32) * newest
    for start in range(0, STRETCH, STEPS):
        step = first + start + tl.arange(0, STEPS)
        cells = cell + (step * of_position)[:, None] + place
        known = (step < position)[:, None]
        some_k = tl.load(keys + cells, mask=known, other=0.0)
        scores = tl.dot(q, some_k.trans(), input_precision="ieee") * scale
        scores = tl.where((step < position)[None, :], scores, UNSEEN)
        higher = tl.maximum(peak, tl.max(scores, 1))
        shares, kept = tl.exp(scores - higher[:, None]), tl.exp(peak - higher)
        some_v = tl.load(values + cells, mask=known, other=0.0)
        total = total * kept + tl.sum(shares, 1)
        seen = tl.dot(shares.to(some_v.dtype), some_v, seen * kept[:, None], input_precision="ieee")
        peak = higher
    at_head = row * GROUP * kv_heads + head * GROUP + query
    if STRETCHES == 1:
        to = out + at_head[:, None] * DIM + place
        tl.store(to, (seen / total[:, None]).to(out.dtype.element_ty), mask=real)
    else:
        at_part = at_head * STRETCHES + stretch
        tl.store(parts + at_part[:, None] * DIM + place, seen, mask=real)
        tl.store(peaks + 2 * at_part, peak, mask=query < GROUP)
        tl.store(peaks + 2 * at_part + 1, total, mask=query < GROUP)


@triton.jit
def join(parts, peaks, out, STRETCHES: tl.constexpr, MANY: tl.constexpr, DIM: tl.constexpr):
    """What the stretches of a head found, as one."""
    head = tl.program_id(0)
    place = tl.arange(0, DIM)[None, :]
    part = tl.arange(0, MANY)
    real = part < STRETCHES
    at = head * STRETCHES + part
    peak = tl.load(peaks + 2 * at, mask=real, other=UNSEEN)
    total = tl.load(peaks + 2 * at + 1, mask=real, other=0.0)
    share = tl.exp(peak - tl.max(peak, 0))
    seen = tl.load(parts + at[:, None] * DIM + place, mask=real[:, None], other=0.0)
    joined = tl.sum(seen * share[:, None], 0) / tl.sum(total * share, 0)
    tl.store(out + head * DIM + tl.arange(0, DIM), joined.to(out.dtype.element_ty))
