"""Pixels, bounds of many draws, and conditions: against torch.distributions and models whose likelihood is exact."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.distributions import Normal as TorchNormal

from benchmarks.data import DataError
from benchmarks.problems._gaussian import STANDARD, Gaussian
from benchmarks.problems.vaes import cvae, vae
from benchmarks.problems.vaes._likelihoods import Likelihood, Logistic, Normal, Scaled, ScaledDecoder
from benchmarks.problems.vaes._variational import Parts, Seen, Variational, first
from benchmarks.problems.vaes.cvae_quadrant import HybridQuadrant, OneQuadrant, ThreeQuadrants, TwoQuadrants
from benchmarks.problems.vaes.iwae import IWAE, DoublyReparametrised
from benchmarks.problems.vaes.vae_gaussian import FLOOR, GaussianVAE, PixelGaussianVAE
from benchmarks.problems.vaes.vae_logistic import LogisticVAE
from benchmarks.quality.likelihood import annealed, estimate
from benchmarks.quality.reference import ppca

SEEDS = st.integers(0, 10**6)


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    vae.VAE.prepare(None, None, download=False)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# -------------------------------------------------------------------------------------------------------------- pixels


@given(SEEDS, st.sampled_from([(), (1, 1, 1), (1, 4, 4)]))
def test_normal_pixels_against_torch_distributions(seed: int, shape: tuple[int, ...]) -> None:
    x, mean = randn(2, 3, 1, 4, 4, seed=seed)
    log_var = randn(*shape, seed=seed + 1)
    expected = TorchNormal(mean, (log_var / 2).exp()).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(Normal().log(Scaled(mean, log_var), x), expected)


@given(SEEDS, st.sampled_from([2, 17, 256]), st.floats(-7, 3), st.floats(-3, 3))
def test_the_levels_of_a_pixel_share_a_probability_of_one(seed: int, levels: int, scale: float, mean: float) -> None:
    told = Scaled(torch.full((levels,), mean, dtype=torch.float64), torch.tensor(scale, dtype=torch.float64))
    grid = torch.linspace(-1, 1, levels, dtype=torch.float64)
    logs = Logistic(levels).cells(told, grid)
    assert logs.exp().sum().item() == pytest.approx(1.0, abs=1e-9) and bool(logs.isfinite().all())
    # By its definition, where that does not cancel.
    half = 1 / (levels - 1)
    above, below = (((grid + side * half - mean) / math.exp(scale)).sigmoid() for side in (1, -1))
    above[-1], below[0] = 1.0, 0.0
    exact = (above - below) > 1e-6
    torch.testing.assert_close(logs.exp()[exact], (above - below)[exact], rtol=1e-6, atol=1e-12)


def test_draws_of_levels_are_as_frequent_as_they_are_probable() -> None:
    likelihood, levels = Logistic(17), torch.linspace(-1, 1, 17)
    told = Scaled(torch.full((40_000,), 0.7), torch.tensor(-1.0))
    drawn = likelihood.drawn(told, torch.Generator().manual_seed(0))
    found = torch.tensor([float((drawn - level).abs().lt(1e-4).double().mean()) for level in levels])
    expected = likelihood.cells(Scaled(torch.full((17,), 0.7), torch.tensor(-1.0)), levels).exp()
    assert found.sum() == pytest.approx(1.0)
    assert ((found - expected).abs() < 5 * (expected / 40_000).sqrt()).all()


def test_digits_lie_on_the_grid_of_levels() -> None:
    it = LogisticVAE("smoke")
    steps = (it.images.test + 1) * 8
    assert torch.equal(steps, steps.round()) and steps.min() == 0 and steps.max() == 16


@pytest.mark.parametrize(("kind", "count"), [(GaussianVAE, 1), (PixelGaussianVAE, 64)])
def test_pixels_that_never_change_do_not_send_the_likelihood_to_infinity(kind: type[GaussianVAE], count: int) -> None:
    it = kind("smoke")
    assert int((it.images.train.flatten(1).var(0) == 0).sum()) >= 3
    decoder = it.decoder()
    assert isinstance(decoder, ScaledDecoder) and decoder.raw.numel() == count
    for raw in (-100.0, 0.0, 3.0):
        with torch.no_grad():
            scale = decoder.raw.fill_(raw) * 0 + decoder(torch.zeros(1, 2)).scale
        assert (scale >= FLOOR - 1e-6).all()


def test_the_best_variance_is_what_the_means_leave() -> None:
    """The slope of log p in the log variance vanishes at the mean square; a loss without ½ log s² would have none."""
    x = randn(400, 1, 2, 2)
    log_var = torch.tensor(float(x.square().mean().log()), dtype=torch.float64, requires_grad=True)
    value = Normal().log(Scaled(torch.zeros_like(x), log_var), x).mean()
    (slope,) = torch.autograd.grad(value, log_var)
    assert abs(float(slope)) < 1e-9
    # ½ log 2π a pixel and all
    assert value.item() == pytest.approx(-2 * (math.log(2 * math.pi) + log_var.item() + 1))


# -------------------------------------------------------------------------------------- a linear model among the others


class Linear(Variational):
    """Whatever the problem, images of eight pixels by x = Wz + b + s noise, with the exact posterior."""

    name = "linear"
    presets = vae.VAE.presets
    likelihood: Likelihood = Normal()
    noise_std = 0.6

    def linear(self) -> tuple[Tensor, Tensor]:
        return randn(8, 2, seed=5), randn(8, seed=6)

    def posterior(self, parts: Parts, x: Tensor, given: Tensor) -> Gaussian:
        W, b = self.linear()
        W = W @ torch.linalg.eigh(W.T @ W).eigenvectors  # orthogonal columns: a diagonal posterior
        precision = 1 + (W * W).sum(0) / self.noise_std**2
        return Gaussian((x - b) @ W / self.noise_std**2 / precision, -precision.log().expand(len(x), -1))

    def told(self, parts: Parts, z: Tensor, given: Tensor) -> Any:
        W, b = self.linear()
        W = W @ torch.linalg.eigh(W.T @ W).eigenvectors
        return Scaled(z @ W.T + b, torch.tensor(2 * math.log(self.noise_std), dtype=torch.float64))

    def noise(self, stream: torch.Generator, *size: int) -> Tensor:
        return super().noise(stream, *size).double()


def exact(it: Linear, x: Tensor) -> Tensor:
    W, b = it.linear()
    return MultivariateNormal(b, W @ W.T + it.noise_std**2 * torch.eye(8)).log_prob(x)


@pytest.mark.parametrize("draws", [1, 2, 30])
def test_weights_are_constant_at_the_exact_posterior_and_prior_draws_vary(draws: int) -> None:
    it, x = Linear("smoke"), randn(5, 8, seed=7)
    seen = Seen(x, torch.zeros(5), torch.zeros(5))
    likelihood, ratio, prior = it.weighed(Parts(None, None), seen, draws, it.generator(0, 0))
    found = estimate(likelihood + ratio)
    torch.testing.assert_close(found.log, exact(it, x))
    torch.testing.assert_close(found.ess, torch.full((5,), float(draws), dtype=torch.float64))
    assert draws < 30 or estimate(prior).ess.max() < 15


def test_annealing_agrees_with_the_exact_likelihood_of_a_model() -> None:
    it, x = Linear("smoke"), randn(4, 8, seed=8)

    def log_likelihood(z: Tensor) -> Tensor:
        return it.likeliness(Parts(None, None), x, torch.zeros(4), z)

    stream = torch.Generator().manual_seed(100)
    start = torch.randn(60, 4, 2, generator=stream, dtype=torch.float64)
    found = estimate(annealed(log_likelihood, start, stream, temperatures=60))
    assert ((found.log - exact(it, x)).abs() < 5 * found.variance.sqrt()).all() and found.error < 0.1


# ---------------------------------------------------------------------------------------------------------------- IWAE


class Several(IWAE):
    """An IWAE of any K."""

    name = "several"

    def __init__(self, K: int) -> None:
        super().__init__("smoke")
        type(self).K = K


class SeveralDoubly(Several, DoublyReparametrised):
    """The same with the other gradient."""

    name = "several-doubly"


def slopes(it: Variational, loss: Tensor, coder: Any) -> tuple[Tensor, Tensor]:
    """The gradients of encoder and decoder, flat."""
    leaves = [*coder.encoder.parameters(), *coder.decoder.parameters()]
    found = torch.autograd.grad(loss, leaves)
    count = len(list(coder.encoder.parameters()))
    return torch.cat([g.flatten() for g in found[:count]]), torch.cat([g.flatten() for g in found[count:]])


def test_one_draw_has_the_gradient_of_the_vae() -> None:
    """The KL by z = m ± s, which is exact as log p - log q is quadratic in the noise, beside the VAE's exact KL."""
    it, plain = Several(1), vae.VAE("smoke")
    (coder,) = (player.double() for player in it.players(0))
    x = it.images.train[:16].double()
    signs = randn(1, 16, 2).sign()
    both = torch.cat((signs, -signs), dim=1)
    twice = {"real": x.repeat(2, 1, 1, 1), "given": torch.zeros(32)}
    one = slopes(it, it.loss(it.parts((coder,)), {**twice, "noise": both}), coder)
    other = slopes(plain, plain.loss(plain.parts((coder,)), {**twice, "noise": both[0]}), coder)
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b)


