r"""WGAN-GP: five steps of the critic for one of the generator
==========================================================

The usual recipe, as a composition: players in turn, the critic first and five times, Adam for both, and the penalty
that pulls the slope of the critic towards 1. Whatever is random comes in through the batch, the penalty's mixing too.
"""

import math

import matplotlib.pyplot as plt
import seaborn as sns
import torch
from torch import Tensor, nn

import minimax as mm

torch.manual_seed(0)
angles = torch.arange(8) * math.pi / 4
centers = torch.stack([angles.cos(), angles.sin()], 1)


def batch(size: int = 64) -> dict[str, Tensor]:
    """Eight Gaussians on a ring, noise, and one mixing coefficient per sample."""
    real = centers[torch.randint(8, (size,))] + 0.05 * torch.randn(size, 2)
    return {"real": real, "noise": torch.randn(size, 2), "mix": torch.rand(size)}


def mlp(out: int) -> nn.Module:
    """Two hidden layers."""
    return nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, out))


def loss_g(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The generator wants high scores."""
    return -d(g(batch["noise"])).mean()


def loss_d(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The critic wants high scores for data, low ones for samples, and a slope of 1 in between."""
    fake = g(batch["noise"])
    return d(fake).mean() - d(batch["real"]).mean() + mm.penalties.wgan_gp(d, batch["real"], fake, batch["mix"])


def distance(g: nn.Module) -> float:
    """The mean distance of samples from the nearest center: 0.06 for the data."""
    with torch.no_grad():
        return float(torch.cdist(g(torch.randn(1000, 2)), centers).min(1).values.mean())


G, D = mlp(2), mlp(1)
before = distance(G)
optimizer = mm.AlternatingGDA(mm.adam(4e-3, betas=(0.5, 0.9)), steps=(1, 5), order=(1, 0))
trainer = mm.bind(mm.Game(loss_g, loss_d), (G, D), optimizer, ema=0.9)
wasserstein = []
for _ in range(80):
    info = trainer.step(*(batch() for _ in range(optimizer.draws)))
    wasserstein.append(-float(info.losses[1]))
averaged, _ = trainer.averaged()

# %%
# Left, what the critic thinks of every place, with data (rings) and samples (dots). Right, minus the critic's loss,
# about the Wasserstein distance between samples and data: a curve that means something while a GAN trains.

sns.set_theme(style="ticks", palette="colorblind")
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
line = torch.linspace(-1.6, 1.6, 100)
x, y = torch.meshgrid(line, line, indexing="xy")
with torch.no_grad():
    scores = D(torch.stack([x, y], -1))[..., 0]
    samples = averaged(torch.randn(400, 2))
shades = left.contourf(line, line, scores, levels=20, cmap="Greys")
figure.colorbar(shades, ax=left, label="score of the critic")
left.scatter(*centers.T, s=250, facecolor="none", edgecolor="C1", lw=2, label="data")
left.scatter(*samples.T, s=5, color="C0", label="samples")
left.set(aspect="equal", xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), xlabel="first coordinate", ylabel="second coordinate")
left.legend(loc="upper right", fontsize="small")
right.plot(wasserstein, lw=2)
right.set(xlabel="step (one of the generator)", ylabel="minus the critic's loss", ylim=(0, None))
sns.despine(ax=right)

near = torch.cdist(averaged(torch.randn(1000, 2)), centers).argmin(1).bincount(minlength=8)
print(
    f"distance from the nearest center {distance(averaged):.3f}, before {before:.3f}; samples per mode {near.tolist()}"
)
assert distance(averaged) < 0.6 * before and int((near > 30).sum()) >= 6
assert info.cost.gradients == 6  # five of the critic, one of the generator

plt.show()
