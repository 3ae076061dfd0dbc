"""CycleGAN (Zhu et al., 2017): two generators, two critics, cycle and identity losses, a buffer of past fakes, and a
learning rate that stands for half the epochs and falls to zero in the other half.

The two generators are one player and the two critics another, as in the authors' code, where one Adam moves each pair.
The buffer is part of preparing the batch: it has a memory and draws at random, which a loss must not.
"""

import random
from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss
from torch.optim.lr_scheduler import LambdaLR

import minimax as mm

PER_EPOCH, EPOCHS, RATE, BETAS = 4, 6, 2e-3, (0.5, 0.999)
STEPS, CYCLE, IDENTITY = PER_EPOCH * EPOCHS, 10.0, 0.5


def generator() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, 1, 1, bias=False), nn.InstanceNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 3, 1, 1), nn.Tanh()
    )


def critic() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(4, 4, 3, 1, 1, bias=False),
        nn.InstanceNorm2d(4),
        nn.LeakyReLU(0.2),
        nn.Conv2d(4, 1, 1),
    )


def networks() -> tuple[nn.Module, nn.Module]:
    return nn.ModuleDict({"ab": generator(), "ba": generator()}), nn.ModuleDict({"a": critic(), "b": critic()})


class Pool:
    """The last few fakes: half of the time an old one is shown to the critic and the new one takes its place."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.random, self.images = size, random.Random(seed), list[Tensor]()

    def query(self, fakes: Tensor) -> Tensor:
        shown = []
        for image in fakes.detach():
            if len(self.images) < self.size:
                self.images.append(image)
            elif self.random.random() < 0.5:
                place = self.random.randrange(self.size)
                image, self.images[place] = self.images[place], image
            shown.append(image)
        return torch.stack(shown)


def domains(k: int) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(k)
    a, b = torch.randn(2, 2, 1, 8, 8, generator=draw)
    return {"a": (a + 1).tanh(), "b": (b.cumsum(-1) / 3).tanh()}


def loss_g(g: nn.ModuleDict, d: nn.ModuleDict, batch: dict[str, Tensor]) -> Tensor:
    a, b = batch["a"], batch["b"]
    fake_b, fake_a = g["ab"](a), g["ba"](b)
    fooled = least_squares(d["b"](fake_b), 1.0) + least_squares(d["a"](fake_a), 1.0)
    cycles = l1_loss(g["ba"](fake_b), a) + l1_loss(g["ab"](fake_a), b)
    identities = l1_loss(g["ab"](b), b) + l1_loss(g["ba"](a), a)
    return fooled + CYCLE * (cycles + IDENTITY * identities)


def loss_d(g: nn.ModuleDict, d: nn.ModuleDict, batch: dict[str, Tensor]) -> Tensor:
    """On real images and on those that the pool shows: the generators play no part in it."""
    halves = [least_squares(d[x](batch[x]), 1.0) + least_squares(d[x](batch[f"fake_{x}"]), 0.0) for x in ("a", "b")]
    return (halves[0] + halves[1]) / 2


def least_squares(scores: Tensor, target: float) -> Tensor:
    return mse_loss(scores, torch.full_like(scores, target))


def decay(epoch: int) -> float:
    half = EPOCHS // 2
    return 1.0 - max(0, epoch + 1 - half) / (half + 1)


def batches(g: nn.ModuleDict) -> Callable[[int], dict[str, Tensor]]:
    """Batches with what the pools show of the generators' present fakes."""
    pools = {"a": Pool(5, seed=1), "b": Pool(5, seed=2)}

    @torch.no_grad()
    def batch(k: int) -> dict[str, Tensor]:
        drawn = domains(k)
        fakes = {"b": g["ab"](drawn["a"]), "a": g["ba"](drawn["b"])}
        return drawn | {f"fake_{x}": pools[x].query(fakes[x]) for x in ("a", "b")}

    return batch


