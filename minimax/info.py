"""What a step saw, and what it spent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from minimax import tree
from minimax.projections import Projection, projected
from minimax.tree import Point


class Cost(NamedTuple):
    """What was spent, by one step or by all so far; two costs add up.

    Args:
        gradients: gradients of one player's loss with respect to that player.
        hvps: Hessian-vector products, with DF or a block of it.
        samples: the sum of the first dimensions of the batches drawn.
    """

    gradients: int = 0
    hvps: int = 0
    samples: int = 0

    def __add__(self, other: Cost) -> Cost:  # type: ignore[override]
        return Cost(self.gradients + other.gradients, self.hvps + other.hvps, self.samples + other.samples)


NOTHING = Cost()


@dataclass(eq=False)
class Info:
    """What a step saw: measured on the way, so it costs nothing more.

    `norm`, `residual` and `finite` are computed when asked, so that a training loop that does not look does not pay.

    Args:
        losses: per player, a 0-dim tensor.
        gradients: per player, the list of its leaves' gradients.
        at: where losses and gradients were measured, in words: mostly at the start of the step.
        cost: what the step spent.
        buffers: of the players' modules, as the step left them.
        extra: what an optimizer tells of itself by name; methods that solve a linear system tell its relative
            `residual`, the `iterations` taken, `missed`, the residual once more where it is far off the tolerance, else
            0, and `bent`, how far below 0 a curvature was that should have been positive; `LossScaled` tells whether
            the step was `skipped`; `Lookahead` how far it has `drawn` the players back.
        point: where each player stood when its gradient was measured; empty where no player is constrained.
        constraints: those of the game.
    """

    losses: tuple[Tensor, ...]
    gradients: Point
    at: str = "start of the step"
    cost: Cost = NOTHING
    buffers: dict[str, Tensor] = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)
    point: Point = ()
    constraints: tuple[Projection | None, ...] | None = None

    def __repr__(self) -> str:
        numbers = {"losses": self.losses, "norms": self.norms}
        shown = [f"{name}=({', '.join(f'{float(x):.4g}' for x in values)})" for name, values in numbers.items()]
        return f"Info({', '.join(shown)}, at={self.at!r}, cost={self.cost})"

    @property
    def norm(self) -> Tensor:
        """|F|, the norm of all players' gradients together."""
        return tree.norm(tree.join(self.gradients))

    @property
    def norms(self) -> tuple[Tensor, ...]:
        """Each player's gradient norm."""
        return tuple(tree.norm(vector) for vector in self.gradients)

    @property
    def natural(self) -> Point:
        """z - P(z - F), P the projections on the constraints: F where nothing is constrained, 0 at every solution."""
        if not self.point or self.constraints is None:
            return self.gradients
        return natural(self.point, self.gradients, self.constraints)

    @property
    def residual(self) -> Tensor:
        """|z - P(z - F)|, the natural residual; |F| where nothing is constrained."""
        return tree.norm(tree.join(self.natural))

    @property
    def unrest(self) -> Tensor:
        """What convergence is judged by: the residual, or how far the step has then drawn back, if that is more."""
        return unrest(self.residual, self.extra)

    @property
    def finite(self) -> Tensor:
        """Whether every loss and every gradient entry is a finite number, or the step was passed over: `LossScaled`."""
        finite = torch.isfinite(self.norm) & torch.isfinite(tree.total(self.losses))
        return finite | self.extra["skipped"] if "skipped" in self.extra else finite


def unrest(residual: Tensor, extra: Mapping[str, Tensor]) -> Tensor:
    """The residual, or what an optimizer tells as `drawn` if that is more: see `Info.extra`."""
    return torch.maximum(residual, extra["drawn"]) if "drawn" in extra else residual


def natural(z: Point, ξ: Point, constraints: Sequence[Projection | None]) -> Point:
    """z - P(z - ξ) for every player: ξ itself for those that are not constrained."""
    rows = []
    for i, (z_i, ξ_i, constraint) in enumerate(zip(z, ξ, constraints, strict=True)):
        if constraint is None:
            rows.append(ξ_i)
        else:
            rows.append(tree.sub(z_i, projected(f"constraints[{i}]", constraint, tree.sub(z_i, ξ_i))))
    return tuple(rows)


def _info(leaves: Iterable[Any], static: tuple[Any, ...]) -> Info:
    (losses, gradients, buffers, extra, point), (at, cost, constraints) = leaves, static
    return Info(losses, gradients, at, cost, buffers, extra, point, constraints)


pytree.register_pytree_node(
    Info,
    lambda info: (
        [info.losses, info.gradients, info.buffers, info.extra, info.point],
        (info.at, info.cost, info.constraints),
    ),
    _info,
    serialized_type_name="minimax.Info",
)
