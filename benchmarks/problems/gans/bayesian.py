from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm
from benchmarks.data import among
from benchmarks.networks import MLPCritic, NormedGenerator, seeded
from benchmarks.problem import Batch, Floor, Metric, Pictures, Recipe, View
from benchmarks.problems._images import EVALUATION, ImageGAN, presets
from benchmarks.quality.copies import filled
from benchmarks.quality.image_scores import chosen
from benchmarks.quality.modes import jsd

DATA, VARIANCE = 1200, 1.0  # how many training images digits have; the variance of the prior


def generator_kicks(batch: Batch) -> list[Tensor]:
    """The generators' draw of a batch."""
    return batch["kicks"][0]


def critic_kicks(batch: Batch) -> list[Tensor]:
    """The critic's draw of a batch."""
    return batch["kicks"][1]


class BayesianGAN(ImageGAN):
    """NS-GAN whose players are samples of a posterior: ten generators and a critic, moved by SGHMC, weights N(0, 1).

    Every generator samples exp(-N L_G), L_G = E softplus(-D(G(z))) + |θ|²/2N, and the critic exp(-N L_D), where L_D =
    E softplus(-D(x)) + E softplus(D(G(z))) + |ψ|²/2N has the fakes of all generators; N is the number of images. So
    the temperature is 1/N. The kicks come in the batch. Samples are of all generators alike.

    `jsd`: the Jensen-Shannon divergence in nats of how samples and test images fill cells of the training images; the
    source's is of densities in two principal directions.

    Source: Saatchi & Wilson, Bayesian GAN, 2017.
    """

    name = "bayesian-gan"
    version = 3
    datasets = ("digits",)
    folders = False
    presets = presets(1000, width=(8, 64, 128, 256), generators=(2, 10, 10, 10))
    optimizers = ("alternating", "simultaneous")
    skips: ClassVar[dict[str, str]] = dict.fromkeys(
        ("extragradient", "optimistic", "consensus"), "its steps do not sample at the temperature of its rule"
    )
    recipe: ClassVar[Recipe] = Recipe(
        (
            mm.sghmc(1e-2, noise=generator_kicks, temperature=1 / DATA),
            mm.sghmc(1e-2, noise=critic_kicks, temperature=1 / DATA),
        )
    )

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        super().prepare(
            among(data, cls.datasets, cls.name), root, download
        )  # the temperature is that of so many images

    def players(self, seed: int) -> tuple[Any, ...]:
        latent, shape = self.option["latent"], (self.images.channels, self.images.size, self.option["width"])

        def build() -> tuple[nn.Module, nn.Module]:
            generators = [NormedGenerator(latent, *shape) for _ in range(self.option["generators"])]
            return Ensemble(generators), MLPCritic(*shape)

        return tuple(module.to(self.device) for module in seeded(seed, build))

    def game(self) -> mm.Game:
        return mm.Game(generator_loss, critic_loss)

    @property
    def metrics(self) -> Sequence[Metric]:
        return *super().metrics, Metric("jsd", unit="nats", range=(0, math.log(2)))

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        fake = view.players[0](self.noise(self.generator(view.seed, EVALUATION), self.samples))
        return super().evaluate(view) | {"jsd": self.divergence(fake)}

    def divergence(self, fake: Tensor) -> float:
        """The Jensen-Shannon divergence of the cells' shares, nan where an image is not finite."""
        read, scorer = self.scorer.read(fake), self.scorer
        if not bool(read.pixels.isfinite().all()):
            return math.nan
        return jsd(*(filled(scorer.bins, pixels) for pixels in (scorer.real.pixels, read.pixels)))

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        fresh = self.images.train[chosen(len(self.images.train), self.samples)]
        yield Floor("jsd", "training images", self.divergence(fresh))

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        """Each interpolation by one generator, the first."""
        generators = view.players[0]
        return {**super().pictures(view), "interpolations": self.interpolated(generators[0], view.seed)}

    @cached_property
    def shapes(self) -> list[list[torch.Size]]:
        """Of all parameters, a list a player."""
        return [[weight.shape for weight in player.parameters()] for player in self.players(0)]

    def extras(self, stream: torch.Generator, size: int) -> dict[str, Any]:
        def draw(shape: torch.Size) -> Tensor:
            return torch.randn(shape, generator=stream, device=self.device)

        return {"kicks": [[draw(shape) for shape in shapes] for shapes in self.shapes]}


class BayesianGAN1(BayesianGAN):
    """Bayesian GAN with one generator, which the ten are to be read beside: the same steps, batches and temperature.

    Source: Saatchi & Wilson, Bayesian GAN, 2017, who compare ten samples of the posterior with one.
    """

    name = "bayesian-gan-1"
    presets = presets(1000, width=(8, 64, 128, 256), generators=(1, 1, 1, 1))


class Ensemble(nn.ModuleList):
    """Networks that share a batch: each takes its part of the rows, one after another."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.cat([net(part) for net, part in zip(self, z.tensor_split(len(self)), strict=True)])


def prior(player: nn.Module) -> Tensor:
    """-log p of the weights over N, up to a constant: |θ|²/2N over the prior's variance."""
    square: Tensor = sum(weight.square().sum() for weight in player.parameters())  # type: ignore[assignment]
    return square / (2 * VARIANCE * DATA)


def generator_loss(g: Ensemble, d: nn.Module, batch: Batch) -> Tensor:
    """Σ_j L_G(θ_j), each on its own part of the noise: no generator feels another."""
    parts = d(g(batch["noise"])).tensor_split(len(g))
    return sum(softplus(-part).mean() for part in parts) + prior(g)


def critic_loss(g: Ensemble, d: nn.Module, batch: Batch) -> Tensor:
    """L_D(ψ)."""
    return softplus(-d(batch["real"])).mean() + softplus(d(g(batch["noise"]))).mean() + prior(d)
