"""Followers in their steps ahead, and the way back: how the leader's loss there depends on where they start."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from minimax import tree
from minimax.oracle import Oracle
from minimax.rules import Memory, Rule
from minimax.tree import Point, Vector


class Passed(NamedTuple):
    """What steps ahead from z and the way back found.

    Args:
        slope: of the leader's loss at the end as a function of x.
        field: at z.
        losses: at z.
        end: where the steps ended.
        memories: the rules', there.
    """

    slope: Vector
    field: Point
    losses: tuple[Tensor, ...]
    end: Point
    memories: list[Memory]


@dataclass(frozen=True, eq=False)
class Unrolling:
    """Steps ahead of all players but the first, the leader, on one batch.

    Points are y, with the leader's x as y[0]; memories m hold one entry per player, of which the leader's stands still.

    Args:
        game: the oracle.
        rules: one per player.
        step: the count that schedules see.
        batch: of all steps ahead.
    """

    game: Oracle
    rules: Sequence[Rule]
    step: Tensor
    batch: Any

    def there_and_back(self, z: Point, m: list[Memory], steps: int, depth: int) -> Passed:
        """So many steps ahead from z, and back through the last `depth` of them."""
        seen: deque[tuple[Point, list[Memory]]] = deque(maxlen=depth)
        y = z
        for _ in range(steps):
            seen.append((y, m))
            y, m = self.ahead(y, m)
        λ, μ = self.start_back(y, m)
        while seen:
            field, losses = self.back(*seen.pop(), λ, μ)
        if depth < steps:
            field, losses = self.game.field(z, self.batch)
        return Passed(λ[0], field, losses, y, m)

    def ahead(self, y: Point, m: list[Memory]) -> tuple[Point, list[Memory]]:
        """One step of all followers at once."""
        gradients = [self.game.gradient(y, i, self.batch)[0] for i in range(1, len(y))]
        new, memories = [y[0]], [m[0]]
        for i, g in enumerate(gradients, start=1):
            y_i, m_i = self._move(i, y[i], g, m[i])
            new.append(y_i)
            memories.append(m_i)
        return tuple(new), memories

    def start_back(self, y: Point, m: list[Memory]) -> tuple[list[Vector], list[Vector]]:
        """λ and μ at the end: ∂L_1/∂y per player, the leader's x too, and ∂L_1/∂m, which is 0 there."""
        λ = [self.game.gradient(y, i, self.batch, of=0)[0] for i in range(len(y))]
        return λ, [tree.zeros(_numbers(m_i)) for m_i in m]

    def back(self, y: Point, m: list[Memory], λ: list[Vector], μ: list[Vector]) -> tuple[Point, tuple[Tensor, ...]]:
        """Turns λ and μ after a step ahead from (y, m) into those before it, in place; the field and the losses at y.

        Memory peaks in the products, so that nothing else stays till then: no earlier λ or μ, no name for what pulls
        back through the move, and no graph of another linearisation.
        """
        local, followers = self.game.linearize(y, self.batch), range(1, len(y))
        through: dict[int, Vector] = {}
        for i in followers:
            λ[i], through[i], μ[i] = self._transposed(i, y[i], local.field[i], m[i])((λ[i], μ[i]))
        for i in followers:  # the gradient ∂_i L_i that it moved along depends on everybody
            for j in range(len(y)):
                λ[j] = tree.add(λ[j], local.vjp_block(i, j, through[i]))
        return local.field, local.losses

    def _move(self, i: int, y_i: Vector, g: Vector, m_i: Memory) -> tuple[Vector, Memory]:
        d, m_i = self.rules[i].move(y_i, g, m_i, self.step)
        return self.game.project(i, tree.add(y_i, d)), m_i

    def _transposed(self, i: int, y_i: Vector, g: Vector, m_i: Memory) -> Callable[..., tuple[Vector, Vector, Vector]]:
        """The vector-Jacobian product of player i's move (y, g, m) -> (y⁺, m⁺).

        Of the memory only numbers have derivatives; whatever counts stands still.
        """

        def smooth(y_i: Vector, g: Vector, numbers: Vector) -> tuple[Vector, Vector]:
            rest = iter(numbers)
            memory = pytree.tree_map(lambda leaf: next(rest) if _number(leaf) else leaf, m_i)
            moved, new = self._move(i, y_i, g, memory)
            return moved, _numbers(new)

        pull: Callable[..., tuple[Vector, Vector, Vector]] = torch.func.vjp(smooth, y_i, g, _numbers(m_i))[1]
        return pull


def inside(
    game: Oracle, z: Point, rules: Sequence[Rule], memories: list[Memory], inner: Rule | None
) -> tuple[Sequence[Rule], list[Memory]]:
    """The rules of steps ahead and their memories: the players' own, or an inner one that starts afresh."""
    if inner is None:
        return rules, list(memories)
    return (inner,) * len(z), [inner.init(z_i, names) for z_i, names in zip(z, game.leaves(), strict=True)]


def _numbers(memory: Memory) -> Vector:
    return [leaf for leaf in pytree.tree_leaves(memory) if _number(leaf)]


def _number(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()
