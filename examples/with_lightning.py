r"""Inside Lightning
================

A ``LightningModule`` with manual optimisation: ``training_step`` calls ``trainer.step``, and nothing else changes.
Lightning keeps the loop, the devices, the logging and the checkpoints; the game keeps its optimizer.
"""

import tempfile
from pathlib import Path
from typing import Any

import lightning
import matplotlib.pyplot as plt
import seaborn as sns
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm


class Gan(lightning.LightningModule):
    """A GAN in two dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.g = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 2))
        self.d = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1))
        optimizer = mm.ExtraGradient(mm.adam(1e-2, betas=(0.5, 0.9)))
        self.play = mm.bind(mm.Game(self.losses), (self.g, self.d), optimizer)
        self.history: list[float] = []

    @staticmethod
    def losses(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Non-saturating, with R1."""
        real, fake = d(batch["real"]), d(g(batch["noise"]))
        penalty = 0.5 * mm.penalties.r1(d, batch["real"])
        return softplus(-fake).mean(), softplus(-real).mean() + softplus(fake).mean() + penalty

    def training_step(self, batch: dict[str, Tensor], index: int) -> None:
        """One step of both players."""
        info = self.play.step(batch)
        self.log_dict({"loss_g": info.losses[0], "loss_d": info.losses[1]})
        self.history.append(float(info.losses[1]))

    def configure_optimizers(self) -> list[Any]:
        """None of Lightning's. So it counts no steps either: ``self.play.steps`` does."""
        return []

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The weights are saved already; this adds the memory of the optimizer."""
        checkpoint["play"] = self.play.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on exactly from there."""
        self.play.load_state_dict(checkpoint["play"])


# %%
# Half of the training, a checkpoint, and the other half twice: by the model that goes on, and by a new one that loads.

torch.manual_seed(0)
data = [{"real": torch.randn(64, 2) * 0.3 + 1, "noise": torch.randn(64, 2)} for _ in range(160)]
quiet = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}


def fit(model: Gan, batches: list[dict[str, Tensor]]) -> lightning.Trainer:
    """One pass."""
    loop = lightning.Trainer(max_epochs=1, enable_checkpointing=False, **quiet)
    loop.fit(model, iter(batches))  # a DataLoader as well
    return loop


model, again = Gan(), Gan()
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "half.ckpt"
    fit(model, data[:80]).save_checkpoint(file)
    saved = torch.load(file, weights_only=True)
    again.load_state_dict(saved["state_dict"])
    again.on_load_checkpoint(saved)
fit(model, data[80:])
fit(again, data[80:])

sns.set_theme(style="ticks", palette="colorblind")
figure, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
ax.plot(model.history, lw=3, label="in one go")
ax.plot(range(80, 160), again.history, "--", color="black", label="loaded after 80 steps")
ax.set(xlabel="step", ylabel="loss of the discriminator")
ax.legend(frameon=False)
sns.despine(figure)

mean = model.g(data[0]["noise"]).mean(0).detach()
print(f"{model.play.steps} steps; the samples' mean is {mean.numpy().round(2)}, that of the data (1, 1)")
assert again.play.steps == 160 and again.history == model.history[80:]
assert (mean - 1).abs().max() < 0.5

plt.show()
