import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.quality import latents


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_units_are_active_from_a_variance_of_a_hundredth() -> None:
    x = randn(1000, 3)
    x = (x - x.mean(0)) / x.std(0, correction=0)
    assert latents.active(x * torch.tensor([1.0, 0.101, 0.099])) == 2.0
    assert latents.active(x * 0 + 5) == 0.0


@settings(max_examples=20)
@given(st.integers(0, 100))
def test_mmd_is_unbiased(seed: int) -> None:
    """Over many pairs of samples of one law it averages 0; of laws one apart it is far above."""
    pairs = [randn(2, 60, 3, seed=1000 * seed + k) for k in range(40)]
    values = torch.tensor([latents.mmd(x, y) for x, y in pairs])
    assert abs(float(values.mean())) < 5 * float(values.std()) / math.sqrt(40)
    assert latents.mmd(pairs[0][0] + 1, pairs[0][1]) > 5 * float(values.std())


def test_mmd_by_its_definition() -> None:
    x, y = randn(5, 2), randn(4, 2, seed=1)

    def kernel(a: Tensor, b: Tensor) -> float:
        return 4 / (4 + float((a - b).square().sum()))

    within = [sum(kernel(a, b) for a in z for b in z if a is not b) / len(z) / (len(z) - 1) for z in (list(x), list(y))]
    across = sum(kernel(a, b) for a in x for b in y) / 20
    assert latents.mmd(x, y) == pytest.approx(sum(within) - 2 * across)
    assert math.isnan(latents.mmd(x * math.nan, y))


def test_midpoints_lie_between_a_code_and_its_nearest_neighbour() -> None:
    z = randn(30, 4)
    half = latents.midpoints(z)
    other = 2 * half - z
    nearest = torch.cdist(z, z).fill_diagonal_(math.inf).min(1).values
    torch.testing.assert_close((other - z).norm(dim=1), nearest)
    assert torch.cdist(other, z).min(1).values.max() < 1e-6


def test_the_plane_keeps_most_of_the_variance() -> None:
    z = randn(200, 5) * torch.tensor([0.1, 3.0, 0.2, 2.0, 0.1])
    centred = z - z.mean(0)
    expected = torch.linalg.eigvalsh(centred.T @ centred)[-2:].sum()
    torch.testing.assert_close(latents.plane(z).square().sum(), expected)
    assert torch.equal(latents.plane(z[:, :2]), z[:, :2])
    assert latents.plane(z * math.nan).isnan().all()
    assert latents.plane(z[:, :1]).shape == (200, 2)
