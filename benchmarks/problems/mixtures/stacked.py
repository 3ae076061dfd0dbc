"""Digits on top of each other, one a channel: ten to the power of the channels modes, which a classifier counts.

Two losses by two penalties. Source: Huang, Gokaslan, Kuleshov & Tompkin, The GAN is dead; long live the GAN!, 2024,
section 2.3; the data are those of Metz et al., Unrolled Generative Adversarial Networks, 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks import data as sets
from benchmarks.networks import Copier, MLPCritic, MLPGenerator, seeded
from benchmarks.problem import Batch, Floor, Memory, Metric, Pictures, Preset, Recipe, View
from benchmarks.problems._images import EVALUATION, PICTURES, ImageProblem, grid
from benchmarks.problems._losses import (
    logistic_critic,
    nonsaturating_generator,
    relativistic_critic,
    relativistic_generator,
)
from benchmarks.quality import modes
from minimax.penalties import r1, r2

Loss: TypeAlias = Callable[[nn.Module, nn.Module, Batch], Tensor]
PERFECT = -3
GAMMA = 1.0


class Stacked(ImageProblem):
    """Images (batch, stack, side, side) of `stack` independent digits; a mode is what the classifier reads off them.

    `modes`: with a sample at least; `reverse_kl`: KL(q ‖ uniform) of the modes' shares q, in nats, of which a perfect
    generator has (K - 1)/2N by chance; `fair_modes`: with a fifth of the fair share N/K at least.
    """

    datasets: ClassVar[tuple[str, ...]] = ("digits", "mnist", "fashion-mnist")
    folders = False
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, 16, evaluations=1, samples=64, options={"width": 8, "latent": 4, "stack": 2}),
        "cpu": Preset(1500, 64, evaluations=6, samples=2600, options={"width": 128, "latent": 32, "stack": 2}),
        "gpu": Preset(50_000, 256, evaluations=20, samples=26_000, options={"width": 512, "latent": 64, "stack": 3}),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.0, 0.99)), order=(1, 0))

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        super().prepare(sets.among(data, cls.datasets, cls.name), root, download)

    @property
    def count(self) -> int:
        """K, how many modes there are."""
        return int(self.images.classes ** self.option["stack"])

    def players(self, seed: int) -> tuple[Any, ...]:
        shape, width = (self.option["stack"], self.images.size), self.option["width"]
        built = seeded(seed, lambda: (MLPGenerator(self.option["latent"], *shape, width), MLPCritic(*shape, width)))
        return tuple(module.to(self.device) for module in built)

    def noise(self, stream: torch.Generator, size: int) -> Tensor:
        """What the generator starts from, (size, latent)."""
        return torch.randn(size, self.option["latent"], generator=stream, device=self.device)

    def real(self, stream: torch.Generator, size: int) -> Tensor:
        """Training digits stacked at random, (size, stack, side, side)."""
        digits, _ = self.images.batch(stream, size * self.option["stack"])
        return digits.reshape(size, -1, self.images.size, self.images.size)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size = self.generator(seed, draw), self.preset.batch
        return {"real": self.real(stream, size), "noise": self.noise(stream, size)}

    @property
    def metrics(self) -> Sequence[Metric]:
        return (
            Metric("reverse_kl", unit="nats", range=(0, math.log(self.count)), headline=True),
            Metric("modes", "higher", range=(0, self.count), coverage=True),
            Metric("fair_modes", "higher", range=(0, self.count), coverage=True, gate=self.count / 2),
        )

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        return self.counted(view.players[0](self.noise(self.generator(view.seed, EVALUATION), self.preset.samples)))

    def counted(self, stacks: Tensor) -> dict[str, float]:
        """The scores of images (n, stack, side, side); not finite ones are in no mode."""
        if not bool(stacks.isfinite().all()):
            return {"reverse_kl": math.nan, "modes": 0.0, "fair_modes": 0.0}
        _, probabilities = self.classifier.read(stacks.flatten(0, 1).unsqueeze(1))
        labels = probabilities.argmax(1).unflatten(0, stacks.shape[:2])
        hits = torch.bincount(place(labels, self.images.classes), minlength=self.count)
        return {
            "reverse_kl": max(0.0, modes.reverse_kl(hits / len(stacks))),
            "modes": float((hits > 0).sum()),
            "fair_modes": float((hits >= modes.FAIR * len(stacks) / self.count).sum()),
        }

    def floors(self) -> Iterable[Floor]:
        real = self.counted(self.real(self.generator(0, PERFECT), self.preset.samples))
        by_chance = Floor("reverse_kl", "chance", (self.count - 1) / (2 * self.preset.samples))
        return *(Floor(name, "real", value) for name, value in real.items()), by_chance

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        return {"samples": abreast(view.players[0](self.noise(self.generator(view.seed, PICTURES), 32)))}

    def truths(self) -> Pictures:
        return {"samples": abreast(self.real(self.generator(0, PICTURES), 32))}

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A generator that hands out stacks of training digits."""
        return Copier(self.real(self.generator(seed, PERFECT), self.preset.samples)), self.players(seed)[1]


class StackedGANR1(Stacked):
    """NS-GAN with R1, γ/2 E|∇D(x)|² at γ = 1."""

    name = "stacked-gan-r1"

    def game(self) -> mm.Game:
        return mm.Game(nonsaturating_generator, both(logistic_critic, on_real))


class StackedGANBoth(Stacked):
    """NS-GAN with R1 and R2, γ/2 (E|∇D(x)|² + E|∇D(G(z))|²) at γ = 1."""

    name = "stacked-gan-r1-r2"

    def game(self) -> mm.Game:
        return mm.Game(nonsaturating_generator, both(logistic_critic, on_both))


class StackedRelativisticR1(Stacked):
    """Losses of differences, pairs by their place in the batch, with R1."""

    name = "stacked-rp-r1"

    def game(self) -> mm.Game:
        return mm.Game(relativistic_generator, both(relativistic_critic, on_real))


class StackedRelativisticBoth(Stacked):
    """Losses of differences with R1 and R2: the one of the four that the source keeps."""

    name = "stacked-rp-r1-r2"

    def game(self) -> mm.Game:
        return mm.Game(relativistic_generator, both(relativistic_critic, on_both))


def both(loss: Loss, penalty: Loss) -> Loss:
    """The sum of two losses."""
    return lambda g, d, batch: loss(g, d, batch) + penalty(g, d, batch)


def on_real(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """γ/2 E|∇D(x)|²."""
    return GAMMA / 2 * r1(d, batch["real"])


def on_both(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """γ/2 (E|∇D(x)|² + E|∇D(G(z))|²)."""
    return GAMMA / 2 * (r1(d, batch["real"]) + r2(d, g(batch["noise"])))


def abreast(stacks: Tensor) -> np.ndarray:
    """A picture of stacks, the digits of each side by side."""
    return grid(torch.cat(stacks.split(1, dim=1), dim=3), columns=4)


def place(labels: Tensor, classes: int) -> Tensor:
    """One number for the labels of each stack, (n, stack) to (n,): they are its digits to the base `classes`.

    >>> place(torch.tensor([[0, 7], [4, 2]]), 10)
    tensor([ 7, 42])
    """
    weights = classes ** torch.arange(labels.shape[1] - 1, -1, -1, device=labels.device)
    return (labels * weights).sum(1)
