from __future__ import annotations

from torch import Tensor, nn

from benchmarks.problem import Batch
from benchmarks.problems.gans.gan import GAN


class LSGAN(GAN):
    """Least squares GAN with targets (a, b, c) = (0, 1, 1).

    D minimises E(D(x) - b)²/2 + E(D(G(z)) - a)²/2, G minimises E(D(G(z)) - c)²/2.

    Source: Mao et al., Least Squares Generative Adversarial Networks, 2017.
    """

    name = "lsgan"

    @staticmethod
    def generator_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
        return (d(g(batch["noise"])) - 1).square().mean() / 2

    @staticmethod
    def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
        return ((d(batch["real"]) - 1).square().mean() + d(g(batch["noise"])).square().mean()) / 2
