"""Restarts from the better of the last and the average iterate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.optimizer import Info, State, Wrapper, counted, moved
from minimax.optimizers.primal_dual import PrimalDual
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import real


@dataclass(frozen=True)
class Restarted(Wrapper):
    r"""Adaptive restarts: a round of the inner optimizer ends at the better of its last iterate and its average.

    Better is the smaller natural residual r(z) = |z - P(z - F(z))|. After n steps of a round that began at residual r_0
    the candidate z_c starts a new one if r(z_c) ≤ `sufficient` r_0; or r(z_c) ≤ `necessary` r_0 but grows; or n has
    reached the share `artificial` of all steps. Averages converge as 1/k, but with restarts linearly on sharp games, as
    matrix games and linear programs are. Around `PrimalDual` this is the heart of PDLP.

    Cost per step: that of the inner optimizer, and two gradients per player. Memory: two copies of the players.
    State: `mean`, of the round; `candidate`, z_c; `began`, r_0; `last`, r(z_c); `length`, n; `inner`, the state inside.
    Differs from the paper: any optimizer is restarted, best one without memory, which is kept; r in place of the
    normalised duality gap: it has no sign to lose where players are infeasible, and takes no search.

    Args:
        inner: the optimizer that plays.
        sufficient: in (0, 1).
        necessary: in (0, 1), above sufficient.
        artificial: in (0, 1].

    Raises:
        ValueError: a share out of its range, or a necessary one that is not above the sufficient one.

    Example:
        >>> import torch, minimax as mm
        >>> closed = mm.games.matrix_game(torch.tensor([[2.0, -1.0], [-1.0, 1.0]]))
        >>> opt = mm.Restarted(mm.PrimalDual(mm.sgd(0.3)))
        >>> mm.solve(closed.game, closed.start, opt, steps=200).answer[0]
        tensor([0.4000, 0.6000])

    Source: Applegate et al., Practical Large-Scale Linear Programming using Primal-Dual Hybrid Gradient, 2021;
    Applegate, Hinder, Lu & Lubin, Faster First-Order Primal-Dual Methods using Restarts and Sharpness, 2023.
    """

    sufficient: float = 0.1
    necessary: float = 0.9
    artificial: float = 0.5

    name: ClassVar[str] = "restarted"
    usual = PrimalDual

    def __post_init__(self) -> None:
        super().__post_init__()
        real("sufficient", self.sufficient, above=0, below=1)
        real("necessary", self.necessary, above=self.sufficient, below=1)
        real("artificial", self.artificial, above=0, at_most=1)

    @property
    def adaptive(self) -> bool:
        return True

    def average(self, state: State) -> Point | None:
        return tuple(state["candidate"])

    def start(self, z: Point, device: torch.device) -> State:
        far = torch.full((), torch.inf, dtype=tree.precision(tree.join(z)), device=device)
        length, copies = torch.zeros((), dtype=torch.int64, device=device), [tree.clone(vector) for vector in z]
        return {"mean": copies, "candidate": copies, "began": far, "last": far, "length": length}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        z, inner, info = self.inner.update(game, z, state["inner"], batches)
        n, began = state["length"] + 1, state["began"]
        mean = tuple(tree.lerp(average, z_i, 1 / n.double()) for average, z_i in zip(state["mean"], z, strict=True))
        of_z, of_mean = (_residual(game, point, batches[-1], began.dtype) for point in (z, mean))
        candidate, r = _either(of_mean < of_z, mean, z), torch.minimum(of_mean, of_z)
        stuck = (r <= self.necessary * began) & (r > state["last"])
        over = (r <= self.sufficient * began) | stuck | (n >= self.artificial * (state["step"] + 1).to(n.device))
        points = {"mean": list(_either(over, candidate, mean)), "candidate": list(candidate)}
        numbers = {"began": torch.where(over, r, began), "last": r, "length": torch.where(over, 0, n)}
        return _either(over, candidate, z), counted(state | {"inner": inner} | points | numbers), info


def _either(first: Tensor, z: Point, w: Point) -> Point:
    return tuple(tree.where(first, a, b) for a, b in zip(z, w, strict=True))


def _residual(game: Oracle, z: Point, batch: Any, dtype: torch.dtype) -> Tensor:
    """|z - P(z - F(z))|."""
    ξ, _ = game.field(z, batch)
    back = moved(game, z, tuple(map(tree.neg, ξ)))
    return tree.norm([leaf.to(dtype) for leaf in tree.sub(tree.join(z), tree.join(back))])
