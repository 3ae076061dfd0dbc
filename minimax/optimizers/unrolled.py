"""Unrolled optimization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import admission
from minimax.errors import GameError
from minimax.linear_maps import ELSEWHERE, Expansion, LinearMap
from minimax.optimizer import Info, Ruled, State, counted, moved, plain
from minimax.optimizers._unrolling import Unrolling, inside
from minimax.oracle import Oracle
from minimax.rules import Rule
from minimax.tree import Point
from minimax.validation import flag, whole


@dataclass(frozen=True)
class Unrolled(Ruled):
    r"""Unrolled optimization: the leader (first player) descends L_1(x, y_K(x)), y_K being the followers in K steps.

    y_{k+1} = y_k + d(∂_y L_2(x, y_k)), y_0 = y, differentiated through the gradients, the rule and its memory. The
    followers themselves move as in simultaneous play. On f = a/2 x² + bxy - c/2 y², y_K = rᴷy + (1 - rᴷ)(b/c)x with r =
    1 - ηc. The way back linearises the game again at each y_k, or at the last T: near the answer, a Neumann series.

    Cost per step, two players: 2 + 3K gradients and 2K Hessian-vector products; memory grows by K copies of the
    followers and of their rules' memories. Truncated: 4 + K + 2T gradients, 2T products, T copies.
    State: the rules' memories alone.
    Differs from the paper: there may be several followers, whose rules' memories are differentiated through too.

    Args:
        rule: one rule for all players, or a tuple with one each.
        steps: K >= 1.
        inner: the rule of the followers' steps ahead, starting afresh; None for their own rule, from its memory.
        truncate: T, how many of the last steps are differentiated through; None for all.
        warm: whether the followers stay at y_K, and what their own rules remember there: a warm start of the next K.

    Raises:
        ValueError: steps or truncate below 1.
        GameError: one player only.
        RuntimeError: a follower's `from_torch` rule under `vmap` or `torch.compile`, or without `differentiable`.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.zero_sum(lambda x, y: x**2 / 2 + 2 * x * y - y**2 / 4)
        >>> z = (torch.tensor(1.0), torch.tensor(-0.4))
        >>> opt = mm.Unrolled(mm.sgd(0.1), steps=1, inner=mm.sgd(0.3))
        >>> opt.step(game, z, opt.init(game, z))[0]  # x - 0.1 * 2.642
        (tensor(0.7358), tensor(-0.1800))

    Source: Metz et al., Unrolled Generative Adversarial Networks, 2017; truncated: Shaban, Cheng, Hatch & Boots, 2019.
    """

    steps: int = 5
    inner: Rule | None = None
    truncate: int | None = None
    warm: bool = False

    name: ClassVar[str] = "unrolled"
    anticipates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("steps", self.steps, at_least=1)
        flag("warm", self.warm)
        whole("truncate", self.steps if self.truncate is None else self.truncate, at_least=1)
        if self.inner is not None:
            admission.rule("inner of Unrolled", self.inner)

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        if len(z) < 2:
            raise GameError("unrolled needs a leader and followers, so at least two players, got 1 player.")
        rules, memories = inside(game, z, self.rules(len(z)), state["rules"], self.inner)
        unrolling = Unrolling(game, rules, state["step"], batches[0])
        leader, field, losses, y, m = unrolling.there_and_back(z, memories, self.steps, self.truncate or self.steps)
        ξ = (leader, *field[1:])
        d, state = self.directions(z, ξ, state)
        new, info = moved(game, z, d), Info(losses, ξ, "start of the step; the leader's through the steps ahead")
        if self.warm:
            new = (new[0], *y[1:])
            state = state | ({} if self.inner else {"rules": [state["rules"][0], *m[1:]]})
        return new, counted(state), info

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        E = D if self.inner is None else plain([self.inner] * len(at.blocks), at)
        if isinstance(E, str) or at.shaped(0):
            return E if isinstance(E, str) else ELSEWHERE
        x, y = at.blocks[0], slice(at.blocks[0].stop, None)  # all the followers are y
        step, depths = at.eye, (self.steps, min(self.truncate or self.steps, self.steps))
        step[y] -= E[y] @ at.J
        ahead, seen = (torch.linalg.matrix_power(step, k) for k in depths)  # [[I, 0], [D, R]]
        leader = (at.H[0][x] + seen[y, x].T @ at.H[0][y]) @ ahead  # y_K = R y + D x
        M = at.eye - D @ at.raised(0, leader - at.J[x])
        M[y] = ahead[y] if self.warm else M[y]
        return LinearMap(M)
