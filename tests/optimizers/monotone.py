"""Random convex-concave games with their solutions, and where play on them has been."""

import torch
from torch import Tensor

import minimax as mm
from minimax.projections import box


def saddle(
    seed: int, constrained: bool, *, rotation: bool = False
) -> tuple[mm.Game, tuple[Tensor, ...], Tensor, float]:
    """A quadratic game of 3 and 2 numbers, its start, its solution, and L; in [-1, 1]⁵ if constrained.

    With constraints a pull of the opposite sign is added where the solution lies on the border, so that it binds.
    """
    draw = torch.Generator().manual_seed(seed)
    P, Q, A = (torch.randn(*shape, generator=draw, dtype=torch.float64) for shape in ((3, 3), (2, 2), (3, 2)))
    P, Q = (0 * P, 0 * Q) if rotation else (P @ P.T, Q @ Q.T)
    z, start = (torch.randn(5, generator=draw, dtype=torch.float64) for _ in range(2))
    force = torch.zeros(5, dtype=torch.float64)
    if constrained:
        z, start = z.clamp(-1, 1), start.clamp(-1, 1)
        force = torch.where(z.abs() == 1, -z * torch.rand(5, generator=draw, dtype=torch.float64), 0)

    def payoff(x: Tensor, y: Tensor) -> Tensor:
        u, v = x - z[:3], y - z[3:]
        return u @ P @ u / 2 + u @ A @ v - v @ Q @ v / 2 + force[:3] @ u - force[3:] @ v

    J = torch.cat([torch.cat([P, A], 1), torch.cat([-A.T, Q], 1)])
    game = mm.zero_sum(payoff, constraints=(box(-1, 1),) * 2 if constrained else None)
    return game, (start[:3], start[3:]), z, float(torch.linalg.matrix_norm(J, 2))


def path(optimizer: mm.GameOptimizer, game: mm.Game, z: tuple[Tensor, ...], steps: int) -> Tensor:
    """The points z_0 .. z_steps, one a row."""
    state, seen = optimizer.init(game, z), [torch.cat([x.reshape(-1) for x in z])]
    for _ in range(steps):
        z, state, _ = optimizer.step(game, z, state)
        seen.append(torch.cat([x.reshape(-1) for x in z]))
    return torch.stack(seen)