def drawn(it: Variational, seen: Seen, K: int) -> Iterator[dict[str, Tensor]]:
    """One batch of eight images with 300 draws of its noise."""
    for draw in range(300):
        yield {"real": seen.real, "given": seen.given, "noise": it.noise(it.generator(100, draw), K, 8)}


def clearness(g: Tensor) -> float:
    """|mean| / std of a gradient over draws, (draws, entries), in the median over entries that move."""
    moving = g.std(0) > 1e-9
    return float((g.mean(0).abs() / g.std(0))[moving].median())


def test_the_bound_tightens_and_the_gradient_of_the_encoder_fades_in_its_noise() -> None:
    """It falls with K for the encoder, and grows for the decoder, and with the doubly reparametrised gradient."""
    ratios, bounds = {}, {}
    for K in (1, 50):
        it = Several(K)
        (coder,) = it.players(1)
        parts, seen = it.parts((coder,)), first(it.tested, 8)
        found, losses = [], []
        for batch in drawn(it, seen, K):
            loss = it.loss(parts, batch)
            found.append(slopes(it, loss, coder))
            losses.append(loss.item())
        for k, who in enumerate(("encoder", "decoder")):
            ratios[who, K] = clearness(torch.stack([each[k] for each in found]))
        bounds[K] = sum(losses) / len(losses)
        other = [slopes(it, SeveralDoubly(K).loss(parts, batch), coder)[0] for batch in drawn(it, seen, K)]
        ratios["doubly", K] = clearness(torch.stack(other))
    assert ratios["doubly", 50] > 2 * ratios["doubly", 1]
    assert bounds[50] < bounds[1]
    assert ratios["encoder", 50] < 0.6 * ratios["encoder", 1] and ratios["decoder", 50] > ratios["decoder", 1]


