"""K-beam minimax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.optimizer import Hyperparameter, Info, Names, Ruled, State, counted
from minimax.oracle import Oracle
from minimax.tree import Point, Vector
from minimax.validation import hyperparameter, real, whole


@dataclass(frozen=True)
class KBeam(Ruled):
    r"""K-beam: K candidates v^k of the last player all descend its loss, v^k ← v^k - h ∂L(u, v^k); u plays the best.

    min_u max_v f needs the *global* answer to u. Where the best answer jumps between several local maxima, gradient
    play follows one of them to a false solution; the beam follows K and u descends max_k f(u, v^k). With K = 1 this is
    alternating play, last player first. `state["beam"]` holds the candidates, leaves of shape (K, ...), and may be set
    by hand; the last player that a step returns is the best of them. With ε > 0, u follows the mean of the gradients at
    all v^k within ε of the best, which does not jump at ties: an ε-subgradient of max_k f where f is convex in u.

    Cost per step: K gradients per move of the last player, K forward passes, and one gradient per other player (K with
    ε). Memory: K copies of the last player (and of its rule's memory); with ε, K gradients of one other player.

    Args:
        rule: one rule for all players, or a tuple with one each. The last player's rule moves all candidates as one.
        candidates: K >= 1.
        spread: candidates start in a box of this half width around the last player, v¹ at its centre; always the same.
        steps: moves of the candidates per step.
        epsilon: ε >= 0, in units of the last player's loss; a float, tensor, or schedule.

    Raises:
        ValueError: candidates or steps below 1, a negative spread or epsilon, or a last rule that mixes candidates.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.zero_sum(lambda x, y: x**2 / 2 + x * y - (y**2 - 1) ** 2)  # max over y: one near -1, one near 1
        >>> z, rule = (torch.tensor(0.5), torch.tensor(0.0)), mm.sgd(0.05)
        >>> plain, beam = mm.AlternatingGDA(rule), mm.KBeam(rule, spread=2.0)
        >>> [round(mm.solve(game, z, opt, steps=200).players[0].item(), 1) for opt in (plain, beam)]
        [-0.9, 0.0]

    Source: Hamm & Noh, K-Beam Minimax: Efficient Optimization for Deep Adversarial Learning, 2018.
    """

    candidates: int = 5
    spread: float = 0.1
    steps: int = 1
    epsilon: Hyperparameter = 0.0

    name: ClassVar[str] = "k-beam"

    def __post_init__(self) -> None:
        super().__post_init__()
        last = self.rule[-1] if isinstance(self.rule, tuple) else self.rule
        if not last.entrywise:
            raise ValueError(
                f"KBeam moves all candidates as one player, which {type(last).__name__} would mix: use adam."
            )
        whole("candidates", self.candidates, at_least=1)
        whole("steps", self.steps, at_least=1)
        real("spread", self.spread, at_least=0)
        hyperparameter("epsilon", self.epsilon, at_least=0)

    def begin(self, z: Point, names: Names) -> State:
        beam, first = self._spread(z[-1]), torch.zeros((), dtype=torch.int64, device=z[0][0].device)
        return super().begin((*z[:-1], beam), names) | {"beam": beam, "best": first}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        *us, v = z
        *rules, last = self.rules(len(z))
        *memories, memory = state["rules"]
        n, batch = len(us), batches[0]

        def each(beam: Vector) -> list[Vector]:
            return [game.project(n, [leaf[k] for leaf in beam]) for k in range(self.candidates)]

        here = state["best"][None]
        beam = each([b.index_copy(0, here, leaf[None]) for b, leaf in zip(state["beam"], v, strict=True)])
        for _ in range(self.steps):
            asked, pairs = beam, [game.gradient((*us, v_k), n, batch) for v_k in beam]
            d, memory = last.move(_stack(beam), _stack([g for g, _ in pairs]), memory, state["step"])
            beam = each(tree.add(_stack(beam), d))
        with torch.no_grad():
            answers = torch.stack([game.loss((*us, v_k), n, batch) for v_k in beam])
        best, ε = answers.argmin(), self.at(self.epsilon, state)
        v = [_get(leaf, best) for leaf in _stack(beam)]

        def descent(i: int) -> tuple[Vector, Tensor]:
            if isinstance(ε, int | float) and ε == 0:
                return game.gradient((*us, v), i, batch)
            g, L = zip(*[game.gradient((*us, v_k), i, batch) for v_k in beam], strict=True)
            return _mean(_stack(g), answers <= answers.min() + ε), _get(torch.stack(L), best)

        seen = [descent(i) for i in range(n)]
        moves = [r.move(u, g, m, state["step"]) for r, u, (g, _), m in zip(rules, us, seen, memories, strict=True)]
        us = [game.project(i, tree.add(u, d)) for i, (u, (d, _)) in enumerate(zip(us, moves, strict=True))]
        g, L = _stack([g for g, _ in pairs]), torch.stack([L for _, L in pairs])
        seen.append(([_get(leaf, best) for leaf in g], _get(L, best)))
        state = state | {"rules": [*(m for _, m in moves), memory], "beam": _stack(beam), "best": best}
        where = (*z[:n], [_get(leaf, best) for leaf in _stack(asked)])
        info = Info(tuple(L for _, L in seen), tuple(g for g, _ in seen), at="each player's last move", point=where)
        return (*us, v), counted(state), info

    def _spread(self, v: Vector) -> Vector:
        """K candidates around v; a golden lattice and no random numbers, so that `init` is pure."""
        k, i, beam = torch.arange(self.candidates, dtype=torch.float64)[:, None], 0, []
        for leaf in v:
            index = torch.arange(i + 1, i + 1 + leaf.numel(), dtype=torch.float64)
            lattice = (k * index**2 * (5**0.5 - 1) / 2 + index * 2**0.5).frac()  # in [0, 1)
            shift = torch.where(k > 0, self.spread * (2 * lattice - 1), 0.0)
            beam.append(leaf + shift.reshape(-1, *leaf.shape).to(leaf))
            i += leaf.numel()
        return beam


def _stack(beam: Sequence[Vector]) -> Vector:
    return [torch.stack(leaves) for leaves in zip(*beam, strict=True)]


def _get(leaf: Tensor, k: Tensor) -> Tensor:
    return leaf.index_select(0, k[None])[0]  # leaf[k] would read k off the device


def _mean(beam: Vector, among: Tensor) -> Vector:
    kept = [torch.where(among.reshape(-1, *[1] * (leaf.dim() - 1)), leaf, 0) for leaf in beam]  # 0 * inf is a NaN
    return [leaf.sum(0) / among.sum() for leaf in kept]
