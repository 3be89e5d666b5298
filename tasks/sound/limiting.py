"""A look-ahead true-peak limiter with finite reach.

The gain is a curve through nodes 64 samples apart, straight between them. A node knows only the peaks from
``REACH_NODES`` before it to as many after, so a part that is limited with that much of its neighbours is limited as
in the whole; where no peak is near the ceiling the gain is exactly 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks.sound.loudness import PEAK_SAMPLES, Sound

NODE_SAMPLES = PEAK_SAMPLES
ATTACK_NODES = 4  # 5 ms: the gain is down before the peak comes, slowly enough not to click
RELEASE_NODES = 90  # 120 ms: it comes back more slowly than a low voice swings, so it does not distort it
REACH_NODES = RELEASE_NODES + 1
_AT_ONCE = 1 << 14  # nodes worked on at a time: stays in the cache, and parts without peaks are skipped

Curve = NDArray[np.float32]
"""Gain at the edges of blocks of 64 samples, shape (blocks + 1,), 0 to 1."""


def _weights() -> dict[int, float]:
    """How much of a peak's reduction is needed so many nodes away from it: all of it at the peak, none out of reach."""
    after = {i: 0.5 + 0.5 * np.cos(np.pi * i / (RELEASE_NODES + 1)) for i in range(RELEASE_NODES + 1)}
    before = {-i: 0.5 + 0.5 * np.cos(np.pi * i / (ATTACK_NODES + 1)) for i in range(1, ATTACK_NODES + 1)}
    return {**after, **before}


def curve(peaks: Sound, ceiling: float) -> Curve:
    """The gain that keeps every block under ``ceiling`` (linear), given the true peak of each, shape (blocks,)."""
    nodes = len(peaks) + 1
    over = np.zeros(nodes + 2 * REACH_NODES, np.float32)  # reduction in dB that the two blocks at a node need
    loud = np.flatnonzero(peaks > ceiling)
    needed = (20 * np.log10(peaks[loud] / ceiling)).astype(np.float32)
    over[REACH_NODES + loud] = needed
    over[REACH_NODES + loud + 1] = np.maximum(over[REACH_NODES + loud + 1], needed)
    gain = np.ones(nodes, np.float32)
    weights = _weights()
    for first in range(0, nodes, _AT_ONCE):
        count = min(_AT_ONCE, nodes - first)
        near = over[first : first + count + 2 * REACH_NODES]
        if not near.any():
            continue
        most = np.zeros(count, np.float32)
        for distance, weight in weights.items():
            begin = REACH_NODES - distance
            np.maximum(most, near[begin : begin + count] * np.float32(weight), out=most)
        np.power(np.float32(10), most / np.float32(-20), out=gain[first : first + count])
    return gain


def limit(sound: Sound, nodes: Curve) -> None:
    """Put ``sound``, shape (samples, channels) or (samples,), under the curve that spans it, in place.

    It may end before the curve does. Where the curve is 1 the samples stay what they are.
    """
    active = np.flatnonzero((nodes[:-1] < 1) | (nodes[1:] < 1))
    if not len(active):
        return
    first, last = int(active[0]), min(int(active[-1]) + 1, len(nodes) - 1)
    along = np.arange(NODE_SAMPLES, dtype=np.float32) / NODE_SAMPLES
    rise = np.diff(nodes[first : last + 1])
    gain = (nodes[first:last, None] + along * rise[:, None]).reshape(-1)
    part = sound[first * NODE_SAMPLES : last * NODE_SAMPLES]
    part *= gain[: len(part)].reshape(-1, *([1] * (sound.ndim - 1)))


def kept_energy(nodes: Curve) -> NDArray[np.float64]:
    """What is left of each block's energy under the curve, shape (blocks,): the mean of the squared gain."""
    a, b = nodes[:-1].astype(np.float64), nodes[1:].astype(np.float64)
    return (a * a + a * b + b * b) / 3
