"""How far a point is from being an equilibrium, in every sense at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from minimax import tree
from minimax.diagnostics._equilibrium import Equilibrium, classify
from minimax.diagnostics._gaps import Gap, duality_gap
from minimax.game import Game
from minimax.info import natural
from minimax.optimizers import StackelbergGradient
from minimax.oracle import Oracle, Players
from minimax.rules import Rule, adam, sgd
from minimax.status import missed
from minimax.transforms import Around
from minimax.transforms._coupled import Coupled
from minimax.tree import Point
from minimax.validation import whole


@dataclass(frozen=True)
class KKT:
    """By how much the conditions of a shared constraint g(z) <= 0 with multipliers λ >= 0 are missed.

    Args:
        stationarity: |z_i - P(z_i - F_i)| over the players who share it, what they pay for it included.
        violation: the largest entry of g, 0 if none is positive.
        complementarity: the largest |λ_k g_k|.
        negative: the largest -λ_k, 0 if none is negative.
    """

    stationarity: float
    violation: float
    complementarity: float
    negative: float

    @property
    def residual(self) -> float:
        """The largest of them."""
        return max(self.stationarity, self.violation, self.complementarity, self.negative)

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:.3g}" for name, value in vars(self).items())


@dataclass(frozen=True)
class Certificate:
    """What `certificate` found; prints as a page.

    Args:
        tolerance: up to which a residual counts as 0.
        equilibrium: the kind of the point, and the numbers that decide it.
        gap: what each player gains by its best answer that was found; None where nobody looked.
        shared: of a game with a shared constraint (`transforms.coupled`), its KKT conditions; None elsewhere.
        hypergradient: of a bilevel game, the norm of the leader's move along d/dx L_1(x, y*(x)), as its constraint
            leaves it; None elsewhere, nan where the follower's system could not be solved.
        doubt: why it could not, or empty.
    """

    tolerance: float
    equilibrium: Equilibrium
    gap: Gap | None
    shared: KKT | None
    hypergradient: float | None
    doubt: str

    @property
    def residual(self) -> float:
        """The natural residual |z - P(z - F)|; |F| where nothing is constrained."""
        return self.equilibrium.norm

    @property
    def holds(self) -> bool:
        """Whether nobody gains to first order: residual, KKT conditions and hypergradient are within the tolerance."""
        sizes = [self.residual, 0.0 if self.shared is None else self.shared.residual, self.hypergradient or 0.0]
        return all(size <= self.tolerance for size in sizes)

    def __str__(self) -> str:
        verdict = "nobody gains to first order" if self.holds else "no equilibrium"
        lines = [f"{verdict} (to {self.tolerance:g})", f"  kind         {self.equilibrium}"]
        if self.gap is not None:
            gains = ", ".join(f"{gain:.3g}" for gain in self.gap.gains)
            bound = (
                ""
                if not any(self.gap.slack)
                else ", a lower bound"
                if math.inf in self.gap.slack
                else (f", at most {sum(self.gap.slack):.3g} more where losses are convex")
            )
            lines += [f"  gap          {self.gap.total:.3g}{bound}; by best answers the players gain {gains}"]
        if self.shared is not None:
            lines += [f"  shared       {self.shared}"]
        if self.hypergradient is not None:
            lines += [f"  leader       |dL_1/dx along the answer| = {self.hypergradient:.3g}{self.doubt}"]
        return "\n".join(lines)


def certificate(
    game: Game,
    players: Players,
    batch: Any = None,
    *,
    leader: int = 0,
    tolerance: float = 1e-4,
    rule: Rule = adam(1e-2),
    steps: int = 200,
    radius: float | None = None,
    products: int = 30,
    seed: int = 0,
) -> Certificate:
    """How far a point is from an equilibrium: residual, kind, best answers, and what constraints and leaders add.

    The natural residual and the kind as `classify` has them, the best-response gap of `duality_gap`; of a game with
    a shared constraint, of which the last players are the multipliers, its KKT conditions; of a bilevel game, whose
    leader's own gradient says nothing, the hypergradient, by the implicit function theorem. A search for better answers
    that starts at a stationary point stays there, be it a maximum: the kind says so, the gap does not.

    Costs what `classify` and `duality_gap` do, and a `StackelbergGradient` step of a bilevel game.

    Args:
        game: the losses.
        players: the point; tensors or modules.
        batch: as the losses take it; large and fixed.
        leader: who moves first in the minimax sense, of two players.
        tolerance: up to which a residual counts as 0.
        rule: how better answers are searched for.
        steps: of that search; 0 leaves it out.
        radius: answers no further than this, see `duality_gap`.
        products: for the Ritz values of games above 512 parameters.
        seed: of their random start.

    Raises:
        ValueError: a number out of its range, or a player outside of its constraints.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.transforms.coupled(mm.games.cournot(costs=(1.0, 2.0)).game, lambda x, y: x + y - 4)
        >>> found = certificate(game, (torch.tensor(2.5), torch.tensor(1.5), torch.tensor(2.5)))
        >>> print(found.shared)
        stationarity 0, violation 0, complementarity 0, negative 0
        >>> found.holds, found.gap.total
        (True, 0.0)

    Source: Facchinei & Pang, Finite-Dimensional Variational Inequalities and Complementarity Problems, 2003, for
    residuals; Facchinei & Kanzow, Generalized Nash Equilibrium Problems, 2007, for shared constraints.
    """
    whole("steps", steps, at_least=0)
    options: dict[str, Any] = {"leader": leader, "tolerance": tolerance, "products": products, "seed": seed}
    equilibrium = classify(game, players, batch, **options)
    gap = duality_gap(game, players, batch, rule=rule, steps=steps, radius=radius) if steps else None
    hypergradient, doubt = (None, "") if game.leader is None else _led(game, players, batch)
    return Certificate(tolerance, equilibrium, gap, _shared(game, players, batch), hypergradient, doubt)


def _led(game: Game, players: Players, batch: Any) -> tuple[float, str]:
    """How far a step of size 1 along the follower's answer moves the leader, or why nobody knows."""
    game, players = game.functional(players)
    oracle, z = game.enter(players)
    optimizer = StackelbergGradient(sgd(1.0), tolerance=1e-9, iterations=max(50, 2 * tree.size(z[-1])))
    moved, _, info = optimizer.step(game, players, optimizer.init(game, players), batch)
    doubt = missed(float(info.extra["missed"]), float(info.extra["bent"]))
    leader = oracle.game.enter(moved)[1][0]
    return math.nan if doubt else float(tree.norm(tree.sub(leader, z[0]))), doubt


@torch.no_grad()
def _shared(game: Game, players: Players, batch: Any) -> KKT | None:
    """The KKT conditions, if a shared constraint lies between the losses and the players."""
    oracle, z = game.enter(players)
    inside: Oracle = oracle
    while isinstance(inside, Around) and not isinstance(inside, Coupled):
        inside = inside.inner
    if not isinstance(inside, Coupled) or inside.players != len(z):
        return None
    n, (field, _), constraints = inside.n, oracle.field(z, batch), game.constraints or (None,) * len(z)
    rest: Point = natural(z, field, constraints)[:n]
    g, λ = inside.use(z, batch), torch.stack([multiplier for (multiplier,) in z[n:]])
    return KKT(
        stationarity=float(tree.norm(tree.join(rest))),
        violation=float(g.max().clamp(min=0)),
        complementarity=float((λ * g).abs().max()),
        negative=float((-λ).max().clamp(min=0)),
    )
