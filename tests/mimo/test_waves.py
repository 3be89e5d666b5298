"""Waves in few shapes: recorded, and the same for an item whoever is beside it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model_worker.mimo import AudioError, Model
from model_worker.mimo.graphs import Graphs
from model_worker.mimo.waves import ShapedWaves

from .captured import Captured


def codes(frames: int, seed: int) -> Tensor:
    return torch.randint(0, 16, (8, frames), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def shaped(model: Model) -> ShapedWaves:
    return ShapedWaves(model.codec, 8, 120, Graphs("waves", lambda: Captured))


LENGTHS = (40, 7, 50, 1, 51, 90, 33, 120, 100)


def test_a_recorded_shape_decodes_what_each_item_is_alone(model: Model, shaped: ShapedWaves) -> None:
    for seed in range(3):  # as it is, recorded, replayed: always something else
        items = [codes(length, 100 * seed + length) for length in LENGTHS]
        for item, wave in zip(items, model.codec.decode(items, shaped=shaped), strict=True):
            [alone] = model.codec.decode([item])
            assert wave.shape == alone.shape
            assert torch.allclose(wave, alone, atol=1e-5)
    assert set(shaped.graphs.recordings) == {50, 100, 150}
    assert all(recording.replays > 1 for recording in shaped.graphs.recordings.values())


def test_an_item_has_the_same_bits_in_any_company(model: Model, shaped: ShapedWaves) -> None:
    items = [codes(length, length) for length in LENGTHS]
    together = model.codec.decode(items, shaped=shaped)
    for item, wave in zip(items, together, strict=True):
        assert torch.equal(model.codec.decode([item], shaped=shaped)[0], wave)
    backwards = model.codec.decode(items[::-1], shaped=shaped)[::-1]
    assert all(map(torch.equal, backwards, together))


def test_those_of_one_padded_length_are_decoded_together(shaped: ShapedWaves) -> None:
    assert shaped.batches(list(LENGTHS)) == [[7], [8, 5, 4], [2, 0, 6, 1], [3]]
    assert shaped.batches([]) == []


@pytest.mark.parametrize(
    ("item", "why"), [(torch.zeros(8, 0, dtype=torch.long), "no code frames"), (codes(5, 1) + 5000, "outside")]
)
def test_what_is_no_code_is_refused_before_it_gets_to_the_device(shaped: ShapedWaves, item: Tensor, why: str) -> None:
    with pytest.raises(AudioError, match=why):
        shaped.decode([codes(5, 1), item])
