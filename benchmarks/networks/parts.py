"""What networks are made of: seeds, normalisations, blocks that halve or double an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")
Norm: TypeAlias = Callable[[int], nn.Module]

BASES = {8: 2, 16: 4, 28: 7, 32: 4, 64: 4}  # image size -> size of the smallest feature map


def seeded(seed: int, build: Callable[[], T]) -> T:
    """Build something with the global CPU generator at `seed` and put that generator back.

    >>> one, two = (seeded(0, lambda: nn.Linear(2, 3)) for _ in range(2))
    >>> torch.equal(one.weight, two.weight)
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every CUDA device too, and not undo it
        return build()


class Copier(nn.Module):
    """A rigged generator: whatever it is given, it hands out the first rows of what it holds, (batch, ...).

    >>> Copier(torch.tensor([1.0, 2.0, 3.0]))(torch.zeros(2, 5))
    tensor([1., 2.])
    """

    def __init__(self, held: Tensor) -> None:
        super().__init__()
        self.held = held

    def forward(self, z: Tensor) -> Tensor:
        return self.held[: len(z)]


class Applied(nn.Module):
    """A rigged network: a function without parameters."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def no_norm(channels: int) -> nn.Module:
    """Return the identity: what a critic under a per-sample gradient penalty wants."""
    return nn.Identity()


def batch_norm(channels: int) -> nn.Module:
    """Batch normalisation by the statistics of the present batch, in training and evaluation alike."""
    return nn.BatchNorm2d(channels, track_running_stats=False)


def instance_norm(channels: int) -> nn.Module:
    """Instance normalisation: every channel of every sample on its own."""
    return nn.GroupNorm(channels, channels)


def dcgan_init(module: nn.Module) -> None:
    """Weights N(0, .02), gains N(1, .02), biases 0 (Radford et al. 2016, section 3); pass it to `Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
        nn.init.normal_(module.weight, 1.0, 0.02)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def doublings(size: int) -> int:
    """Count the factors of two between an image and its smallest feature map.

    >>> [doublings(size) for size in (8, 16, 28, 32, 64)]
    [2, 2, 2, 3, 4]
    """
    if size not in BASES:
        raise ValueError(f"images must be 8, 16, 28, 32 or 64 pixels a side, not {size}")
    return (size // BASES[size]).bit_length() - 1


def down(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    """Halve the sides by a strided convolution, normalise, leaky rectifier with slope .2."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 4, 2, 1), norm(outputs), nn.LeakyReLU(0.2))


def up(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    """Double the sides by a transposed convolution, normalise, rectify."""
    return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1), norm(outputs), nn.ReLU())


def squeeze(logits: Tensor) -> Tensor:
    """Drop the output axis of a one-output critic: (batch, 1) to (batch,), any other (batch, outputs) unchanged."""
    return logits.squeeze(1)
