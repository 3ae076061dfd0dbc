"""A temporal-difference VAE of a linear-Gaussian state space against the Kalman filter."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from benchmarks.problem import Preset, View
from benchmarks.problems.vaes.td_vae import TDVAE, WARM, Filtered, Model, System, divergence, kalman


def system(seed: int, state: int = 3, seen: int = 2) -> System:
    stream = torch.Generator().manual_seed(seed)
    A, Q, C, R = (
        torch.randn(shape, generator=stream, dtype=torch.float64)
        for shape in ((state, state), (state, state), (seen, state), (seen, seen))
    )
    A = 0.9 * A / torch.linalg.eigvals(A).abs().max()
    return System(A, Q @ Q.T + 0.1 * torch.eye(state), C, R @ R.T + 0.1 * torch.eye(seen))


def joint(it: System, length: int) -> Tensor:
    """The covariance of x_1 .. x_length side by side: C Aᵏ P Cᵀ for k steps apart, and R."""
    P, rows = it.stationary(), []
    for i in range(length):
        blocks = []
        for j in range(length):
            power = torch.linalg.matrix_power(it.A, abs(i - j))
            block = it.C @ power @ P @ it.C.T
            blocks.append((block if i >= j else block.T) + (it.R if i == j else 0))
        rows.append(torch.cat(blocks, dim=1))
    return torch.cat(rows)


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_the_filter_sums_to_the_joint_likelihood(seed: int) -> None:
    it = system(seed)
    x = torch.randn(4, 6, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    whole = MultivariateNormal(torch.zeros(12, dtype=torch.float64), joint(it, 6)).log_prob(x.flatten(1))
    torch.testing.assert_close(kalman(it, x).log.sum(1), whole)


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_sequences_have_the_law_of_the_system(seed: int) -> None:
    it = system(seed)
    x = it.drawn(torch.Generator().manual_seed(seed), 20_000, 3).flatten(1)
    expected = joint(it, 3)
    scale = torch.outer(expected.diagonal(), expected.diagonal()).sqrt()
    assert ((torch.cov(x.T) - expected).abs() / scale).max() < 6 * (2 / 20_000) ** 0.5


def perfect() -> tuple[TDVAE, Model, Tensor, Filtered]:
    torch.set_default_dtype(torch.float64)  # which a fixture puts back
    it = TDVAE("smoke")
    (model,) = it.perfect(0)
    x = it.system.drawn(it.generator(100, 0), 40, it.length)
    return it, model, x, kalman(it.system, x)


def test_at_the_filter_every_draw_costs_the_innovation() -> None:
    it, model, x, filtered = perfect()
    losses = [model.losses(x, it.noise(it.generator(seed, 0), 40)).detach() for seed in (1, 2)]
    torch.testing.assert_close(losses[0], losses[1], atol=1e-4, rtol=0)  # the gain has all but settled
    torch.testing.assert_close(losses[0], -filtered.log[:, WARM:], atol=1e-2, rtol=0)
    torch.testing.assert_close(model.belief(model.beliefs(x))[:, WARM:], filtered.mean[:, WARM:], atol=1e-3, rtol=0)
    scores = it.evaluate(View((model,), None, 0))
    assert abs(scores["gap"]) < 1e-4 and 0 <= scores["prediction_kl"] < 1e-5


def test_at_the_filter_the_loss_has_no_slope() -> None:
    """In mean: over 3,000 sequences the gradient is within its noise, and a wrong belief costs more."""
    it, model, _, _ = perfect()
    x = it.system.drawn(it.generator(101, 0), 3000, it.length)
    noise = it.noise(it.generator(101, 1), 3000)
    loss = model.losses(x, noise).mean()
    slopes = torch.autograd.grad(loss, list(model.parameters()))
    assert max(float(slope.abs().max()) for slope in slopes) < 0.1
    with torch.no_grad():
        for leaf in (model.look.weight, model.belief.log_std, model.transition.weight, model.smoother.bias):
            kept = leaf.clone()
            leaf.add_(0.1)
            assert model.losses(x, noise).mean() > loss + 1e-3
            leaf.copy_(kept)


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_the_divergence_is_that_of_torch(seed: int) -> None:
    one, two = system(seed, 3), system(seed + 1, 3)
    means = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    expected = kl_divergence(MultivariateNormal(means[0], one.Q), MultivariateNormal(means[1], two.Q)).mean()
    assert divergence(means[0], one.Q, means[1], two.Q) == pytest.approx(expected.item())


def test_the_model_predicts_as_it_draws() -> None:
    model = perfect()[1]
    with torch.no_grad():
        for leaf in model.parameters():
            leaf.add_(0.1 * torch.randn_like(leaf))
        b = torch.randn(1, 4).expand(50_000, -1)
        z = model.transition.at(model.belief.at(b, torch.randn(50_000, 2)), torch.randn(50_000, 2))
        x = model.decoder.at(z, torch.randn(50_000, 4))
        mean, covariance = model.predicted(b[:1])
    assert (x.mean(0) - mean[0]).abs().max() < 5 * float(covariance.diagonal().max() / 50_000) ** 0.5
    assert ((torch.cov(x.T) - covariance).abs() / covariance.diagonal().max()).max() < 6 * (2 / 50_000) ** 0.5


def test_rolled_out_means_are_powers_of_the_transition() -> None:
    it, model, x, filtered = perfect()
    ahead = it.rolled(model, x)
    z = filtered.mean[:, -it.horizon - 1]
    for k in range(it.horizon):
        z = z @ it.system.A.T
        torch.testing.assert_close(ahead[:, k], z @ it.system.C.T, atol=2e-3, rtol=0)


def test_sequences_too_short_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TDVAE, "presets", {"smoke": Preset(3, 16, options={"length": 15, "horizon": 5})})
    said = r"^length = 15: sequences take more than 10 steps to warm up, 5 to predict\.$"
    with pytest.raises(ValueError, match=said):
        TDVAE("smoke")
