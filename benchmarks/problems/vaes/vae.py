from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks.data import Images, sign
from benchmarks.networks import MLPEncoder, MLPGenerator, seeded
from benchmarks.problem import Batch, Floor, Memory, Metric, Pictures, Preset, Recipe, View
from benchmarks.problems._gaussian import bernoulli, divergence, prior_over_posterior, sampled
from benchmarks.problems._images import EVALUATION, LARGE, PICTURES, ImageProblem, compared, grid
from benchmarks.quality.reference import bernoulli_mixture_nll


class VAE(ImageProblem):
    """Variational autoencoder of binarised images, one player: minimise -E_q log p(x|z) + KL(q(z|x) ‖ N(0, I)).

    p(x|z) is a product of Bernoullis, q(z|x) a diagonal Gaussian. `nll` is the importance-weighted bound on -log p(x)
    of the test images, in nats, on as many draws of z as the preset says (Burda, Grosse & Salakhutdinov, 2016).

    Source: Kingma & Welling, Auto-Encoding Variational Bayes, 2014.
    """

    name = "vae"
    datasets = ("digits", "mnist", "fashion-mnist")
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, 16, evaluations=1, samples=64, options={"width": 16, "latent": 2, "draws": 4}),
        "cpu": Preset(1300, 128, evaluations=3, options={"width": 128, "latent": 8, "draws": 500}),
        "cpu" + LARGE: Preset(10_000, 128, evaluations=3, options={"width": 256, "latent": 20, "draws": 50}),
        "gpu": Preset(50_000, 128, evaluations=10, samples=5000, options={"width": 512, "latent": 20, "draws": 500}),
    }
    # The source's rule is Adagrad; here Adam with a rate for short runs.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(3e-3), decay=True)
    targets: ClassVar[Mapping[str, float]] = {"nll": 17.9}

    @cached_property
    def images(self) -> Images:
        """The data as ±1."""
        return super().images.binarised()

    def players(self, seed: int) -> tuple[Any, ...]:
        shape = (self.images.channels, self.images.size, self.option["width"], self.option["latent"])
        return (seeded(seed, lambda: Coder(*shape)).to(self.device),)

    def game(self) -> mm.Game:
        return mm.Game(negative_elbo)

    def noise(self, stream: torch.Generator, *size: int) -> Tensor:
        """Standard normal z, (*size, latent)."""
        return torch.randn(*size, self.option["latent"], generator=stream, device=self.device)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size = self.generator(seed, draw), self.preset.batch
        real, _ = self.images.batch(stream, size)
        return {"real": real, "noise": self.noise(stream, size)}

    @property
    def metrics(self) -> Sequence[Metric]:
        return self.aimed(
            Metric("nll", unit="nats", range=(0, math.inf), headline=True),
            Metric("elbo", "higher", "nats"),
            Metric("kl", None, "nats", range=(0, math.inf)),
            *self.scored(),
        )

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        (model,), stream, draws = view.players, self.generator(view.seed, EVALUATION), self.option["draws"]
        parts = self.images.test[: self.samples].split(64)
        weights = torch.cat([log_weights(model, x, self.noise(stream, draws, len(x))) for x in parts], dim=1)
        return {
            "nll": math.log(draws) - float(weights.logsumexp(0).mean()),
            "elbo": float(weights.mean()),
            "kl": float(divergence(*model.encoder(self.images.test)).mean()),
            **self.score(self.drawn(model, stream, self.samples)),
        }

    def drawn(self, model: Coder, stream: torch.Generator, size: int) -> Tensor:
        """Samples of the model, pixels ±1."""
        white = model.decoder(self.noise(stream, size)).sigmoid()
        return sign(white - torch.rand(white.shape, generator=stream, device=self.device))

    def floors(self) -> Iterable[Floor]:
        both = (self.images.train[:10_000], self.images.test[: self.samples])
        train, test = (x.gt(0).flatten(1).float() for x in both)
        return [
            *super().floors(),
            Floor("nll", "independent-pixels", bernoulli_mixture_nll(train, test, 1)),
            Floor("nll", "40-bernoullis", bernoulli_mixture_nll(train, test, 40)),
        ]

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        """Means of the pixels, given z: their draws are binary."""
        (model,), x = view.players, self.images.test[:32]

        def means(z: Tensor) -> Tensor:
            return 2 * model.decoder(z).sigmoid() - 1

        back = compared({"image": x, "decoded": means(model.encoder(x)[0])}, "test images encoded and decoded")
        return {"samples": grid(means(self.noise(self.generator(view.seed, PICTURES), 64))), "reconstructions": back}

    def truths(self) -> Pictures:
        return {"samples": grid(self.images.batch(self.generator(0, PICTURES), 64)[0])}


class Coder(nn.Module):
    """The encoder and the decoder, one player."""

    def __init__(self, channels: int, size: int, width: int, latent: int) -> None:
        super().__init__()
        self.encoder = MLPEncoder(channels, size, width, latent)
        self.decoder = MLPGenerator(latent, channels, size, width, output=nn.Identity)


def negative_elbo(model: Coder, batch: Batch) -> Tensor:
    """E[KL(q(z|x) ‖ N(0, I)) - log p(x|z)], one draw of z an image."""
    mean, log_var = model.encoder(batch["real"])
    z = sampled(mean, log_var, batch["noise"])
    return (divergence(mean, log_var) - bernoulli(model.decoder(z), batch["real"])).mean()


def log_weights(model: Coder, x: Tensor, noise: Tensor) -> Tensor:
    """log p(x, z) - log q(z|x) at z = mean + std · noise, for noise (draws, batch, latent): (draws, batch)."""
    mean, log_var = model.encoder(x)
    z = sampled(mean, log_var, noise)
    logits = model.decoder(z.flatten(0, 1)).unflatten(0, z.shape[:2])
    return bernoulli(logits, x) + prior_over_posterior(z, log_var, noise)
