"""What a decoder says of the pixels of an image: their distribution, its mean, a draw of it, and trivial models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from benchmarks.data import Images, sign
from benchmarks.problems._gaussian import bernoulli
from benchmarks.quality.reference import bernoulli_mixture_nll

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