def rule() -> mm.Rule:
    rate = mm.schedules.from_torch(LambdaLR, RATE, STEPS, lr_lambda=lambda step: decay(step // PER_EPOCH))
    return mm.adam(rate, betas=BETAS)


def ours_by_bind(modules: Any, optimizer: mm.GameOptimizer) -> Callable[[int], Any]:
    trainer, batch = mm.bind(mm.Game(loss_g, loss_d), modules, optimizer), batches(modules[0])
    return lambda k: trainer.step(batch(k))


def by_hand(g: nn.ModuleDict, d: nn.ModuleDict) -> Callable[[int], None]:
    """The authors' `optimize_parameters`: forward, generators, then critics on what the pools show; rates by epoch."""
    optimizer_g = torch.optim.Adam(chain(g["ab"].parameters(), g["ba"].parameters()), lr=RATE, betas=BETAS)
    optimizer_d = torch.optim.Adam(chain(d["a"].parameters(), d["b"].parameters()), lr=RATE, betas=BETAS)
    schedulers = [LambdaLR(optimizer, lr_lambda=decay) for optimizer in (optimizer_g, optimizer_d)]
    pool_a, pool_b = Pool(5, seed=1), Pool(5, seed=2)

    def step(k: int) -> None:
        a, b = domains(k).values()
        fake_b, fake_a = g["ab"](a), g["ba"](b)
        cycled_a, cycled_b = g["ba"](fake_b), g["ab"](fake_a)
        d.requires_grad_(False)
        optimizer_g.zero_grad()
        loss = least_squares(d["b"](fake_b), 1.0) + least_squares(d["a"](fake_a), 1.0)
        loss = loss + CYCLE * (l1_loss(cycled_a, a) + l1_loss(cycled_b, b))
        loss = loss + CYCLE * IDENTITY * (l1_loss(g["ab"](b), b) + l1_loss(g["ba"](a), a))
        loss.backward()
        optimizer_g.step()
        d.requires_grad_(True)
        optimizer_d.zero_grad()
        for critic, real, fake in ((d["b"], b, pool_b.query(fake_b)), (d["a"], a, pool_a.query(fake_a))):
            ((least_squares(critic(real), 1.0) + least_squares(critic(fake), 0.0)) / 2).backward()
        optimizer_d.step()
        if (k + 1) % PER_EPOCH == 0:
            for scheduler in schedulers:
                scheduler.step()

    return step


def test_cyclegan(twins: Any, side_by_side: Any) -> None:
    hand, ours = twins(*networks())
    optimizer = mm.AlternatingGDA(rule())
    side_by_side(STEPS, (hand, by_hand(*hand)), (ours, ours_by_bind(ours, optimizer)))
    assert float(rule().rate(torch.tensor(STEPS - 1))) == RATE / 4, "the rate has fallen"


def test_cyclegan_under_every_schedule(schedule: Any, twins: Any, side_by_side: Any) -> None:
    hand, ours = twins(*networks())
    optimizers = [torch.optim.Adam(module.parameters(), lr=RATE, betas=BETAS) for module in hand]
    schedulers = [LambdaLR(optimizer, lr_lambda=decay) for optimizer in optimizers]
    loop, batch = schedule.hand((loss_g, loss_d), hand, optimizers), batches(hand[0])

    def step(k: int) -> None:
        loop.step(batch(k))
        if (k + 1) % PER_EPOCH == 0:
            for scheduler in schedulers:
                scheduler.step()

    side_by_side(STEPS, (hand, step), (ours, ours_by_bind(ours, schedule.ours(rule()))))


def test_batch_norm_counts_the_pool_s_passes(twins: Any, side_by_side: Any) -> None:
    """With statistics in the generators the pool's passes count as all others, as in a loop that makes them."""

    def normed() -> tuple[nn.Module, nn.Module]:
        g, d = networks()
        for network in (*g.values(), *d.values()):
            for place, layer in enumerate(network):
                if isinstance(layer, nn.InstanceNorm2d):
                    network[place] = nn.BatchNorm2d(4)
        return g, d

    hand, ours = twins(*normed())
    loop = in_turn(hand)
    side_by_side(STEPS, (hand, loop), (ours, ours_by_bind(ours, mm.AlternatingGDA(mm.adam(RATE, betas=BETAS)))))
    assert ours[0]["ab"][1].num_batches_tracked == 4 * STEPS


def in_turn(modules: Any) -> Callable[[int], None]:
    """Generators, then critics, on prepared batches."""
    optimizers = [torch.optim.Adam(module.parameters(), lr=RATE, betas=BETAS) for module in modules]
    batch = batches(modules[0])

    def step(k: int) -> None:
        drawn = batch(k)
        for loss, optimizer in zip((loss_g, loss_d), optimizers, strict=True):
            optimizer.zero_grad()
            loss(*modules, drawn).backward()
            optimizer.step()

    return step
