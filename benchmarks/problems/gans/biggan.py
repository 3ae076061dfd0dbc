from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, one_hot, relu

import minimax as mm
from benchmarks.networks import seeded
from benchmarks.networks.parts import BASES, doublings
from benchmarks.problem import Batch, Metric, Recipe, View
from benchmarks.problems._images import EVALUATION, presets
from benchmarks.problems.conditional._asked import AskedGAN, Judge
from benchmarks.problems.conditional.cgan_projection import ProjectionCritic
from benchmarks.problems.gans.sagan import normalised
from minimax.transforms import add

BETA = 1e-4  # of the orthogonal regularisation
THRESHOLD = 0.5  # beyond which evaluation draws no noise, for the scores that are called truncated
TRUNCATED = ("kid", "precision", "recall")  # and agreement would be: it is near 1 without


class BigGAN(AskedGAN):
    """Hinge losses on residual networks that are told the class: a conditional BatchNorm in G, a projection in D.

    D minimises E [1 - D(x, y)]₊ + E [1 + D(G(z, y), y)]₊, G minimises -E D(G(z, y), y) + β Σ |WWᵀ ⊙ (1 - I)|² over its
    weights as matrices (outputs, inputs), those of the embedding apart: rows are to be orthogonal, of any length.
    Every block of G has a part of z to itself, which sets gains and biases together with the embedded class.

    Samples are scored as they come and truncated, |z| <= .5: nearer to the data, and less of it. The variance of such a
    z is .080589. BatchNorm takes the statistics of those very samples, which is what the source's standing ones are.

    The source's generator has spectral norm, an average and blocks with attention, and is 100 times as wide; its
    critic's norms are estimated by power iteration, and here exact. Its code takes half the gradient of the penalty.

    Source: Brock, Donahue & Simonyan, Large Scale GAN Training for High Fidelity Natural Image Synthesis, 2019.
    """

    name = "biggan"
    presets = presets(1500, width=(4, 24, 48, 96))
    # The source's rates are 5e-5 and 2e-4, with two critic steps.
    recipe: ClassVar[Recipe] = Recipe(
        (mm.adam(1e-3, betas=(0.0, 0.999)), mm.adam(4e-3, betas=(0.0, 0.999))), steps=(1, 2), order=(1, 0)
    )

    def players(self, seed: int) -> tuple[Any, ...]:
        classes, width = self.images.classes, self.option["width"]
        shape = (self.images.channels, self.images.size)

        def build() -> tuple[nn.Module, nn.Module]:
            generator = ClassGenerator(self.option["latent"], classes, *shape, width).apply(orthogonal)
            # Not orthogonal too: where all singular values are one, the norm has no second derivatives.
            return generator, normalised(ProjectionCritic(features(*shape, width), width, classes))

        return tuple(module.to(self.device) for module in seeded(seed, build))

    def game(self) -> mm.Game:
        return add(mm.Game(generator_loss, critic_loss), penalty, player=0, weight=BETA)

    @property
    def metrics(self) -> Sequence[Metric]:
        scored = (metric for metric in self.scored() if metric.name in TRUNCATED)
        return *super().metrics, *(replace(m, name=f"{m.name}_truncated", coverage=False) for m in scored)

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        stream = self.generator(view.seed, EVALUATION)
        y = self.noise(stream, self.samples)[:, -self.images.classes :]
        z = truncated(torch.rand(self.samples, self.option["latent"], generator=stream, device=self.device))
        scores = self.score(view.players[0](torch.cat((z, y), dim=1)))
        return super().evaluate(view) | {f"{name}_truncated": scores[name] for name in TRUNCATED}


def generator_loss(g: nn.Module, d: Judge, batch: Batch) -> Tensor:
    """-E D(G(z, y), y)."""
    noise = batch["noise"]
    return -d(g(noise), noise[:, -d.classes :]).mean()


def critic_loss(g: nn.Module, d: Judge, batch: Batch) -> Tensor:
    """E [1 - D(x, y)]₊ + E [1 + D(G(z, y), y)]₊."""
    noise, known = batch["noise"], one_hot(batch["labels"], d.classes)
    fake = d(g(noise), noise[:, -d.classes :])
    return relu(1 - d(batch["real"], known)).mean() + relu(1 + fake).mean()


def penalty(g: ClassGenerator, d: Judge, batch: Batch) -> Tensor:
    """Σ |WWᵀ ⊙ (1 - I)|² over the generator's weights but for the embedding's."""
    return sum((slant(layer.weight) for layer in weighted(g) if layer is not g.embedding), torch.zeros(()))


