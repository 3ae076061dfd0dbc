"""A player's K candidates as one vector, whose leaves have a first dimension of K."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minimax.linear_maps import Expansion
from minimax.oracle import Oracle
from minimax.tree import Point, Vector


def spread(v: Vector, count: int, width: float) -> Vector:
    """Candidates in a box of this half width around v, the first at its centre: a golden lattice, without chance."""
    k, i, beam = torch.arange(count, dtype=torch.float64)[:, None], 0, []
    for leaf in v:
        index = torch.arange(i + 1, i + 1 + leaf.numel(), dtype=torch.float64)
        lattice = (k * index**2 * (5**0.5 - 1) / 2 + index * 2**0.5).frac()  # in [0, 1)
        shift = torch.where(k > 0, width * (2 * lattice - 1), 0.0)
        beam.append(leaf + shift.reshape(-1, *leaf.shape).to(leaf))
        i += leaf.numel()
    return beam


def candidates(beam: Vector) -> list[Vector]:
    """One vector per candidate."""
    return [[leaf[k] for leaf in beam] for k in range(len(beam[0]))]


def stacked(vectors: Sequence[Vector]) -> Vector:
    """The inverse of `candidates`, of gradients too."""
    return [torch.stack(leaves) for leaves in zip(*vectors, strict=True)]


def pick(beam: Vector, k: Tensor) -> Vector:
    """Candidate k, without reading k off the device."""
    return [leaf.index_select(0, k[None])[0] for leaf in beam]


def placed(beam: Vector, k: Tensor, v: Vector) -> Vector:
    """The beam with v as its candidate k."""
    return [leaves.index_copy(0, k[None], leaf[None]) for leaves, leaf in zip(beam, v, strict=True)]


def mean(beam: Vector, among: Tensor) -> Vector:
    """The mean over those of the candidates that a mask of shape (K,) names."""
    kept = [torch.where(among.reshape(-1, *[1] * (leaf.dim() - 1)), leaf, 0) for leaf in beam]  # 0 * inf is a NaN
    return [leaf.sum(0) / among.sum() for leaf in kept]


def projected(game: Oracle, i: int, beam: Vector) -> Vector:
    """Every candidate of player i on its feasible set."""
    return stacked([game.project(i, v_k) for v_k in candidates(beam)])


@dataclass(frozen=True, eq=False)
class Beam:
    """The candidates v^k of the last player beside the others, on one batch.

    Args:
        game: the oracle.
        us: the other players.
        leaves: the candidates, of shape (K, ...).
        batch: the batch.
    """

    game: Oracle
    us: Point
    leaves: Vector
    batch: Any

    def answers(self) -> Tensor:
        """The last player's losses, shape (K,)."""
        last = len(self.us)
        with torch.no_grad():
            return torch.stack([self.game.loss((*self.us, v_k), last, self.batch) for v_k in candidates(self.leaves)])

    def gradients(self, i: int) -> tuple[Vector, Tensor]:
        """Player i's gradients and losses at every candidate, leaves of shape (K, ...) and (K,)."""
        gradients, losses = [], []
        for v_k in candidates(self.leaves):
            g, L = self.game.gradient((*self.us, v_k), i, self.batch)
            gradients.append(g)
            losses.append(L)
        return stacked(gradients), torch.stack(losses)

    def descent(self, i: int, best: Tensor, near: Tensor | None) -> tuple[Vector, Tensor]:
        """Player i's gradient and loss at the best candidate; the mean gradient of those that are near, if any are."""
        if near is None:
            return self.game.gradient((*self.us, pick(self.leaves, best)), i, self.batch)
        g, L = self.gradients(i)
        return mean(g, near), pick([L], best)[0]


def joins(at: Expansion, D: Tensor, steps: int, factor: float) -> bool:
    """Whether candidates near one another merge faster than play goes on, and so join it before they are chosen again.

    Args:
        at: the game at the equilibrium.
        D: the step sizes, a diagonal matrix.
        steps: moves of the candidates per step.
        factor: by how much a step of one candidate's play contracts.
    """
    v = at.blocks[-1]
    apart = float(torch.linalg.eigvals(at.eye[v, v] - D[v, v] @ at.J[v, v]).abs().max()) ** steps
    return apart < 1 - 1e-12 and apart < factor + 1e-9
