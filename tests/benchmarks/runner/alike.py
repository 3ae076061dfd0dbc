"""Games for the tests of ensembles, in float64 so that rounding is told from all else."""

import os
import signal
from typing import ClassVar

import torch
from torch import nn

import minimax as mm
from benchmarks.problem import Metric, Preset, Problem, Recipe


class Net(nn.Module):
    def __init__(self, seed):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(3, 2, generator=generator, dtype=torch.float64))
        self.norm = nn.BatchNorm1d(2, dtype=torch.float64)

    def forward(self, x):
        return self.norm(x @ self.weight)


class Alike(Problem):
    """Two networks with BatchNorm, the payoff their product on noise; its recipe has everything a recipe can have."""

    name = "alike"
    metrics = (Metric("score", headline=True), Metric("mean", better=None))
    presets: ClassVar = {"cpu": Preset(24, batch=5, evaluations=3)}
    recipe = Recipe(mm.adam(0.05, betas=(0.5, 0.9)), steps=(1, 2), decay=True, clip=2.0, ema=3.0)

    def players(self, seed):
        return Net(2 * seed), Net(2 * seed + 1)

    def game(self):
        return mm.zero_sum(
            lambda x, y, noise: (x(noise) * y(noise).tanh()).mean() - 0.1 * y.weight.square().sum() + x.weight.sum()
        )

    def batch(self, seed, draw, memory=None):
        return torch.randn(self.preset.batch, 3, generator=self.generator(seed, draw), dtype=torch.float64)

    @torch.no_grad()
    def evaluate(self, view):
        x, y = view.players
        score = x.weight.square().sum() + y.weight.square().sum()
        return {"score": float(score), "mean": float(x.norm.running_mean[0])}


class Plain(Alike):
    """The same with plain steps, which a large rate makes diverge."""

    name = "alike-plain"
    recipe = Recipe(mm.sgd(0.05))


class Deadly(Plain):
    """Seed 101 fails in its second evaluation, seed 102 ends its process then."""

    name = "alike-deadly"

    def evaluate(self, view):
        found = super().evaluate(view)
        if view.seed == 101 and found["mean"] != 0.0:
            raise ZeroDivisionError("evaluation is broken")
        if view.seed == 102 and found["mean"] != 0.0:
            os.kill(os.getpid(), signal.SIGKILL)
        return found
