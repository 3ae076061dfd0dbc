from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

import minimax as mm
from benchmarks.networks import Critic, Generator
from benchmarks.problem import Recipe
from benchmarks.problems._images import ImageGAN, presets
from benchmarks.problems._losses import hinge_critic, wasserstein_generator


class SAGAN(ImageGAN):
    """Hinge losses, strided convolutions, and in both players a block in which every position attends to all others.

    D minimises E [1 - D(x)]₊ + E [1 + D(G(z))]₊, G minimises -E D(G(z)). The critic's kernels are divided by the norm
    of their matrix, which is not that of the convolution. The norm is exact, as the matrices are small; the source
    estimates it by power iteration, and in the generator too, which here has BatchNorm alone.

    Source: Zhang et al., Self-Attention Generative Adversarial Networks, 2019.
    """

    name = "sagan"
    networks = (
        lambda latent, *shape: attentive(Generator(latent, *shape)),
        lambda *shape: normalised(attentive(Critic(*shape))),
    )
    logistic = False
    presets = presets(300, width=(4, 16, 32, 64))
    # The source's rates are 1e-4 and 4e-4.
    recipe: ClassVar[Recipe] = Recipe((mm.adam(1e-3, betas=(0.0, 0.9)), mm.adam(4e-3, betas=(0.0, 0.9))), ema=50)

    def game(self) -> mm.Game:
        return mm.Game(wasserstein_generator, hinge_critic)


class Attention(nn.Module):
    """y = x + γ o(Σ_j softmax_j(f(x_i)·g(x_j)) h(x_j)) over positions, γ = 0 at first; (batch, width, side, side).

    f, g, h and o are 1 x 1 convolutions, the first two to an eighth of the width, h to half.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow, half = max(1, width // 8), max(1, width // 2)
        self.query, self.key = (nn.Conv2d(width, narrow, 1, bias=False) for _ in range(2))
        self.value, self.output = nn.Conv2d(width, half, 1, bias=False), nn.Conv2d(half, width, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        weights = (query.mT @ key).softmax(-1)  # (batch, position, position attended to)
        seen = (value @ weights.mT).unflatten(2, x.shape[2:])
        return x + self.gamma * self.output(seen)


def attentive(net: Generator | Critic) -> nn.Module:
    """The network with attention after its first block, where a critic's map is largest and a generator's smallest."""
    blocks = net.net if isinstance(net, Generator) else net.trunk
    layers = list(blocks[0].children())
    assert isinstance(layers[0], nn.Conv2d | nn.ConvTranspose2d)
    blocks[0] = nn.Sequential(*layers, Attention(layers[0].out_channels))
    return net


class UnitNorm(nn.Module):
    """W/|W|, W a layer's weight as a matrix (outputs, inputs) and |W| its largest singular value, from WWᵀ or WᵀW."""

    def forward(self, weight: Tensor) -> Tensor:
        matrix = weight.flatten(1)
        # The smaller of the two products, as zeros that repeat among the eigenvalues have no second derivatives.
        products = matrix @ matrix.mT if len(matrix) <= matrix.shape[1] else matrix.mT @ matrix
        finite = products.nan_to_num(0.0, 0.0, 0.0)  # eigvalsh would raise where a run has diverged
        return weight / torch.linalg.eigvalsh(finite)[-1].sqrt()


def normalised(net: nn.Module) -> nn.Module:
    """The network with the matrices of its linear layers and convolutions divided by their norms."""
    for layer in list(net.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            register_parametrization(layer, "weight", UnitNorm())
    return net
