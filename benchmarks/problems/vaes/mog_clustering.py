from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor, nn
from torch.nn.functional import pad

import minimax as mm
from benchmarks.networks import MLP, Applied, seeded
from benchmarks.problem import Batch, Floor, Metric, Recipe, View
from benchmarks.problems._gaussian import Gaussian
from benchmarks.problems._labels import Admitting
from benchmarks.problems._principal import coordinates, fitted
from benchmarks.problems.vaes._grey import LEAST, Grey
from benchmarks.problems.vaes._likelihoods import Scaled
from benchmarks.problems.vaes._variational import Coder, Parts, Terms, Variational, presets
from benchmarks.quality.image_scores import chosen
from benchmarks.quality.labels import code_accuracy, nmi
from benchmarks.quality.reference import gaussian_mixture, k_means

SOME = 5000  # training images at most that players start from
RESTARTS = 10  # of k-means, of which the best by its own sum of squares counts
NARROW = -10.0  # the least log s² of a cluster: one that holds a single code would send it to -∞


class MogClustering(Admitting, Variational):
    """VAE whose prior is a mixture of as many Gaussians as there are classes, Σ π_c N(μ_c, s_c²); no label is used.

    It minimises -E_q log p(x|z) + Σ_c q(c|x) KL(q(z|x) ‖ N(μ_c, s_c²)) + KL(q(c|x) ‖ π) at the q(c|x) that is best,
    ∝ π_c exp(-KL_c), where the latter two are -log Σ_c π_c exp(-KL_c). `code_accuracy`: of the clusters arg max q(c|x)
    of test images under the best matching to classes; `nmi`: their normalised mutual information; `clusters`: those
    that hold an image. Encoder and decoder are linear maps, which start as principal components, plus networks; the
    mixture starts as k-means of these components, the best of ten by its sum of squares.

    Source: Jiang et al., Variational Deep Embedding, 2017, whose q(c|x) is in `mog-clustering-vade`; there the start is
    an autoencoder, trained layer by layer, and a mixture of Gaussians.
    """

    name = "mog-clustering"
    likelihood = Grey()
    presets = presets(1500, latent=(4, 12, 16, 16), draws=(4, 50, 20, 100))
    # At thrice this rate, a model of so few images knows them by heart.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3), decay=True)
    targets: ClassVar[Mapping[str, float]] = {"code_accuracy": 0.8, "nmi": 0.742}

    def players(self, seed: int) -> tuple[Any, ...]:
        images, latent, width = self.images, self.option["latent"], self.option["width"]
        rows = images.train[chosen(len(images.train), SOME).to(self.device)]
        mean, axes = fitted(rows, latent)
        codes = coordinates(rows, rows, latent)
        scale = codes.square().mean().sqrt()
        prior = started(codes / scale, images.classes, seed)

        def build() -> nn.Module:
            encoder = Encoder(mean, axes / scale, width)
            return Coder(encoder, Decoder(mean, scale * axes, width, prior, images.train.shape[1:]))

        return (seeded(seed, build).to(self.device),)

    def posterior(self, parts: Parts, x: Tensor, given: Tensor) -> Gaussian:
        return Posterior(*parts.encoder(x))

    def prior(self, parts: Parts, given: Tensor) -> Mixture:  # type: ignore[override]
        prior: Mixture = parts.decoder.prior
        return prior

    @property
    def metrics(self) -> Sequence[Metric]:
        return self.aimed(
            Metric("code_accuracy", "higher", range=(0, 1), headline=True),
            Metric("nmi", "higher", range=(0, 1)),
            Metric("clusters", "higher", range=(0, self.images.classes)),
            Metric("nll", unit="nats", range=self.lowest),
            *self.fitted,
            *self.coded,
            *self.scored(),
        )

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        parts = self.parts(view.players)
        found = parts.decoder.prior.terms(Gaussian(*parts.encoder(self.images.test))).argmax(1)
        return {**super().evaluate(view), **self.matched(found), "clusters": float(len(found.unique()))}

    def matched(self, found: Tensor) -> dict[str, float]:
        """How clusters of the test images go with their classes."""
        truth = self.images.test_labels
        return {"code_accuracy": code_accuracy(found, truth, self.images.classes), "nmi": nmi(found, truth)}

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        train, test, classes = self.images.train.flatten(1), self.images.test.flatten(1), self.images.classes
        for what, found in (
            ("k-means", k_means(train, test, classes)),
            ("pca20-gmm", gaussian_mixture(train, test, classes, 20)),
        ):
            yield from (Floor(name, what, value) for name, value in self.matched(found).items())

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """An encoder with the classifier of the feature space, which sends images to the cluster of their class."""
        (coder,) = self.players(seed)
        means = coder.decoder.means

        def encode(x: Tensor) -> tuple[Tensor, Tensor]:
            mean = self.classifier.read(x)[1] @ means
            return mean, torch.full_like(mean, -4.0)

        coder.encoder = Applied(encode)  # type: ignore[arg-type]
        return (coder,)


class VaDE(MogClustering):
    """The same with the source's q(c|x) = p(c|z) at the draw z ~ q(z|x), which is not the best one."""

    name = "mog-clustering-vade"
    targets: ClassVar[Mapping[str, float]] = {}

    def terms(self, parts: Parts, batch: Batch) -> Terms:
        terms = super().terms(parts, batch)
        prior = parts.decoder.prior
        return terms._replace(rate=cost(prior.terms(terms.q), prior.told(terms.z))[:, None])