def slant(weight: Tensor) -> Tensor:
    """|WWᵀ ⊙ (1 - I)|², W the weight as a matrix (outputs, inputs): 0 where its rows are orthogonal.

    >>> slant(torch.tensor([[1.0, 0.0], [3.0, 4.0]]))
    tensor(18.)
    """
    matrix = weight.flatten(1)
    products = matrix @ matrix.mT
    return (products - products.diagonal().diag()).square().sum()


def truncated(u: Tensor, threshold: float = THRESHOLD) -> Tensor:
    """Normal noise that is below a threshold in size, from uniform u in [0, 1): Φ⁻¹ of what Φ leaves between.

    >>> truncated(torch.tensor([0.0, 0.5, 1.0]))
    tensor([-0.5000,  0.0000,  0.5000])
    """
    normal = torch.distributions.Normal(u.new_zeros(()), u.new_ones(()))
    low = normal.cdf(u.new_tensor(-threshold))
    return normal.icdf(low + (1 - 2 * low) * u)


# ------------------------------------------------------------------------------------------------------------- networks

EMBEDDED = 16  # numbers that a class is told to the generator's blocks by


def weighted(net: nn.Module) -> list[nn.Linear | nn.Conv2d]:
    """The layers with weights."""
    return [layer for layer in net.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]


def orthogonal(layer: nn.Module) -> None:
    """Weights as orthogonal matrices, bias 0; pass it to `Module.apply`."""
    if isinstance(layer, nn.Linear | nn.Conv2d):
        nn.init.orthogonal_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


class ConditionalNorm(nn.Module):
    """BatchNorm by the batch's own statistics with gain 1 + Ac and bias Bc, c what a sample is told, (batch, known).

    Args:
        channels: of what is normalised, (batch, channels, side, side).
        known: how many numbers a sample is told.
    """

    def __init__(self, channels: int, known: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False, track_running_stats=False)
        self.gain, self.bias = (nn.Linear(known, channels, bias=False) for _ in range(2))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, bias = 1 + self.gain(condition), self.bias(condition)
        return self.norm(x) * gain[..., None, None] + bias[..., None, None]


class Doubling(nn.Module):
    """A residual block that doubles the sides, with two norms that are told something."""

    def __init__(self, width: int, known: int) -> None:
        super().__init__()
        self.before, self.between = (ConditionalNorm(width, known) for _ in range(2))
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.short = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        inside = self.first(interpolate(relu(self.before(x, condition)), scale_factor=2.0))
        return self.second(relu(self.between(inside, condition))) + self.short(interpolate(x, scale_factor=2.0))


class ClassGenerator(nn.Module):
    """From noise and a one-hot class side by side, (batch, latent + classes), to (batch, channels, size, size)."""

    def __init__(self, latent: int, classes: int, channels: int, size: int, width: int) -> None:
        super().__init__()
        blocks, self.base, self.classes = doublings(size), BASES[size], classes
        part = latent // (blocks + 1)
        self.parts = [latent - blocks * part, *[part] * blocks]
        self.embedding = nn.Linear(classes, EMBEDDED, bias=False)
        self.start = nn.Linear(self.parts[0], width * self.base**2)
        self.blocks = nn.ModuleList(Doubling(width, EMBEDDED + part) for _ in range(blocks))
        norm = nn.BatchNorm2d(width, track_running_stats=False)
        self.end = nn.Sequential(norm, nn.ReLU(), nn.Conv2d(width, channels, 3, padding=1), nn.Tanh())

    def forward(self, noise: Tensor) -> Tensor:
        first, *rest = noise[:, : -self.classes].split(self.parts, dim=1)
        known = self.embedding(noise[:, -self.classes :])
        x = self.start(first).unflatten(1, (-1, self.base, self.base))
        for block, part in zip(self.blocks, rest, strict=True):
            x = block(x, torch.cat((known, part), dim=1))
        images: Tensor = self.end(x)
        return images


class Halving(nn.Module):
    """A residual block that halves the sides."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(inputs, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.short = nn.Conv2d(inputs, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool2d(self.second(relu(self.first(relu(x)))) + self.short(x), 2)


class Sum(nn.Module):
    """The sum over positions of what is positive, (batch, width, side, side) to (batch, width)."""

    def forward(self, x: Tensor) -> Tensor:
        return relu(x).sum((2, 3))


def features(channels: int, size: int, width: int) -> nn.Sequential:
    """Residual blocks from images to (batch, width)."""
    blocks = [Halving(channels if k == 0 else width, width) for k in range(doublings(size))]
    return nn.Sequential(*blocks, Sum())
