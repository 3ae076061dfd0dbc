"""K-beam minimax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Hyperparameter, Info, Names, Ruled, State, counted
from minimax.optimizers._beam import Beam, joins, pick, placed, projected, spread
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import hyperparameter, real, whole


@dataclass(frozen=True)
class KBeam(Ruled):
    r"""K-beam: K candidates v^k of the last player all descend its loss, v^k ← v^k - h ∂L(u, v^k); u plays the best.

    min_u max_v f needs the *global* answer to u. Where that jumps between local maxima, gradient play follows one to a
    false solution; the beam follows K, and u descends max_k f(u, v^k). With K = 1 this is alternating play, last player
    first. With ε > 0, u follows the mean gradient at all v^k within ε of the best, which does not jump at ties: an
    ε-subgradient of max_k f where f is convex in u. The last player returned is the best v^k.

    Cost per step: K gradients per move of the last player, K forward passes, one gradient per other player (K with ε).
    Memory: K copies of the last player and of its rule's memory; with ε, K gradients of one other player.
    State: `beam`, the candidates, leaves of shape (K, ...), may be set; `best`, its index; the rules' memories.
    Differs from the paper: candidates start on a lattice and not at random; ε = 0 by default.

    Args:
        rule: one rule for all players, or a tuple with one each.
        candidates: K >= 1.
        spread: candidates start in a box of this half width around the last player, v¹ at its centre.
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
            raise ValueError(f"KBeam moves candidates as one player, which {type(last).__name__} mixes: use adam.")
        whole("candidates", self.candidates, at_least=1)
        whole("steps", self.steps, at_least=1)
        real("spread", self.spread, at_least=0)
        hyperparameter("epsilon", self.epsilon, at_least=0)

    def begin(self, z: Point, names: Names) -> State:
        beam, first = spread(z[-1], self.candidates, self.spread), torch.zeros((), dtype=torch.int64)
        return super().begin((*z[:-1], beam), names) | {"beam": beam, "best": first.to(z[0][0].device)}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        us, n, rules, memories = z[:-1], len(z) - 1, self.rules(len(z)), list(state["rules"])
        beam = Beam(game, us, projected(game, n, placed(state["beam"], state["best"], z[-1])), batches[0])
        for _ in range(self.steps):
            asked, (g, L) = beam.leaves, beam.gradients(n)
            d, memories[n] = rules[n].move(asked, g, memories[n], state["step"])
            beam = Beam(game, us, projected(game, n, tree.add(asked, d)), batches[0])
        answers, ε = beam.answers(), self.at(self.epsilon, state)
        best = answers.argmin()
        near = None if isinstance(ε, int | float) and ε == 0 else answers <= answers.min() + ε
        new, seen = [], [beam.descent(i, best, near) for i in range(n)]
        for i, u in enumerate(us):
            d, memories[i] = rules[i].move(u, seen[i][0], memories[i], state["step"])
            new.append(game.project(i, tree.add(u, d)))
        ξ, losses = zip(*seen, (pick(g, best), pick([L], best)[0]), strict=True)
        info = Info(losses, ξ, at="each player's last move", point=(*us, pick(asked, best)))
        state = counted(state | {"rules": memories, "beam": beam.leaves, "best": best})
        return (*new, pick(beam.leaves, best)), state, info

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        v = at.blocks[-1]
        alone = LinearMap(at.in_turn([v] * self.steps + [slice(0, v.start)], D), late=self.candidates > 1)
        joined = not alone.late or joins(at, D, self.steps, alone.factor(at))
        return alone if joined else "undefined: the candidates merge too slowly or never"
