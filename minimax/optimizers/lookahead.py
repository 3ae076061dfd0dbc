"""Lookahead for games."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Hyperparameter, Info, State, Wrapper, constant, counted
from minimax.optimizers.simultaneous import SimultaneousGDA
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import hyperparameter, whole


@dataclass(frozen=True)
class Lookahead(Wrapper):
    r"""Lookahead: after every k fast steps of the inner optimizer, z ← z_s + α (z - z_s) from the slow weights z_s.

    The slow weights are where the round of k steps began, and all players synchronise together. Around a linear map m a
    round multiplies by (1 - α) + α mᵏ, which turns outward spirals inward. Nested with a k that is a multiple of the
    inner one's, every outer synchronisation also starts a new inner round, as in the paper's nested Lookahead-minmax.

    Cost per step: that of the inner optimizer. Memory: one copy of the players.
    `Info.extra["drawn"]` is |z_f - z|, by which a step drew back from the fast weights: 0 within a round.
    State: `slow` z_s, where the round began; `inner`, the state of the optimizer inside.
    Differs from the paper: nesting is by wrapping, and α may follow a schedule.

    Args:
        inner: the optimizer that takes the fast steps.
        k: how many of them make a round; >= 1.
        alpha: α, how far to go from the slow to the fast weights; a float, tensor, or schedule.

    Raises:
        ValueError: k below 1.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.Lookahead(mm.SimultaneousGDA(mm.sgd(0.5)), k=2, alpha=0.5)
        >>> mm.solve(game, z, opt, steps=2).players
        (tensor(0.8750), tensor(0.5000))

    Source: Chavdarova, Pagliardini, Stich, Fleuret & Jaggi, Taming GANs with Lookahead-Minmax, 2021.
    """

    k: int = 5
    alpha: Hyperparameter = 0.5

    name: ClassVar[str] = "lookahead"
    usual = SimultaneousGDA

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("k", self.k, at_least=1)
        hyperparameter("alpha", self.alpha)

    def start(self, z: Point, device: torch.device) -> State:
        return {"slow": [tree.zeros(vector) for vector in z]}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        begins, ends = state["step"] % self.k == 0, (state["step"] + 1) % self.k == 0
        slow = [tree.where(begins, z_i, s) for z_i, s in zip(z, state["slow"], strict=True)]
        fast, inner, info = self.inner.update(game, z, state["inner"], batches)
        α = self.at(self.alpha, state)
        new = tuple(tree.where(ends, tree.lerp(s, f, α), f) for s, f in zip(slow, fast, strict=True))
        drawn = tree.norm(tree.sub(tree.join(new), tree.join(fast)))
        info.extra["drawn"] = torch.maximum(drawn, info.extra["drawn"]) if "drawn" in info.extra else drawn
        return new, counted(state | {"inner": inner, "slow": slow}), info

    def linearised(self, at: Expansion, inner: LinearMap) -> LinearMap | str:
        if self.k % inner.steps:
            return f"undefined: k is no multiple of {inner.steps}, the inner one's round"
        fast, n = torch.linalg.matrix_power(inner.matrix, self.k // inner.steps), len(at.eye)
        stay = torch.eye(len(fast), dtype=fast.dtype)
        z = torch.lerp(stay[:n], fast[:n], constant(self.alpha))  # what the inner one remembers is not drawn back
        return replace(inner, matrix=torch.cat([z, fast[n:]]), steps=self.k)