def test_the_doubly_reparametrised_gradient() -> None:
    """Over draws of z: the mean of the encoder's gradient is IWAE's; the bound and the decoder's are IWAE's on each."""
    it, plain = DoublyReparametrised("smoke"), IWAE("smoke")
    (coder,) = (player.double() for player in it.players(1))
    x, differences = it.tested.real[:4].double(), []
    for draw in range(300):
        noise = randn(5, 4, 2, seed=draw)
        batch = {"real": x, "given": torch.zeros(4), "noise": noise}
        losses = [each.loss(each.parts((coder,)), batch) for each in (it, plain)]
        torch.testing.assert_close(*losses)
        (encoder, decoder), (encoder_plain, decoder_plain) = (slopes(it, loss, coder) for loss in losses)
        torch.testing.assert_close(decoder, decoder_plain)
        differences.append(encoder - encoder_plain)
    found = torch.stack(differences)
    error = found.std(0) / len(found) ** 0.5
    moving = error > 1e-9
    scores = (found.mean(0) / error)[moving]
    assert scores.abs().max() < 5 and scores.square().mean() < 2  # of so many entries that hang together


def test_the_doubly_reparametrised_gradient_is_zero_at_the_exact_posterior() -> None:
    """All weights are p(x) there: no draw tells the encoder anything, where IWAE's gradient is noise."""

    class Exact(DoublyReparametrised):
        """x of one pixel, p(x|z) = N(z, 1), so that q = N(x/2, 1/2)."""

        def posterior(self, parts, x, given):  # type: ignore[no-untyped-def]
            return Gaussian(parts.encoder[0] * x.flatten(1), parts.encoder[1].expand(len(x), 1))

        def likeliness(self, parts, x, given, z):  # type: ignore[no-untyped-def]
            return Gaussian(z, torch.zeros(())).log(x.flatten(1))

    it, x = Exact("smoke"), randn(6, 1, 1, 1)
    encoder = torch.tensor([0.5, -math.log(2.0)], dtype=torch.float64, requires_grad=True)
    batch = {"real": x, "given": torch.zeros(6), "noise": randn(5, 6, 1, seed=1)}
    parts = Parts(encoder, None)
    (still,) = torch.autograd.grad(it.loss(parts, batch), encoder)
    (noisy,) = torch.autograd.grad(IWAE.loss(it, parts, batch), encoder)
    assert still.abs().max() < 1e-12 and noisy.abs().max() > 1e-2


def test_no_draw_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^draws = 0: a likelihood is estimated from at least one draw of z\.$"):
        Several(0).batch(0, 0)


# --------------------------------------------------------------------------------------------------------- conditional


def test_a_label_outside_the_classes_is_refused() -> None:
    for wrong in (10, -1):
        with pytest.raises(ValueError, match=rf"^labels hold {wrong}: with 10 classes they go from 0 to 9\.$"):
            cvae.encoded(torch.tensor([3, wrong]), 10)


