from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm
from benchmarks.networks import squeeze
from benchmarks.problem import Batch, Memory, Recipe
from benchmarks.problems._images import ImageGAN, presets
from benchmarks.problems.gans import _augment as augment
from minimax.penalties import r1, r2
from minimax.schedules import cosine

BURN_IN = 180  # steps on which all that follows goes from one value to the other on half a cosine, to stay there
RATE, BETA, GAMMA, HALF_LIFE, AUGMENTED = (5e-3, 1.25e-3), (0.9, 0.99), (0.5, 0.05), (0.0, 50.0), (0.0, 0.3)


class R3GAN(ImageGAN):
    """The relativistic pairing GAN with R1 and R2, on residual networks without normalisation, the critic first.

    D minimises E softplus(D(Tx̂) - D(Tx)) + γ/2 (E|∇D(Tx)|² + E|∇D(Tx̂)|²) and G minimises E softplus(D(Tx) - D(Tx̂)),
    x̂ = G(z), pairs by their place in the batch. D + c has the losses of D, so the critic ends without a bias.
    T changes an image, the slopes are those by the image before, and each of x and x̂ has a T of its own.

    Five schedules: the rate falls to a quarter, β₂ rises from .9 to .99, γ, which comes in the batch, falls to a tenth,
    the half-life of the players' average rises from 0, and so does the share of images that T changes, to .3.

    T shifts, zooms and brightens, each kind for that share of the images. The source turns, mirrors, stretches and cuts
    out too, which makes other digits of digits, changes colours, and reads pixels by longer filters. The other
    difference: a move draws no samples of its own, unless the optimizer asks for fresh ones.

    Source: Huang, Gokaslan, Kuleshov & Tompkin, The GAN is dead; long live the GAN!, 2024; T after Karras et al.,
    Training Generative Adversarial Networks with Limited Data, 2020.
    """

    name = "r3gan"
    version = 3
    networks = (lambda *sizes: ResidualGenerator(*sizes), lambda *sizes: ResidualCritic(*sizes))
    presets = presets(180, width=(4, 16, 32, 96))
    # The source's rates are 2e-4 to 5e-5; its γ falls tenfold too, from a value for each data set. On CIFAR-10 its
    # half-life ends at a fortieth of the burn-in, and .3 of the images are augmented.
    recipe: ClassVar[Recipe] = Recipe(
        mm.adam(cosine(*RATE, BURN_IN), betas=(0.0, cosine(*BETA, BURN_IN))),
        order=(1, 0),
        ema=cosine(*HALF_LIFE, BURN_IN),
    )

    def game(self) -> mm.Game:
        return mm.Game(generator_loss, critic_loss)

    def extras(self, stream: torch.Generator, size: int) -> dict[str, Any]:
        return {"draws": [augment.draw(stream, size) for _ in range(2)]}

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        batch = super().batch(seed, draw, memory)
        gamma, share = (cosine(*ends, BURN_IN)(torch.tensor(draw)) for ends in (GAMMA, AUGMENTED))
        changes = [augment.chosen(drawn, share.to(self.device)) for drawn in batch.pop("draws")]
        return {**batch, "changes": changes, "gamma": gamma.to(self.device, torch.get_default_dtype())}


def generator_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(D(Tx) - D(TG(z)))."""
    on_real, on_fake = critics(d, batch)
    return softplus(on_real(batch["real"]) - on_fake(g(batch["noise"]))).mean()


def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(D(TG(z)) - D(Tx)) + γ/2 (E|∇D(Tx)|² + E|∇D(TG(z))|²)."""
    on_real, on_fake = critics(d, batch)
    real, fake = batch["real"], g(batch["noise"])
    relativistic = softplus(on_fake(fake) - on_real(real)).mean()
    return relativistic + batch["gamma"] / 2 * (r1(on_real, real) + r2(on_fake, fake))


def critics(d: nn.Module, batch: Batch) -> tuple[Callable[[Tensor], Tensor], ...]:
    """D(T·) of the real images and of the fake ones."""
    return tuple(lambda images, change=change: d(augment.augmented(images, change)) for change in batch["changes"])


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
