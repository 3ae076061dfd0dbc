import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from benchmarks.quality.likelihood import _Chains, annealed, estimate


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


class Linear:
    """x ~ N(Wz + b, s²I), z ~ N(0, I), of which p(x) and p(z|x) are exact."""

    def __init__(self, seed: int, pixels: int = 6, latent: int = 3) -> None:
        self.stream = torch.Generator().manual_seed(seed)
        self.W, self.b, self.noise = self.randn(pixels, latent), self.randn(pixels), 0.7
        self.x = self.b + self.randn(5, latent) @ self.W.T + self.noise * self.randn(5, pixels)
        covariance = self.W @ self.W.T + self.noise**2 * torch.eye(pixels, dtype=torch.float64)
        self.exact = MultivariateNormal(self.b, covariance).log_prob(self.x)
        precision = torch.eye(latent, dtype=torch.float64) + self.W.T @ self.W / self.noise**2
        mean = torch.linalg.solve(precision, self.W.T @ (self.x - self.b).T / self.noise**2).T
        self.posterior = MultivariateNormal(mean, precision_matrix=precision)

    def randn(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.stream, dtype=torch.float64)

    def log_likelihood(self, z: Tensor) -> Tensor:
        return Normal(z @ self.W.T + self.b, self.noise).log_prob(self.x).sum(-1)


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 10]))
def test_weights_are_constant_at_the_exact_posterior(seed: int, draws: int) -> None:
    it = Linear(seed)
    z = it.posterior.mean + it.randn(draws, 5, 3) @ it.posterior.scale_tril.mT[0]
    prior = Normal(torch.zeros(3, dtype=torch.float64), 1.0)
    found = estimate(it.log_likelihood(z) + prior.log_prob(z).sum(-1) - it.posterior.log_prob(z))
    torch.testing.assert_close(found.log, it.exact)
    torch.testing.assert_close(found.ess, torch.full((5,), float(draws), dtype=torch.float64))
    assert draws == 1 or found.error < 1e-9


@pytest.mark.parametrize("seed", [100, 101])
def test_draws_from_the_prior_and_annealing_find_the_exact_likelihood(seed: int) -> None:
    it = Linear(seed)
    plain = estimate(it.log_likelihood(it.randn(20_000, 5, 3)))
    better = estimate(annealed(it.log_likelihood, it.randn(100, 5, 3), it.stream, temperatures=100))
    for found in (plain, better):
        error = found.variance.sqrt()
        assert ((found.log - it.exact).abs() < 5 * error).all() and error.max() < 0.2
    assert (better.ess / 100 > plain.ess / 20_000).all()


def test_annealing_at_one_temperature_is_draws_from_the_prior() -> None:
    it = Linear(100)
    z = it.randn(30, 5, 3)
    torch.testing.assert_close(annealed(it.log_likelihood, z, it.stream, temperatures=1), it.log_likelihood(z))
    with pytest.raises(ValueError, match=r"^temperatures = 0: annealing takes at least one step from the prior\.$"):
        annealed(it.log_likelihood, z, it.stream, temperatures=0)
    with pytest.raises(ValueError, match=r"^draws = 0: .*\.$"):
        annealed(it.log_likelihood, z[:0], it.stream, temperatures=2)


def test_a_step_of_a_chain_leaves_the_posterior_as_it_is() -> None:
    it = Linear(101)
    z = it.posterior.mean + it.randn(20_000, 5, 3) @ it.posterior.scale_tril.mT[0]
    chains = _Chains(it.log_likelihood, z, leaps=5)
    size = 0.9 / torch.linalg.eigvalsh(it.posterior.precision_matrix[0])[-1].sqrt()
    for _ in range(3):
        chains.step(1.0, size.expand(5), it.stream)
    assert 0.3 < chains.accepted.mean() < 0.99
    assert (chains.z - z).norm() > 0.5 * (z - it.posterior.mean).norm()  # far from where it was
    error = it.posterior.covariance_matrix.diagonal(dim1=-2, dim2=-1).div(20_000).sqrt()
    assert ((chains.z.mean(0) - it.posterior.mean).abs() < 5 * error).all()
    ratio = chains.z.var(0) / it.posterior.covariance_matrix.diagonal(dim1=-2, dim2=-1)
    assert ((ratio - 1).abs() < 5 * math.sqrt(2 / 20_000)).all()
