"""Unrolled optimization."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from minimax import admission, tree
from minimax.errors import GameError
from minimax.optimizer import Info, Ruled, State, counted, moved
from minimax.oracle import Oracle
from minimax.rules import Memory, Rule
from minimax.tree import Point, Vector
from minimax.validation import whole

Move: TypeAlias = Callable[[Vector, Vector, Memory], tuple[Vector, Memory]]


@dataclass(frozen=True)
class Unrolled(Ruled):
    r"""Unrolled optimization: the leader (first player) descends L_1(x, y_K(x)), y_K being the followers in K steps.

    y_{k+1} = y_k + d(∂_y L_2(x, y_k)), y_0 = y, differentiated in full: through the gradients, the rule and its
    memory. The followers themselves move as in simultaneous play. On f = a/2 x² + bxy - c/2 y², y_K = rᴷy + (1 -
    rᴷ)(b/c)x with r = 1 - ηc. Points are kept and graphs are not: the way back linearises the game again at each y_k.

    Cost per step, two players: 2 + 3K gradients and 2K Hessian-vector products; memory grows by K copies of the
    followers and of their rules' memories.

    Args:
        rule: one rule for all players, or a tuple with one each.
        steps: K >= 1.
        inner: the rule of the followers' steps ahead, starting afresh; None for their own rule, from its memory.

    Raises:
        ValueError: steps below 1.
        GameError: one player only.
        RuntimeError: a follower's `from_torch` rule under `vmap` or `torch.compile`, or around an optimizer that has no
            option `differentiable`.

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
        followers = range(1, len(z))
        seen: list[tuple[Point, dict[int, Memory]]] = []
        y, m = z, dict(enumerate(memories))
        for _ in range(self.steps):
            g = {i: game.gradient(y, i, batches[0])[0] for i in followers}
            seen.append((y, m))
            ahead = {i: self._move(game, rules[i], i, state)(y[i], g[i], m[i]) for i in followers}
            y, m = (z[0], *(ahead[i][0] for i in followers)), {i: ahead[i][1] for i in followers}

        ξ_0, _ = game.gradient(y, 0, batches[0])
        λ = {i: game.gradient(y, i, batches[0], of=0)[0] for i in followers}  # dL_1 / dy_k, from y_K back to y_0
        μ = {i: tree.zeros(_numbers(m[i])) for i in followers}  # dL_1 / d(the rule's memory)
        while seen:
            y, m = seen.pop()
            local = game.linearize(y, batches[0])
            for i in followers:
                pull = _transposed(self._move(game, rules[i], i, state), y[i], local.field[i], m[i])
                λ[i], g[i], μ[i] = pull((λ[i], μ[i]))
            for i in followers:
                ξ_0 = tree.add(ξ_0, local.vjp_block(i, 0, g[i]))
                for j in followers:
                    λ[j] = tree.add(λ[j], local.vjp_block(i, j, g[i]))
            if seen:
                del local, pull  # or two graphs are alive at once (so no closure may use them: dynamo deletes no cells)

        ξ = (ξ_0, *local.field[1:])
        d, state = self.directions(z, ξ, state)
        at = "start of the step; the leader's gradient through the steps ahead"
        return moved(game, z, d), counted(state), Info(local.losses, ξ, at)

    def _move(self, game: Oracle, rule: Rule, i: int, state: State) -> Move:
        def move(y: Vector, g: Vector, m: Memory) -> tuple[Vector, Memory]:
            d, m = rule.move(y, g, m, state["step"])
            return game.project(i, tree.add(y, d)), m

        return move


def _transposed(move: Move, y: Vector, g: Vector, m: Memory) -> Callable[..., tuple[Vector, Vector, Vector]]:
    """The move's vector-Jacobian product. Of the memory only numbers have derivatives; whatever counts stands still."""

    def smooth(y: Vector, g: Vector, numbers: Vector) -> tuple[Vector, Vector]:
        rest = iter(numbers)
        y, new = move(y, g, pytree.tree_map(lambda leaf: next(rest) if _number(leaf) else leaf, m))
        return y, _numbers(new)

    pull: Callable[..., tuple[Vector, Vector, Vector]] = torch.func.vjp(smooth, y, g, _numbers(m))[1]
    return pull


def _numbers(memory: Memory) -> Vector:
    return [leaf for leaf in pytree.tree_leaves(memory) if _number(leaf)]


def _number(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()