class Mixture(NamedTuple):
    """Σ_c π_c N(mean_c, diag e^log_var_c).

    Args:
        log_weight: log π, (clusters,).
        mean: (clusters, latent).
        log_var: (clusters, latent).
    """

    log_weight: Tensor
    mean: Tensor
    log_var: Tensor

    def parts(self, z: Tensor) -> Tensor:
        """log π_c + log N(z; mean_c, e^log_var_c), (..., clusters)."""
        return self.log_weight + Gaussian(self.mean, self.log_var).log(z[..., None, :])

    def log(self, z: Tensor) -> Tensor:
        """The log density at z, (..., latent) to (...)."""
        return self.parts(z).logsumexp(-1)

    def told(self, z: Tensor) -> Tensor:
        """log p(c|z), (..., clusters)."""
        return self.parts(z).log_softmax(-1)

    def terms(self, q: Gaussian) -> Tensor:
        """log π_c - KL(q ‖ N(mean_c, e^log_var_c)), (batch, clusters)."""
        one = Gaussian(q.mean[:, None], q.log_var[:, None])
        return self.log_weight - one.divergence(Gaussian(self.mean, self.log_var)).sum(-1)

    def at(self, noise: Tensor) -> Tensor:
        """A draw from standard normal noise, (..., latent).

        The first number of the noise tells the cluster: its u = Φ(noise) falls into the share of one, where it is
        uniform again, and so makes a normal number once more.
        """
        u = torch.special.ndtr(noise[..., 0].double())
        ends = self.log_weight.double().exp().cumsum(0)
        cluster = torch.searchsorted(ends, u.contiguous()).clamp(max=len(ends) - 1)
        low = pad(ends, (1, -1))[cluster]
        inside = ((u - low) / (ends[cluster] - low)).clamp(1e-12, 1 - 1e-12)
        first = torch.special.ndtri(inside).to(noise)
        noise = torch.cat((first[..., None], noise[..., 1:]), dim=-1)
        return Gaussian(self.mean[cluster], self.log_var[cluster]).at(noise)


class Posterior(Gaussian):
    """q(z|x) against a mixture."""

    def divergence(self, other: Mixture) -> Tensor:  # type: ignore[override]
        """-log Σ_c π_c exp(-KL_c), (batch, 1): KL(q(z|x) ‖ p(z)) or more, the least of `cost` over all q(c|x)."""
        return -other.terms(self).logsumexp(1, keepdim=True)


def cost(terms: Tensor, log_q: Tensor) -> Tensor:
    """Σ_c q(c|x) KL_c + KL(q(c|x) ‖ π) from log π_c - KL_c and log q(c|x), (batch, clusters) each: (batch,)."""
    return (log_q.exp() * (log_q - terms)).sum(1)


def started(codes: Tensor, clusters: int, seed: int) -> Mixture:
    """The mixture of the clusters that k-means finds among codes (n, latent), the best of ten runs."""
    rows = codes.double().cpu().numpy()
    runs = [kmeans2(rows, clusters, 100, minit="++", seed=seed * RESTARTS + k) for k in range(RESTARTS)]
    means, near = min(runs, key=lambda run: float(((rows - run[0][run[1]]) ** 2).sum()))
    index, means = (torch.as_tensor(each).to(codes.device) for each in (near, means.astype("float32")))
    shares = index.bincount(minlength=clusters).to(codes)
    spread = torch.stack([(codes[index == c] - means[c]).square().sum(0) for c in range(clusters)])
    # One code more of the spread of all codes keeps a cluster of few from being narrow.
    variance = (spread + codes.var(0)) / (shares + 1)[:, None]
    return Mixture(((shares + 1) / (len(codes) + clusters)).log(), means, variance.log())


class Encoder(nn.Module):
    """(x - m) A plus a network, to the mean of q(z|x), and its log variance; A starts as given, (latent, pixels)."""

    def __init__(self, mean: Tensor, axes: Tensor, width: int) -> None:
        super().__init__()
        latent, pixels = axes.shape
        self.line = line(axes, -axes @ mean)
        self.net = MLP((pixels, width, width, 2 * latent))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.flatten(1)
        more, log_var = self.net(x).chunk(2, dim=1)
        return self.line(x) + more, log_var - 2.0


class Decoder(nn.Module):
    """m + z A plus a network, to the pixels and their log variance; it has the mixture of z as well."""

    def __init__(self, mean: Tensor, axes: Tensor, width: int, prior: Mixture, shape: torch.Size) -> None:
        super().__init__()
        latent, pixels = axes.shape
        self.line, self.shape = line(axes.T, mean), shape
        self.net = MLP((latent, width, width, pixels))
        self.log_var = nn.Parameter(torch.tensor(-2.0))
        self.logits, self.means, self.log_vars = (nn.Parameter(each.clone()) for each in prior)

    def forward(self, z: Tensor) -> Scaled:
        mean = self.line(z) + self.net(z)
        return Scaled(mean.unflatten(1, self.shape), self.log_var.clamp(min=LEAST))

    @property
    def prior(self) -> Mixture:
        """The mixture; its weights come from a softmax, so that they stay weights."""
        return Mixture(self.logits.log_softmax(0), self.means, self.log_vars.clamp(min=NARROW))


def line(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer that starts as x ↦ weight x + bias."""
    made = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        made.weight.copy_(weight)
        made.bias.copy_(bias)
    return made
