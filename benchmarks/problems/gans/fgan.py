from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

import minimax as mm
from benchmarks.problem import Batch, Recipe
from benchmarks.problems._images import ImageGAN, presets


@dataclass(frozen=True)
class Divergence:
    """Σ q f(p/q) = max over T of E_p T - E_q f*(T), with T = activation(v) for a network's output v.

    Args:
        activation: T of v, such that T lies where f* is finite.
        conjugate: f*(activation(v)) of v, in a form that does not overflow earlier than it must.
    """

    activation: Callable[[Tensor], Tensor]
    conjugate: Callable[[Tensor], Tensor]

    def critic_loss(self, g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
        """E f*(T(G(z))) - E T(x), whose least value is minus the divergence."""
        return self.conjugate(d(g(batch["noise"]))).mean() - self.activation(d(batch["real"])).mean()

    def generator_loss(self, g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
        """-E T(G(z))."""
        return -self.activation(d(g(batch["noise"]))).mean()


class FGAN(ImageGAN):
    """A divergence as a game. D minimises E f*(T(G(z))) - E T(x), and G minimises -E T(G(z)), which does not saturate.

    Source: Nowozin, Cseke & Tomioka, f-GAN, 2016, table 6 and section 3.2.
    """

    divergence: ClassVar[Divergence]
    logistic = False
    presets = presets(1000)
    # The source's rate is 1e-4.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)), ema=50)

    def game(self) -> mm.Game:
        return mm.Game(self.divergence.generator_loss, self.divergence.critic_loss)


KL = Divergence(lambda v: v, lambda v: (v - 1).exp())
REVERSE_KL = Divergence(lambda v: -(-v).exp(), lambda v: v - 1)
PEARSON = Divergence(lambda v: v, lambda v: v.square() / 4 + v)
HELLINGER = Divergence(lambda v: 1 - (-v).exp(), lambda v: v.exp() - 1)
JENSEN_SHANNON = Divergence(lambda v: math.log(2) + logsigmoid(v), lambda v: softplus(v) - math.log(2))
GAN = Divergence(logsigmoid, softplus)


class KLGAN(FGAN):
    """f-GAN of KL(p ‖ q): f = u log u, T = v, f* = e^(T - 1), at best T = 1 + log(p/q)."""

    name, divergence = "fgan-kl", KL


class ReverseKLGAN(FGAN):
    """f-GAN of KL(q ‖ p): f = -log u, T = -e^(-v), f* = -1 - log(-T), at best T = -q/p."""

    name, divergence = "fgan-reverse-kl", REVERSE_KL


class PearsonGAN(FGAN):
    """f-GAN of Pearson's χ²: f = (u - 1)², T = v, f* = T²/4 + T, at best T = 2(p/q - 1)."""

    name, divergence = "fgan-pearson", PEARSON


class HellingerGAN(FGAN):
    """f-GAN of the squared Hellinger distance: f = (√u - 1)², T = 1 - e^(-v), f* = T/(1 - T), best T = 1 - √(q/p)."""

    name, divergence = "fgan-hellinger", HELLINGER


class JensenShannonGAN(FGAN):
    """f-GAN of 2 JSD: T = log 2 - log(1 + e^(-v)), f* = -log(2 - e^T), at best T = log(2p/(p + q))."""

    name, divergence = "fgan-js", JENSEN_SHANNON


class OriginalGAN(FGAN):
    """f-GAN of 2 JSD - log 4: T = -log(1 + e^(-v)), f* = -log(1 - e^T), at best T = log(p/(p + q)): it is NS-GAN."""

    name, divergence = "fgan-gan", GAN
