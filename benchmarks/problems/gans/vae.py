from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from benchmarks.data import Images
from benchmarks.networks import MLPEncoder, MLPGenerator, seeded
from benchmarks.problem import Batch, Memory, Preset, Recipe
from benchmarks.problems.gans._image import EVALUATION, LARGE, PICTURES, ImageProblem, grid
from benchmarks.problems.gans._reference import bernoulli_mixture_nll
from minimax import Game


class VAE(ImageProblem):
    """Variational autoencoder of binarised images, one player: minimise -E_q log p(x|z) + KL(q(z|x) ‖ N(0, I)).

    p(x|z) is a product of Bernoullis, q(z|x) a diagonal Gaussian. `nll` is the importance-weighted bound on -log p(x)
    of the test images, in nats, on as many draws of z as the preset says (Burda, Grosse & Salakhutdinov, 2016).

    Source: Kingma & Welling, Auto-Encoding Variational Bayes, 2014.
    """

    name = "vae"
    datasets = ("digits", "mnist", "fashion-mnist")
    headline = "nll"
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, 16, evaluations=1, samples=64, options={"width": 16, "latent": 2, "draws": 4}),
        "cpu": Preset(1300, 128, evaluations=3, options={"width": 128, "latent": 8, "draws": 500}),
        "cpu" + LARGE: Preset(10_000, 128, evaluations=3, options={"width": 256, "latent": 20, "draws": 50}),
        "gpu": Preset(50_000, 128, evaluations=10, samples=5000, options={"width": 512, "latent": 20, "draws": 500}),
    }
    # The source's rule is Adagrad; here Adam with a rate for short runs.
    recipe: ClassVar[Recipe] = Recipe(lr=3e-3, decay=True)
    targets: ClassVar[Mapping[str, tuple[str, float]]] = {"nll": ("<=", 17.9)}

    @cached_property
    def images(self) -> Images:
        """The data as ±1: the upper half of the grey values is 1, on digits value > 8 of 16."""
        grey = super().images
        return replace(grey, train=sign(grey.train), test=sign(grey.test))

    def players(self, seed: int) -> tuple[Any, ...]:
        shape = (self.images.channels, self.images.size, self.option["width"], self.option["latent"])
        return (seeded(seed, lambda: Coder(*shape)).to(self.device),)

    @staticmethod
    def loss(model: Coder, batch: Batch) -> Tensor:
        """The negative evidence lower bound, one draw of z an image."""
        mean, log_var = model.encoder(batch["real"])
        z = mean + (log_var / 2).exp() * batch["noise"]
        return (divergence(mean, log_var) - log_likelihood(model.decoder(z), batch["real"])).mean()

    def game(self) -> Game:
        return Game(self.loss)

    def noise(self, stream: torch.Generator, *size: int) -> Tensor:
        """Standard normal z, (*size, latent)."""
        return torch.randn(*size, self.option["latent"], generator=stream, device=self.device)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size = self.generator(seed, draw), self.preset.batch
        real, _ = self.images.batch(stream, size)
        return {"real": real, "noise": self.noise(stream, size)}

    @torch.no_grad()
    def evaluate(self, players: tuple[Any, ...], seed: int) -> dict[str, float]:
        (model,), stream, draws = players, self.generator(seed, EVALUATION), self.option["draws"]
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

    def floors(self) -> dict[str, float]:
        both = (self.images.train[:10_000], self.images.test[: self.samples])
        train, test = (x.gt(0).flatten(1).float() for x in both)
        return {
            **super().floors(),
            "nll/independent-pixels": bernoulli_mixture_nll(train, test, 1),
            "nll/40-bernoullis": bernoulli_mixture_nll(train, test, 40),
        }

    @torch.no_grad()
    def pictures(self, players: tuple[Any, ...], seed: int) -> dict[str, np.ndarray]:
        means = players[0].decoder(self.noise(self.generator(seed, PICTURES), 64)).sigmoid()
        return {"samples": grid(2 * means - 1)}


class Coder(nn.Module):
    """The encoder and the decoder, one player."""

    def __init__(self, channels: int, size: int, width: int, latent: int) -> None:
        super().__init__()
        self.encoder = MLPEncoder(channels, size, width, latent)
        self.decoder = MLPGenerator(latent, channels, size, width, output=nn.Identity)


def sign(x: Tensor) -> Tensor:
    """1 where x > 0, else -1."""
    return 2 * x.gt(0).to(x) - 1


def divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, e^log_var) ‖ N(0, I)) = ½Σ(mean² + e^log_var - 1 - log_var), per row.

    >>> divergence(torch.ones(1, 2), torch.zeros(1, 2))
    tensor([1.])
    """
    return (mean.square() + log_var.exp() - 1 - log_var).sum(1) / 2


def log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x|z) of pixels x = ±1, summed over the last three axes: log σ(x · logit)."""
    return logsigmoid(x * logits).sum((-3, -2, -1))


def log_weights(model: Coder, x: Tensor, noise: Tensor) -> Tensor:
    """log p(x, z) - log q(z|x) at z = mean + std · noise, for noise (draws, batch, latent): (draws, batch)."""
    mean, log_var = model.encoder(x)
    z = mean + (log_var / 2).exp() * noise
    logits = model.decoder(z.flatten(0, 1)).unflatten(0, z.shape[:2])
    # The normalising constants of prior and posterior cancel.
    return log_likelihood(logits, x) + (noise.square() + log_var - z.square()).sum(2) / 2
