import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality.likelihood import estimate


@given(st.integers(0, 10**6), st.integers(2, 50))
def test_an_estimate_is_the_mean_of_its_weights(seed: int, draws: int) -> None:
    weights = torch.rand(draws, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.01
    found = estimate(weights.log() - 800)  # far below what floats can hold
    torch.testing.assert_close(found.log, weights.mean(0).log() - 800)
    torch.testing.assert_close(found.variance, weights.var(0) / draws / weights.mean(0).square())
    torch.testing.assert_close(found.ess, weights.sum(0).square() / weights.square().sum(0))
    assert found.error == pytest.approx(float(found.variance.sum().sqrt()) / 4)


def test_the_error_is_that_of_repeated_estimates() -> None:
    """Of lognormal weights, over 400 estimates of 3 data: their spread is the error that each states."""
    stream = torch.Generator().manual_seed(0)
    found = [
        estimate(0.5 * torch.randn(200, 3, generator=stream, dtype=torch.float64) + torch.tensor([0.0, 1.0, 2.0]))
        for _ in range(400)
    ]
    spread = float(torch.tensor([each.nll for each in found]).std())
    stated = float(torch.tensor([each.error for each in found]).mean())
    assert spread == pytest.approx(stated, rel=0.12)
    assert found[0].nll == pytest.approx(-1 - 0.125, abs=5 * stated)


def test_one_draw_has_no_error_and_none_is_refused() -> None:
    found = estimate(torch.zeros(1, 3))
    assert found.nll == 0.0 and math.isnan(found.error) and found.ess.tolist() == [1.0] * 3
    with pytest.raises(ValueError, match=r"^draws = 0: a likelihood is estimated from at least one draw of z\.$"):
        estimate(torch.zeros(0, 3))
