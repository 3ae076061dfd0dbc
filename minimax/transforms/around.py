"""What transforms Game -> Game start from: an oracle around another one. See `minimax.transforms`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from minimax.linearization import Linearization
from minimax.oracle import Oracle
from minimax.rules import Hyperparameter
from minimax.tree import Point, Vector


class Around(Oracle):
    """An oracle around another one, to which it passes everything on: for transforms of what is answered.

    Players, modules, buffers and costs are the inner one's, whatever a subclass overrides.

    Args:
        inner: the oracle of the game that the transform goes around.

    Raises:
        TypeError: when a subclass is defined that changes the losses and passes on their gradients (see `Payoff`).
    """

    def __init__(self, inner: Oracle) -> None:
        super().__init__(inner.game, inner.seating, inner.shared)
        self.inner = inner
        self.signs, self.joint = inner.signs, inner.joint
        self.depth, self.product = inner.depth + 1, inner.product

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        changed = cls.loss is not Around.loss or cls.losses is not Around.losses
        passed = [name for name in ("gradient", "field", "linearize") if getattr(cls, name) is getattr(Around, name)]
        if changed and passed:
            raise TypeError(
                f"{cls.__name__} changes the losses and passes on the {passed[0]} of others: start from Payoff, whose "
                "gradients are those of its losses, or write gradient, field and linearize too."
            )

    def price(self, i: int) -> tuple[int, int]:
        return self.inner.price(i)

    def loss(self, z: Point, i: int, batch: Any) -> Tensor:
        return self.inner.loss(z, i, batch)

    def losses(self, z: Point, batch: Any) -> tuple[Tensor, ...]:
        return self.inner.losses(z, batch)

    def gradient(self, z: Point, i: int, batch: Any, of: int | None = None) -> tuple[Vector, Tensor]:
        return self.inner.gradient(z, i, batch, of)

    def field(self, z: Point, batch: Any) -> tuple[Point, tuple[Tensor, ...]]:
        return self.inner.field(z, batch)

    def linearize(self, z: Point, batch: Any) -> Linearization:
        return self.inner.linearize(z, batch)

    def silent(self) -> Oracle:
        return self.game.surround(self.inner.silent(), self.seating)

    def plain(self, z: Point, batch: Any) -> tuple[Oracle, Point, Any]:
        return self.inner.plain(z, batch)


class Payoff(Around):
    """An oracle around another one that changes the losses: override `pays`, or `loss` and `losses`.

    Gradients, fields and products are those of its own losses.
    """

    def __init__(self, inner: Oracle) -> None:
        super().__init__(inner)
        self.signs = None  # what one player alone pays ends zero-sum play

    def weighed(self, weight: Hyperparameter, term: Any) -> Any:
        """weight · term, in the term's dtype, whatever a schedule's is."""
        now = self.at(weight)
        return (now.to(term.dtype) if isinstance(now, Tensor) and isinstance(term, Tensor) else now) * term

    def pays(self, i: int, loss: Tensor, z: Point, batch: Any) -> Tensor:
        """What player i pays, `loss` being its loss in the game inside; differentiable."""
        return loss

    def loss(self, z: Point, i: int, batch: Any) -> Tensor:
        if self.joint:
            return self.losses(z, batch)[i]
        return self.pays(i, self.inner.loss(z, i, batch), z, batch)

    def losses(self, z: Point, batch: Any) -> tuple[Tensor, ...]:
        if not self.joint:
            return tuple(self.loss(z, i, batch) for i in range(self.players))
        return tuple(self.pays(i, loss, z, batch) for i, loss in enumerate(self.inner.losses(z, batch)))

    def gradient(self, z: Point, i: int, batch: Any, of: int | None = None) -> tuple[Vector, Tensor]:
        return Oracle.gradient(self, z, i, batch, of)

    def field(self, z: Point, batch: Any) -> tuple[Point, tuple[Tensor, ...]]:
        return Oracle.field(self, z, batch)

    def linearize(self, z: Point, batch: Any) -> Linearization:
        return Oracle.linearize(self, z, batch)
