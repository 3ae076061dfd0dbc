"""VAEs with a mixture for prior: against linear discriminants, mixtures of Gaussians, and torch's distributions."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal, kl_divergence

from benchmarks.data import DataError
from benchmarks.networks import Applied
from benchmarks.problems import _principal
from benchmarks.problems._gaussian import Gaussian
from benchmarks.problems.vaes import _grey, mog_classifier, mog_clustering
from benchmarks.problems.vaes._likelihoods import Scaled
from benchmarks.problems.vaes._variational import Parts, Seen
from benchmarks.problems.vaes.mog_clustering import Mixture, Posterior
from benchmarks.quality.likelihood import estimate

F64 = torch.float64
SEEDS = st.integers(0, 10**6)


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    mog_classifier.MogClassifier.prepare(None, None, download=False)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def columns(seed: int, latent: int) -> Tensor:
    """A map from codes to 64 pixels with orthogonal columns of different lengths, (64, latent)."""
    return torch.linalg.qr(normal(seed, 64, latent)).Q * torch.linspace(1, 2, latent, dtype=F64)


# ------------------------------------------------------------------------------------------------------- the classifier


def linear_classifier(log_var: float) -> tuple[Parts, Tensor, Tensor]:
    """x = Wz + b + s ε with what z is where nothing is known of it beforehand, the map W, and b."""
    w, b, latent = columns(1, mog_classifier.ROOM), normal(2, 64), mog_classifier.ROOM
    squares = w.square().sum(0)

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        mean = (x.flatten(1) - b) @ w / squares
        return mean, (log_var - squares.log()).expand_as(mean)

    told = torch.tensor(log_var, dtype=F64)
    decoder = Applied(lambda z: Scaled((z @ w.T + b).unflatten(1, (1, 8, 8)), told))
    assert w.shape == (64, latent)
    encoder = Applied(encode)
    return Parts(encoder, decoder), w, b


def test_classes_of_a_linear_decoder_are_those_of_linear_discriminants() -> None:
    """p(x|y) = N(Wμ_y + b, WWᵀ + s² I), which is one covariance for all classes."""
    it = mog_classifier.MogClassifier("smoke")
    parts, w, b = linear_classifier(math.log(0.01))
    centres = it.centres.double()
    # Codes from all between the classes, so that many are close to a tie.
    shares = torch.distributions.Dirichlet(torch.full((10,), 0.3, dtype=F64))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        z = shares.sample((400,)) @ centres
    z = z + normal(3, 400, mog_classifier.ROOM)
    x = (z @ w.T + b + 0.1 * normal(4, 400, 64)).unflatten(1, (1, 8, 8))
    covariance = w @ w.T + 0.01 * torch.eye(64, dtype=F64)
    exact = torch.stack([MultivariateNormal(w @ m + b, covariance).log_prob(x.flatten(1)) for m in centres], 1)
    found = torch.cat([it.evidence(parts, part, 1000, it.generator(0, 0)) for part in x.split(50)])
    assert (found.argmax(1) == exact.argmax(1)).double().mean() >= 0.995
    close = exact.topk(2, dim=1).values
    assert ((close[:, 0] - close[:, 1]) < 2).sum() > 5  # there are ties to be lost
    torch.testing.assert_close(found.max(1).values, exact.max(1).values, atol=0.3, rtol=0)
    # It is no matter of the nearest mean of what is encoded alone: the evidence itself is right, not its order only.
    assert (found.max(1).values - exact.max(1).values).mean().abs() < 0.03


def test_oddness_by_hand() -> None:
    """A code at a mean is not far, an image that comes back is not unlike."""
    it = mog_classifier.MogClassifier("smoke")
    codes = torch.zeros(3, mog_classifier.ROOM)
    codes[0, 2], codes[1, 2], codes[1, 3], codes[2, 15] = 10.0, 10.0, 3.0, 4.0
    x = torch.zeros(3, 1, 8, 8)
    x[1, 0, 0, :2] = torch.tensor([0.6, 0.8])
    parts = Parts(
        Applied(lambda _: (codes, codes)), Applied(lambda z: Gaussian(torch.zeros(3, 1, 8, 8), torch.zeros(())))
    )
    odd = it.oddness(parts, x)
    assert odd.far.tolist() == pytest.approx([0.0, 3.0, math.sqrt(116)])
    assert odd.unlike.tolist() == pytest.approx([0.0, 1.0, 0.0])


def test_thresholds_are_set_by_images_that_are_not_trained_on() -> None:
    it = mog_classifier.MogClassifier("cpu")
    assert (len(it.images.train), len(it.spare)) == (1080, 120)
    assert torch.equal(torch.cat((it.images.train, it.spare)), it.every.train)
    assert len(it.images.train_labels) == 1080


def test_the_attack_has_a_slope_wherever_it_starts() -> None:
    """Else an image would seem to resist that was never attacked."""
    it = mog_classifier.MogClassifier("cpu")
    parts = it.parts(it.perfect(0))
    mean = it.centres[it.images.test_labels[:50]]
    parts = Parts(Applied(lambda x: (mean + 1e-2 * x.flatten(1)[:, : it.option["latent"]], mean)), parts.decoder)
    x = ((it.images.test[:50] + 1) / 2).requires_grad_()
    loss = torch.nn.functional.cross_entropy(it.unit(parts)(x), it.images.test_labels[:50], reduction="sum")
    (slope,) = torch.autograd.grad(loss, x)
    assert (slope.flatten(1).abs().amax(1) > 1e-6).all()


def test_the_prior_is_that_of_the_class() -> None:
    it = mog_classifier.MogClassifier("smoke")
    (coder,) = it.players(0)
    batch = it.batch(0, 0)
    x, y, noise = batch["real"], batch["given"], batch["noise"]
    mean, log_var = coder.encoder(x)
    q = Normal(mean, (log_var / 2).exp())
    p = Normal(10 * torch.eye(10, 16)[y], 1.0)
    told = coder.decoder(q.mean + q.stddev * noise)
    likelihood = Normal(told.mean, (told.scale / 2).exp()).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(it.game().losses((coder,), batch)[0], (kl_divergence(q, p).sum(1) - likelihood).mean())


def test_more_classes_than_there_is_room_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = mog_classifier.MogClassifier
    load = mog_classifier.sets.load
    monkeypatch.setattr(mog_classifier.sets, "load", lambda spec: replace(load(spec), classes=17))
    monkeypatch.setattr(mog_classifier.Admitting, "prepare", classmethod(lambda cls, *_: None))
    with pytest.raises(DataError, match=r"^mog-classifier has room for 16 classes, and --data digits has 17: choose"):
        kind.prepare(None, None, download=False)


# ------------------------------------------------------------------------------------------------------- the clustering


def mixture(seed: int, clusters: int, latent: int, apart: float = 1.0) -> Mixture:
    mean = apart * normal(seed + 1, clusters, latent)
    return Mixture(normal(seed, clusters).log_softmax(0), mean, normal(seed + 2, clusters, latent) / 2)


@given(SEEDS, st.integers(1, 6))
def test_terms_and_densities_are_those_of_torch(seed: int, clusters: int) -> None:
    p, q = mixture(seed, clusters, 3), Gaussian(normal(seed + 3, 5, 3), normal(seed + 4, 5, 3))
    theirs = Independent(Normal(p.mean, (p.log_var / 2).exp()), 1)
    whole = MixtureSameFamily(Categorical(logits=p.log_weight), theirs)
    torch.testing.assert_close(p.log(q.mean), whole.log_prob(q.mean))
    one = Normal(q.mean[:, None], (q.log_var[:, None] / 2).exp())
    kl = kl_divergence(one, Normal(p.mean, (p.log_var / 2).exp())).sum(-1)
    torch.testing.assert_close(p.terms(q), p.log_weight - kl)
    joint = p.log_weight + theirs.log_prob(q.mean[:, None])
    torch.testing.assert_close(p.told(q.mean), joint - joint.logsumexp(1, keepdim=True))


@given(SEEDS, st.integers(1, 6))
def test_the_best_clusters_are_in_closed_form(seed: int, clusters: int) -> None:
    """-log Σ π_c e^{-KL_c} at q(c|x) ∝ π_c e^{-KL_c}, and more at any other q, that of VaDE among them."""
    p, q = mixture(seed, clusters, 3), Posterior(normal(seed + 3, 5, 3), normal(seed + 4, 5, 3))
    terms, best = p.terms(q), q.divergence(p)[:, 0]
    torch.testing.assert_close(mog_clustering.cost(terms, terms.log_softmax(1)), best)
    others = [normal(seed + 5, 5, clusters).log_softmax(1), p.told(q.at(normal(seed + 6, 5, 3)))]
    for other in others:
        apart = (other.exp() * (other - terms.log_softmax(1))).sum(1)  # by their divergence, and no less
        torch.testing.assert_close(mog_clustering.cost(terms, other), best + apart)
        assert (mog_clustering.cost(terms, other) >= best - 1e-12).all()
    # One cluster is one Gaussian.
    if clusters == 1:
        torch.testing.assert_close(best, Gaussian(*q).divergence(Gaussian(p.mean, p.log_var)).sum(1))


def test_draws_are_those_of_the_mixture() -> None:
    """One normal number makes a cluster and another normal number, which are independent of each other."""
    p = Mixture(torch.tensor([0.2, 0.5, 0.3], dtype=F64).log(), 20 * torch.eye(3, dtype=F64), normal(0, 3, 3))
    z = p.at(normal(1, 200_000, 3))
    cluster = p.told(z).argmax(1)
    torch.testing.assert_close(cluster.bincount() / len(z), p.log_weight.exp().float(), atol=0.005, rtol=0)
    for c in range(3):
        white = (z[cluster == c] - p.mean[c]) * (-p.log_var[c] / 2).exp()
        for j in range(3):
            u = torch.special.ndtr(white[:, j]).sort().values
            gap = (u - torch.linspace(0, 1, len(u), dtype=F64)).abs().max()
            assert gap < 2.0 / math.sqrt(len(u))  # Kolmogorov's distance: beyond this once in 1,500 times
        assert (torch.corrcoef(white.T) - torch.eye(3)).abs().max() < 0.02


class LinearMixture:
    """x = Wz + b + s ε with z from a mixture, its exact density, and the problem's parts."""

    def __init__(self, prior: Mixture, log_var: float) -> None:
        latent = prior.mean.shape[1]
        self.w, self.b, self.prior, self.log_var = columns(1, latent), normal(2, 64), prior, log_var
        self.decoder = Applied(lambda z: Scaled((z @ self.w.T + self.b).unflatten(1, (1, 8, 8)), self.noise))
        self.decoder.prior = prior  # type: ignore[assignment]
        self.noise = torch.tensor(log_var, dtype=F64)

    def posterior(self, x: Tensor, cluster: Tensor) -> tuple[Tensor, Tensor]:
        """p(z|x, c), (mean, log variance)."""
        squares, variance = self.w.square().sum(0), math.exp(self.log_var)
        inverse = (-self.prior.log_var[cluster]).exp()
        precision = inverse + squares / variance
        seen = (x.flatten(1) - self.b) @ self.w / variance
        return (inverse * self.prior.mean[cluster] + seen) / precision, -precision.log()

    def log(self, x: Tensor) -> Tensor:
        """log p(x)."""
        parts = []
        for log_weight, mean, log_var in zip(*self.prior, strict=True):
            covariance = self.w @ log_var.exp().diag() @ self.w.T + math.exp(self.log_var) * torch.eye(64, dtype=F64)
            parts.append(log_weight + MultivariateNormal(self.w @ mean + self.b, covariance).log_prob(x.flatten(1)))
        return torch.stack(parts).logsumexp(0)

    def parts(self, cluster: Tensor) -> Parts:
        """With the posterior of these clusters for encoder."""
        return Parts(Applied(lambda x: self.posterior(x, cluster[: len(x)])), self.decoder)


