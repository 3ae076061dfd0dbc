"""A GAN of two modules on a ring of eight Gaussians, stepped like a PyTorch training loop."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm

torch.manual_seed(0)
torch.set_num_threads(1)


def mlp(out: int) -> nn.Module:
    """Two hidden layers."""
    return nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, out))


angles = torch.arange(8) * math.pi / 4
centers = torch.stack([angles.cos(), angles.sin()], 1)


def batch(size: int = 128) -> dict[str, Tensor]:
    """Everything random comes in through the batch."""
    real = centers[torch.randint(8, (size,))] + 0.05 * torch.randn(size, 2)
    return {"real": real, "noise": torch.randn(size, 2)}


def loss_g(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The generator's, non-saturating."""
    return softplus(-d(g(batch["noise"]))).mean()


def loss_d(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The discriminator's, with R1."""
    fake = softplus(d(g(batch["noise"]))).mean()
    return softplus(-d(batch["real"])).mean() + fake + 0.1 * mm.penalties.r1(d, batch["real"])


def distance(g: nn.Module) -> float:
    """The mean distance of samples from the nearest center: 0.06 for the data."""
    with torch.no_grad():
        return float(torch.cdist(g(torch.randn(1000, 2)), centers).min(1).values.mean())


G, D = mlp(2), mlp(1)
before = distance(G)
# ExtraAdam; compile=True would make each step about twice as fast.
trainer = mm.bind(mm.Game(loss_g, loss_d), (G, D), mm.ExtraGradient(mm.adam(2e-3, betas=(0.5, 0.9))), ema=0.99)
for step in range(601):
    info = trainer.step(batch())
    if step % 200 == 0:
        print(
            f"step {step}: losses {float(info.losses[0]):.3f} {float(info.losses[1]):.3f}, distance {distance(G):.3f}"
        )
averaged, _ = trainer.averaged()
print(f"distance of the averaged generator {distance(averaged):.3f}, before training {before:.3f}")

assert bool(info.finite)
assert distance(averaged) < before / 2
