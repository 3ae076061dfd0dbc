"""How much a game rotates: the antisymmetric part of DF against the symmetric one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minimax import tree
from minimax.diagnostics._local import Local, flat, random_signs, symmetric_and_skew
from minimax.errors import GameError
from minimax.game import Game
from minimax.oracle import Players
from minimax.validation import real, whole


@dataclass(frozen=True)
class Rotation:
    """The Frobenius norms of the two parts of DF.

    Args:
        symmetric: |S|, S = (J + Jᵀ)/2, the part of a potential.
        antisymmetric: |A|, A = (J - Jᵀ)/2, the part that rotates.
        error: one standard error of the ratio; 0 where the norms are exact.
        exact: whether the Jacobian was written out.
        hvps: the Hessian-vector products spent.
    """

    symmetric: float
    antisymmetric: float
    error: float
    exact: bool
    hvps: int

    @property
    def ratio(self) -> float:
        """|A| / |S|: 0 in a potential game, infinite in a bilinear one; 0 where J = 0."""
        if self.antisymmetric == 0:
            return 0.0
        return self.antisymmetric / self.symmetric if self.symmetric else math.inf

    @property
    def angle(self) -> float:
        """arctan |A|/|S| in degrees, from 0 (potential) to 90 (rotation)."""
        return math.degrees(math.atan2(self.antisymmetric, self.symmetric))


def rotation(game: Game, players: Players, batch: Any = None, *, samples: int = 16, seed: int = 0) -> Rotation:
    """|A| against |S|: exact for small games, by Hutchinson's estimate |M|² = E|Mv|², v = ±1, beyond 512 parameters.

    Exactly 0 on a cooperative game. Costs the field and n (small) or 2 `samples` Hessian-vector products.

    Args:
        game: the losses.
        players: the point; tensors or modules.
        batch: as the losses take it.
        samples: random vectors of the estimate, at least 2.
        seed: of the random vectors.

    Raises:
        ValueError: samples below 2, or a seed that is no count.

    Example:
        >>> import torch, minimax as mm
        >>> scsc = mm.zero_sum(lambda x, y: x**2 / 2 + 3 * x * y - y**2 / 2)
        >>> rotation(scsc, (torch.tensor(1.0), torch.tensor(1.0))).ratio
        3.0

    Source: Balduzzi et al., The Mechanics of n-Player Differentiable Games, 2018; Hutchinson, 1990.
    """
    whole("samples", samples, at_least=2)
    whole("seed", seed, at_least=0)
    local = Local(game, players, batch)
    if local.small:
        S, A = symmetric_and_skew(local.exact())
        return Rotation(float(S.norm()), float(A.norm()), 0.0, True, local.n)
    pairs = [local.parts(v) for v in random_signs(local.n, samples, seed, local.field)]
    s = torch.tensor([float(Sv.norm()) ** 2 for Sv, _ in pairs])
    a = torch.tensor([float(Av.norm()) ** 2 for _, Av in pairs])
    return Rotation(float(s.mean().sqrt()), float(a.mean().sqrt()), _ratio_error(s, a), False, local.oracle.hvps)


def _ratio_error(s: Tensor, a: Tensor) -> float:
    """The standard error of √(mean a / mean s), by the delta method."""
    if not (a.any() and s.any()):
        return 0.0
    ratio = float((a.mean() / s.mean()).sqrt())
    relative = (a / a.mean() - s / s.mean()).std() / len(a) ** 0.5
    return ratio * float(relative) / 2


class Split(NamedTuple):
    """The two parts of a game's linear field, each shaped like the players."""

    potential: Players
    hamiltonian: Players


def split(game: Game, players: Players, batch: Any = None, *, center: Players | None = None) -> Split:
    """(S (z - c), A (z - c)): what a potential and what a Hamiltonian contribute to the linear field around c.

    Where F is linear and c its equilibrium, F(z) = S(z - c) + A(z - c): gradient descent on ½⟨z, Sz⟩ and rotation that
    conserves |z - c|. The Hamiltonian part is exactly 0 on a cooperative game.

    Costs the field and two Hessian-vector products.

    Args:
        game: the losses.
        players: the point z; tensors or modules.
        batch: as the losses take it.
        center: c, players of the same structure; 0 by default.

    Example:
        >>> import torch, minimax as mm
        >>> scsc = mm.zero_sum(lambda x, y: x**2 / 2 + 3 * x * y - y**2 / 2)
        >>> split(scsc, (torch.tensor(1.0), torch.tensor(2.0)))
        Split(potential=(tensor(1.), tensor(2.)), hamiltonian=(tensor(6.), tensor(-3.)))
    """
    local = Local(game, players, batch)
    z = flat(local.z)
    Sz, Az = local.parts(z if center is None else z - flat(game.enter(center)[1]))
    return Split(local.oracle.leave(local.point(Sz)), local.oracle.leave(local.point(Az)))


