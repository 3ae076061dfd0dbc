"""Halpern's iteration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap, assembled
from minimax.optimizer import Hyperparameter, Info, State, Wrapper, constant, counted
from minimax.optimizers.extragradient import ExtraGradient
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import hyperparameter


@dataclass(frozen=True)
class Halpern(Wrapper):
    r"""Halpern's iteration: z_{k+1} = β z_0 + (1 - β) T z_k with β = 1/(k + 2) and T a step of the inner optimizer.

    If T is nonexpansive with fixed point z*, |z_k - T z_k| ≤ 2 |z_0 - z*| / (k + 1), and no bound is better.
    T should be a map of z alone, so a rule without memory; extragradient on a bilinear game is nonexpansive for hσ ≤ 1.

    Where T even contracts, by 1/γ, β = 1 / Σ_{i≤k+1} γ^{2i} makes of this the fastest iteration that only asks T:
    |z_k - T z_k| ≤ (1 + 1/γ) |z_0 - z*| / Σ_{i≤k} γⁱ.

    Cost per step: that of the inner optimizer. Memory: one copy of the players.
    State: `anchor` z_0; with γ ≠ 1 `sum`, 1/β; `inner`, the state of the optimizer inside.
    Differs from the paper: T is a step of any optimizer.

    Args:
        inner: the optimizer whose step is T.
        gamma: γ ≥ 1; a float, tensor, or schedule.

    Raises:
        ValueError: a gamma below 1.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.Halpern(mm.ExtraGradient(mm.sgd(0.5)))
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(0.8750), tensor(0.2500))

    Source: Halpern, Fixed points of nonexpanding maps, 1967; Lieder, On the convergence rate of the Halpern-iteration,
    2021; Park & Ryu, Exact Optimal Accelerated Complexity for Fixed-Point Iterations, 2022, for γ.
    """

    gamma: Hyperparameter = 1.0

    name: ClassVar[str] = "halpern"
    usual = ExtraGradient

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("gamma", self.gamma, at_least=1)

    @property
    def _contracts(self) -> bool:
        return isinstance(self.gamma, torch.Tensor) or self.gamma != 1

    def start(self, z: Point, device: torch.device) -> State:
        anchor = {"anchor": [tree.clone(vector) for vector in z]}
        return anchor | ({"sum": torch.ones((), dtype=torch.float64)} if self._contracts else {})

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        Tz, inner, info = self.inner.update(game, z, state["inner"], batches)
        if self._contracts:
            state = state | {"sum": 1 + self.at(self.gamma, state) ** 2 * state["sum"]}
        β = 1 / state["sum"] if self._contracts else 1 / (state["step"].double() + 2)
        new = tuple(tree.lerp(T, z_0, β) for T, z_0 in zip(Tz, state["anchor"], strict=True))
        return new, counted(state | {"inner": inner}), info

    def linearised(self, at: Expansion, inner: LinearMap) -> LinearMap | str:
        if not self._contracts:
            return replace(inner, late=True, sublinear=True)
        M, n = inner.matrix, len(at.eye)
        pull = torch.cat([at.eye, M.new_zeros(len(M) - n, n)])  # of β (z_0 - z*), which shrinks too
        shrink = constant(self.gamma) ** (-2 * inner.steps) * at.eye
        return replace(inner, matrix=assembled([[M, pull], [0 * pull.T, shrink]]), start=None, late=True)
