from __future__ import annotations

from typing import ClassVar

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import minimax as mm
from benchmarks.networks import MLPCritic, NormedGenerator
from benchmarks.problem import Recipe
from benchmarks.problems._images import ImageGAN, presets
from benchmarks.problems._losses import hinge_critic, wasserstein_generator

ITERATIONS = 5  # with the source's one, gradients are a thousandth off, as they take the vectors for constants


class SNGAN(ImageGAN):
    """Hinge losses and a critic whose every weight matrix is divided by its spectral norm.

    D minimises E [1 - D(x)]₊ + E [1 + D(G(z))]₊, G minimises -E D(G(z)). The layers are linear, so that the norm of the
    matrix is that of the layer; of a convolution it would not be. It is estimated from below by five power iterations a
    forward pass, one in the source, whose vectors are buffers of the critic and constants to its gradient.

    Source: Miyato et al., Spectral Normalization for Generative Adversarial Networks, 2018; on convolutions there.
    """

    name = "sngan"
    networks = (NormedGenerator, lambda *shape: normalised(MLPCritic(*shape)))
    logistic = False
    presets = presets(1000)
    # The source's rate is 2e-4 with betas (0, .9), and five critic steps.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.0, 0.9)), ema=50)

    def game(self) -> mm.Game:
        return mm.Game(wasserstein_generator, hinge_critic)


def normalised(net: nn.Module) -> nn.Module:
    """The network with spectral norm on the matrix of every linear layer and convolution."""
    for layer in list(net.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            spectral_norm(layer, n_power_iterations=ITERATIONS)
    return net