class Alignment(NamedTuple):
    """Cosines with the gradient Jᵀξ of ½|F|², and with the way to a target; 0 where a vector vanishes."""

    field: float
    adjustment: float
    target: float | None


def alignment(game: Game, players: Players, batch: Any = None, *, target: Players | None = None) -> Alignment:
    """Where the field points: cos(ξ, Jᵀξ), cos(Aᵀξ, Jᵀξ), and cos(-ξ, z* - z) if a target z* is known.

    The first is positive where play makes |F| smaller, 0 on a bilinear game and negative near unstable points; the
    second is what symplectic adjustment adds, exactly 0 on a cooperative game; the third is 0 where play circles.

    Costs the field and two Hessian-vector products.

    Args:
        game: the losses.
        players: the point z; tensors or modules.
        batch: as the losses take it.
        target: z*, players of the same structure.

    Example:
        >>> import torch, minimax as mm
        >>> z, zero = (torch.tensor(1.0), torch.tensor(0.0)), (torch.tensor(0.0), torch.tensor(0.0))
        >>> alignment(mm.zero_sum(lambda x, y: x * y), z, target=zero)
        Alignment(field=0.0, adjustment=1.0, target=0.0)

    Source: Balduzzi et al., The Mechanics of n-Player Differentiable Games, 2018.
    """
    local = Local(game, players, batch)
    ξ = local.field
    Sξ, Aξ = local.parts(ξ)
    pull = Sξ - Aξ
    towards = None if target is None else _cosine(-ξ, flat(game.enter(target)[1]) - flat(local.z))
    return Alignment(_cosine(ξ, pull), _cosine(-Aξ, pull), towards)


class PathAngle(NamedTuple):
    """Along the straight path from one point to another, tensors of shape (points,).

    `position` runs from 0 at the start to 1 at the end, `cosine` is that of F with the direction of the path, `norm` is
    |F|.
    """

    position: Tensor
    cosine: Tensor
    norm: Tensor


def path_angle(
    game: Game, start: Players, end: Players, batch: Any = None, *, points: int = 21, beyond: float = 0.5
) -> PathAngle:
    """cos(F(z_t), z_1 - z_0) on the straight path z_t from the start of a run to (and beyond) its end.

    Around an attracting point without rotation the cosine jumps from -1 to 1 at the end (there F vanishes; the path
    goes on `beyond` it). Rotation shows as a bump: F is then at an angle to the path even where the path passes the
    end.

    Costs `points` gradients per player.

    Args:
        game: the losses.
        start: the players at the start of the run; tensors or modules.
        end: the players at its end.
        batch: as the losses take it.
        points: how many points on the path.
        beyond: how far the path goes on past the end, in units of its length.

    Raises:
        GameError: start and end are the same point.
        ValueError: points below 2, or a negative beyond.

    Example:
        >>> import torch, minimax as mm
        >>> z, zero = (torch.tensor(1.0), torch.tensor(0.0)), (torch.tensor(0.0), torch.tensor(0.0))
        >>> path_angle(mm.zero_sum(lambda x, y: x * y), z, zero, points=3).cosine
        tensor([0., 0., 0.])

    Source: Berard et al., A Closer Look at the Optimization Landscapes of Generative Adversarial Networks, 2020.
    """
    whole("points", points, at_least=2)
    real("beyond", beyond, at_least=0)
    oracle, z0 = game.enter(start)
    z1 = game.enter(end)[1]
    direction = flat(z1) - flat(z0)
    if not direction.any():
        raise GameError("start and end are the same point: there is no path between them.")
    position = torch.linspace(0, 1 + beyond, points)
    cosines, norms = [], []
    for t in position.tolist():
        ξ = flat(oracle.field(tuple(tree.lerp(a, b, t) for a, b in zip(z0, z1, strict=True)), batch)[0])
        cosines.append(_cosine(ξ, direction))
        norms.append(float(ξ.norm()))
    return PathAngle(position, torch.tensor(cosines), torch.tensor(norms))


def _cosine(x: Tensor, y: Tensor) -> float:
    scale = float(x.norm()) * float(y.norm())
    return max(-1.0, min(1.0, float(x @ y) / scale)) if scale > 0 else 0.0
