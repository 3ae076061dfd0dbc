"""The small GAN of the clients that are about something else than their networks."""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

SIZE = 8


def networks(norm: type[nn.Module] = nn.BatchNorm1d) -> tuple[nn.Module, nn.Module]:
    # Adam blows up the rounding of a zero gradient: so no bias before a norm, none that a norm takes away further on
    # (G's last one, or D's first where a LeakyReLU is linear on the whole batch).
    g = nn.Sequential(nn.Linear(3, 8, bias=False), norm(8), nn.ReLU(), nn.Linear(8, 2))
    d = nn.Sequential(nn.Linear(2, 8), nn.Softplus(), nn.Linear(8, 8, bias=False), norm(8), nn.Softplus())
    d.append(nn.Linear(8, 1))
    return g, d


def batch(k: int, size: int = SIZE) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(k)
    return {"real": torch.randn(size, 2, generator=draw) + 2, "noise": torch.randn(size, 3, generator=draw)}


def loss_g(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return softplus(-d(g(batch["noise"]))).mean()


def loss_d(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return softplus(-d(batch["real"])).mean() + softplus(d(g(batch["noise"]))).mean()
