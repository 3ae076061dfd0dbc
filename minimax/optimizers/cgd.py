"""Competitive gradient descent, and with Adam its adaptive form ACGD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax.linear import ravel
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Info, Ruled, State, counted, moved
from minimax.optimizers._competitive import System, enough, flat, solved_for
from minimax.optimizers._tangent import stopped
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import real, whole


@dataclass(frozen=True)
class CompetitiveGradientDescent(Ruled):
    r"""Competitive gradient descent: every player's best move given the others' moves, z⁺ = z - h (I + hH_o)⁻¹ ξ.

    H_o is DF without its own-player blocks. With any rule, (I + A H_o) Δ = d for its displacement d and its metric A
    (d = -A m, m the mean gradient): `sgd` is CGD, `adam(h, betas=(0, 0.99))` is ACGD. On bilinear games CGD is the
    proximal point method for every h, as far as rounding lets a system of condition 1 + h²σ² be solved: in float32 to
    about hσ = 100. Two players are reduced to the smaller one's system; in zero-sum games that one is positive definite
    and solved by conjugate gradients, in others by GCR. Each solve starts at d plus the last step's correction Δ - d,
    which a new batch changes less than Δ itself. Where constraints bind, the players answer along their feasible sets.

    Cost per step: one gradient per player, and 2 + 2k products for k iterations (n players: n(n-1)(1 + k)). Where
    rounding has lost the residual, 2 more compute it anew. The residual |d - (I + A H_o) Δ| / |d|, in the norm of
    A⁻¹, and k are in `Info.extra`. Far from 0 the step is not the method's; then the `Status` of a run says so.
    State: `correction`, Δ - d of the last step, flat, of the players that are solved for; the rules' memories.
    Differs from the paper: by the warm start, by other rules than SGD and ACGD's, and by the constraints.

    Args:
        rule: one rule for all players, or a tuple with one each; one that has a metric.
        tolerance: the residual to stop at, eagerly after reading it once per iteration.
        iterations: at most so many; under `vmap` and `torch.compile` exactly so many, the late ones without effect. By
            default, up to 512 unknowns (of two players the smaller one's numbers), as many as exactness asks and then
            some for rounding: 4 per unknown, under `vmap` and `torch.compile` 2. Beyond, for networks, 10.

    Raises:
        ValueError: a negative tolerance, or iterations below 1.
        RuntimeError: a rule without a metric, as `from_torch`.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.CompetitiveGradientDescent(mm.sgd(0.5))
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(0.8000), tensor(0.4000))

    Source: Schäfer & Anandkumar, Competitive Gradient Descent, 2019; Schäfer, Zheng & Anandkumar, Implicit
    competitive regularization in GANs, 2020 (ACGD); Ma et al., Polymatrix competitive gradient descent, 2021.
    """

    tolerance: float = 1e-6
    iterations: int | None = None

    name: ClassVar[str] = "cgd"

    def __post_init__(self) -> None:
        super().__post_init__()
        real("tolerance", self.tolerance, at_least=0)
        if self.iterations is not None:
            whole("iterations", self.iterations, at_least=1)

    def start(self, z: Point, device: torch.device) -> State:
        return {"correction": torch.zeros_like(ravel(solved_for(z)))}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        local = game.linearize(z, batches[0])
        d, state = self.directions(z, local.field, state)
        stops = [stopped(game, i, z_i, d_i) for i, (z_i, d_i) in enumerate(zip(z, d, strict=True))]
        moves, Q = [ravel(d_i) for d_i, _ in stops], [Q_i for _, Q_i in stops]
        del d, stops  # which would keep a copy of all players while the system is solved
        rules = zip(self.rules(len(z)), state["rules"], strict=True)
        system = System(
            local=local,
            z=z,
            d=moves,
            A=[flat(rule.metric(memory, state["step"])) for rule, memory in rules],
            Q=Q,
            tolerance=self.tolerance,
            iterations=self.iterations or enough(len(state["correction"])),
        )
        Δ, correction, solved = system.solve(state["correction"])
        z = moved(game, z, Δ)
        info = Info(local.losses, local.field, extra=solved.told(self.tolerance))
        return z, counted(state | {"correction": correction}), info

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        return LinearMap(at.eye - torch.linalg.solve(at.eye + D @ at.off, D @ at.J))
