"""DCGAN (Radford et al., 2016): BatchNorm in both networks, one-sided label smoothing, Adam with β₁ = 0.5.

Passes count, because each moves BatchNorm's running statistics. The usual loop makes three of D (real, fake, and fake
again for G's step) and *one* of G: it keeps the fake and uses it twice. Losses are functions, so here each makes its
own fake: two passes of G. The networks normalise by the batch in training, so parameters are the same either way; G's
statistics move twice per step instead of once, by the same amount. `transforms.generated`, whose losses see the fake,
makes the usual loop's one pass.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

import minimax as mm

STEPS, SIZE, REAL = 24, 8, 0.9  # the label of real images, smoothed


def generator() -> nn.Module:
    # No bias before BatchNorm: its gradient is rounding noise, which Adam would blow up to whole steps.
    return nn.Sequential(
        nn.ConvTranspose2d(4, 6, 4, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.ConvTranspose2d(6, 1, 4, 2, 1, bias=False),
        nn.Tanh(),
    )


def discriminator() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2),
        nn.Conv2d(4, 6, 4, 2, 1, bias=False),
        nn.BatchNorm2d(6),
        nn.LeakyReLU(0.2),
        nn.Conv2d(6, 1, 2, bias=False),
        nn.Flatten(0),
    )


def networks() -> tuple[nn.Module, nn.Module]:
    g, d = generator(), discriminator()
    for name, parameter in [*g.named_parameters(), *d.named_parameters()]:
        if parameter.dim() == 4:
            nn.init.normal_(parameter, 0.0, 0.2)  # the paper's 0.02, times ten for networks of a tenth of its width
        elif name.endswith("weight"):
            nn.init.normal_(parameter, 1.0, 0.02)
    return g, d


def batch(k: int) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(k)
    noise = torch.randn(SIZE, 4, 1, 1, generator=draw)
    return {"real": (torch.randn(SIZE, 1, 8, 8, generator=draw) + 1).tanh(), "noise": noise}


def cross_entropy(logits: Tensor, label: float) -> Tensor:
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def loss_g(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return cross_entropy(d(g(batch["noise"])), 1.0)


def loss_d(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return cross_entropy(d(batch["real"]), REAL) + cross_entropy(d(g(batch["noise"])), 0.0)


def adam(lr: float = 2e-3) -> mm.Rule:
    return mm.adam(lr, betas=(0.5, 0.999))


def torch_adam(module: nn.Module, lr: float = 2e-3) -> torch.optim.Optimizer:
    return torch.optim.Adam(module.parameters(), lr=lr, betas=(0.5, 0.999))


def usual_loop(g: nn.Module, d: nn.Module, again: bool) -> Callable[[int], None]:
    """The step of every DCGAN script: D on real, D on a detached fake, then G; G's fake is made `again` or not."""
    optimizer_g, optimizer_d = torch_adam(g), torch_adam(d)

    def step(k: int) -> None:
        drawn = batch(k)
        optimizer_d.zero_grad()
        cross_entropy(d(drawn["real"]), REAL).backward()
        fake = g(drawn["noise"])
        cross_entropy(d(fake.detach()), 0.0).backward()
        optimizer_d.step()
        optimizer_g.zero_grad()
        if again:
            fake = g(drawn["noise"])
        cross_entropy(d(fake), 1.0).backward()
        optimizer_g.step()

    return step


def bound(g: nn.Module, d: nn.Module, optimizer: mm.GameOptimizer, game: Any = None) -> Callable[[int], Any]:
    trainer = mm.bind(game or mm.Game(loss_g, loss_d), (g, d), optimizer)
    return lambda k: trainer.step(batch(k))


def test_dcgan(twins: Any, side_by_side: Any) -> None:
    """Parameters, running statistics and counters: 2 passes of G and 3 of D per step."""
    hand, ours = twins(*networks())
    optimizer = mm.AlternatingGDA(adam(), order=(1, 0))
    side_by_side(STEPS, (hand, usual_loop(*hand, again=True)), (ours, bound(*ours, optimizer)))
    assert ours[0][1].num_batches_tracked == 2 * STEPS and ours[1][3].num_batches_tracked == 3 * STEPS


def test_the_critic_sees_the_data(twins: Any) -> None:
    """Running statistics that only see fakes are those of no image at all: by them, real and fake must both count."""
    (_, d), (g, reference) = twins(*networks())
    g, _ = networks()
    bound(g, d, mm.AlternatingGDA(mm.sgd(0.0), order=(1, 0)))(0)
    drawn = batch(0)
    fake = g(drawn["noise"])
    for images in (drawn["real"], fake, fake):
        reference(images)
    torch.testing.assert_close(dict(d.named_buffers()), dict(reference.named_buffers()), rtol=1e-10, atol=1e-12)


