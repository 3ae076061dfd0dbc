from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm
from benchmarks.networks import squeeze
from benchmarks.problem import Batch, Memory, Recipe
from benchmarks.problems._images import ImageGAN, presets
from benchmarks.problems._losses import relativistic_generator
from minimax.penalties import r1, r2
from minimax.schedules import cosine

BURN_IN = 180  # steps on which rates, β₂ and γ fall or rise on half a cosine, to stay there
RATE, BETA, GAMMA = (5e-3, 1.25e-3), (0.9, 0.99), (0.5, 0.05)


class R3GAN(ImageGAN):
    """The relativistic pairing GAN with R1 and R2, on residual networks without normalisation, the critic first.

    D minimises E softplus(D(G(z)) - D(x)) + γ/2 (E|∇D(x)|² + E|∇D(G(z))|²) and G minimises E softplus(D(x) - D(G(z))),
    pairs by their place in the batch. D + c has the losses of D, so the critic ends without a bias. Over the first
    steps the rate falls to a quarter, β₂ rises from .9 to .99, and γ, which comes in the batch, falls to a tenth.

    Two of the source's five schedules are not here: the half-life of the generator's average is constant, and nothing
    is augmented. Nor does a move draw samples of its own, unless the optimizer asks for fresh ones.

    Source: Huang, Gokaslan, Kuleshov & Tompkin, The GAN is dead; long live the GAN!, 2024.
    """

    name = "r3gan"
    networks = (lambda *sizes: ResidualGenerator(*sizes), lambda *sizes: ResidualCritic(*sizes))
    presets = presets(180, width=(4, 16, 32, 96))
    # The source's rates are 2e-4 to 5e-5; its γ falls tenfold too, from a value for each data set.
    recipe: ClassVar[Recipe] = Recipe(
        mm.adam(cosine(*RATE, BURN_IN), betas=(0.0, cosine(*BETA, BURN_IN))), order=(1, 0), ema=50
    )

    def game(self) -> mm.Game:
        return mm.Game(relativistic_generator, critic_loss)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        gamma = cosine(*GAMMA, BURN_IN)(torch.tensor(draw))
        return {**super().batch(seed, draw, memory), "gamma": gamma.to(self.device, torch.get_default_dtype())}


def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(D(G(z)) - D(x)) + γ/2 (E|∇D(x)|² + E|∇D(G(z))|²)."""
    real, fake = batch["real"], g(batch["noise"])
    return softplus(d(fake) - d(real)).mean() + batch["gamma"] / 2 * (r1(d, real) + r2(d, fake))


# ------------------------------------------------------------------------------------------------------------- networks

BLOCKS, GROUP = 1, 8  # residual blocks of a stage, and the channels of a group
GAIN = math.sqrt(2 / (1 + 0.2**2))  # of a leaky rectifier with slope .2, so √(2/1.04)


class Residual(nn.Module):
    """x + f(x), f a 1 x 1, a grouped 3 x 3 and a 1 x 1 convolution, the last one 0 at first.

    Args:
        width: the channels.
        blocks: V, how many blocks the network has: the first two kernels start with gain √(2/1.04) V^(-1/4).
    """

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        first, last = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(2 * width, width, 1, bias=False)
        middle = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=max(1, 2 * width // GROUP), bias=False)
        for layer in (first, middle):
            scaled(layer, GAIN * blocks**-0.25)
        nn.init.zeros_(last.weight)
        self.net = nn.Sequential(first, nn.LeakyReLU(0.2), middle, nn.LeakyReLU(0.2), last)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.net(x)


def scaled(layer: nn.Conv2d | nn.Linear, gain: float) -> None:
    """Weights N(0, gain²/inputs), bias 0."""
    inputs = layer.weight[0].numel()
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(inputs))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class ResidualGenerator(nn.Sequential):
    """From (batch, latent) to (batch, channels, size, size): a quarter of the size, then twice as large twice."""

    def __init__(self, latent: int, channels: int, size: int, width: int) -> None:
        base = size // 4
        start, last = nn.Linear(latent, width * base**2, bias=False), nn.Conv2d(width, channels, 1)
        for layer in (start, last):
            scaled(layer, 1.0)
        stages = [stage(width), doubled(), stage(width), doubled(), stage(width)]
        super().__init__(start, nn.Unflatten(1, (width, base, base)), *stages, last)


class ResidualCritic(nn.Sequential):
    """From (batch, channels, size, size) to logits (batch,), the generator's mirror image."""

    def __init__(self, channels: int, size: int, width: int) -> None:
        first, last = nn.Conv2d(channels, width, 1), nn.Linear(width * (size // 4) ** 2, 1, bias=False)
        for layer in (first, last):
            scaled(layer, 1.0)
        stages = [stage(width), nn.AvgPool2d(2), stage(width), nn.AvgPool2d(2), stage(width)]
        super().__init__(first, *stages, nn.Flatten(), last)

    def forward(self, x: Tensor) -> Tensor:
        return squeeze(super().forward(x))


def stage(width: int) -> nn.Sequential:
    """Residual blocks of one resolution, of which a network has three."""
    return nn.Sequential(*(Residual(width, 3 * BLOCKS) for _ in range(BLOCKS)))


def doubled() -> nn.Module:
    """Twice the sides, bilinear."""
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
