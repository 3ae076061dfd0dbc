import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.quality import copies


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_fresh_data_score_one_in_twenty_and_copies_all() -> None:
    train, test, fresh = randn(2000, 4, seed=0), randn(2000, 4, seed=1), randn(2000, 4, seed=2)
    reach = copies.reach(test, train)
    assert copies.memorised(test, train, reach) == pytest.approx(copies.NULL, abs=1e-3)
    deviation = math.sqrt(2 * 0.05 * 0.95 / 2000)  # of the difference of two shares
    assert copies.memorised(fresh, train, reach) == pytest.approx(copies.NULL, abs=4 * deviation)
    assert copies.memorised(train, train, reach) == 1.0
    assert copies.memorised(train + 10, train, reach) == 0.0


def test_a_tiny_distance_keeps_its_digits() -> None:
    train = 1e3 + randn(50, 8).double()
    expected = torch.full((50,), 1e-6 * math.sqrt(8), dtype=torch.float64)
    assert torch.allclose(copies.nearest(train + 1e-6, train), expected)


@given(st.integers(0, 100))
def test_two_samples_of_one_law_differ_in_one_cell_of_twenty(seed: int) -> None:
    """.05 K ± √(.0475 K) of K cells, here summed over four centres' worth of samples."""
    centres = copies.bins(randn(1000, 2))
    samples = [randn(1000, 2, seed=1000 + 8 * seed + k) for k in range(8)]
    shares = [copies.different_bins(centres, x, y) for x, y in zip(samples[::2], samples[1::2], strict=True)]
    assert sum(shares) / 4 <= 0.05 + 5 * math.sqrt(0.0475 / 80)


def test_a_sample_that_lost_half_the_cells_differs_in_most() -> None:
    centres, x = copies.bins(randn(1000, 2)), randn(1000, 2, seed=1)
    assert copies.different_bins(centres, x, x) == 0.0
    assert copies.different_bins(centres, x, x[:500][x[:500, 0] > 0].repeat(4, 1)[:1000]) > 0.7


def test_what_is_not_finite_scores_nan() -> None:
    x, bad = randn(30, 2), torch.full((30, 2), math.nan)
    assert math.isnan(copies.memorised(bad, x, 1.0)) and math.isnan(copies.different_bins(x[:5], x, bad))