def test_dcgan_under_every_schedule(schedule: Any, twins: Any, side_by_side: Any) -> None:
    """ExtraAdam, OptimisticAdam and Lookahead of a DCGAN, buffers included: every evaluation's passes count."""
    hand, ours = twins(*networks())
    loop = schedule.hand((loss_g, loss_d), hand, [torch_adam(module) for module in hand])
    side_by_side(STEPS, (hand, lambda k: loop.step(batch(k))), (ours, bound(*ours, schedule.ours(adam()))))


def test_joint_losses_share_their_passes(twins: Any, side_by_side: Any) -> None:
    """One function for both losses: one fake, one pass of G and two of D a step, as in a loop that shares them."""
    hand, ours = twins(*networks())

    def losses(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        real, fake = d(batch["real"]), d(g(batch["noise"]))
        return cross_entropy(fake, 1.0), cross_entropy(real, REAL) + cross_entropy(fake, 0.0)

    optimizers = [torch_adam(module) for module in hand]

    def step(k: int) -> None:
        both = zip(losses(*hand, batch(k)), hand, strict=True)
        gradients = [torch.autograd.grad(loss, [*net.parameters()], retain_graph=True) for loss, net in both]
        for net, optimizer, gradient in zip(hand, optimizers, gradients, strict=True):
            for parameter, g in zip(net.parameters(), gradient, strict=True):
                parameter.grad = g
            optimizer.step()

    side_by_side(STEPS, (hand, step), (ours, bound(*ours, mm.SimultaneousGDA(adam()), mm.Game(losses))))
    assert ours[0][1].num_batches_tracked == STEPS and ours[1][3].num_batches_tracked == 2 * STEPS


def test_the_loop_that_keeps_its_fake(twins: Any, side_by_side: Any) -> None:
    """The usual loop's parameters, and D's buffers; G's statistics have moved half as often."""
    hand, ours = twins(*networks())
    side_by_side(
        STEPS,
        (hand, usual_loop(*hand, again=False)),
        (ours, bound(*ours, mm.AlternatingGDA(adam(), order=(1, 0)))),
        buffers=False,
    )
    torch.testing.assert_close(dict(ours[1].named_buffers()), dict(hand[1].named_buffers()), rtol=1e-10, atol=1e-10)
    assert ours[0][1].num_batches_tracked == 2 * hand[0][1].num_batches_tracked == 2 * STEPS


def test_a_generator_behind_its_samples(twins: Any, side_by_side: Any) -> None:
    """The usual loop, buffers included: one pass of G and three of D a step."""
    hand, ours = twins(*networks())
    on_samples = mm.Game(
        lambda fake, d, batch: cross_entropy(d(fake), 1.0),
        lambda fake, d, batch: cross_entropy(d(batch["real"]), REAL) + cross_entropy(d(fake), 0.0),
    )
    game = mm.transforms.generated(on_samples, lambda g, batch: g(batch["noise"]))
    optimizer = mm.AlternatingGDA(adam(), order=(1, 0))
    side_by_side(STEPS, (hand, usual_loop(*hand, again=False)), (ours, bound(*ours, optimizer, game)))
    assert ours[0][1].num_batches_tracked == STEPS and ours[1][3].num_batches_tracked == 3 * STEPS


def test_two_passes_that_weigh_as_one(twins: Any) -> None:
    """With momentum 1 - √(1-m) G's two passes on one noise move its statistics as the usual loop's one pass does."""
    hand, ours = twins(*networks())
    ours[0][1].momentum = 1 - (1 - hand[0][1].momentum) ** 0.5
    by_hand, step = usual_loop(*hand, again=False), bound(*ours, mm.AlternatingGDA(adam(), order=(1, 0)))
    for k in range(STEPS):
        by_hand(k)
        step(k)
    for name in ("running_mean", "running_var"):
        expected, found = (getattr(modules[0][1], name) for modules in (hand, ours))
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
        assert (expected - (1.0 if name == "running_var" else 0.0)).abs().min() > 1e-4


@pytest.mark.parametrize("evaluated", [False, True])
def test_sampling_between_steps(evaluated: bool, twins: Any, side_by_side: Any) -> None:
    """Pictures drawn between steps: in `eval` they read the running statistics, in training mode they move them."""
    hand, ours = twins(*networks())
    by_hand, step = usual_loop(*hand, again=True), bound(*ours, mm.AlternatingGDA(adam(), order=(1, 0)))
    pictures: dict[int, list[Tensor]] = {0: [], 1: []}

    def with_pictures(who: int, g: nn.Module, take: Callable[[int], Any]) -> Callable[[int], None]:
        def both(k: int) -> None:
            take(k)
            g.train(not evaluated)
            with torch.no_grad():
                pictures[who].append(g(batch(1000)["noise"]))
            g.train()

        return both

    side_by_side(8, (hand, with_pictures(0, hand[0], by_hand)), (ours, with_pictures(1, ours[0], step)))
    torch.testing.assert_close(pictures[1], pictures[0], rtol=1e-10, atol=1e-10)
