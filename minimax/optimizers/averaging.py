"""Averages of the iterates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Hyperparameter, Info, State, Wrapper, counted
from minimax.optimizers.extragradient import ExtraGradient
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import hyperparameter, real


@dataclass(frozen=True)
class Averaging(Wrapper):
    r"""The inner optimizer as it is, and beside it the average of its iterates: z̄_t = z̄_{t-1} + w_t (z_t - z̄_{t-1}).

    Without decay w_t = (q + 1) / (t + q): for q = 0 the mean of z_1 .. z_t, for q > 0 one in which late iterates weigh
    more (z_s counts about as s^q). With decay β, w_t = 1 - β and z̄_0 = z_0, the exponential moving average. z̄ is its
    `answer`. On a bilinear game the mean converges where play itself may circle for ever.

    Cost per step: that of the inner optimizer. Memory: one copy of the players, `state["mean"]`, z̄_t.
    State: `mean` z̄_t; `inner`, the state of the optimizer inside.
    Differs from the paper: of all players at once, and of any optimizer.

    Args:
        inner: the optimizer that plays; its play is unchanged.
        decay: β in [0, 1) for the exponential average, a float, tensor, or schedule; None for the mean.
        power: q >= 0, for the mean only.

    Raises:
        ValueError: a decay outside [0, 1), a negative power, or both together.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(1.0))
        >>> opt = mm.Averaging(mm.AlternatingGDA(mm.sgd(1.0)))
        >>> solution = mm.solve(game, z, opt, steps=6)  # once round its circle
        >>> solution.players, solution.answer
        ((tensor(1.), tensor(1.)), (tensor(0.), tensor(0.)))

    Source: Bruck, 1977; Nemirovski, 2004; Yazıcı et al., The Unusual Effectiveness of Averaging in GAN Training, 2019.
    """

    decay: Hyperparameter | None = None
    power: float = 0.0

    name: ClassVar[str] = "averaging"
    usual = ExtraGradient

    def __post_init__(self) -> None:
        super().__post_init__()
        real("power", self.power, at_least=0)
        if self.decay is not None:
            hyperparameter("decay", self.decay, at_least=0, below=1)
            if self.power:
                raise ValueError(f"power goes without decay, got power={self.power}, decay={self.decay}: pass one.")

    def average(self, state: State) -> Point | None:
        return tuple(state["mean"])

    def start(self, z: Point, device: torch.device) -> State:
        return {"mean": [tree.clone(vector) for vector in z]}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        z, inner, info = self.inner.update(game, z, state["inner"], batches)
        q = self.power
        weight = (q + 1) / (state["step"].double() + 1 + q) if self.decay is None else 1 - self.at(self.decay, state)
        mean = [tree.lerp(average, z_i, weight) for average, z_i in zip(state["mean"], z, strict=True)]
        return z, counted(state | {"inner": inner, "mean": mean}), info

    def linearised(self, at: Expansion, inner: LinearMap) -> LinearMap | str:
        return replace(inner, mean=self.decay is None)
