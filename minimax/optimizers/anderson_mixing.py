"""Anderson mixing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear import ravel, unravel
from minimax.optimizer import Hyperparameter, Info, State, Wrapper, counted
from minimax.optimizers.alternating import AlternatingGDA
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import hyperparameter, real, whole


@dataclass(frozen=True)
class AndersonMixing(Wrapper):
    r"""Anderson mixing: z⁺ = T z - Σ γ_j ΔT_j with γ = argmin |f - Σ γ_j Δf_j|² + ε Σ|Δf_j|² |γ|², f = T z - z.

    T is a step of the inner optimizer; ΔT_j and Δf_j are the differences of T z and f over the last m steps. On a
    linear field, with memory for all dimensions, it solves the game: in 3 steps around alternating play on f = xy.
    Where the residual cannot be reduced along the memory (every other step around *simultaneous* play on a bilinear
    game) mixing would return where it was, |z⁺ - z| < δ |f|, for ever; then the step is T z, which feeds the memory.

    Cost per step: that of the inner optimizer, and a QR of m columns. Memory: 2m + 2 copies of the players.
    State: `T` T z and `f` of the last step, flat; `ΔT` and `Δf`, of shape (m, n); `inner`, the inner one's state.
    Differs from the paper: any optimizer is mixed; least squares are regularised; no step stands still.

    Args:
        inner: the optimizer whose step is T; a map of z alone, so best with a rule without memory.
        memory: m >= 1.
        regularization: ε > 0, relative to the differences' squares; raise it for noisy gradients. A float, tensor, or
            schedule.
        stagnation: δ >= 0, below which a mixed step counts as standing still.

    Raises:
        ValueError: a memory below 1, an ε not above 0, or a negative δ.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(1.0))
        >>> opt = mm.AndersonMixing(mm.AlternatingGDA(mm.sgd(0.5)))
        >>> solution = mm.solve(game, z, opt, steps=3)
        >>> [bool(player.abs() < 1e-5) for player in solution.players]
        [True, True]

    Source: Anderson, 1965; He, Zhao, Xi, Ho & Saad, GDA-AM: On the Effectiveness of Solving Minimax Optimization via
    Anderson Mixing, 2022.
    """

    memory: int = 5
    regularization: Hyperparameter = 1e-12
    stagnation: float = 1e-6

    name: ClassVar[str] = "anderson-mixing"
    usual = AlternatingGDA

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("memory", self.memory, at_least=1)
        hyperparameter("regularization", self.regularization, above=0)
        real("stagnation", self.stagnation, at_least=0)

    @property
    def adaptive(self) -> bool:
        return True

    def start(self, z: Point, device: torch.device) -> State:
        flat = torch.zeros_like(ravel(tree.join(z)))
        rows = flat.expand(self.memory, -1).clone()
        return {"T": flat, "f": flat, "ΔT": rows, "Δf": rows}  # (N,) and (memory, N)

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        Tz, inner, info = self.inner.update(game, z, state["inner"], batches)
        T, old = ravel(tree.join(Tz)), ravel(tree.join(z))
        f = T - old
        known = (state["step"] > 0).to(T)  # the first step has no difference to remember
        ΔT = torch.cat([state["ΔT"][1:], (known * (T - state["T"]))[None]])
        Δf = torch.cat([state["Δf"][1:], (known * (f - state["f"]))[None]])
        mixed = T - self._weights(f, Δf, self.at(self.regularization, state)) @ ΔT
        stands = (mixed - old).norm() < self.stagnation * f.norm()
        split = tree.split(unravel(torch.where(stands, T, mixed), tree.join(z)), z)
        new = tuple(game.project(i, vector) for i, vector in enumerate(split))
        return new, counted(state | {"inner": inner, "T": T, "f": f, "ΔT": ΔT, "Δf": Δf}), info

    def _weights(self, f: Tensor, Δf: Tensor, ε: Any) -> Tensor:
        """γ, by QR of the columns Δf_j with √ε |Δf| I below, which squares no condition number."""
        size = Δf.square().sum().sqrt()
        size = torch.where(size > 0, size, 1.0)
        ridge = ε**0.5 * torch.eye(self.memory, dtype=f.dtype, device=f.device)
        Q, R = torch.linalg.qr(torch.cat([Δf.T / size, ridge]))
        b = Q[: len(f)].T @ (f / size)
        γ: Tensor = torch.linalg.solve_triangular(R, b[:, None], upper=True)
        return γ[:, 0]
