"""What the players could gain by moving alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minimax import tree
from minimax.game import Game, Oracle, Players
from minimax.rules import Rule, adam
from minimax.tree import Point, Vector


@dataclass(frozen=True)
class Gap:
    """What each player gains by its best answer to the others, per player; `total` is their sum.

    `gradients` are the players' gradient norms at the answers found: far from 0, the search had not finished (or met a
    constraint) and the gain is a lower bound.
    """

    gains: tuple[float, ...]
    gradients: tuple[float, ...]

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
    """Σ_i L_i(z) - min_{z_i'} L_i(z_i', z_-i), every player's best response found by gradient descent from where it is.

    0 exactly at Nash equilibria (local ones, with `radius`). Not negative, as staying is an answer too. The constraints
    of the game hold for the answers as well.

    Costs `steps` gradients per player.

    Args:
        game: the losses.
        players: the point; tensors or modules.
        batch: as the losses take it; large and fixed, for the answers overfit a small one.
        rule: how a player descends.
        steps: of descent.
        radius: the local gap, with answers no further than this from where the player is; by default there is no limit
            (unconstrained bilinear games then have gap ∞).

    Raises:
        ValueError: steps below 1 or a negative radius.

    Example:
        >>> import torch, minimax as mm
        >>> scsc = mm.zero_sum(lambda x, y: x**2 / 2 + x * y - y**2 / 2)
        >>> duality_gap(scsc, (torch.tensor(1.0), torch.tensor(1.0)), rule=mm.sgd(0.5)).total
        2.0

    Source: Grnarova et al., A Domain Agnostic Measure for Monitoring and Evaluating GANs, 2019; Nikaido & Isoda, 1955.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}.")
    if radius is not None and not radius >= 0:
        raise ValueError(f"radius must be >= 0, got {radius}.")
    oracle, z = game.enter(players)
    found = [_best_response(oracle, z, i, batch, rule, steps, radius) for i in range(oracle.players)]
    return Gap(tuple(float(gain) for gain, _ in found), tuple(float(norm) for _, norm in found))


def _best_response(
    game: Oracle, z: Point, i: int, batch: Any, rule: Rule, steps: int, radius: float | None
) -> tuple[Tensor, Tensor]:
    z_i, memory = z[i], rule.init(z[i])
    first = best = None
    for k in range(steps + 1):
        g, loss = game.gradient((*z[:i], z_i, *z[i + 1 :]), i, batch)
        first = loss if first is None else first
        best = (
            loss if best is None else torch.fmin(best, loss)
        )  # not min: a descent may blow up after it found something
        if k < steps:
            d, memory = rule.move(z_i, g, memory, torch.tensor(k))
            z_i = game.project(i, _near(tree.add(z_i, d), z[i], radius))
    assert first is not None and best is not None
    return first - best, tree.norm(g)


def _near(x: Vector, center: Vector, radius: float | None) -> Vector:
    """The nearest point to x no further than `radius` from the center."""
    if radius is None:
        return x
    away = tree.sub(x, center)
    norm = tree.norm(away)
    return tree.axpy((radius / norm.clamp(min=1e-30)).clamp(max=1.0), away, center)
