"""Stochastic variance-reduced extragradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Info, Ruled, State, counted, moved
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import whole


@dataclass(frozen=True)
class SVRE(Ruled):
    r"""Stochastic variance-reduced extragradient: extragradient on F_i(z) - F_i(z_s) + F(z_s), i a sample.

    A step is one epoch: it takes the snapshot z_s = z and its full field F(z_s), then makes `iterations` extragradient
    iterations, each with one sample for the half step and one for the step. The noise vanishes with z - z_s, so finite
    sums are solved exactly. (The paper draws the epoch's length; here it is fixed, so that a step's cost is.)

    Batches: the first `snapshot` ones *together hold the whole data set* in parts of equal size (one full batch, or all
    minibatches of one pass); then two per iteration, less one, as the first half step sees F(z_s) alone.

    Cost per step: snapshot + 4 iterations - 2 gradients per player.
    State: the rules' memories alone; the snapshot is taken anew by every step.
    Differs from the paper: the epoch's length is fixed and not drawn, so that a step's cost is.

    Args:
        rule: one rule for all players, or a tuple with one each; with adam it is SVREAdam.
        iterations: extragradient iterations per epoch; the number of minibatches in the data set, say.
        snapshot: how many batches make up the data set.

    Raises:
        ValueError: iterations or snapshot below 1.

    Example:
        >>> import torch, minimax as mm
        >>> game, data = mm.zero_sum(lambda x, y, b: (b * x * y).mean()), torch.tensor([0.0, 2.0])
        >>> z, opt = (torch.tensor(1.0), torch.tensor(0.0)), mm.SVRE(mm.sgd(0.5), iterations=1)
        >>> opt.step(game, z, opt.init(game, z), [data, data[1:]])[0]
        (tensor(0.5000), tensor(0.5000))

    Source: Chavdarova, Gidel, Fleuret & Lacoste-Julien, Reducing Noise in GAN Training with Variance Reduced
    Extragradient, 2019.
    """

    iterations: int = 5
    snapshot: int = 1

    name: ClassVar[str] = "svre"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("iterations", self.iterations, at_least=1)
        whole("snapshot", self.snapshot, at_least=1)

    @property
    def draws(self) -> int:
        return self.snapshot + 2 * self.iterations - 1

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        z_s, (full, samples) = z, (batches[: self.snapshot], batches[self.snapshot :])
        fields, losses = zip(*[game.field(z_s, batch) for batch in full], strict=True)
        μ = tuple(_mean(vectors) for vectors in zip(*fields, strict=True))

        def reduced(w: Point, batch: Any) -> Point:
            ξ, ξ_s = game.field(w, batch)[0], game.field(z_s, batch)[0]
            return tuple(tree.add(tree.sub(g, g_s), m) for g, g_s, m in zip(ξ, ξ_s, μ, strict=True))

        for k in range(self.iterations):
            d, state = self.directions(z, reduced(z, samples[2 * k - 1]) if k else μ, state)
            half = moved(game, z, d)
            d, state = self.directions(z, reduced(half, samples[2 * k]), state, at=half)
            z = moved(game, z, d)
        return z, counted(state), Info(tuple(tree.total(each) / len(each) for each in zip(*losses, strict=True)), μ)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        hJ = D @ at.J  # without samples there is no noise
        return LinearMap(torch.linalg.matrix_power(at.eye - hJ + hJ @ hJ, self.iterations))


def _mean(vectors: Sequence[tree.Vector]) -> tree.Vector:
    return tree.scale(1 / len(vectors), reduce(tree.add, vectors))
