"""What a decoder says of the pixels of an image: their distribution, its mean, a draw of it, and trivial models."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, one_hot, softplus

from benchmarks.data import Images, sign
from benchmarks.problems._gaussian import LOG_2PI, bernoulli
from benchmarks.quality.reference import bernoulli_mixture_nll, ppca

MOST = 10_000  # images that trivial models are fitted to


class Trivial(NamedTuple):
    """A model that knows no latents: its name, and -E log p(test) in nats."""

    what: str
    nll: float


class Likelihood(ABC):
    """p(x|z) of independent pixels; `told` is what a decoder returns for each z, in whatever form it does."""

    discrete: ClassVar[bool] = True
    """Whether it is a probability, so that bits a pixel mean something."""

    def prepared(self, images: Images) -> Images:
        """The data as the likelihood takes them."""
        return images

    @abstractmethod
    def log(self, told: Any, x: Tensor) -> Tensor:
        """log p(x|z), summed over the pixels, (batch,)."""

    @abstractmethod
    def mean(self, told: Any) -> Tensor:
        """E[x|z] in [-1, 1], as pictures show it."""

    @abstractmethod
    def drawn(self, told: Any, stream: torch.Generator) -> Tensor:
        """Images x ~ p(x|z)."""

    @abstractmethod
    def trivial(self, train: Tensor, test: Tensor, latent: int) -> Iterator[Trivial]:
        """What models say that know nothing, or no network; `latent` numbers are what a linear one may use."""


class Bernoulli(Likelihood):
    """Binary pixels ±1; a decoder tells logits."""

    def prepared(self, images: Images) -> Images:
        return images.binarised()

    def log(self, told: Tensor, x: Tensor) -> Tensor:
        return bernoulli(told, x)

    def mean(self, told: Tensor) -> Tensor:
        return 2 * told.sigmoid() - 1

    def drawn(self, told: Tensor, stream: torch.Generator) -> Tensor:
        return sign(told.sigmoid() - torch.rand(told.shape, generator=stream, device=told.device))

    def trivial(self, train: Tensor, test: Tensor, latent: int) -> Iterator[Trivial]:
        known, asked = (x.gt(0).flatten(1).float() for x in (train[:MOST], test))
        yield Trivial("independent-pixels", bernoulli_mixture_nll(known, asked, 1))
        yield Trivial("40-bernoullis", bernoulli_mixture_nll(known, asked, 40))


class Normal(Likelihood):
    """Grey pixels with normal noise; a decoder tells means and a log variance, of all pixels or of each."""

    discrete = False

    def log(self, told: Scaled, x: Tensor) -> Tensor:
        log_var = told.scale
        return -(LOG_2PI + log_var + (x - told.mean).square() * (-log_var).exp()).flatten(1).sum(1) / 2

    def mean(self, told: Scaled) -> Tensor:
        return told.mean

    def drawn(self, told: Scaled, stream: torch.Generator) -> Tensor:
        noise = torch.randn(told.mean.shape, generator=stream, device=told.mean.device)
        return told.mean + (told.scale / 2).exp() * noise

    def trivial(self, train: Tensor, test: Tensor, latent: int) -> Iterator[Trivial]:
        known, asked = train.flatten(1), test.flatten(1)
        yield Trivial("ppca", ppca(known, latent).nll(asked))
        yield Trivial("ppca-1", ppca(known, 1).nll(asked))


class Logistic(Likelihood):
    """Grey levels as the cells of a logistic density, the outermost ones open; a decoder tells means and log scales.

    With x on a grid of step δ, P(x) = σ((x + δ/2 - m)/s) - σ((x - δ/2 - m)/s).

    Args:
        levels: how many there are, from -1 to 1.

    Source: Kingma et al., Improving Variational Inference with Inverse Autoregressive Flow, 2016; Salimans et al.,
    PixelCNN++, 2017.
    """

    def __init__(self, levels: int) -> None:
        self.levels = levels

    def log(self, told: Scaled, x: Tensor) -> Tensor:
        return self.cells(told, x).flatten(1).sum(1)

    def cells(self, told: Scaled, x: Tensor) -> Tensor:
        """log P(x) of each pixel."""
        half, fine = 1 / (self.levels - 1), (-told.scale).exp()
        above, below = (x + half - told.mean) * fine, (x - half - told.mean) * fine
        # σ(a) - σ(b) = (1 - e^{b - a}) σ(a) σ(-b), which does not cancel where both are near 0 or 1.
        inside = logsigmoid(above) + logsigmoid(-below) + (-(-2 * half * fine).expm1()).log()
        outside = torch.where(x < 0, logsigmoid(above), logsigmoid(-below))
        return torch.where(x.abs() > 1 - half, outside, inside)

    def mean(self, told: Scaled) -> Tensor:
        return told.mean.clamp(-1, 1)

    def drawn(self, told: Scaled, stream: torch.Generator) -> Tensor:
        uniform = torch.rand(told.mean.shape, generator=stream, device=told.mean.device).clamp(1e-6, 1 - 1e-6)
        step = 2 / (self.levels - 1)
        return ((told.mean + told.scale.exp() * uniform.logit()).clamp(-1, 1) / step).round() * step

    def trivial(self, train: Tensor, test: Tensor, latent: int) -> Iterator[Trivial]:
        known, asked = (((x.flatten(1) + 1) * (self.levels - 1) / 2).round().long() for x in (train, test))
        counts = one_hot(known, self.levels).sum(0) + 1.0  # one pseudo-observation of each level
        logs = (counts / counts.sum(1, keepdim=True)).log()
        yield Trivial("independent-pixels", -float(logs.T.gather(0, asked).sum(1).mean()))
        yield Trivial("uniform", known.shape[1] * math.log(self.levels))


class Scaled(NamedTuple):
    """What a decoder tells of grey pixels: means, and the logarithm of a variance or a scale, which broadcasts."""

    mean: Tensor
    scale: Tensor


class ScaledDecoder(nn.Module):
    """A network for the means, and log scales that are parameters, above a floor.

    Args:
        net: codes to images.
        shape: of the scales, such as (1, 8, 8), or (1, 1, 1) for one of all pixels.
        floor: what the log scales stay above, as pixels that never change would send them, and log p, to infinity.
    """

    def __init__(self, net: nn.Module, shape: tuple[int, ...], floor: float) -> None:
        super().__init__()
        self.net, self.floor = net, floor
        self.raw = nn.Parameter(torch.zeros(shape))

    def forward(self, z: Tensor) -> Scaled:
        # Not a clamp, below which there would be no slope.
        return Scaled(self.net(z), self.floor + softplus(self.raw - self.floor))
