from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

import minimax as mm
from benchmarks.networks import MLPCritic, NormedGenerator, seeded
from benchmarks.problem import Batch
from benchmarks.problems.conditional._asked import AskedGAN


class ACGAN(AskedGAN):
    """Auxiliary classifier GAN: the critic's network also tells classes, C(y|x), and both players want it to be right.

    With L_S = E log σ(D(x)) + E log(1 - σ(D(G(z, y)))) and L_C = E log C(y|x) + E log C(y|G(z, y)), the critic
    maximises L_S + L_C and G L_C - L_S, here with L_S in its non-saturating form. It is exact where classes do not
    overlap: what two classes share costs G, which leaves it for where the class is clear. Agreement rewards that bias.

    Source: Odena, Olah & Shlens, Conditional Image Synthesis with Auxiliary Classifier GANs, 2017.
    """

    name = "acgan"
    targets: ClassVar[Mapping[str, float]] = {"agreement": 0.95}

    def players(self, seed: int) -> tuple[Any, ...]:
        classes, shape = self.images.classes, (self.images.channels, self.images.size, self.option["width"])
        inputs = self.option["latent"] + classes
        built = seeded(seed, lambda: (NormedGenerator(inputs, *shape), MLPCritic(*shape, outputs=1 + classes)))
        return tuple(module.to(self.device) for module in built)

    def game(self) -> mm.Game:
        return mm.Game(generator_loss, critic_loss)


def judged(d: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The critic's logits of the source (batch,) and of the class (batch, classes)."""
    out = d(x)
    return out[:, 0], out[:, 1:]


def asked(noise: Tensor, classes: int) -> Tensor:
    """The classes that are asked for, (batch,)."""
    return noise[:, -classes:].argmax(1)


def generator_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(-D(G(z, y))) - E log C(y|G(z, y))."""
    source, told = judged(d, g(batch["noise"]))
    return softplus(-source).mean() + cross_entropy(told, asked(batch["noise"], told.shape[1]))


def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """-L_S - L_C."""
    (real, known), (fake, told) = judged(d, batch["real"]), judged(d, g(batch["noise"]))
    right = cross_entropy(known, batch["labels"]) + cross_entropy(told, asked(batch["noise"], told.shape[1]))
    return softplus(-real).mean() + softplus(fake).mean() + right
