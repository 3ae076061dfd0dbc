"""Regret matching, on simplices and on the plans of a game with several moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from minimax import tree
from minimax.errors import GameError
from minimax.rules._simplices import check_rows
from minimax.rules.rule import Memory, Rule
from minimax.tree import Vector
from minimax.validation import flag, shown, whole

Decisions: TypeAlias = tuple[tuple[int | None, tuple[int, ...]], ...]


@dataclass(frozen=True)
class regret_matching(Rule):
    r"""Regret matching: x⁺ ∝ [R]₊ along the last dimension, R ← R + r with the regrets r = <g, x> - g; no rate.

    `plus` keeps [R + r]₊ in place of R (RM+), `predictive` plays as if the next regrets were r once more: x⁺ ∝ [R +
    r]₊ (PRM, PRM+). Where nothing is positive x⁺ is even. The play is the same if payoffs are scaled. After T moves
    nobody could have gained more than √Σ|r_t|² by one action throughout, with predictions √Σ|r_t - r_{t-1}|², r_0 = 0:
    so the *averages* of play solve zero-sum games, `Averaging(AlternatingGDA(rule), power=1.0)`. As `entropic` for
    schedules that add one move to the point it was made at.

    With `decisions` a row is a plan in sequence form: entry a is the probability that a player's own moves lead to a,
    and every decision divides that of the entry before it. Regrets are counterfactual, taken at every decision by
    itself: CFR, CFR+ and PCFR+. Memory: R and r (predictive), shaped like the player.

    Args:
        plus: forget negative regrets.
        predictive: count the last regrets twice.
        decisions: each after those that lead to it: the entry that it follows, None at first, and the entries
            that it divides it into. By default one decision of all entries.

    Raises:
        ValueError: decisions that are none.
        GameError: at `init`, a player whose rows are no distributions, or no plans.

    Example:
        >>> import torch
        >>> rule, z = regret_matching(), [torch.tensor([0.5, 0.5, 0.0])]
        >>> rule.move(z, [torch.tensor([1.0, 3.0, 1.5])], rule.init(z), torch.tensor(0))[0]  # r = (1, -1, .5)
        [tensor([ 0.1667, -0.5000,  0.3333])]

    Source: Hart & Mas-Colell, A Simple Adaptive Procedure Leading to Correlated Equilibrium, 2000; Tammelin, Solving
    Large Imperfect Information Games Using CFR+, 2014; Farina, Kroer & Sandholm, Faster Game Solving via Predictive
    Blackwell Approachability, 2021; Zinkevich et al., Regret Minimization in Games with Incomplete Information, 2007.
    """

    plus: bool = False
    predictive: bool = False
    decisions: Decisions | None = None

    def __post_init__(self) -> None:
        flag("plus", self.plus)
        flag("predictive", self.predictive)
        if self.decisions is not None:
            _check(self.decisions)

    @property
    def sums(self) -> bool:
        return False

    @property
    def entrywise(self) -> bool:
        return False

    def init(self, player: Vector, names: Sequence[str] = ()) -> Memory:
        if self.decisions is None:
            check_rows("regret_matching", player)
        else:
            _check_plans(player, self.decisions)
        past = {"r": tree.zeros(player)} if self.predictive else {}
        return {"R": tree.zeros(player)} | past

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        return self.move_from(player, player, gradient, memory, step)

    def move_from(
        self, start: Vector, at: Vector, gradient: Vector, memory: Memory, step: Tensor
    ) -> tuple[Vector, Memory]:
        expected = self._expected(memory)
        r = [self._regrets(x, g, e) for x, g, e in zip(at, gradient, expected, strict=True)]
        R = tree.add(memory["R"], r)
        new: Memory = {"R": [a.clamp(min=0) for a in R] if self.plus else R} | ({"r": r} if self.predictive else {})
        return tree.sub([self._plan(e) for e in self._expected(new)], start), new

    def _expected(self, memory: Memory) -> Vector:
        """The regrets that the next move goes by."""
        R: Vector = memory["R"]
        return tree.add(R, memory["r"]) if self.predictive else R

    def _all(self, x: Tensor) -> Decisions:
        return ((None, tuple(range(x.shape[-1]))),) if self.decisions is None else self.decisions

    def _regrets(self, x: Tensor, g: Tensor, expected: Tensor) -> Tensor:
        """<g, σ> - g at every decision, σ what x does there; the last decision first, as others lead to it."""
        values, r = list(g.unbind(-1)), list(g.unbind(-1))
        for before, entries in reversed(self._all(x)):
            chosen, costs = list(entries), torch.stack([values[a] for a in entries], -1)
            σ = x[..., chosen]
            if before is not None:  # where x never comes, σ is what it would have done
                reach = x[..., before, None]
                σ = torch.where(reach > 0, σ / torch.where(reach > 0, reach, 1), _matched(expected[..., chosen]))
            cost = (σ * costs).sum(-1)
            for a in entries:
                r[a] = cost - values[a]
            if before is not None:
                values[before] = values[before] + cost
        return torch.stack(r, -1)

    def _plan(self, regrets: Tensor) -> Tensor:
        """What matches the regrets at every decision, as a plan."""
        x = list(regrets.unbind(-1))
        for before, entries in self._all(regrets):
            for a, share in zip(entries, _matched(regrets[..., list(entries)]).unbind(-1), strict=True):
                x[a] = share if before is None else x[before] * share
        return torch.stack(x, -1)


def _matched(regrets: Tensor) -> Tensor:
    """[R]₊ / Σ [R]₊ along the last dimension, even where nothing is positive, however small what is."""
    above = regrets.clamp(min=0)
    top = above.amax(-1, keepdim=True)
    above = torch.where(top > 0, above / torch.where(top > 0, top, 1), torch.ones_like(above))
    return above / above.sum(-1, keepdim=True)


def _check(decisions: Decisions) -> None:
    example = "((None, (0, 1)), (0, (2, 3))): entries 0 and 1, and after 0 the entries 2 and 3"
    wrong = ValueError(f"decisions must be listed as {example}, got {shown(decisions)}.")
    if not isinstance(decisions, tuple) or not decisions:
        raise wrong
    known: list[int] = []
    for decision in decisions:
        if not isinstance(decision, tuple) or len(decision) != 2 or not isinstance(decision[1], tuple):
            raise wrong
        before, entries = decision
        if not entries or not (before is None or before in known):
            raise wrong
        for a in entries:
            whole("every entry in decisions", a, at_least=0)
        known += entries
    if sorted(known) != list(range(len(known))):
        raise wrong


def _check_plans(player: Vector, decisions: Decisions) -> None:
    size = sum(len(entries) for _, entries in decisions)
    for z in () if tree.transformed() else player:
        fits = z.dim() > 0 and z.shape[-1] == size
        ε = torch.finfo(z.dtype).eps ** 0.5
        for before, entries in decisions if fits else ():
            whole_share = 1 if before is None else z[..., before]
            fits = fits and bool(((z[..., list(entries)].sum(-1) - whole_share).abs() <= ε).all())
        if not fits or float(z.min()) < 0:
            raise GameError(
                f"regret_matching with these decisions moves plans of {size} numbers >= 0 in the last dimension, whose "
                f"decisions sum to the entry they follow, got a player of shape {tuple(z.shape)} that is none."
            )
