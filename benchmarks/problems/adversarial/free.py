from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import minimax as mm
from benchmarks.problem import Batch, Memory, Preset, Recipe
from benchmarks.problems.adversarial._defence import Defence

REPLAYS = 8


class Free(Defence):
    """Robust classification in which δ is a player who remembers: it moves by signs whenever the weights do.

    Every batch is played eight times in a row, so that δ catches up with the weights; no gradient is spent on an attack
    beside. Simultaneous play is the source's. δ is held for every training image, (n, ...), and not for a place in the
    batch as there.

    Source: Shafahi et al., Adversarial Training for Free!, 2019.
    """

    name = "free"
    datasets = ("digits",)
    optimizers = ("simultaneous", "alternating", "extragradient", "optimistic")
    presets: ClassVar[Mapping[str, Preset]] = {
        **Defence.presets,
        "cpu": replace(Defence.presets["cpu"], steps=8000),
        "gpu": replace(Defence.presets["gpu"], steps=80_000),
    }
    recipe: ClassVar[Recipe] = Recipe((mm.adam(2e-3), mm.sign(Defence.reach.radius)))

    def players(self, seed: int) -> tuple[Any, ...]:
        return self.network(seed), torch.zeros_like(self.images.train)

    def game(self) -> mm.Game:
        return mm.zero_sum(loss, constraints=(None, partial(self.reach, self.images.train)))

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, count = self.generator(seed, draw // REPLAYS), len(self.images.train)
        i = torch.randint(count, (self.preset.batch,), generator=stream, device=self.device)
        return {"i": i, "x": self.images.train[i], "y": self.images.train_labels[i]}


def loss(net: nn.Module, δ: Tensor, batch: Batch) -> Tensor:
    """CE(f(x_i + δ_i), y_i)."""
    return cross_entropy(net(batch["x"] + δ[batch["i"]]), batch["y"])