def mean_loss(it: mog_clustering.MogClustering, parts: Parts, x: Tensor, latent: int) -> Tensor:
    """The loss of each image in the mean over z: the points ±√d e_j have the moments of noise, as the loss asks for."""
    points = math.sqrt(latent) * torch.cat((torch.eye(latent), -torch.eye(latent))).double()
    found = []
    for point in points:
        terms = it.terms(parts, {"real": x, "given": torch.zeros(len(x)), "noise": point.expand(len(x), -1)})
        found.append(terms.distortion + terms.rate.sum(1))
    return torch.stack(found).mean(0)


def drawn(model: LinearMixture, count: int, seed: int) -> tuple[Tensor, Tensor]:
    cluster = torch.arange(count) % len(model.prior.mean)
    prior = Gaussian(model.prior.mean[cluster], model.prior.log_var[cluster])
    z = prior.at(normal(seed, count, model.prior.mean.shape[1]))
    noise = math.exp(model.log_var / 2) * normal(seed + 1, count, 64)
    return (z @ model.w.T + model.b + noise).unflatten(1, (1, 8, 8)), cluster


def test_a_linear_decoder_has_the_likelihood_of_a_mixture() -> None:
    """Reached by the bound where clusters lie apart, and by its importance-weighted estimate wherever they lie."""
    it = mog_clustering.MogClustering("smoke")
    model = LinearMixture(mixture(5, 3, 4, apart=60.0), math.log(0.1))
    x, cluster = drawn(model, 30, 7)
    parts = model.parts(cluster)
    torch.testing.assert_close(mean_loss(it, parts, x, 4), -model.log(x), atol=1e-8, rtol=0)
    close = LinearMixture(mixture(5, 3, 4, apart=0.5), math.log(4.0))
    x, cluster = drawn(close, 30, 8)
    parts, exact = close.parts(cluster), close.log(x)
    assert (mean_loss(it, parts, x, 4) > -exact).all()
    likelihood, ratio, plain = weighed(it, parts, x)
    found = estimate(likelihood + ratio)
    assert abs(found.nll + float(exact.mean())) < 4 * found.error < 0.05
    prior = estimate(plain)
    assert abs(prior.nll + float(exact.mean())) < 4 * prior.error


