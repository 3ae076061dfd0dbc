"""Linear systems B x = b without a matrix: conjugate gradients and GCR, which has the residuals of GMRES.

Both work on flat tensors, start at a given x with its residual r = b - B x, and take a fixed number of iterations at
most. Eagerly they stop as soon as the residual allows, which reads one number off the device per iteration; under
`vmap` and `torch.compile` every iteration is taken, and `where` switches off those that come too late.

Where B is what remains of a larger system after some unknowns were eliminated, `lift` maps a direction of the unknowns
that are left to one of all unknowns, `apply` takes the lifted one, and x holds all unknowns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minimax import tree
from minimax.errors import GameError
from minimax.tree import Vector

Map = Callable[[Tensor], Tensor]


class Solved(NamedTuple):
    """An approximate solution.

    Args:
        x: the solution.
        residual: the norm of b - B x over that of b, or of what rounding may have added to it, if this is more.
        iterations: how many it took.
        bent: how far below 0 the curvature <p, B p>/<p, p> fell along a direction p; None where nobody looked.
    """

    x: Tensor
    residual: Tensor
    iterations: Tensor
    bent: Tensor | None = None

    def told(self, tolerance: float) -> dict[str, Tensor]:
        """What `Info.extra` tells of the solve. Far off is a residual above √tolerance (or the square root of ε)."""
        far = self.residual > max(tolerance, torch.finfo(self.residual.dtype).eps) ** 0.5
        missed = torch.where(far, self.residual, 0)
        bent = torch.zeros_like(missed) if self.bent is None else self.bent
        return {"residual": self.residual, "iterations": self.iterations, "missed": missed, "bent": bent}


def ravel(x: Vector) -> Tensor:
    """All entries of a vector in one dimension, half precision as float32, in which systems can be solved.

    Raises:
        GameError: a vector that is sharded over ranks.
    """
    if tree.any_sharded(x):
        raise GameError(
            "this optimizer reshapes players to flat vectors, which torch cannot do to sharded ones: leave out "
            "transforms.shard, or play a method that solves no system."
        )
    flat = x[0].reshape(-1) if len(x) == 1 else torch.cat([a.reshape(-1) for a in x])
    return flat.float() if flat.dtype.itemsize < 4 else flat


def unravel(flat: Tensor, like: Vector) -> Vector:
    """The inverse of `ravel`, for a vector shaped like `like`."""
    parts = [flat] if len(like) == 1 else flat.split_with_sizes([a.numel() for a in like])
    return [part.reshape(a.shape).to(a.dtype) for part, a in zip(parts, like, strict=True)]


def reciprocal(a: Any) -> Any:
    """1 / a, and 0 where a is 0."""
    if isinstance(a, Tensor):
        return torch.where(a == 0, 0, 1 / torch.where(a == 0, 1, a))
    return 1 / a if a else 0.0


def inner(x: Tensor, y: Tensor, weight: Any = 1) -> Tensor:
    """<x, y> with the weight inside the sum."""
    return torch.dot(x, y) if isinstance(weight, int) and weight == 1 else torch.dot(weight * x, y)


class Curvature:
    """The curvatures <p, B p>/<p, p> met on the way to a solution."""

    def __init__(self) -> None:
        self.along: list[tuple[Tensor, Tensor]] = []

    def seen(self, pBp: Tensor, pp: Tensor) -> None:
        """One direction more."""
        self.along.append((pBp, pp))

    def bent(self, like: Tensor) -> Tensor:
        """How far below 0 it fell; nothing if by no more than rounding. 0/0 after convergence counts as nothing."""
        if not self.along:
            return torch.zeros_like(like)
        pBp, pp = map(torch.stack, zip(*self.along, strict=True))
        curvature = pBp * reciprocal(pp)
        least, noise = curvature.min(), torch.finfo(curvature.dtype).eps ** 0.5 * curvature.abs().max()
        return torch.where(least < -noise, -least, 0)


def cg(
    apply: Map,
    x: Tensor,
    r: Tensor,
    size: Tensor,
    tolerance: float,
    iterations: int,
    weight: Any = 1,
    lift: Map | None = None,
    afresh: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None,
) -> Solved:
    """Conjugate gradients, for B self-adjoint and positive definite (or of one dimension) in `inner(., ., weight)`.

    Costs one call of `apply` per iteration and one copy of r, p and B p. The residual is updated, not computed anew; if
    it was once so large that rounding may hide more than the tolerance, it is computed at the end, and the iteration
    goes on from there if it must (eagerly; otherwise the residual that is returned says so).

    Args:
        apply: x -> B x.
        x: where to start.
        r: the residual there.
        size: the squared norm of the right side; done when |r|² <= tolerance² size.
        tolerance: relative to the right side; not below the rounding of one number.
        iterations: at most so many.
        weight: of the inner product, a number or a tensor like r.
        lift: see the top of the file.
        afresh: x -> x and its residual, computed with less rounding than r was.

    Example:
        >>> b = torch.tensor([4.0, 3.0])
        >>> cg(lambda p: torch.tensor([2.0, 1.0]) * p, torch.zeros(2), b, b @ b, 1e-6, 10).x
        tensor([2., 3.])
    """
    enough = max(tolerance, torch.finfo(r.dtype).eps) ** 2 * size  # further on the squares underflow, and 1/0 is a NaN
    p, rr = r, inner(r, r, weight)
    taken: Tensor | int = 0
    peak, rounding, curvature = rr, torch.finfo(rr.dtype).eps ** 2, Curvature()
    begin, b = x, r
    again = (lambda x: (x, b - apply(x - begin))) if afresh is None else afresh
    for _ in range(iterations):
        going = _going(rr, enough)
        if going is False and rounding * peak > enough:
            x, r = again(x)  # rounding has lost the residual, as in float32 if B is badly conditioned
            p, rr = r, inner(r, r, weight)
            peak, going = rr, _going(rr, enough)
        if going is False:
            break
        full = p if lift is None else lift(p)
        Bp = apply(full)
        pBp = inner(p, Bp, weight)
        curvature.seen(_if(going, pBp), inner(p, p, weight))
        # 0 for a curvature of 0 in one operation, as nobody differentiates a solve; rr is 0 only where nothing goes on.
        α = _if(going, (rr / pBp).nan_to_num(math.nan, 0, 0))
        x, r = torch.addcmul(x, α, full), torch.addcmul(r, α, Bp, value=-1)
        new = inner(r, r, weight)
        p = torch.addcmul(r, _if(going, new / rr), p)
        rr, taken, peak = new, taken + going, torch.maximum(peak, new)
    residual = (torch.maximum(rr, rounding * peak) * reciprocal(size)).sqrt()
    return Solved(x, residual, _whole(taken, size), curvature.bent(rr))


def neumann(apply: Map, b: Tensor, step: Any, terms: int) -> Solved:
    """The Neumann series x = a Σ_{k<K} (I - aB)ᵏ b, for B with eigenvalues in (0, 2/a); its residual is (I - aB)ᴷ b.

    Costs one call of `apply` per term and two copies of b.

    Args:
        apply: x -> B x.
        b: the right side.
        step: a > 0.
        terms: K.

    Example:
        >>> neumann(lambda p: torch.tensor([2.0, 1.0]) * p, torch.tensor([4.0, 3.0]), 0.5, 2).x
        tensor([2.0000, 2.2500])
    """
    x, r, size, curvature = 0 * b, b, inner(b, b), Curvature()
    for _ in range(terms):
        Br = apply(r)
        curvature.seen(inner(r, Br), inner(r, r))
        x, r = x + step * r, r - step * Br
    residual = (inner(r, r) * reciprocal(size)).sqrt()
    return Solved(x, residual, _whole(terms, size), curvature.bent(size))


def neumann_term(apply: Map, b: Tensor, step: Any, terms: int, draw: Tensor) -> tuple[Tensor, Tensor]:
    """One of the K terms of `neumann`, drawn at random and taken K times: a K (I - aB)ᵏ b, k = ⌊uK⌋; and k.

    Its mean over u is the whole series. Costs k calls of `apply`, under `vmap` and `torch.compile` K - 1.

    Args:
        draw: u, uniform in [0, 1); the others as for `neumann`.
    """
    k = (draw * terms).long().clamp(0, terms - 1)
    r = b
    for j in range(terms - 1 if tree.transformed() else int(k)):
        r = torch.where(k > j, r - step * apply(r), r)
    return step * terms * r, k


def gcr(
    apply: Map,
    x: Tensor,
    r: Tensor,
    size: Tensor,
    tolerance: float,
    iterations: int,
    weight: Any = 1,
    lift: Map | None = None,
) -> Solved:
    """Generalised conjugate residuals, for any B; arguments and example as for `cg`.

    Costs one call of `apply` and two copies of r per iteration taken. Where the residual stops falling the next
    direction is the last image under B (Orthodir), so that it cannot break down.

    Example:
        >>> b = torch.tensor([1.0, 3.0])
        >>> gcr(lambda p: torch.stack([-p[1], p[0]]), torch.zeros(2), b, b @ b, 1e-6, 10).x
        tensor([ 3., -1.])

    Source: Eisenstat, Elman & Schultz, Variational iterative methods for nonsymmetric systems, 1983.
    """
    basis: list[tuple[Tensor, Tensor]] = []
    enough = max(tolerance, torch.finfo(r.dtype).eps) ** 2 * size  # further on the squares underflow, and 1/0 is a NaN
    p, rr = r, inner(r, r, weight)
    taken: Tensor | int = 0
    least = torch.finfo(rr.dtype).eps ** 2 * rr  # what rounding may hide
    for _ in range(iterations):
        going = _going(rr, enough)
        if going is False:
            break
        full = p if lift is None else lift(p)
        q = apply(full)
        for full_j, q_j in basis:
            c = inner(q_j, q, weight)
            full, q = full - c * full_j, q - c * q_j
        unit = reciprocal(inner(q, q, weight).sqrt())
        full, q = unit * full, unit * q
        basis.append((full, q))
        α = _if(going, inner(q, r, weight))
        x, r = x + α * full, r - α * q
        p = torch.where(α * α > 1e-6 * rr, r, q)
        rr, taken = inner(r, r, weight), taken + going
    return Solved(x, (torch.maximum(rr, least) * reciprocal(size)).sqrt(), _whole(taken, size))


def _going(rr: Tensor, enough: Tensor) -> Tensor | bool:
    """Whether the residual is too large yet, as a NaN is, which spreads to x; eagerly read off the device."""
    close = rr <= enough
    return ~close if tree.transformed() else not close


def _if(going: Tensor | bool, value: Tensor) -> Tensor:
    """The value, 0 where nothing goes on."""
    return torch.where(going, value, 0) if isinstance(going, Tensor) else value


def _whole(count: Tensor | int, like: Tensor) -> Tensor:
    """The count as a tensor that lies where `like` does."""
    return like.new_zeros((), dtype=torch.int64) + count


def least(apply: Map, like: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """The least eigenvalue of a symmetric B and a unit vector of it, by Lanczos' method from a start without chance.

    Costs one call of `apply` per iteration, and as many copies of x; exact with as many iterations as x has numbers.

    Args:
        apply: x -> B x.
        like: a tensor like x.
        iterations: at most so many.

    Example:
        >>> least(lambda x: torch.tensor([2.0, -1.0, 3.0]) * x, torch.zeros(3), 10)
        (tensor(-1.), tensor([0., 1., 0.]))

    Source: Lanczos, An iteration method for the solution of the eigenvalue problem, 1950.
    """
    count = min(iterations, len(like))
    start = 1 + (torch.arange(1, len(like) + 1, dtype=torch.float64) * 2.4).sin() / 2  # of every eigenvector a share
    q = start.to(like)
    basis, images = [q / q.norm()], []
    for _ in range(count):
        images.append(apply(basis[-1]))
        w = images[-1]
        for _ in range(2):  # Gram-Schmidt twice is as good as orthogonal
            w = w - torch.stack(basis).T @ (torch.stack(basis) @ w)
        size = w.norm()
        fresh = size > 64 * torch.finfo(w.dtype).eps * images[-1].norm()  # else the space is invariant: 0 from here on
        basis.append(torch.where(fresh, w / torch.where(fresh, size, 1), 0))
    V = torch.stack(basis[:-1])
    H = V @ torch.stack(images).T
    beyond = (1 + H.abs().sum()) * (V == 0).all(1)  # what is not there must not be the least
    λ, U = torch.linalg.eigh((H + H.T) / 2 + torch.diag(beyond))
    return λ[0], U[:, 0] @ V
