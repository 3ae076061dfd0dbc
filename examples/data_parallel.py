r"""Two processes, one game
=======================

``transforms.data_parallel`` averages what every rank of ``torch.distributed`` sees of its own batch, as DDP does for
one loss, for all players and every optimizer: two ranks with half a batch each play what one process plays on the
whole. Run it with ``torchrun --nproc-per-node 2``, or as it is: then it starts the second process by itself.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm

# %%
# Nothing of this knows of ranks. Batches are functions of the step, so that every rank can cut out its half.


def batch(step: int) -> dict[str, Tensor]:
    """64 points of a shifted Gaussian, and noise."""
    drawn = torch.Generator().manual_seed(step)
    real, noise = torch.randn(2, 64, 2, generator=drawn, dtype=torch.float64)
    return {"real": 0.3 * real + 1, "noise": noise}


def losses(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Non-saturating, with R1."""
    real, fake = d(batch["real"]), d(g(batch["noise"]))
    penalty = mm.penalties.r1(d, batch["real"]) / 2
    return softplus(-fake).mean(), softplus(-real).mean() + softplus(fake).mean() + penalty


def train(game: mm.Game, part: slice = slice(None)) -> list[Tensor]:
    """The mean of 64 samples after every step."""
    torch.manual_seed(0)
    g, d = nn.Linear(2, 2).double(), nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1)).double()
    trainer, means = mm.bind(game, (g, d), mm.ExtraGradient(mm.adam(0.03, betas=(0.5, 0.9)))), []
    for step in range(60):
        trainer.step({name: x[part] for name, x in batch(step).items()})
        means.append(g(batch(0)["noise"]).mean(0).detach())
    return means


# %%
# Only the two lines in the middle do. Had the networks been made without a seed, ``transforms.broadcast`` would have
# to make them alike first.


def on_ranks(rank: int, meeting: str) -> list[Tensor]:
    """What a rank of two plays on its half."""
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    game = mm.transforms.data_parallel(mm.Game(losses))
    means = train(game, slice(32 * rank, 32 * rank + 32))
    dist.destroy_process_group()
    return means


rank, meeting, other = int(os.environ.get("RANK", 0)), os.environ.get("MEETING", "env://"), None
with tempfile.TemporaryDirectory() as folder:
    if "RANK" not in os.environ:
        meeting = (Path(folder) / "ranks").as_uri()
        second = os.environ | {"RANK": "1", "MEETING": meeting}
        other = subprocess.Popen([sys.executable, sys.argv[0]], env=second)
    ours = on_ranks(rank, meeting)
    assert other is None or other.wait(60) == 0

if rank == 0:
    alone = train(mm.Game(losses))
    difference = max(float((a - b).abs().max()) for a, b in zip(ours, alone, strict=True))
    print(f"after 60 steps the samples' mean is {ours[-1].tolist()}, that of the data (1, 1)")
    print(f"two ranks and one process differ by at most {difference:.1e}")
    assert difference < 1e-10 and (ours[-1] - 1).abs().max() < 0.5
