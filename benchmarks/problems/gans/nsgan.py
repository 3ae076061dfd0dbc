from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import softplus

from benchmarks.problem import Batch
from benchmarks.problems.gans.gan import GAN


class NSGAN(GAN):
    """GAN with the non-saturating generator loss: G minimises E softplus(-D(G(z))), D as in the minimax GAN.

    Source: Goodfellow et al., Generative Adversarial Nets, 2014, section 3.
    """

    name = "nsgan"

    @staticmethod
    def generator_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
        return softplus(-d(g(batch["noise"]))).mean()
