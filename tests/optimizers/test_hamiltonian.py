import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games


@pytest.mark.parametrize("h, sigma", [(0.3, 1.0), (0.9, 1.3), (0.5, 2.2)])
def test_bilinear_modulus(trajectory, h: float, sigma: float) -> None:
    z = trajectory(mm.HamiltonianDescent(mm.sgd(h)), games.scsc(0.0, sigma), 100)
    np.testing.assert_allclose(abs(z[1:] / z[:-1]), abs(1 - h * sigma**2), rtol=1e-10)


@pytest.mark.parametrize("mu, sigma, h", [(1.0, 10.0, 0.005), (-0.5, 1.0, 0.3)])
def test_update_map(trajectory, mu: float, sigma: float, h: float) -> None:
    z = trajectory(mm.HamiltonianDescent(mm.sgd(h)), games.scsc(mu, sigma), 100)
    np.testing.assert_allclose(z[1:] / z[:-1], 1 - h * (mu**2 + sigma**2), rtol=1e-9)


@pytest.mark.parametrize("fraction, stable", [(0.99, True), (1.01, False)])
def test_bilinear_threshold(trajectory, fraction: float, stable: bool) -> None:
    sigma = 1.7
    z = trajectory(mm.HamiltonianDescent(mm.sgd(fraction * 2 / sigma**2)), games.scsc(0.0, sigma), 1000)
    assert (abs(z[-1]) < abs(z[0])) == stable


def test_unbiased_uses_both_batches(float64: torch.dtype) -> None:
    game = mm.zero_sum(lambda x, y, b: b * x * y)
    z = (torch.tensor(2.0), torch.tensor(3.0))
    optimizer = mm.HamiltonianDescent(mm.sgd(1.0), unbiased=True)
    players, _, info = optimizer.step(game, z, optimizer.init(game, z), [torch.tensor(1.0), torch.tensor(5.0)])
    assert [float(p) for p in players] == [2 - 5 * 2, 3 - 5 * 3]
    assert info.cost[:2] == (4, 1)
