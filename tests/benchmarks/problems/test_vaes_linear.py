"""Linear autoencoders: all that they minimise has a closed form, on the printed instances and on random ones."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence

import minimax as mm
from benchmarks.problem import View
from benchmarks.problems.vaes import _linear
from benchmarks.problems.vaes._linear import LinearDecoder, LinearEncoder, Moments
from benchmarks.problems.vaes.beta_vae_linear import LinearBetaVAE, LinearUnitVAE, reverse_water_filling
from benchmarks.problems.vaes.vae_linear import FullLinearVAE, LinearVAE, SampledLinearVAE
from benchmarks.quality.likelihood import estimate
from benchmarks.quality.reference import gaussian_nll, ppca, ppca_of
from minimax.diagnostics import rotation

SEEDS = st.integers(0, 10**6)
LINEAR = [LinearVAE, FullLinearVAE, SampledLinearVAE]


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    LinearVAE.prepare(None, None, download=False)


def randn(stream: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=stream, dtype=torch.float64)


def coders(seed: int, d: int = 5, latent: int = 2, full: bool = True) -> tuple[LinearEncoder, LinearDecoder]:
    """An encoder and a decoder in double precision with nothing at its start."""
    encoder, decoder = (player.double() for player in _linear.coders(seed, d, latent, full))
    stream = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for leaf in (*encoder.parameters(), *decoder.parameters()):
            leaf.add_(0.4 * randn(stream, *leaf.shape))
    return encoder, decoder


def data(seed: int, d: int = 5, rows: int = 50) -> tuple[Tensor, Moments]:
    stream = torch.Generator().manual_seed(seed)
    x = randn(stream, rows, d) @ randn(stream, d, d) + randn(stream, d)
    return x, Moments(x.mean(0), torch.cov(x.T, correction=0))


@pytest.mark.parametrize(("latent", "best"), [(2, 0.005707), (4, 6.830337), (8, 14.209788)])
def test_the_best_likelihood_of_the_digits(latent: int, best: float) -> None:
    """-½[d log 2π + Σ_{j≤q} log λ_j + (d - q) log s² + d], s² the mean of the other λ."""
    it = LinearVAE("smoke")
    fit = ppca_of(*it.exact, latent)
    assert gaussian_nll(*it.exact, fit.mean, fit.covariance()) == pytest.approx(-best, abs=1e-6)
    λ = torch.linalg.eigvalsh(it.exact.covariance).flip(0)
    logs = λ[:latent].log().sum() + (64 - latent) * λ[latent:].mean().log()
    assert best == pytest.approx(-float(64 * math.log(2 * math.pi) + logs + 64) / 2, abs=1e-6)


@given(SEEDS)
def test_the_loss_is_that_of_its_draws(seed: int) -> None:
    """Closed forms against torch.distributions, on z at the corners of a cube, whose second moments are exact."""
    (encoder, decoder), (x, moments) = coders(seed), data(seed)
    corners = torch.cartesian_prod(*2 * [torch.tensor([-1.0, 1.0], dtype=torch.float64)])  # of ±1: mean 0, variance 1
    mean, root = encoder(x), encoder.root()
    z = mean + corners[:, None] @ root.T  # corners, rows, latent
    noise = (decoder.log_noise / 2).exp()
    distortion = -Normal(decoder(z), noise).log_prob(x).sum(2).mean()
    prior = MultivariateNormal(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
    rate = kl_divergence(MultivariateNormal(mean, scale_tril=root), prior).mean()
    torch.testing.assert_close(_linear.rates(encoder, moments).sum(), rate)
    torch.testing.assert_close(_linear.negative_elbo(encoder, decoder, moments, 3.0), distortion + 3 * rate)
    batch = {"real": x.expand(4, -1, -1).flatten(0, 1), "noise": corners.repeat_interleave(len(x), 0)}
    sampled = SampledLinearVAE("smoke").game().functions[0](encoder, decoder, batch)
    torch.testing.assert_close(sampled, distortion + rate)


@given(SEEDS)
def test_elbo_and_divergence_make_the_likelihood(seed: int) -> None:
    """log p(x) = ELBO + KL(q(z|x) ‖ p(z|x)): the gap is that KL, and none is left at the exact posterior."""
    (encoder, decoder), (x, moments) = coders(seed), data(seed)
    noise = decoder.log_noise.exp()
    precision = torch.eye(2, dtype=torch.float64) + decoder.weight.T @ decoder.weight / noise
    at = torch.linalg.solve(precision, decoder.weight.T @ (x - decoder.bias).T / noise).T
    posterior = MultivariateNormal(at, precision_matrix=precision)
    kl = kl_divergence(MultivariateNormal(encoder(x), scale_tril=encoder.root()), posterior).mean()
    surprise = _linear.surprise(decoder, moments)
    assert float(_linear.negative_elbo(encoder, decoder, moments) - kl) == pytest.approx(surprise)
    scale = decoder.weight @ decoder.weight.T + noise * torch.eye(5)
    assert -MultivariateNormal(decoder.bias, scale).log_prob(x).mean().item() == pytest.approx(surprise)
    _linear.set_posterior(encoder, decoder)
    assert float(_linear.negative_elbo(encoder, decoder, moments)) == pytest.approx(surprise)
    diagonal, _ = coders(seed, full=False)
    _linear.set_posterior(diagonal, decoder)
    assert float(_linear.negative_elbo(diagonal, decoder, moments)) > surprise


@given(SEEDS, st.integers(1, 4), st.booleans())
def test_the_optimum_has_no_slope_and_no_gap(seed: int, latent: int, full: bool) -> None:
    """On any covariance: the ELBO is the likelihood there, with D_j = s²/λ_j, and nothing beats it."""
    (encoder, decoder), (x, moments) = coders(seed, latent=latent, full=full), data(seed)
    best = ppca(x, latent)
    _linear.set_optimum(encoder, decoder, best)
    loss = _linear.negative_elbo(encoder, decoder, moments)
    least = gaussian_nll(*moments, best.mean, best.covariance())
    assert loss.item() == pytest.approx(least) and best.nll(x) == pytest.approx(least)
    for slope in torch.autograd.grad(loss, [*encoder.parameters(), *decoder.parameters()], materialize_grads=True):
        assert slope.abs().max() < 1e-6
    λ = torch.linalg.eigvalsh(moments.covariance).flip(0)[:latent]
    torch.testing.assert_close(encoder.root(), (best.noise / λ).sqrt().diag())
    assert _linear.surprise(coders(seed + 1, latent=latent)[1], moments) > least


@settings(max_examples=30)
@given(SEEDS, st.booleans())
def test_best_responses_in_turn_are_em(seed: int, full: bool) -> None:
    """Each is exact, as no slope is left, so the loss falls monotonically, and never below the optimum."""
    (encoder, decoder), (x, moments) = coders(seed, full=full), data(seed)
    losses = []
    for _ in range(15):
        for player, best in ((encoder, _linear.set_posterior), (decoder, _linear.set_decoder)):
            best(encoder, decoder, *((moments,) if player is decoder else ()))
            loss = _linear.negative_elbo(encoder, decoder, moments)
            slopes = torch.autograd.grad(loss, list(player.parameters()), materialize_grads=True)
            assert max(float(slope.abs().max()) for slope in slopes) < 1e-6
            losses.append(loss.item())
    assert all(after <= before + 1e-9 for before, after in pairwise(losses))
    assert losses[-1] >= ppca(x, 2).nll(x) - 1e-9


@given(SEEDS, st.sampled_from([1, 3, 8]))
def test_importance_weights_are_constant_at_the_optimum(seed: int, draws: int) -> None:
    (encoder, decoder), (x, _) = coders(seed, full=False), data(seed)
    _linear.set_optimum(encoder, decoder, ppca(x, 2))
    q = Normal(encoder(x), encoder.log_std.exp())
    z = q.loc + q.scale * randn(torch.Generator().manual_seed(seed), draws, len(x), 2)
    likelihood = Normal(decoder(z), (decoder.log_noise / 2).exp()).log_prob(x).sum(2)
    weights = likelihood + (Normal(0.0, 1.0).log_prob(z) - q.log_prob(z)).sum(2)
    found = estimate(weights.detach())
    assert found.nll == pytest.approx(ppca(x, 2).nll(x)) and float(found.ess.min()) == pytest.approx(draws)


@pytest.mark.parametrize("kind", LINEAR)
def test_perfect_players_have_no_gap(kind: type[LinearVAE]) -> None:
    it = kind("cpu")
    scores = it.evaluate(View(it.perfect(0), None, 0))
    assert 0 <= scores["gap"] < 1e-9 and scores["active"] == 8
    assert scores["gap"] == pytest.approx(scores["likelihood_gap"] + scores["posterior_gap"], abs=1e-12)


def test_the_shared_loss_is_a_potential() -> None:
    it = LinearVAE("smoke")
    shared = it.game().functions[0]
    found = rotation(mm.Game(shared, shared), it.players(0), samples=4)
    assert found.antisymmetric < 1e-5 * found.symmetric


def test_latents_that_exceed_the_data_are_refused() -> None:
    for latent in (0, 5):
        with pytest.raises(ValueError, match=rf"^latent = {latent}: data of 5 numbers take 1 to 4 latents\.$"):
            ppca(torch.randn(10, 5), latent)


# --------------------------------------------------------------------------------------------------------------- β-VAE


@pytest.mark.parametrize(
    ("kind", "rate", "distortion", "active"), [(LinearUnitVAE, 3.10109, 1.55, 4), (LinearBetaVAE, 0.85740, 4.25, 2)]
)
def test_water_on_the_printed_spectrum(kind: type[LinearBetaVAE], rate: float, distortion: float, active: int) -> None:
    it = kind("cpu")
    scores = it.evaluate(View(it.perfect(0), None, 0))
    assert scores["rate"] == pytest.approx(rate, abs=1e-5) and scores["distortion"] == pytest.approx(distortion)
    assert scores["active"] == active and scores["gap"] < 1e-6 and scores["rates_error"] < 1e-5


@given(SEEDS, st.floats(0.2, 6.0), st.integers(1, 5))
def test_water_is_the_minimum_on_any_spectrum(seed: int, β: float, latent: int) -> None:
    """Among diagonal codes by a search over each rate, and against other coders."""
    stream = torch.Generator().manual_seed(seed)
    variances, noise = torch.rand(5, generator=stream, dtype=torch.float64) * 3 + 0.05, 0.3
    found = reverse_water_filling(variances, β, noise, latent)
    sorted_ = variances.sort(descending=True).values
    rates = torch.linspace(0, 6, 60_001, dtype=torch.float64)
    cost = sorted_[:latent, None] * (-2 * rates).exp() / (2 * noise) + β * rates
    torch.testing.assert_close(rates[cost.argmin(1)], found.rates[:latent], atol=2e-4, rtol=0)
    assert found.distortion == pytest.approx(float((sorted_ * (-2 * found.rates).exp()).sum()))
    moments = Moments(torch.zeros(5, dtype=torch.float64), variances.diag())
    size = torch.tensor(math.log(noise), dtype=torch.float64)
    least = _linear.nats(torch.tensor(found.distortion), size, 5) + β * found.rates.sum()
    encoder, decoder = coders(seed, latent=latent)
    decoder.log_noise = torch.nn.Parameter(size)
    assert _linear.negative_elbo(encoder, decoder, moments, β) > least - 1e-9


@pytest.mark.parametrize("kind", [LinearBetaVAE, LinearUnitVAE])
def test_the_optimum_of_the_beta_vae_has_no_slope(kind: type[LinearBetaVAE]) -> None:
    it = kind("smoke")
    encoder, decoder = (player.double() for player in it.perfect(0))
    loss = _linear.negative_elbo(encoder, decoder, it.moments.double(), it.β)
    leaves = [*encoder.parameters(), *decoder.parameters()]
    assert max(float(slope.abs().max()) for slope in torch.autograd.grad(loss, leaves)) < 1e-5
