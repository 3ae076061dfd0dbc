"""Small networks for the problems: no running statistics, any device and dtype, fit for torch.func, vmap and compile.

Images are ``B x C x size x size`` in [-1, 1] with size 8, 16, 28, 32 or 64. A critic returns logits, no probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")
Norm = Callable[[int], nn.Module]

BASES = {8: 2, 16: 4, 28: 7, 32: 4, 64: 4}  # image size -> size of the smallest feature map


def seeded(seed: int, build: Callable[[], T]) -> T:
    """Build something with the global CPU generator at ``seed`` and put that generator back.

    >>> net = seeded(0, lambda: MLP((2, 3)))
    >>> torch.equal(net[0].weight, seeded(0, lambda: MLP((2, 3)))[0].weight)
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every CUDA device too, and not undo it
        return build()


# --- parts ----------------------------------------------------------------------------------------------------------


def no_norm(channels: int) -> nn.Module:
    """Return the identity: what a critic under a per-sample gradient penalty wants."""
    return nn.Identity()


def batch_norm(channels: int) -> nn.Module:
    """Batch normalisation by the statistics of the present batch, in training and evaluation alike."""
    return nn.BatchNorm2d(channels, track_running_stats=False)


def group_norm(channels: int) -> nn.Module:
    """Group normalisation with up to 8 groups: per sample, so a penalty on one sample stays on that sample."""
    return nn.GroupNorm(next(k for k in (8, 4, 2, 1) if channels % k == 0), channels)


def instance_norm(channels: int) -> nn.Module:
    """Instance normalisation: every channel of every sample on its own."""
    return nn.GroupNorm(channels, channels)


def dcgan_init(module: nn.Module) -> None:
    """Weights N(0, .02), gains N(1, .02), biases 0 (Radford et al. 2016, section 3); pass it to ``Module.apply``."""
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


def planes(images: Tensor, onehot: Tensor) -> Tensor:
    """Append a class as constant planes, ``B x C x H x W`` and ``B x K`` to ``B x (C + K) x H x W``."""
    maps = onehot.to(images.dtype)[:, :, None, None].expand(-1, -1, *images.shape[2:])
    return torch.cat((images, maps), dim=1)


class MLP(nn.Sequential):
    """Linear layers of the given sizes with an activation in between: ``B x sizes[0]`` to ``B x sizes[-1]``.

    >>> MLP((2, 128, 128, 1), nn.Tanh)(torch.zeros(5, 2)).shape
    torch.Size([5, 1])
    """

    def __init__(self, sizes: Sequence[int], activation: Callable[[], nn.Module] = nn.ReLU) -> None:
        layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), activation())]
        super().__init__(*layers[:-1])


class Trunk(nn.Sequential):
    """Strided convolutions with doubling widths: ``B x C x size x size`` to ``B x features``."""

    def __init__(self, channels: int, size: int, width: int, norm: Norm = no_norm) -> None:
        widths = [width * 2**k for k in range(doublings(size))]
        first = nn.Sequential(nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2))  # DCGAN: no norm at the input
        rest = [down(a, b, norm) for a, b in pairwise(widths)]
        super().__init__(first, *rest, nn.Flatten())
        self.features = widths[-1] * BASES[size] ** 2


# --- generators and critics -----------------------------------------------------------------------------------------


class Generator(nn.Module):
    """DCGAN generator, ``B x latent`` to ``B x C x size x size`` (Radford et al. 2016); also a decoder.

    ``output`` ends it: ``nn.Tanh`` for images, ``nn.Identity`` for a decoder's logits or means.
    """

    def __init__(
        self,
        latent: int,
        channels: int,
        size: int,
        width: int = 32,
        norm: Norm = batch_norm,
        output: Callable[[], nn.Module] = nn.Tanh,
    ) -> None:
        super().__init__()
        widths = [width * 2**k for k in reversed(range(doublings(size)))]
        first = nn.Sequential(nn.ConvTranspose2d(latent, widths[0], BASES[size]), norm(widths[0]), nn.ReLU())
        rest = [up(a, b, norm) for a, b in pairwise(widths)]
        last = nn.ConvTranspose2d(width, channels, 4, 2, 1)
        self.net = nn.Sequential(first, *rest, last, output()).apply(dcgan_init)

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z[:, :, None, None])


