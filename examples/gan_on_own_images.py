r"""A GAN on a folder of your own images
====================================

Two modules, two losses, a folder of pictures and a training loop as in plain PyTorch: ``bind`` ties them together,
``trainer.step(batch)`` moves both networks. The optimizer is ExtraAdam, the critic's loss has R1, and what is shown is
the moving average of the generator.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.data import DataLoader, Dataset

import minimax as mm

torch.manual_seed(0)


class Pictures(Dataset[Tensor]):
    """The PNG files of a folder, grey, in [-1, 1]; small enough to keep."""

    def __init__(self, folder: Path) -> None:
        files = sorted(folder.glob("*.png"))
        self.images = torch.stack([torch.from_numpy(np.array(Image.open(file).convert("L"))) for file in files])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, k: int) -> Tensor:
        return self.images[k].float().reshape(-1) / 127.5 - 1


# %%
# Here the folder is made on the spot, of the zeros among scikit-learn's digits. Put your own in its place.

with tempfile.TemporaryDirectory() as made:
    for k, image in enumerate(load_digits(n_class=1).images):
        Image.fromarray((image * 255 / 16).astype(np.uint8)).save(Path(made) / f"{k:03}.png")
    data = Pictures(Path(made))


def losses(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Non-saturating, with R1. No detach: each player's gradient is taken with respect to that player alone."""
    real, fake = d(batch["real"]), d(g(batch["noise"]))
    penalty = 0.5 * mm.penalties.r1(d, batch["real"])
    return softplus(-fake).mean(), softplus(-real).mean() + softplus(fake).mean() + penalty


G = nn.Sequential(nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 64), nn.Tanh())
D = nn.Sequential(nn.Linear(64, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1))
noise = torch.randn(100, 16)
before = G(noise).detach()
trainer = mm.bind(mm.Game(losses), (G, D), mm.ExtraGradient(mm.adam(2e-3, betas=(0.5, 0.9))), ema=0.98)
for _ in range(90):
    for real in DataLoader(data, batch_size=64, shuffle=True, drop_last=True):
        info = trainer.step({"real": real, "noise": torch.randn(len(real), 16)})
averaged, _ = trainer.averaged()
after = averaged(noise).detach()

# %%
# Real ones, what the generator drew before, and what it draws now.

real = torch.stack([data[k] for k in range(len(data))])
sns.set_theme(style="ticks")
figure, axes = plt.subplots(3, 10, figsize=(10, 3.4), layout="constrained")
for row, (name, images) in zip(axes, {"real": real, "before": before, "trained": after}.items(), strict=True):
    for ax, image in zip(row, images, strict=False):
        ax.imshow(image.reshape(8, 8).numpy(), cmap="gray", vmin=-1, vmax=1)
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(name)

near = {name: float(torch.cdist(x, real).min(1).values.mean()) for name, x in {"was": before, "is": after}.items()}
spread = float(torch.pdist(after).mean() / torch.pdist(real).mean())
print(f"{trainer.steps} steps; losses {float(info.losses[0]):.2f} and {float(info.losses[1]):.2f}")
print(
    f"distance from the nearest real picture {near['is']:.2f}, before {near['was']:.2f}; diversity {spread:.0%} of real"
)
assert near["is"] < near["was"] / 2 and 0.5 < spread < 1.5

plt.show()
