"""The small GAN that the tests of modules play, and what its players make of a step."""

from typing import Any

import torch
from torch import nn
from torch.nn.functional import softplus

import minimax as mm


def net(out: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, out))


def loss_g(g: Any, d: Any, b: Any) -> torch.Tensor:
    return softplus(-d(g(b["noise"]))).mean()


def loss_d(g: Any, d: Any, b: Any) -> torch.Tensor:
    return (softplus(-d(b["real"])) + softplus(d(g(b["noise"])))).mean()


def batch(seed: int) -> dict[str, torch.Tensor]:
    noise, real = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(seed))
    return {"noise": noise, "real": real + 2}


def drawn(optimizer: mm.GameOptimizer, step: int) -> list[Any]:
    return [batch(step * optimizer.draws + k) for k in range(optimizer.draws)]


def flat(*modules: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for module in modules for p in module.parameters()])


GAN = mm.Game(loss_g, loss_d)
SQUARE = mm.Game(lambda net, b: net(b["real"]).square().mean())
PLAIN = mm.SimultaneousGDA(mm.sgd(0.1))
