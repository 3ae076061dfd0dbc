r"""Inside Accelerate
=================

Hugging Face's Accelerate brings the devices, the processes and the checkpoints; a bound trainer is one more object
that it can save. There is no ``backward`` and no optimizer to prepare: ``trainer.step`` is both.
"""

import tempfile

import matplotlib.pyplot as plt
import seaborn as sns
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.data import DataLoader

import minimax as mm

torch.manual_seed(0)
accelerator = Accelerator(cpu=True)  # leave cpu=True out to play where there is a GPU
loader = accelerator.prepare(DataLoader(torch.randn(64 * 60, 2) * 0.3 + 1, batch_size=64))  # this rank's batches


def losses(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Non-saturating, with R1."""
    real, fake = d(batch["real"]), d(g(batch["noise"]))
    penalty = 0.5 * mm.penalties.r1(d, batch["real"])
    return softplus(-fake).mean(), softplus(-real).mean() + softplus(fake).mean() + penalty


# %%
# The modules go to the device as they are. Prepared, they would be wrapped in DDP; the game averages over the ranks by
# itself, and only where there are several.

G = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 2)).to(accelerator.device)
D = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1)).to(accelerator.device)
game = mm.Game(losses)
if accelerator.num_processes > 1:
    game = mm.transforms.data_parallel(game)
    mm.transforms.broadcast((G, D))
trainer = mm.bind(game, (G, D), mm.ExtraGradient(mm.adam(1e-2, betas=(0.5, 0.9))))
accelerator.register_for_checkpointing(trainer)


def epoch(seed: int) -> list[float]:
    """One pass over the data, and the discriminator's losses."""
    torch.manual_seed(seed)
    found = []
    for real in loader:
        info = trainer.step({"real": real, "noise": torch.randn_like(real)})
        found.append(float(info.losses[1]))
    return found


# %%
# Two passes, a checkpoint between them, and the second pass once more from there: the same to the last bit.

first = epoch(1)
with tempfile.TemporaryDirectory() as folder:
    accelerator.save_state(folder)
    second = epoch(2)
    accelerator.load_state(folder)
    repeated = epoch(2)

sns.set_theme(style="ticks", palette="colorblind")
figure, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
ax.plot(first + second, lw=3, label="in one go")
ax.plot(range(60, 120), repeated, "--", color="black", label="loaded after 60 steps")
ax.set(xlabel="step", ylabel="loss of the discriminator")
ax.legend(frameon=False)
sns.despine(figure)

with torch.no_grad():
    mean = G(torch.randn(500, 2, device=accelerator.device)).mean(0)
accelerator.print(f"{trainer.steps} steps; the samples' mean is {mean.tolist()}, that of the data (1, 1)")
assert repeated == second and trainer.steps == 120
assert (mean - 1).abs().max() < 0.5

plt.show()
