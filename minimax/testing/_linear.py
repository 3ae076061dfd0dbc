"""What an optimizer says its step is near an equilibrium, against the steps that it takes there."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from minimax.diagnostics._expansion import expand
from minimax.errors import GameError
from minimax.game import Game, zero_sum
from minimax.linear_maps import LinearMap
from minimax.optimizer import GameOptimizer
from minimax.testing._compare import close, demand


def linear(optimizer: GameOptimizer) -> None:
    """Play from beside the equilibrium of quadratic games, and compare with the powers of the map declared for it.

    An optimizer that declares none passes, as does one whose map holds only after many steps.
    """
    for name, (game, players) in quadratic_games().items():
        try:
            declared = optimizer.linear(expand(game, players))
        except GameError:  # it is for another number of players
            continue
        if isinstance(declared, str) or declared.late:
            continue
        for e in torch.eye(sum(player.numel() for player in players), dtype=torch.float64):
            for rounds, z in enumerate(_played(optimizer, game, players, e, declared), start=1):
                said = _said(declared, e, rounds)
                demand(
                    close(z, said, 1e-4),
                    f"{name}: after {rounds * declared.steps} steps from {e.tolist()} beside the equilibrium play is "
                    f"at {z.tolist()}, and by its linear map at {said.tolist()}.",
                )


def _played(
    optimizer: GameOptimizer, game: Game, players: tuple[Tensor, ...], e: Tensor, declared: LinearMap
) -> list[Tensor]:
    """Where three rounds of steps from tiny e lead, in units of tiny."""
    tiny = 1e-4
    z = tuple(tiny * part for part in e.split([player.numel() for player in players]))
    state, found = optimizer.init(game, z), []
    for step in range(3 * declared.steps):
        z, state, _ = optimizer.step(game, z, state)
        if (step + 1) % declared.steps == 0:
            found.append(torch.cat(z) / tiny)
    return found


def _said(declared: LinearMap, e: Tensor, rounds: int) -> Tensor:
    start = e if declared.start is None else declared.start @ e
    said: Tensor = torch.linalg.matrix_power(declared.matrix, rounds) @ start
    return said[: len(e)]


def quadratic_games() -> dict[str, tuple[Game, tuple[Tensor, ...]]]:
    """Games with the equilibrium 0, whose losses ½ zᵀ H_i z are convex in their own player and couple all of them."""
    f = _forms(players=1, n=3)[0]
    f[:2, :2] += 2 * torch.eye(2)
    f[2, 2] -= 2
    two, three = _forms(2, 3), _forms(3, 3)
    for i, rows in enumerate((slice(0, 1), slice(1, 3))):
        two[i][rows, rows] += 2 * torch.eye(rows.stop - rows.start)
    for i in range(3):
        three[i][i, i] += 2
    return {
        "a zero-sum game": (zero_sum(_loss(f)), _zeros(2, 1)),
        "a general-sum game": (Game(*map(_loss, two)), _zeros(1, 2)),
        "three players": (Game(*map(_loss, three)), _zeros(1, 1, 1)),
    }


def _forms(players: int, n: int) -> list[Tensor]:
    """Symmetric matrices without a pattern."""
    entries = (2.4 * torch.arange(1, players * n * n + 1, dtype=torch.float64)).sin().reshape(players, n, n)
    return [H + H.T for H in entries]


def _loss(H: Tensor) -> Callable[..., Tensor]:
    def loss(*z: Tensor) -> Tensor:
        whole = torch.cat(z)
        return whole @ H @ whole / 2

    return loss


def _zeros(*sizes: int) -> tuple[Tensor, ...]:
    return tuple(torch.zeros(size, dtype=torch.float64) for size in sizes)