def weighed(it: mog_clustering.MogClustering, parts: Parts, x: Tensor) -> tuple[Tensor, ...]:
    def noise(stream: torch.Generator, *size: int) -> Tensor:
        return torch.randn(*size, 4, generator=stream, dtype=F64)

    it.noise = noise  # type: ignore[method-assign]
    return it.weighed(parts, Seen(x, torch.zeros(len(x)), torch.zeros(len(x))), 4000, it.generator(0, 0))


def test_vade_reads_clusters_off_the_draw() -> None:
    """Its loss is the source's: Σ γ_c KL_c + KL(γ ‖ π), γ = p(c|z), and never below that of the best clusters."""
    one, two = mog_clustering.MogClustering("smoke"), mog_clustering.VaDE("smoke")
    (coder,) = one.players(0)
    batch = one.batch(0, 0)
    best, vade = (it.terms(it.parts((coder,)), batch) for it in (one, two))
    prior, γ = coder.decoder.prior, coder.decoder.prior.told(best.z).exp()
    kl = prior.log_weight - prior.terms(best.q)
    expected = (γ * kl).sum(1) + (γ * (γ.log() - prior.log_weight)).sum(1)
    torch.testing.assert_close(vade.rate[:, 0], expected)
    assert (vade.rate >= best.rate - 1e-5).all() and torch.equal(vade.distortion, best.distortion)


