"""Variational autoencoders of images: losses, evaluation and pictures, for any networks, likelihood and condition."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks.data import Images
from benchmarks.networks import MLPEncoder, MLPGenerator, seeded
from benchmarks.problem import Batch, Floor, Memory, Metric, Pictures, Preset, Recipe, View
from benchmarks.problems._gaussian import STANDARD, Gaussian
from benchmarks.problems._images import EVALUATION, LARGE, PICTURES, ImageProblem, compared, grid
from benchmarks.problems._principal import principal
from benchmarks.problems.vaes import _pictures
from benchmarks.problems.vaes._likelihoods import Bernoulli, Likelihood
from benchmarks.quality import distances, latents
from benchmarks.quality.image_scores import chosen
from benchmarks.quality.likelihood import estimate

CHUNK = 64  # images that are weighed at a time, each with all its draws


def presets(steps: int, **options: tuple[Any, ...]) -> dict[str, Preset]:
    """The presets around so many steps on digits; an option has four values: smoke, digits, larger images, GPU."""
    given = {"width": (16, 128, 256, 512), "latent": (2, 8, 20, 20), "draws": (4, 500, 50, 500), **options}
    smoke, small, large, wide = ({name: values[k] for name, values in given.items()} for k in range(4))
    return {
        "smoke": Preset(3, 16, evaluations=1, samples=64, options=smoke),
        "cpu": Preset(steps, 128, evaluations=3, options=small),
        "cpu" + LARGE: Preset(8 * steps, 128, evaluations=3, options=large),
        "gpu": Preset(50_000, 128, evaluations=10, samples=5000, options=wide),
    }


class Parts(NamedTuple):
    """The networks of a model: the encoder tells q(z|x), the decoder p(x|z), and p(z) where that is learned."""

    encoder: Any
    decoder: Any


class Coder(nn.Module):
    """Encoder and decoder, one player."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder


class Terms(NamedTuple):
    """What the loss of a batch is made of, on one draw of z an image.

    Args:
        distortion: -log p(x|z), (batch,).
        rate: KL(q(z|x) ‖ p(z)) of each dimension, (batch, latent).
        z: the draw, (batch, latent).
        q: the posterior it is drawn from.
    """

    distortion: Tensor
    rate: Tensor
    z: Tensor
    q: Gaussian


class Seen(NamedTuple):
    """What a model is shown of images, (n, ...): what it explains, what it is told beside that, and their classes."""

    real: Tensor
    given: Tensor
    labels: Tensor