class Critic(nn.Module):
    """DCGAN critic, ``B x C x size x size`` to logits ``B``, or to ``B x outputs`` where there are several."""

    def __init__(self, channels: int, size: int, width: int = 32, norm: Norm = no_norm, outputs: int = 1) -> None:
        super().__init__()
        self.trunk = Trunk(channels, size, width, norm)
        self.head = nn.Linear(self.trunk.features, outputs)
        self.apply(dcgan_init)

    def forward(self, x: Tensor) -> Tensor:
        return squeeze(self.head(self.trunk(x)))


class FeatureCritic(nn.Module):
    """Critic that shows its features, for feature matching: images to (logits ``B x outputs``, features ``B x F``)."""

    def __init__(self, channels: int, size: int, width: int = 32, norm: Norm = no_norm, outputs: int = 1) -> None:
        super().__init__()
        self.trunk = Trunk(channels, size, width, norm)
        self.head = nn.Linear(self.trunk.features, outputs)
        self.apply(dcgan_init)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(x)
        return squeeze(self.head(features)), features


class InfoCritic(nn.Module):
    """Critic D and code network Q on one trunk: images to (logits ``B``, code parameters ``B x codes``).

    Chen et al. 2016, appendix C. AC-GAN's critic is the same with Q as the classifier.
    """

    def __init__(
        self, channels: int, size: int, width: int = 32, codes: int = 10, norm: Norm = no_norm, hidden: int = 128
    ) -> None:
        super().__init__()
        self.trunk = Trunk(channels, size, width, norm)
        self.head = nn.Linear(self.trunk.features, 1)
        self.code = MLP((self.trunk.features, hidden, codes), lambda: nn.LeakyReLU(0.2))
        self.apply(dcgan_init)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(x)
        return self.head(features).squeeze(1), self.code(features)


class MLPGenerator(nn.Module):
    """Two hidden layers, ``B x latent`` to ``B x C x size x size``: the small partner of ``Generator``."""

    def __init__(
        self, latent: int, channels: int, size: int, width: int = 128, output: Callable[[], nn.Module] = nn.Tanh
    ) -> None:
        super().__init__()
        self.net = nn.Sequential(MLP((latent, width, width, channels * size**2)), output())
        self.shape = (channels, size, size)

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z).unflatten(1, self.shape)


class MLPCritic(nn.Module):
    """Two hidden layers with slope .2, ``B x C x size x size`` to logits ``B`` (or ``B x outputs``)."""

    def __init__(self, channels: int, size: int, width: int = 128, outputs: int = 1) -> None:
        super().__init__()
        self.net = MLP((channels * size**2, width, width, outputs), lambda: nn.LeakyReLU(0.2))

    def forward(self, x: Tensor) -> Tensor:
        return squeeze(self.net(x.flatten(1)))


def squeeze(logits: Tensor) -> Tensor:
    """Drop the output axis of a one-output critic: ``B x 1`` to ``B``, any other ``B x K`` unchanged."""
    return logits.squeeze(1)


# --- encoders -------------------------------------------------------------------------------------------------------


class Encoder(nn.Module):
    """Gaussian encoder q(z|x), images to (mean, log variance), each ``B x latent`` (Kingma and Welling 2014)."""

    def __init__(self, channels: int, size: int, width: int = 32, latent: int = 8, norm: Norm = no_norm) -> None:
        super().__init__()
        trunk = Trunk(channels, size, width, norm)
        self.net = nn.Sequential(trunk, nn.Linear(trunk.features, 2 * latent))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.net(x).chunk(2, dim=1)
        return mean, log_var


