"""What rules add to gradients: draws of the batch, as a linear term of their player's loss would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from minimax import tree
from minimax.linearization import Linearization
from minimax.oracle import Oracle
from minimax.rules import Memory, Rule
from minimax.transforms.around import Around
from minimax.tree import Point, Vector


class Kicked(Around):
    """An oracle whose players' gradients carry the kicks of their rules: L_i + ⟨kick_i(batch), z_i⟩.

    The term has no second derivatives, so products with the Jacobian pass; losses are told without it.

    Args:
        inner: what evaluates.
        rules: one per player.
        memories: the rules' own.
        step: counts the optimizer's steps.
    """

    def __init__(self, inner: Oracle, rules: Sequence[Rule], memories: Sequence[Memory], step: Tensor) -> None:
        super().__init__(inner)
        self.rules, self.memories, self.step = rules, memories, step

    def silent(self) -> Oracle:
        return Kicked(self.inner.silent(), self.rules, self.memories, self.step)

    def _kicked(self, z: Point, i: int, g: Vector, batch: Any) -> Vector:
        rule = self.rules[i]
        return tree.add(g, rule.kick(z[i], batch, self.memories[i], self.step)) if rule.kicks else g

    def gradient(self, z: Point, i: int, batch: Any, of: int | None = None) -> tuple[Vector, Tensor]:
        g, loss = self.inner.gradient(z, i, batch, of)
        return (self._kicked(z, i, g, batch) if of in (None, i) else g), loss

    def field(self, z: Point, batch: Any) -> tuple[Point, tuple[Tensor, ...]]:
        ξ, losses = self.inner.field(z, batch)
        return tuple(self._kicked(z, i, g, batch) for i, g in enumerate(ξ)), losses

    def linearize(self, z: Point, batch: Any) -> Linearization:
        local = self.inner.linearize(z, batch)
        return replace(local, field=tuple(self._kicked(z, i, g, batch) for i, g in enumerate(local.field)))