class Variational(ImageProblem):
    """A model p(x|z) p(z) of images with a posterior q(z|x), which minimise -E_q log p(x|z) + KL(q(z|x) ‖ p(z)).

    A subclass names networks (`encoder`, `decoder`), `likelihood` and `loss`; a conditional one overrides `seen`,
    `posterior`, `prior` and `told`, which are handed what is given beside each image.

    What is evaluated, on as many test images as there are samples, and K draws of z, all in nats an image: `nll`, the
    importance-weighted bound on -log p(x), its standard error by chance `nll_error`, and its effective number of draws
    `ess`; `nll_prior` and `ess_prior`, the same by draws from the prior; `bits` a pixel where pixels are discrete;
    `elbo` = -(`reconstruction` + `kl`); `active`, units z_j with Var_x E z_j > .01, none of which is posterior
    collapse; `error`, E|x - E[x|z = E z]|² a pixel; `latent_mmd`, of draws from the posteriors against the prior;
    `kid_reconstructed`, of these draws decoded; `fd_interpolated`, of what lies halfway from one code to its nearest
    neighbour; and the image scores of samples.
    """

    version = 3
    datasets = ("digits", "mnist", "fashion-mnist")
    recipe: ClassVar[Recipe] = Recipe(mm.adam(3e-3), decay=True)
    likelihood: ClassVar[Likelihood] = Bernoulli()
    split: ClassVar[bool] = False
    """Whether encoder and decoder are two players, who have the same loss."""

    @cached_property
    def images(self) -> Images:
        """The data as the likelihood takes them."""
        return self.likelihood.prepared(super().images)

    # ------------------------------------------------------------------------------------------------------- the model

    def encoder(self) -> nn.Module:
        """Images to (mean, log variance) of z; drawn from the global random numbers."""
        return MLPEncoder(self.images.channels, self.images.size, self.option["width"], self.option["latent"])

    def decoder(self) -> nn.Module:
        """z to what the likelihood wants told; drawn from the global random numbers."""
        shape = (self.option["latent"], self.images.channels, self.images.size, self.option["width"])
        return MLPGenerator(*shape, output=nn.Identity)

    def posterior(self, parts: Parts, x: Tensor, given: Tensor) -> Gaussian:
        """q(z|x)."""
        return Gaussian(*parts.encoder(x))

    def prior(self, parts: Parts, given: Tensor) -> Gaussian:
        """p(z)."""
        return STANDARD

    def told(self, parts: Parts, z: Tensor, given: Tensor) -> Any:
        """What the decoder says of the pixels, z (batch, latent)."""
        return parts.decoder(z)

    def seen(self, images: Tensor, labels: Tensor) -> Seen:
        """What a model is shown of images; what it is given beside them are their labels, which most ignore."""
        return Seen(images, labels, labels)

    def whole(self, x: Tensor, given: Tensor) -> Tensor:
        """The images that have been explained, (n, channels, side, side)."""
        return x

    # -------------------------------------------------------------------------------------------------------- the game

    def players(self, seed: int) -> tuple[Any, ...]:
        encoder, decoder = seeded(seed, lambda: (self.encoder(), self.decoder()))
        built = (encoder, decoder) if self.split else (Coder(encoder, decoder),)
        return tuple(module.to(self.device) for module in built)

    def parts(self, players: Sequence[Any]) -> Parts:
        """The networks among the players."""
        if self.split:
            return Parts(players[0], players[1])
        return Parts(players[0].encoder, players[0].decoder)

    def game(self) -> mm.Game:
        if self.split:
            return mm.cooperative(lambda encoder, decoder, batch: self.loss(Parts(encoder, decoder), batch), players=2)
        return mm.Game(lambda coder, batch: self.loss(self.parts((coder,)), batch))

    def loss(self, parts: Parts, batch: Batch) -> Tensor:
        """E[-log p(x|z) + KL(q(z|x) ‖ p(z))], one draw of z an image."""
        terms = self.terms(parts, batch)
        return (terms.distortion + terms.rate.sum(-1)).mean()

    def terms(self, parts: Parts, batch: Batch) -> Terms:
        """What losses are made of."""
        x, given = batch["real"], batch["given"]
        q = self.posterior(parts, x, given)
        z = q.at(batch["noise"])
        distortion = -self.likelihood.log(self.told(parts, z, given), x)
        return Terms(distortion, q.divergence(self.prior(parts, given)), z, q)

    def noise(self, stream: torch.Generator, *size: int) -> Tensor:
        """Standard normal z, (*size, latent)."""
        return torch.randn(*size, self.option["latent"], generator=stream, device=self.device)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size = self.generator(seed, draw), self.preset.batch
        seen = self.seen(*self.images.batch(stream, size))
        return {"real": seen.real, "given": seen.given, "noise": self.noise(stream, size)}

    # ------------------------------------------------------------------------------------------------- the evaluation

    @property
    def metrics(self) -> Sequence[Metric]:
        return self.aimed(
            Metric("nll", unit="nats", range=self.lowest, headline=True), *self.fitted, *self.coded, *self.scored()
        )

    @property
    def lowest(self) -> tuple[float, float]:
        """The range of -log p(x): a density may exceed 1."""
        return (0 if self.likelihood.discrete else -math.inf), math.inf

    @property
    def fitted(self) -> Iterator[Metric]:
        """How well the data are explained."""
        positive = (0, math.inf)
        yield Metric("elbo", "higher", "nats")
        yield Metric("reconstruction", unit="nats", range=self.lowest)
        yield Metric("kl", None, "nats", positive)
        yield Metric("nll_error", unit="nats", range=positive)
        yield Metric("ess", "higher", "draws", (1, self.option["draws"]))
        yield Metric("nll_prior", unit="nats", range=self.lowest)
        yield Metric("ess_prior", "higher", "draws", (1, self.option["draws"]))
        yield Metric("error", range=positive)
        if self.likelihood.discrete:
            yield Metric("bits", unit="bits a pixel", range=positive)

    @property
    def coded(self) -> Iterator[Metric]:
        """What becomes of the codes."""
        yield Metric("active", "higher", "units", (0, self.option["latent"]), gate=0.5, flag="posterior collapsed")
        yield Metric("latent_mmd")
        yield Metric("kid_reconstructed", unit=self.classifier.name)
        if self.scorer.enough:
            yield Metric("fd_interpolated", unit=self.classifier.name, range=(0, math.inf))

    @cached_property
    def tested(self) -> Seen:
        """The test images that samples are compared with, as a model is shown them."""
        index = chosen(len(self.images.test), self.samples).to(self.device)
        return self.seen(self.images.test[index], self.images.test_labels[index])

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        parts, stream = self.parts(view.players), self.generator(view.seed, EVALUATION)
        return {
            **self.likelihoods(parts, stream),
            **self.codes(parts, stream),
            **self.score(self.drawn(parts, stream), self.tested.labels if self.asked else None),
        }

    def likelihoods(self, parts: Parts, stream: torch.Generator) -> dict[str, float]:
        """How well the test images are explained."""
        pieces = zip(*(part.split(CHUNK) for part in self.tested), strict=True)
        found = [self.weighed(parts, Seen(*piece), self.option["draws"], stream) for piece in pieces]
        likelihood, ratio, prior = (torch.cat(each, dim=1) for each in zip(*found, strict=True))
        x, given = self.tested.real, self.tested.given
        q = self.posterior(parts, x, given)
        kl = float(q.divergence(self.prior(parts, given)).sum(-1).mean())
        best, plain, distortion = estimate(likelihood + ratio), estimate(prior), -float(likelihood.mean())
        back = self.likelihood.mean(self.told(parts, q.mean, given))
        scores = {
            "nll": best.nll,
            "elbo": -distortion - kl,
            "reconstruction": distortion,
            "kl": kl,
            "nll_error": best.error,
            "ess": float(best.ess.mean()),
            "nll_prior": plain.nll,
            "ess_prior": float(plain.ess.mean()),
            "error": float((x - back).square().mean()),
        }
        return {**scores, "bits": best.nll / x[0].numel() / math.log(2)} if self.likelihood.discrete else scores

    def weighed(self, parts: Parts, seen: Seen, draws: int, stream: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """log p(x|z) and log p(z) - log q(z|x) at draws from q, and log p(x|z) at draws from p, each (draws, n)."""
        x, given, _ = seen
        q, p, size = self.posterior(parts, x, given), self.prior(parts, given), (draws, len(x))
        z, other = q.at(self.noise(stream, *size)), p.at(self.noise(stream, *size))
        return self.likeliness(parts, x, given, z), p.log(z) - q.log(z), self.likeliness(parts, x, given, other)

    def likeliness(self, parts: Parts, x: Tensor, given: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) at so many z an image, (draws, n, latent): (draws, n)."""
        again = [each.expand(len(z), *each.shape).flatten(0, 1) for each in (x, given)]
        log: Tensor = self.likelihood.log(self.told(parts, z.flatten(0, 1), again[1]), again[0])
        return log.unflatten(0, z.shape[:2])

    def codes(self, parts: Parts, stream: torch.Generator) -> dict[str, float]:
        """How the codes of the test images are spread, and what images come of them."""
        x, given, _ = self.tested
        q, noise = self.posterior(parts, x, given), self.noise(stream, 2, len(x))
        z = q.at(noise[0])
        scores = {
            "active": latents.active(q.mean),
            "latent_mmd": latents.mmd(self.prior(parts, given).at(noise[1]), z),
            "kid_reconstructed": distances.kid(self.scorer.real.features, self.read(parts, z, stream)),
        }
        if self.scorer.enough:
            between = self.read(parts, latents.midpoints(q.mean), stream)
            scores["fd_interpolated"] = distances.fd(self.scorer.real.features, between)
        return scores

    def read(self, parts: Parts, z: Tensor, stream: torch.Generator) -> Tensor:
        """Features of images drawn at these codes of the test images."""
        given = self.tested.given
        drawn = self.likelihood.drawn(self.told(parts, z, given), stream)
        return self.classifier(self.whole(drawn, given))

    def drawn(self, parts: Parts, stream: torch.Generator) -> Tensor:
        """Samples of the model, as many as are compared, each given what is known of a test image."""
        given = self.tested.given
        z = self.prior(parts, given).at(self.noise(stream, len(given)))
        return self.whole(self.likelihood.drawn(self.told(parts, z, given), stream), given)

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        train, test, latent = self.images.train, self.tested.real, self.option["latent"]
        yield from (Floor("nll", *each) for each in self.likelihood.trivial(train, test, latent))
        for what, back in (("mean", train.mean(0)), ("pca", principal(train, test, latent))):
            yield Floor("error", what, float((test - back).square().mean()))
        one, two = self.noise(self.generator(0, EVALUATION), 2, len(test))
        yield Floor("latent_mmd", "prior", latents.mmd(one, two))
        back = self.classifier(principal(train, test, latent))
        yield Floor("kid_reconstructed", "pca", distances.kid(self.scorer.real.features, back))

    # -------------------------------------------------------------------------------------------------------- pictures

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        """Means of the pixels, given z, as their draws are noisy."""
        parts, (x, given, labels) = self.parts(view.players), self.tested
        q = self.posterior(parts, x, given)

        def means(z: Tensor, given: Tensor) -> Tensor:
            return self.whole(self.likelihood.mean(self.told(parts, z, given)), given)

        noise = self.noise(self.generator(view.seed, PICTURES), 64)
        start = self.prior(parts, given[:64]).at(noise)
        both = {"image": self.whole(x, given)[:32], "decoded": means(q.mean[:32], given[:32])}
        return {
            "samples": grid(means(start, given[:64])),
            "reconstructions": compared(both, "test images encoded and decoded"),
            "interpolations": _pictures.interpolated(means, q.mean, given),
            "traversals": _pictures.traversed(means, q, given),
            "codes": _pictures.mapped(latents.plane(q.mean), labels, self.images.classes),
        }

    def truths(self) -> Pictures:
        return {"samples": grid(self.images.batch(self.generator(0, PICTURES), 64)[0])}