class MLPEncoder(nn.Module):
    """Gaussian encoder with two hidden layers, images to (mean, log variance), each ``B x latent``."""

    def __init__(self, channels: int, size: int, width: int = 128, latent: int = 8) -> None:
        super().__init__()
        self.net = MLP((channels * size**2, width, width, 2 * latent))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.net(x.flatten(1)).chunk(2, dim=1)
        return mean, log_var


class Autoencoder(nn.Module):
    """Critic that reconstructs, for EBGAN and BEGAN: images to (reconstruction, code ``B x code``)."""

    def __init__(self, channels: int, size: int, width: int = 32, code: int = 32, norm: Norm = no_norm) -> None:
        super().__init__()
        trunk = Trunk(channels, size, width, norm)
        self.encoder = nn.Sequential(trunk, nn.Linear(trunk.features, code))
        self.decoder = Generator(code, channels, size, width, norm)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encoder(x)
        return self.decoder(code), code


# --- image to image -------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    """x + f(x) with two 3 x 3 convolutions, the shape unchanged (He et al. 2016)."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        one, two = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.net = nn.Sequential(one, norm(width), nn.ReLU(), two, norm(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.net(x)


class Translator(nn.Module):
    """CycleGAN's generator: down, residual blocks, up; ``B x inputs x H x W`` to ``B x outputs x H x W``.

    The sides must be multiples of 2 ** ``downs`` (Zhu et al. 2017, appendix 7.2).
    """

    def __init__(
        self, inputs: int, outputs: int, width: int = 16, blocks: int = 2, downs: int = 1, norm: Norm = instance_norm
    ) -> None:
        super().__init__()
        widths = [width * 2**k for k in range(downs + 1)]
        pairs = list(pairwise(widths))
        self.net = nn.Sequential(
            nn.Sequential(nn.Conv2d(inputs, width, 3, padding=1), norm(width), nn.ReLU()),
            *(down(a, b, norm) for a, b in pairs),
            *(Residual(widths[-1], norm) for _ in range(blocks)),
            *(up(b, a, norm) for a, b in reversed(pairs)),
            nn.Sequential(nn.Conv2d(width, outputs, 3, padding=1), nn.Tanh()),
        ).apply(dcgan_init)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class UNet(nn.Module):
    """pix2pix's generator: ``downs`` levels, each with a skip to its mirror (Isola et al. 2017); same shapes."""

    def __init__(self, inputs: int, outputs: int, width: int = 16, downs: int = 2, norm: Norm = group_norm) -> None:
        super().__init__()
        widths = [width * 2**k for k in range(downs + 1)]
        pairs = list(pairwise(widths))
        self.stem = nn.Sequential(nn.Conv2d(inputs, width, 3, padding=1), nn.LeakyReLU(0.2))
        self.downs = nn.ModuleList(down(a, b, norm) for a, b in pairs)
        self.ups = nn.ModuleList(up(b, a, norm) for a, b in reversed(pairs))
        self.merges = nn.ModuleList(nn.Conv2d(2 * a, a, 3, padding=1) for a, _ in reversed(pairs))
        self.head = nn.Conv2d(width, outputs, 3, padding=1)
        self.apply(dcgan_init)

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.stem(x)]
        for layer in self.downs:
            levels.append(layer(levels[-1]))
        y = levels.pop()
        for layer, merge in zip(self.ups, self.merges, strict=True):
            y = merge(torch.cat((layer(y), levels.pop()), dim=1)).relu()
        return self.head(y).tanh()


class PatchCritic(nn.Module):
    """Critic of patches, ``B x C x H x W`` to logits ``B x 1 x H / 2^downs x W / 2^downs`` (Isola et al. 2017)."""

    def __init__(self, channels: int, width: int = 16, downs: int = 2, norm: Norm = instance_norm) -> None:
        super().__init__()
        widths = [width * 2**k for k in range(downs)]
        first = nn.Sequential(nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2))
        rest = [down(a, b, norm) for a, b in pairwise(widths)]
        last = nn.Conv2d(widths[-1], 1, 3, padding=1)
        self.net = nn.Sequential(first, *rest, last).apply(dcgan_init)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)
