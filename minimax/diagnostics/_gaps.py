"""What the players could gain by moving alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from minimax import tree
from minimax.game import Game
from minimax.oracle import Oracle, Players
from minimax.projections import lowest
from minimax.rules import Rule, adam
from minimax.tree import Point, Vector
from minimax.validation import real, whole


@dataclass(frozen=True)
class Gap:
    """What each player gains by its best answer to the others that was found.

    Args:
        gains: per player, never negative; a lower bound of the true gain, unless `slack` says more.
        gradients: per player, the gradient's norm at the answer, |z - P(z - F)| under constraints: far from 0, the
            search had not finished.
        slack: per player, how much the true gain may exceed this one if the player's loss is convex in its own player:
            0 where the answer is exact. Infinite for a player on no known bounded set.
    """

    gains: tuple[float, ...]
    gradients: tuple[float, ...]
    slack: tuple[float, ...]

    @property
    def total(self) -> float:
        """Σ_i gain_i; in a zero-sum game the duality gap max_y f(x, y') - min_x f(x', y)."""
        return sum(self.gains)


def duality_gap(
    game: Game,
    players: Players,
    batch: Any = None,
    *,
    rule: Rule = adam(1e-2),
    steps: int = 200,
    radius: float | None = None,
) -> Gap:
    """Σ_i L_i(z) - min_{z_i'} L_i(z_i', z_-i), every player's best answer to the others as they stand.

    Exact where a player's loss is linear in its own player and it lives on simplices, in a box or in balls (matrix
    games), or within `radius` of where it is: that answer is a vertex. Elsewhere the answer is searched for, by the
    rule from where the player is and, under constraints, by projected gradient descent from there and from the lowest
    and the highest point of the linearised loss; then the gain is a lower bound, see `Gap.slack`.

    0 at Nash equilibria (local ones, with `radius`). Not negative, as staying is an answer too. The constraints of the
    game hold for the answers as well.

    Costs `steps` gradients per player, under constraints up to four times as many; two where the answer is exact.

    Args:
        game: the losses.
        players: the point; tensors or modules.
        batch: as the losses take it; large and fixed, for the answers overfit a small one.
        rule: how a player descends.
        steps: of descent.
        radius: the local gap, with answers no further than this from where the player is; by default there is no limit
            (unconstrained bilinear games then have gap ∞).

    Raises:
        ValueError: steps below 1, a negative radius, or a player outside of its constraints.

    Example:
        >>> import torch, minimax as mm
        >>> A = torch.tensor([[0.0, 2.0], [1.0, -3.0]])
        >>> sides = (mm.projections.simplex(), mm.projections.simplex())
        >>> game = mm.zero_sum(lambda x, y: x @ A @ y, constraints=sides)
        >>> duality_gap(game, (torch.tensor([0.5, 0.5]), torch.tensor([0.5, 0.5])))
        Gap(gains=(1.0, 0.5), gradients=(0.0, 0.0), slack=(0.0, 0.0))

    Source: Grnarova et al., A Domain Agnostic Measure for Monitoring and Evaluating GANs, 2019; Nikaido & Isoda, 1955.
    """
    whole("steps", steps, at_least=1)
    if radius is not None:
        real("radius", radius, at_least=0)
    oracle, z = game.enter(players)
    found = [_Answers(oracle, z, i, batch, radius).best(rule, steps) for i in range(oracle.players)]
    gains, gradients, slack = zip(*found, strict=True)
    return Gap(gains, gradients, slack)


class _Answers:
    """One player's answers to the others, of which the best is kept."""

    def __init__(self, game: Oracle, z: Point, i: int, batch: Any, radius: float | None) -> None:
        self.game, self.z, self.i, self.batch, self.radius = game, z, i, batch, radius
        self.start, constraints = z[i], game.game.constraints
        self.constraint = None if constraints is None else constraints[i]
        outside = float(tree.norm(tree.sub(self.start, game.project(i, self.start))))
        if outside > torch.finfo(self.start[0].dtype).eps ** 0.5 * max(1.0, float(tree.norm(self.start))):
            raise ValueError(f"{game.name(i)} lies {outside:.2g} outside of its constraint: project it first.")
        self.loss = math.inf
        self.g, self.first = self.ask(self.start)
        self.loss, self.answer, self.slope = self.first, self.start, self.g

    def best(self, rule: Rule, steps: int) -> tuple[float, float, float]:
        """The gain, the residual at the answer, and the slack."""
        low = self.lowest(self.g)
        if low is None or not self.linear(low):
            self.descend(rule, steps)
            if self.constraint is not None or self.radius is not None:
                high = self.lowest(tree.neg(self.g))
                for point in (self.start, low, high):
                    if point is not None:
                        self.walk(point, steps)
        return self.first - self.loss, self.residual(), self.slack()

    def ask(self, point: Vector) -> tuple[Vector, float]:
        """The gradient and the loss at a point, which becomes the answer if it is the best so far."""
        g, value = self.game.gradient((*self.z[: self.i], point, *self.z[self.i + 1 :]), self.i, self.batch)
        loss = float(value)
        if loss < self.loss:
            self.answer, self.slope, self.loss = point, g, loss
        return g, loss

    def nearest(self, point: Vector) -> Vector:
        """A feasible point, no further from the start than the radius."""
        if self.radius is not None:
            away = tree.sub(point, self.start)
            norm = tree.norm(away)
            point = tree.axpy((self.radius / norm.clamp(min=1e-30)).clamp(max=1.0), away, self.start)
        return self.game.project(self.i, point)

    def lowest(self, g: Vector) -> Vector | None:
        """The point where <g, x> is smallest, if the set is known to be bounded."""
        if self.constraint is not None and self.radius is None:
            point = lowest(f"constraints[{self.i}]", self.constraint, g)
        elif self.constraint is None and self.radius is not None:
            point = tree.axpy(-self.radius / tree.norm(g).clamp(min=1e-30), g, self.start)
        else:
            return None
        finite = point is not None and all(bool(torch.isfinite(leaf).all()) for leaf in point)
        return point if finite else None

    def linear(self, low: Vector) -> bool:
        """Whether the gradient at the lowest point of the linearised loss is that at the start."""
        g, _ = self.ask(low)
        return all(torch.allclose(a, b, rtol=1e-5, atol=1e-8) for a, b in zip(g, self.g, strict=True))

    def descend(self, rule: Rule, steps: int) -> None:
        """By the rule, from where the player is."""
        point, memory, g = self.start, rule.init(self.start, self.game.leaves()[self.i]), self.g
        for k in range(steps):
            d, memory = rule.move(point, g, memory, torch.tensor(k))
            point = self.nearest(tree.add(point, d))
            g, _ = self.ask(point)

    def walk(self, point: Vector, steps: int) -> None:
        """By projected gradient steps t that double, and are halved where the loss is above its upper bound."""
        t = 1.0
        g, loss = self.ask(point)
        for _ in range(steps):
            new = self.nearest(tree.axpy(-t, g, point))
            d = tree.sub(new, point)
            if t >= 1 and not tree.norm(d) > torch.finfo(d[0].dtype).eps * tree.norm(point):
                return
            slope, value = self.ask(new)
            if value <= loss + float(tree.dot(g, d)) + float(tree.dot(d, d)) / (2 * t):
                point, g, loss, t = new, slope, value, min(2 * t, 1e3)
            else:
                t /= 2

    def residual(self) -> float:
        moved = self.nearest(tree.sub(self.answer, self.slope))
        return float(tree.norm(tree.sub(self.answer, moved)))

    def slack(self) -> float:
        low = self.lowest(self.slope)
        return math.inf if low is None else float(tree.dot(self.slope, tree.sub(self.answer, low)))
