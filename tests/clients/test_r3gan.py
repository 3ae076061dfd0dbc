"""R3GAN (Huang et al., 2024): relativistic losses with R1 and R2, Adam with β₁ = 0, a moving average of G, and
learning rate, β₂, γ and the average's half-life on half a cosine over a burn-in.

The critic moves first; each player's step draws samples of its own. γ comes in with the batch, as losses know no time;
the rate, β₂ and the average's decay are schedules.
"""

import copy
from collections.abc import Callable
from math import cos, pi
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm
from minimax.penalties import r1, r2
from minimax.schedules import cosine

STEPS, BURN_IN, SIZE = 24, 16, 8
RATES, BETAS, GAMMAS, HALF_LIVES = (5e-3, 1e-3), (0.9, 0.99), (2.0, 0.2), (0.0, 100.0)


def burned(ends: tuple[float, float], k: int) -> float:
    """From one value to the other on half a cosine, as in a loop that counts its own steps."""
    start, end = ends
    return end + (start - end) * 0.5 * (1 + cos(pi * min(k / BURN_IN, 1.0)))


def networks() -> tuple[nn.Module, nn.Module]:
    # D + c has the losses of D: a last bias would have no gradient but rounding, which Adam would follow.
    g = nn.Sequential(nn.Linear(3, 8), nn.LeakyReLU(0.2), nn.Linear(8, 8), nn.LeakyReLU(0.2), nn.Linear(8, 2))
    d = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1, bias=False))
    return g, d


def batch(k: int) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(k)
    return {"real": torch.randn(SIZE, 2, generator=draw) + 2, "noise": torch.randn(SIZE, 3, generator=draw)}


def loss_g(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return softplus(d(batch["real"]) - d(g(batch["noise"]))).mean()


def loss_d(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    real, fake = batch["real"], g(batch["noise"])
    relativistic = softplus(d(fake) - d(real)).mean()
    return relativistic + batch["gamma"] / 2 * (r1(d, real) + r2(d, fake))


def by_hand(g: nn.Module, d: nn.Module, average: nn.Module) -> Callable[[int], None]:
    optimizers = [torch.optim.Adam(module.parameters(), lr=1.0, betas=(0.0, 0.9)) for module in (g, d)]

    def penalty(samples: Tensor, scores: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad(scores.sum(), samples, create_graph=True)
        return slope.square().sum(1).mean()

    def step(k: int) -> None:
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = burned(RATES, k)
            optimizer.param_groups[0]["betas"] = (0.0, burned(BETAS, k))
        for_d, for_g = batch(2 * k), batch(2 * k + 1)

        optimizers[1].zero_grad()
        real, fake = for_d["real"].requires_grad_(), g(for_d["noise"]).detach().requires_grad_()
        on_real, on_fake = d(real), d(fake)
        penalties = penalty(real, on_real) + penalty(fake, on_fake)
        (softplus(on_fake - on_real).mean() + burned(GAMMAS, k) / 2 * penalties).backward()
        optimizers[1].step()

        optimizers[0].zero_grad()
        softplus(d(for_g["real"]) - d(g(for_g["noise"]))).mean().backward()
        optimizers[0].step()

        with torch.no_grad():
            for mean, parameter in zip(average.parameters(), g.parameters(), strict=True):
                mean.copy_(parameter.lerp(mean, decay(k)))

    return step


def decay(k: int) -> float:
    return 0.5 ** (SIZE / max(burned(HALF_LIVES, k), 1e-8))


def test_r3gan(twins: Any, side_by_side: Any) -> None:
    hand, ours = twins(*networks())
    average = copy.deepcopy(hand[0])
    rule = mm.adam(cosine(*RATES, BURN_IN), betas=(0.0, cosine(*BETAS, BURN_IN)))
    optimizer = mm.AlternatingGDA(rule, steps=(1, 1), order=(1, 0), fresh=True)
    trainer = mm.bind(mm.Game(loss_g, loss_d), ours, optimizer, ema=lambda step: decay(int(step)))

    def step(k: int) -> None:
        gamma = torch.tensor(burned(GAMMAS, k))
        trainer.step(*(batch(2 * k + j) | {"gamma": gamma} for j in (0, 1)))
        found = dict(trainer.averaged()[0].named_parameters())
        torch.testing.assert_close(found, dict(average.named_parameters()), rtol=1e-10, atol=1e-10)

    side_by_side(STEPS, (hand, by_hand(*hand, average)), (ours, step))
    assert (average[0].weight - hand[0][0].weight).abs().max() > 1e-3, "the average lags"


def test_a_critic_with_batch_norm(twins: Any, side_by_side: Any) -> None:
    """R1 and R2 through BatchNorm in training mode: the critic's step makes four passes of it."""
    g, d = networks()
    d[2] = nn.Sequential(nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8))
    hand, ours = twins(g, d)
    g, d = hand
    optimizers = [torch.optim.Adam(module.parameters(), lr=1e-3, betas=(0.0, 0.9)) for module in hand]

    def penalty(samples: Tensor) -> Tensor:
        samples = samples.detach().requires_grad_()
        (slope,) = torch.autograd.grad(d(samples).sum(), samples, create_graph=True)
        return slope.square().sum(1).mean()

    def step(k: int) -> None:
        drawn = batch(k)
        optimizers[1].zero_grad()
        fake = g(drawn["noise"]).detach()
        (softplus(d(fake) - d(drawn["real"])).mean() + 0.5 * (penalty(drawn["real"]) + penalty(fake))).backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        softplus(d(drawn["real"]) - d(g(drawn["noise"]))).mean().backward()
        optimizers[0].step()

    optimizer = mm.AlternatingGDA(mm.adam(1e-3, betas=(0.0, 0.9)), order=(1, 0))
    trainer = mm.bind(mm.Game(loss_g, loss_d), ours, optimizer)
    side_by_side(STEPS, (hand, step), (ours, lambda k: trainer.step(batch(k) | {"gamma": torch.tensor(1.0)})))
    assert ours[1][2][1].num_batches_tracked == 6 * STEPS
