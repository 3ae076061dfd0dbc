"""SN-GAN (Miyato et al., 2018): the hinge loss with a spectrally normalised critic, whose power iteration is a buffer.

Every pass in training mode takes one step of it, as in torch: each of the critic's passes sees other weights.
"""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import relu
from torch.nn.utils import parametrizations

import minimax as mm

STEPS = 24


def by_hook(layer: nn.Module) -> nn.Module:
    """The older spectral norm, which sets the weight in a hook before every pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.spectral_norm(layer)


WAYS = {"parametrization": parametrizations.spectral_norm, "hook": by_hook}


def networks(norm: Callable[[nn.Module], nn.Module]) -> tuple[nn.Module, nn.Module]:
    g = nn.Sequential(nn.Linear(3, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    # No last bias: while all hinges are open, real and fake cancel in its gradient.
    d = nn.Sequential(norm(nn.Linear(2, 8)), nn.LeakyReLU(0.1), norm(nn.Linear(8, 1, bias=False)))
    return g, d


def batch(k: int) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(k)
    return {"real": torch.randn(8, 2, generator=draw) + 2, "noise": torch.randn(8, 3, generator=draw)}


def loss_g(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return -d(g(batch["noise"])).mean()


def loss_d(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return relu(1 - d(batch["real"])).mean() + relu(1 + d(g(batch["noise"]))).mean()


@pytest.mark.parametrize("way", WAYS)
def test_sngan(way: str, schedule: Any, twins: Any, side_by_side: Any) -> None:
    hand, ours = twins(*networks(WAYS[way]))
    optimizers = [torch.optim.Adam(module.parameters(), lr=1e-3, betas=(0.0, 0.9)) for module in hand]
    loop = schedule.hand((loss_g, loss_d), hand, optimizers)
    trainer = mm.bind(mm.Game(loss_g, loss_d), ours, schedule.ours(mm.adam(1e-3, betas=(0.0, 0.9))))
    side_by_side(STEPS, (hand, lambda k: loop.step(batch(k))), (ours, lambda k: trainer.step(batch(k))))


def test_the_usual_loop(twins: Any, side_by_side: Any) -> None:
    """Written out: D's step on real and detached fake, then G's."""
    hand, ours = twins(*networks(parametrizations.spectral_norm))
    g, d = hand
    optimizer_g, optimizer_d = (torch.optim.Adam(m.parameters(), lr=1e-3, betas=(0.0, 0.9)) for m in hand)

    def step(k: int) -> None:
        drawn = batch(k)
        optimizer_d.zero_grad()
        (relu(1 - d(drawn["real"])).mean() + relu(1 + d(g(drawn["noise"]).detach())).mean()).backward()
        optimizer_d.step()
        optimizer_g.zero_grad()
        (-d(g(drawn["noise"])).mean()).backward()
        optimizer_g.step()

    alternating = mm.AlternatingGDA(mm.adam(1e-3, betas=(0.0, 0.9)), order=(1, 0))
    trainer = mm.bind(mm.Game(loss_g, loss_d), ours, alternating)
    side_by_side(STEPS, (hand, step), (ours, lambda k: trainer.step(batch(k))))
