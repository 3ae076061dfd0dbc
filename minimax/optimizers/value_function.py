"""The value-function penalty of bilevel games, and its Moreau envelope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Hyperparameter, Info, Names, Ruled, State, constant, counted, moved
from minimax.optimizers._implicit import two
from minimax.optimizers._value import elsewhere, slopes
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import hyperparameter, whole


@dataclass(frozen=True)
class ValueFunction(Ruled):
    r"""Value-function penalty: leader and follower both descend L_1 + γ (L_2(x, y) - min_w L_2(x, w)), by gradients.

    w, a copy of the follower, answers first: K moves along ∂_y L_2(x, w). Then x moves along ∂_x L_1 + γ (∂_x L_2(x, y)
    - ∂_x L_2(x, w)) and y along ∂_y L_2 + ∂_y L_1/γ. With a Moreau envelope the minimum is that of L_2(x, w) + |w -
    y|²/2m, one even where L_2 is not convex: w moves along (w - y)/m too, and y along (w - y)/m. At rest the leader's
    direction is the hypergradient but for O(1/γ): in quadratic games -BᵀH⁻¹C (C + γM)⁻¹ ∂_y L_1 at y*, where H = ∂_y²
    L_2, B = -∂_y∂_x L_2, C = ∂_y² L_1 and M = H, or mH² (I + mH)⁻¹.

    Cost per step: 5 + K gradients. What L_2 is above its least value is `Info.extra["gap"]`.
    State: `answer`, w; its rule's memory; the rules' memories.
    Differs from the paper: y's direction is divided by γ, whose growth leaves its steps as they are so.

    Args:
        rule: one rule for both players, or a tuple with one each; w moves by the follower's.
        gamma: γ > 0; a float, tensor, or schedule.
        moreau: m > 0, likewise; None for the value function itself.
        steps: K >= 1.

    Raises:
        ValueError: a gamma or a moreau that is not positive, or steps below 1.
        GameError: not two players.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.transforms.bilevel(lambda x, y: (y - 1) ** 2, lambda x, y: (y - 2 * x) ** 2)
        >>> z, opt = (torch.tensor(0.0), torch.tensor(0.0)), mm.ValueFunction((mm.sgd(5e-3), mm.sgd(0.2)))
        >>> mm.solve(game, z, opt, steps=500).players
        (tensor(0.5000), tensor(1.0000))

    Source: Kwon et al., A Fully First-Order Method for Stochastic Bilevel Optimization, 2023; envelope: Liu et al.
    """

    gamma: Hyperparameter = 10.0
    moreau: Hyperparameter | None = None
    steps: int = 1

    name: ClassVar[str] = "value-function"
    anticipates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("gamma", self.gamma, above=0)
        whole("steps", self.steps, at_least=1)
        hyperparameter("moreau", 1.0 if self.moreau is None else self.moreau, above=0)

    def begin(self, z: Point, names: Names) -> State:
        memory = self.rules(len(z))[-1].init(z[-1], names[-1])
        return super().begin(z, names) | {"answer": tree.clone(z[-1]), "memory": memory}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        two(self.name, z)
        (x, y), w, m, batch, γ = z, state["answer"], state["memory"], batches[0], self.at(self.gamma, state)
        pull = 0.0 if self.moreau is None else 1 / self.at(self.moreau, state)
        for _ in range(self.steps):
            g = tree.axpy(pull, tree.sub(w, y), game.gradient((x, w), 1, batch)[0])
            move, m = self.rules(2)[1].move(w, g, m, state["step"])
            w = game.project(1, tree.add(w, move))
        f, q, gap, losses = slopes(game, z, w, batch)
        ξ = (tree.axpy(γ, q[0], f[0]), tree.axpy(1 / γ, f[1], tree.axpy(pull, tree.sub(w, y), q[1])))
        d, state = self.directions(z, ξ, state)
        info = Info(losses, ξ, "start of the step, the penalised losses'", extra={"gap": gap})
        return moved(game, z, d), counted(state | {"answer": w, "memory": m}), info

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        if reason := elsewhere(at):
            return reason
        (x, y), J, (f, g), γ = at.blocks, at.J, at.H, constant(self.gamma)
        n, pull = len(J), at.eye[y, y] * (0.0 if self.moreau is None else 1 / constant(self.moreau))
        w, one = slice(n, n + len(pull)), torch.eye(n + len(pull)).to(J)
        F = 0 * one  # what x, y and w move along
        F[w, x], F[w, y], F[w, w] = J[y, x], -pull, J[y, y] + pull
        F[x, :n], F[x, w] = f[x], -γ * g[x, y]
        F[y, :n], F[y, w] = J[y] + f[y] / γ, pull
        F[x, y], F[y, y] = F[x, y] + γ * g[x, y], F[y, y] - pull
        seen = torch.linalg.matrix_power(one - torch.cat([0 * one[:n], D[y, y] @ F[w]]), self.steps)
        seen[:n] -= D @ F[:n] @ seen
        return LinearMap(seen, start=torch.cat([at.eye, at.eye[y]]))
