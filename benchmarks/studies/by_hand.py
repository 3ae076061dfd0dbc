"""What `speed` compares with: two GANs, their losses in every form, and a step of each method by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm
from benchmarks import data
from benchmarks.networks import Critic, Generator

Step = Callable[[], object]
Batches = Iterator[dict[str, Tensor]]


def loss_g(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The non-saturating generator loss."""
    return softplus(-d(g(batch["noise"]))).mean()


def loss_d(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The discriminator's loss."""
    return softplus(-d(batch["real"])).mean() + softplus(d(g(batch["noise"]))).mean()


def losses(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Both losses from one forward pass, for players that move at once."""
    fake = d(g(batch["noise"]))
    return softplus(-fake).mean(), softplus(-d(batch["real"])).mean() + softplus(fake).mean()


def payoff(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The zero-sum GAN: the generator minimises what the discriminator maximises."""
    return -losses(g, d, batch)[1]


def keeping(game: mm.Game) -> mm.Game:
    """The game of losses on samples, whose generator runs once as long as it has not moved."""
    return mm.transforms.generated(game, lambda g, batch: g(batch["noise"]))


ON_SAMPLES = keeping(
    mm.Game(
        lambda fake, d, batch: softplus(-d(fake)).mean(),
        lambda fake, d, batch: softplus(-d(batch["real"])).mean() + softplus(d(fake)).mean(),
    )
)


def ring() -> tuple[nn.Module, nn.Module, Batches]:
    """The ring MLPs, 128 x 2, and batches of 256."""
    torch.manual_seed(0)
    stream = data.stream(0)
    real = [data.Ring().sample(stream, 256) for _ in range(64)]
    g = nn.Sequential(nn.Linear(2, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))
    d = nn.Sequential(nn.Linear(2, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1))
    return g, d, cycle([{"real": x, "noise": torch.randn(256, 2)} for x in real])


def dcgan() -> tuple[nn.Module, nn.Module, Batches]:
    """A 28 x 28 DCGAN with 64 channels and batches of 64 digits."""
    torch.manual_seed(0)
    data.prepare("digits")
    images, stream = data.load("digits", 28), data.stream(0)
    real = [images.batch(stream, 64)[0] for _ in range(64)]
    g, d = Generator(64, 1, 28, 64), Critic(1, 28, 64)
    return g, d, cycle([{"real": x, "noise": torch.randn(64, 64)} for x in real])


def hand_alternating(g: nn.Module, d: nn.Module, batches: Batches, again: bool = True) -> Step:
    """The usual loop: critic on detached samples, then generator, a torch Adam each; samples made again, or kept."""
    opt_g = torch.optim.Adam(g.parameters(), lr=2e-4, betas=(0.5, 0.999))
    opt_d = torch.optim.Adam(d.parameters(), lr=2e-4, betas=(0.5, 0.999))

    def step() -> None:
        batch = next(batches)
        opt_d.zero_grad()
        fake = g(batch["noise"])
        (softplus(-d(batch["real"])).mean() + softplus(d(fake.detach())).mean()).backward()
        opt_d.step()
        opt_g.zero_grad()
        softplus(-d(g(batch["noise"]) if again else fake)).mean().backward()
        opt_g.step()

    return step


def hand_simultaneous(g: nn.Module, d: nn.Module, batches: Batches) -> Step:
    """Both gradients at one point, then plain descent."""
    ps_g, ps_d = list(g.parameters()), list(d.parameters())

    def step() -> None:
        l_g, l_d = losses(g, d, next(batches))
        grads_g = torch.autograd.grad(l_g, ps_g, retain_graph=True)
        grads_d = torch.autograd.grad(l_d, ps_d)
        with torch.no_grad():
            for p, grad in zip(ps_g + ps_d, grads_g + grads_d, strict=True):
                p.sub_(1e-4 * grad)

    return step


def hand_consensus(g: nn.Module, d: nn.Module, batches: Batches) -> Step:
    """The double backward: the gradient of half the squared field, by backward through the gradients."""
    ps_g, ps_d = list(g.parameters()), list(d.parameters())

    def step() -> None:
        l_g, l_d = losses(g, d, next(batches))
        grads = [
            *torch.autograd.grad(l_g, ps_g, create_graph=True),
            *torch.autograd.grad(l_d, ps_d, create_graph=True),
        ]
        squared = sum((grad.square().sum() for grad in grads), torch.zeros(()))
        pulls = torch.autograd.grad(0.5 * squared, ps_g + ps_d)
        with torch.no_grad():
            for p, grad, pull in zip(ps_g + ps_d, grads, pulls, strict=True):
                p.sub_(1e-4 * (grad + 0.1 * pull))

    return step


def hand_scalars() -> Step:
    """Simultaneous play on f = x y with two scalars."""
    x, y = torch.tensor(1.0), torch.tensor(1.0)

    def step() -> None:
        nonlocal x, y
        x.requires_grad_()
        y.requires_grad_()
        g_x, g_y = torch.autograd.grad(x * y, (x, y))
        x, y = (x - 1e-3 * g_x).detach(), (y + 1e-3 * g_y).detach()

    return step
