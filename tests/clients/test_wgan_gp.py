"""WGAN-GP (Gulrajani et al., 2017) and WGAN (Arjovsky et al., 2017): five critic steps, each on a batch of its own.

The generator has BatchNorm in training mode, also where the critic's steps run it: five of its six passes a step.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import minimax as mm
from minimax.penalties import wgan_gp
from minimax.projections import weight_clipping

STEPS, CRITIC_STEPS, SIZE, WEIGHT = 12, 5, 8, 10.0

OPTIMIZERS = {
    "adam": (mm.adam(1e-3, betas=(0.0, 0.9)), lambda p: torch.optim.Adam(p, lr=1e-3, betas=(0.0, 0.9))),
    "rmsprop": (mm.rmsprop(5e-4), lambda p: torch.optim.RMSprop(p, lr=5e-4)),
    "from_torch": (mm.from_torch(torch.optim.NAdam, lr=1e-3), lambda p: torch.optim.NAdam(p, lr=1e-3)),
}


def networks(norm: Callable[[int], nn.Module] = nn.LayerNorm) -> tuple[nn.Module, nn.Module]:
    # No last bias in the critic: it cancels out of the loss, and Adam would follow the rounding of its zero gradient.
    g = nn.Sequential(nn.Linear(3, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    d = nn.Sequential(nn.Linear(2, 8), nn.Softplus(), nn.Linear(8, 8, bias=False), norm(8), nn.Softplus())
    d.append(nn.Linear(8, 1, bias=False))
    return g, d


def batch(k: int) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(k)
    return {
        "real": torch.randn(SIZE, 2, generator=draw) + 2,
        "noise": torch.randn(SIZE, 3, generator=draw),
        "coefficient": torch.rand(SIZE, generator=draw),
    }


def batches(step: int, per_step: int) -> list[dict[str, Tensor]]:
    return [batch(step * per_step + j) for j in range(per_step)]


def loss_g(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return -d(g(batch["noise"])).mean()


def loss_d(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    real, fake = batch["real"], g(batch["noise"])
    return d(fake).mean() - d(real).mean() + WEIGHT * wgan_gp(d, real, fake, batch["coefficient"])


def critic_loss_by_hand(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """As in the many scripts, with the penalty's gradient taken there and then."""
    real, fake = batch["real"], g(batch["noise"]).detach()
    loss = d(fake).mean() - d(real).mean()
    coefficient = batch["coefficient"].unsqueeze(1)
    between = (coefficient * real + (1 - coefficient) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(d(between).sum(), between, create_graph=True)
    return loss + WEIGHT * ((slope.norm(2, dim=1) - 1) ** 2).mean()


def by_hand(g: nn.Module, d: nn.Module, make: Callable[..., torch.optim.Optimizer], fresh: bool) -> Callable[..., None]:
    optimizer_g, optimizer_d = make(g.parameters()), make(d.parameters())

    def step(k: int) -> None:
        drawn = batches(k, CRITIC_STEPS + fresh)
        for one in drawn[:CRITIC_STEPS]:
            optimizer_d.zero_grad()
            critic_loss_by_hand(g, d, one).backward()
            optimizer_d.step()
        optimizer_g.zero_grad()
        (-d(g(drawn[-1]["noise"])).mean()).backward()
        optimizer_g.step()

    return step


@pytest.mark.parametrize("fresh", [True, False], ids=["own noise for G", "G on the last batch"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_wgan_gp(name: str, fresh: bool, twins: Any, side_by_side: Any) -> None:
    rule, make = OPTIMIZERS[name]
    hand, ours = twins(*networks())
    optimizer = mm.AlternatingGDA(rule, steps=(1, CRITIC_STEPS), order=(1, 0), fresh=fresh)
    trainer = mm.bind(mm.Game(loss_g, loss_d), ours, optimizer)
    drawn = lambda k: batches(k, optimizer.draws)
    side_by_side(STEPS, (hand, by_hand(*hand, make, fresh)), (ours, lambda k: trainer.step(*drawn(k))))
    assert ours[0][1].num_batches_tracked == STEPS * (CRITIC_STEPS + 1)


def test_a_critic_with_batch_norm(twins: Any, side_by_side: Any) -> None:
    """The penalty's pass moves the critic's statistics too, after those of fake and real."""
    rule, make = OPTIMIZERS["adam"]
    hand, ours = twins(*networks(nn.BatchNorm1d))
    optimizer = mm.AlternatingGDA(rule, steps=(1, CRITIC_STEPS), order=(1, 0), fresh=True)
    trainer = mm.bind(mm.Game(loss_g, loss_d), ours, optimizer)
    drawn = lambda k: batches(k, optimizer.draws)
    side_by_side(STEPS, (hand, by_hand(*hand, make, True)), (ours, lambda k: trainer.step(*drawn(k))))
    assert ours[1][3].num_batches_tracked == STEPS * (3 * CRITIC_STEPS + 1)


def test_wgan_with_clipped_weights(twins: Any, side_by_side: Any) -> None:
    """`p.data.clamp_(-c, c)` after every critic step is the constraint `weight_clipping(c)` on the critic."""
    hand, ours = twins(*networks(lambda _: nn.Identity()))
    for parameter in (*hand[1].parameters(), *ours[1].parameters()):
        parameter.data.clamp_(-0.05, 0.05)
    optimizers = [torch.optim.RMSprop(module.parameters(), lr=5e-4) for module in hand]

    def step(k: int) -> None:
        drawn = batches(k, CRITIC_STEPS)
        for one in drawn:
            optimizers[1].zero_grad()
            (hand[1](hand[0](one["noise"]).detach()).mean() - hand[1](one["real"]).mean()).backward()
            optimizers[1].step()
            for parameter in hand[1].parameters():
                parameter.data.clamp_(-0.05, 0.05)
        optimizers[0].zero_grad()
        (-hand[1](hand[0](drawn[-1]["noise"])).mean()).backward()
        optimizers[0].step()

    game = mm.zero_sum(
        lambda g, d, b: d(b["real"]).mean() - d(g(b["noise"])).mean(), constraints=(None, weight_clipping(0.05))
    )
    optimizer = mm.AlternatingGDA(mm.rmsprop(5e-4), steps=(1, CRITIC_STEPS), order=(1, 0))
    trainer = mm.bind(game, ours, optimizer)
    side_by_side(STEPS, (hand, step), (ours, lambda k: trainer.step(*batches(k, CRITIC_STEPS))), buffers=False)
    assert any((parameter.abs() == 0.05).any() for parameter in ours[1].parameters())
