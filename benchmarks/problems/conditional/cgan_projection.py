from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

import minimax as mm
from benchmarks.networks import MLP, NormedGenerator, seeded, squeeze
from benchmarks.problems.conditional._asked import AskedGAN, Judge, critic_loss, generator_loss


class ProjectionGAN(AskedGAN):
    """Conditional NS-GAN whose critic projects its features on the class: D(x, y) = ψ(φ(x)) + ⟨v_y, φ(x)⟩.

    G minimises E softplus(-D(G(z, y), y)), D minimises E softplus(-D(x, y)) + E softplus(D(G(z, y), y)), as in cGAN.
    Log p(y|x)/q(y|x) + log p(x)/q(x) has the form of D where both posteriors are softmax of linear maps of φ.

    Source: Miyato & Koyama, cGANs with Projection Discriminator, 2018; there with hinge losses and spectral norm.
    """

    name = "cgan-projection"
    targets: ClassVar[Mapping[str, float]] = {"agreement": 0.95}

    def players(self, seed: int) -> tuple[Any, ...]:
        classes, width = self.images.classes, self.option["width"]
        shape, inputs = (self.images.channels, self.images.size), self.option["latent"] + classes

        def build() -> tuple[nn.Module, nn.Module]:
            sizes = (shape[0] * shape[1] ** 2, width, width)
            features = nn.Sequential(nn.Flatten(), MLP(sizes, lambda: nn.LeakyReLU(0.2)), nn.LeakyReLU(0.2))
            return NormedGenerator(inputs, *shape, width), ProjectionCritic(features, width, classes)

        return tuple(module.to(self.device) for module in seeded(seed, build))

    def game(self) -> mm.Game:
        return mm.Game(generator_loss, critic_loss)


class ProjectionCritic(Judge):
    """ψ(φ(x)) + ⟨v_y, φ(x)⟩, ψ affine; `features` is φ, images to (batch, width)."""

    def __init__(self, features: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.classes, self.features = classes, features
        self.head, self.embedding = nn.Linear(width, 1), nn.Linear(classes, width, bias=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        features = self.features(x)
        return squeeze(self.head(features)) + (self.embedding(y.to(features)) * features).sum(1)
