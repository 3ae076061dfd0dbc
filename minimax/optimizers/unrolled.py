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
from minimax.optimizers._unrolling import Unrolling
from minimax.oracle import Oracle
from minimax.rules import Memory, Rule
from minimax.tree import Point
from minimax.validation import whole


@dataclass(frozen=True)
class Unrolled(Ruled):
    r"""Unrolled optimization: the leader (first player) descends L_1(x, y_K(x)), y_K being the followers in K steps.

    y_{k+1} = y_k + d(∂_y L_2(x, y_k)), y_0 = y, differentiated in full: through the gradients, the rule and its
    memory. The followers themselves move as in simultaneous play. On f = a/2 x² + bxy - c/2 y², y_K = rᴷy + (1 -
    rᴷ)(b/c)x with r = 1 - ηc. Points are kept and graphs are not: the way back linearises the game again at each y_k.

    Cost per step, two players: 2 + 3K gradients and 2K Hessian-vector products; memory grows by K copies of the
    followers and of their rules' memories.
    State: the rules' memories alone; steps ahead are forgotten.
    Differs from the paper: there may be several followers, whose rules' memories are differentiated through too.

    Args:
        rule: one rule for all players, or a tuple with one each.
        steps: K >= 1.
        inner: the rule of the followers' steps ahead, starting afresh; None for their own rule, from its memory.

    Raises:
        ValueError: steps below 1.
        GameError: one player only.
        RuntimeError: a follower's `from_torch` rule under `vmap` or `torch.compile`, or without `differentiable`.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.zero_sum(lambda x, y: x**2 / 2 + 2 * x * y - y**2 / 4)
        >>> z = (torch.tensor(1.0), torch.tensor(-0.4))
        >>> opt = mm.Unrolled(mm.sgd(0.1), steps=1, inner=mm.sgd(0.3))
        >>> opt.step(game, z, opt.init(game, z))[0]  # x - 0.1 * 2.642
        (tensor(0.7358), tensor(-0.1800))

    Source: Metz, Poole, Pfau & Sohl-Dickstein, Unrolled Generative Adversarial Networks, 2017.
    """

    steps: int = 5
    inner: Rule | None = None

    name: ClassVar[str] = "unrolled"
    anticipates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("steps", self.steps, at_least=1)
        if self.inner is not None:
            admission.rule("inner of Unrolled", self.inner)

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        if len(z) < 2:
            raise GameError("unrolled needs a leader and followers, so at least two players, got 1 player.")
        if self.inner is None:
            rules, memories = self.rules(len(z)), state["rules"]
        else:
            rules = (self.inner,) * len(z)
            memories = [self.inner.init(z_i, names) for z_i, names in zip(z, game.leaves(), strict=True)]
        unrolling = Unrolling(game, rules, state["step"], batches[0])
        seen: list[tuple[Point, list[Memory]]] = []
        y, m = z, list(memories)
        for _ in range(self.steps):
            seen.append((y, m))
            y, m = unrolling.ahead(y, m)
        λ, μ = unrolling.start_back(y, m)
        while seen:
            λ, μ, field, losses = unrolling.back(*seen.pop(), λ, μ)
        ξ = (λ[0], *field[1:])
        d, state = self.directions(z, ξ, state)
        at = "start of the step; the leader's gradient through the steps ahead"
        return moved(game, z, d), counted(state), Info(losses, ξ, at)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        E = D if self.inner is None else plain([self.inner] * len(at.blocks), at)
        if isinstance(E, str) or at.shaped(0):
            return E if isinstance(E, str) else ELSEWHERE
        x, y = at.blocks[0], slice(at.blocks[0].stop, None)  # all the followers are y
        step = at.eye
        step[y] -= E[y] @ at.J
        ahead = torch.linalg.matrix_power(step, self.steps)  # [[I, 0], [D, R]]: y_K = R y + D x
        leader = (at.H[0][x] + ahead[y, x].T @ at.H[0][y]) @ ahead
        return LinearMap(at.eye - D @ at.raised(0, leader - at.J[x]))
