"""Halpern's iteration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Info, State, Wrapper, counted
from minimax.optimizers.extragradient import ExtraGradient
from minimax.oracle import Oracle
from minimax.tree import Point


@dataclass(frozen=True)
class Halpern(Wrapper):
    r"""Halpern's iteration: z_{k+1} = β z_0 + (1 - β) T z_k with β = 1/(k + 2) and T a step of the inner optimizer.

    If T is nonexpansive with fixed point z*, |z_k - T z_k| ≤ 2 |z_0 - z*| / (k + 1), and no bound is better.
    T should be a map of z alone, so a rule without memory; extragradient on a bilinear game is nonexpansive for hσ ≤ 1.

    Cost per step: that of the inner optimizer. Memory: one copy of the players.
    State: `anchor` z_0; `inner`, the state of the optimizer inside.
    Differs from the paper: T is a step of any optimizer.

    Args:
        inner: the optimizer whose step is T.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.Halpern(mm.ExtraGradient(mm.sgd(0.5)))
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(0.8750), tensor(0.2500))

    Source: Halpern, Fixed points of nonexpanding maps, 1967; Lieder, On the convergence rate of the Halpern-iteration,
    2021.
    """

    name: ClassVar[str] = "halpern"
    usual = ExtraGradient

    def start(self, z: Point, device: torch.device) -> State:
        return {"anchor": [tree.clone(vector) for vector in z]}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        Tz, inner, info = self.inner.update(game, z, state["inner"], batches)
        β = 1 / (state["step"].double() + 2)
        new = tuple(tree.lerp(T, z_0, β) for T, z_0 in zip(Tz, state["anchor"], strict=True))
        return new, counted(state | {"inner": inner}), info

    def linearised(self, at: Expansion, inner: LinearMap) -> LinearMap | str:
        return replace(inner, late=True, sublinear=True)