def test_images_without_labels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    it = cvae.CVAE("smoke")
    monkeypatch.setattr(it, "images", type(it.images)(**{**vars(it.images), "classes": 1}))
    with pytest.raises(DataError, match=r"^cvae needs labels, of which digits has none: choose another --data\.$"):
        it.batch(0, 0)


def test_a_class_is_asked_for_by_its_label_alone() -> None:
    it = cvae.CVAE("smoke")
    parts, seen = it.parts(it.players(0)), first(it.tested, 6)
    prior = it.prior(parts, seen.given)
    assert prior.mean.shape == (6, 2) and torch.equal(seen.given.argmax(1), seen.labels)
    z = torch.zeros(6, 2)
    told = it.told(parts, z, seen.given)
    same = seen.labels[:, None] == seen.labels
    assert torch.equal((told[:, None] == told).flatten(2).all(2), same)


@pytest.mark.parametrize(
    ("kind", "hidden"), [(OneQuadrant, 48), (TwoQuadrants, 32), (ThreeQuadrants, 16), (HybridQuadrant, 48)]
)
def test_quadrants_are_hidden_and_put_back(kind: type[OneQuadrant], hidden: int) -> None:
    it = kind("smoke")
    images = it.images.test[:9]
    y, x, _ = it.seen(images, it.images.test_labels[:9])
    assert y.shape == (9, hidden) and x.shape == (9, 64 - hidden)
    assert torch.equal(it.whole(y, x), images)
    mask = it.hidden.view(8, 8)
    assert not mask[4:, :4].any() and mask[:4, 4:].all()  # the lower left one is seen, the upper right one never
    assert not mask[:, :4].any() or hidden == 48


def test_the_hybrid_is_half_of_each() -> None:
    it, plain = HybridQuadrant("smoke"), OneQuadrant("smoke")
    parts, batch = it.parts(it.players(0)), it.batch(0, 0)
    z = it.prior(parts, batch["given"]).at(batch["prior"])
    stochastic = -it.likelihood.log(it.told(parts, z, batch["given"]), batch["real"]).mean()
    torch.testing.assert_close(it.loss(parts, batch), (plain.loss(parts, batch) + stochastic) / 2)


def with_one(x: Tensor) -> Tensor:
    return torch.cat((x, torch.ones(len(x), 1, dtype=x.dtype)), dim=1)


class LinearCompletion(TwoQuadrants):
    """y = Bx + Wz + b + noise by principal components of the residuals of least squares, with their posterior."""

    name = "linear-completion"
    likelihood = Normal()

    def fit(self, x: Tensor, y: Tensor, latent: int) -> None:
        self.slopes = torch.linalg.pinv(with_one(x)) @ y  # pixels that never change leave it short of rank
        self.best = ppca(y - self.line(x), latent)

    def line(self, x: Tensor) -> Tensor:
        return with_one(x) @ self.slopes

    def posterior(self, parts: Parts, x: Tensor, given: Tensor) -> Gaussian:
        W, noise = self.best.axes, self.best.noise
        precision = 1 + (W * W).sum(0) / noise
        return Gaussian((x - self.line(given)) @ W / noise / precision, -precision.log().expand(len(x), -1))

    def prior(self, parts: Parts, given: Tensor) -> Gaussian:
        return STANDARD

    def told(self, parts: Parts, z: Tensor, given: Tensor) -> Any:
        return Scaled(self.line(given) + z @ self.best.axes.T, self.best.noise.log())


def test_a_linear_cvae_is_least_squares_and_the_components_of_its_residuals() -> None:
    """Left halves of the 1,797 digits in [0, 1] and a 1, to right halves: 1.332052 nats, with 4 latents 7.050358."""
    it = LinearCompletion("smoke")
    images = (torch.cat((it.images.train, it.images.test)).double() + 1) / 2
    y, x, _ = it.seen(images, torch.zeros(len(images)))
    it.fit(x, y, 4)
    noise = randn(3, len(y), 4)
    q = it.posterior(Parts(None, None), y, x)
    z = q.at(noise)
    weights = it.likeliness(Parts(None, None), y, x, z) + STANDARD.log(z) - q.log(z)
    assert weights.std(0).max() < 1e-6  # the posterior is exact
    assert weights.mean().item() == pytest.approx(7.050358, abs=1e-5)
    residual = y - it.line(x)
    scale = residual.square().mean()
    plain = it.likelihood.log(Scaled(it.line(x), scale.log()), y).mean()
    assert plain.item() == pytest.approx(1.332052, abs=1e-5)


@pytest.mark.parametrize(("data", "levels"), [("digits", 17), ("digits-tuning", 17), ("mnist", 256)])
def test_levels_are_those_of_the_set_or_of_what_it_is_a_part_of(data: str, levels: int) -> None:
    likelihood = LogisticVAE("smoke", data).likelihood
    assert isinstance(likelihood, Logistic) and likelihood.levels == levels