def test_weights_of_the_mixture_stay_on_the_simplex() -> None:
    decoder = mog_clustering.MogClustering("smoke").players(0)[0].decoder
    for seed in range(100):
        decoder.logits.data = 30 * normal(seed, 10)
        assert float(decoder.prior.log_weight.exp().sum().detach()) == pytest.approx(1.0)


def test_it_starts_as_principal_components_and_k_means() -> None:
    it = mog_clustering.MogClustering("cpu")
    (coder,) = it.players(100)
    x, train = it.images.test, it.images.train
    back = coder.decoder.line(coder.encoder.line(x.flatten(1))).view_as(x)
    torch.testing.assert_close(back, _principal.principal(train, x, 12), atol=1e-4, rtol=0)
    again, other = it.players(100)[0].decoder, it.players(101)[0].decoder
    assert torch.equal(again.means, coder.decoder.means) and not torch.equal(other.means, coder.decoder.means)
    blobs = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])[torch.arange(90) % 3] + 0.1 * torch.randn(90, 2)
    start = mog_clustering.started(blobs, 3, 0)
    torch.testing.assert_close(start.log_weight.exp(), torch.full((3,), 1 / 3))
    assert torch.cdist(start.mean, torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])).min(1).values.max() < 0.1


def test_no_label_is_used() -> None:
    it = mog_clustering.MogClustering("smoke")
    players, batch = it.players(0), it.batch(0, 0)
    other = {**batch, "given": (batch["given"] + 1) % 10}
    assert it.game().losses(players, batch)[0] == it.game().losses(players, other)[0]
    assert it.floors  # labels are for floors and scores alone


def test_grey_pixels_are_normal_and_never_of_variance_0() -> None:
    decoder = _grey.GreyDecoder(3, 1, 8, 4)
    told = decoder(torch.zeros(5, 3))
    x = torch.randn(5, 1, 8, 8)
    expected = Normal(told.mean, (told.scale / 2).exp()).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(_grey.Grey().log(told, x), expected)
    decoder.log_var.data.fill_(-50.0)
    assert decoder(torch.zeros(1, 3)).scale == _grey.LEAST
