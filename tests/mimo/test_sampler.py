"""Filters, draws and noise."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_worker.mimo import GREEDY, Sampling
from model_worker.mimo.sampler import SamplingRows, choose, filtered, gumbel, seed_words


def rows(*settings_: Sampling) -> SamplingRows:
    return SamplingRows.of(list(settings_), torch.device("cpu"))


def noise(seeds: list[int], counter: int, ids: int, site: int = 0) -> torch.Tensor:
    words = torch.tensor([seed_words(seed) for seed in seeds], dtype=torch.int32)
    sites = torch.arange(ids, dtype=torch.int32)
    return gumbel(words, torch.full((len(seeds),), counter), site, sites)


def test_draws_have_the_distribution_of_the_logits() -> None:
    logits = torch.tensor([1.0, 0.0, -1.0, 2.0, -3.0])
    draws = 20_000
    scores = logits.expand(draws, -1)
    chosen = choose(scores, rows(*[Sampling()] * draws), noise(list(range(draws)), 5, 5))
    seen = torch.bincount(chosen, minlength=5) / draws
    assert (seen - logits.softmax(0)).abs().max() < 0.015  # four standard deviations


def test_noise_is_uniform_over_groups_sites_and_seeds() -> None:
    for seeds, counters, sites in (([3], range(300), 64), (range(300), [9], 64), ([1 << 70], [0], 19_200)):
        parts = [noise(list(seeds), counter, sites) for counter in counters]
        uniform = (-(-torch.cat(parts).flatten()).exp()).exp()
        counts = torch.histc(uniform, 20, 0, 1) / len(uniform)
        assert (counts - 0.05).abs().max() < 0.008
        assert uniform.unique().numel() > 0.99 * len(uniform)


@given(seed=st.integers(-(2**70), 2**70), counter=st.integers(0, 8192))
def test_noise_is_finite_and_depends_on_all_it_should(seed: int, counter: int) -> None:
    first = noise([seed], counter, 50)
    assert first.isfinite().all()
    assert torch.equal(first, noise([seed, seed + 1], counter, 50)[:1])
    assert not torch.equal(first, noise([seed + 1], counter, 50))
    assert not torch.equal(first, noise([seed], counter + 1, 50))
    assert not torch.equal(first, noise([seed], counter, 50, site=1))


@settings(max_examples=60)
@given(temperature=st.floats(0.1, 3), top_k=st.integers(0, 12), top_p=st.floats(0.05, 1), seed=st.integers(0, 1000))
def test_a_row_is_filtered_the_same_among_others(temperature: float, top_k: int, top_p: float, seed: int) -> None:
    how = Sampling(temperature, top_k, top_p)
    scores = torch.randn(4, 9, generator=torch.Generator().manual_seed(seed))
    among = filtered(scores, rows(Sampling(), how, GREEDY, Sampling(0.5, 3, 0.9)))[1]
    assert torch.equal(among, filtered(scores[1:2], rows(how))[0])
    kept = among.isfinite()
    assert kept[scores[1].argmax()]
    if top_k:
        assert kept.sum() <= top_k


@pytest.mark.parametrize("top_p", [1e-9, 0.05])
def test_the_best_is_left_however_little_may_be(top_p: float) -> None:
    scores = torch.tensor([[0.5, 2.0, 1.0, 2.5], [3.0, 0.0, 0.0, 0.0]])
    kept = filtered(scores, rows(*[Sampling(top_p=top_p)] * 2)).isfinite()
    assert kept.tolist() == [[False, False, False, True], [True, False, False, False]]


def test_the_forbidden_is_never_chosen_even_when_nothing_else_survives() -> None:
    scores = torch.tensor([[0.0, 9.0, 1.0], [0.0, 9.0, 1.0]])
    forbidden = torch.tensor([False, True, False])
    how = rows(Sampling(top_k=1), GREEDY)
    assert choose(scores, how, noise([1, 2], 0, 3), forbidden).tolist() == [2, 2]
    assert choose(scores, rows(GREEDY, GREEDY), None, forbidden).tolist() == [2, 2]


@pytest.mark.parametrize("bad", [{"temperature": 0}, {"top_p": 0}, {"top_p": 1.5}, {"top_k": -1}])
def test_settings_that_mean_nothing_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="not a way to sample"):
        Sampling(**bad)
