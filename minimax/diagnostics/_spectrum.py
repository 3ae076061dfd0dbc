"""The Jacobian of the field and its eigenvalues."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from minimax.diagnostics._local import Local, symmetric_and_skew
from minimax.errors import GameError
from minimax.game import Game
from minimax.oracle import Players
from minimax.validation import whole

if TYPE_CHECKING:
    import scipy.sparse.linalg

Product = Callable[[Tensor], Tensor]


def jacobian(game: Game, players: Players, batch: Any = None) -> Tensor:
    """J = DF written out, row i being the gradient of the i-th entry of F; for small games.

    Costs the field and n Hessian-vector products, n the number of parameters, and n² numbers of memory.

    Args:
        game: the losses.
        players: the point; tensors or modules.
        batch: as the losses take it.

    Returns:
        Shape (n, n): players in order, their leaves in order, their entries in order.

    Raises:
        GameError: more than 8192 parameters; see `operator` and `spectrum`.

    Example:
        >>> import torch, minimax as mm
        >>> jacobian(mm.zero_sum(lambda x, y: 3 * x * y), (torch.tensor(1.0), torch.tensor(1.0)))
        tensor([[ 0.,  3.],
                [-3., 0.]])
    """
    local = Local(game, players, batch)
    if local.n > 8192:
        raise GameError(f"the Jacobian of {local.n} parameters is too large to write out: use operator or spectrum.")
    return local.matrix()


def operator(game: Game, players: Players, batch: Any = None) -> scipy.sparse.linalg.LinearOperator:
    """J as a scipy `LinearOperator` (n, n), for `scipy.sparse.linalg.eigs`, `svds`, `gmres` and their like.

    Each product with J or Jᵀ costs one Hessian-vector product. Arguments as for `jacobian`.

    Example:
        >>> import numpy, torch, minimax as mm
        >>> J = operator(mm.zero_sum(lambda x, y: 3 * x * y), (torch.tensor(1.0), torch.tensor(1.0)))
        >>> J @ numpy.array([1.0, 0.0])
        array([ 0., -3.])
    """
    local = Local(game, players, batch)

    def on_arrays(product: Product) -> Callable[[Any], Any]:
        return lambda v: product(torch.as_tensor(v.reshape(-1)).to(local.field)).double().cpu().numpy()

    import scipy.sparse.linalg  # only now: it takes a fifth of the time that torch takes

    return scipy.sparse.linalg.LinearOperator(
        (local.n, local.n), matvec=on_arrays(local.jvp), rmatvec=on_arrays(local.vjp), dtype="float64"
    )


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of DF, or the leading Ritz values.

    Args:
        eigenvalues: complex, shape (k,), the largest modulus first.
        residuals: |Jᵀw - λw| / |w| for the Ritz vectors w, shape (k,): some eigenvalue of a perturbed Jacobian, no
            further than this in norm, is exactly λ. Zero where the spectrum is exact.
        exact: whether these are all the eigenvalues, from the written out Jacobian.
        n: the number of parameters.
        hvps: the Hessian-vector products spent.
    """

    eigenvalues: Tensor
    residuals: Tensor
    exact: bool
    n: int
    hvps: int

    @property
    def leftmost(self) -> float:
        """The smallest real part seen: gradient play with small steps converges locally if it is positive."""
        return float(self.eigenvalues.real.min())

    @property
    def angle(self) -> float:
        """The largest |arg λ| in degrees: 0 for a minimum, 90 for pure rotation, above 90 for repulsion."""
        return float(self.eigenvalues.angle().abs().max().rad2deg())


def spectrum(
    game: Game, players: Players, batch: Any = None, *, k: int = 10, products: int = 70, seed: int = 0
) -> Spectrum:
    """The eigenvalues of J = DF: all of a small game, the k of largest modulus for networks.

    Up to 512 parameters J is written out. Beyond, Arnoldi's method (Lanczos' where all share one loss) builds a basis
    of the Krylov space of Jᵀ from a random start, without restarts, so that the number of products is known and a value
    that has not converged shows as a large residual instead of an error. Memory: `products` copies of the players.

    Costs the field and n (small) or `products` Hessian-vector products.

    Args:
        game: the losses.
        players: the point; tensors or modules.
        batch: as the losses take it.
        k: how many Ritz values.
        products: how many Hessian-vector products to spend on them, at least k.
        seed: of the random start.

    Raises:
        ValueError: products below k, or k below 1.

    Example:
        >>> import torch, minimax as mm
        >>> spectrum(mm.zero_sum(lambda x, y: 3 * x * y), (torch.tensor(1.0), torch.tensor(1.0))).eigenvalues
        tensor([0.+3.j, 0.-3.j], dtype=torch.complex128)

    Source: Arnoldi, The principle of minimized iterations, 1951; Berard et al., A Closer Look at the Optimization
    Landscapes of GANs, 2020, for the use.
    """
    whole("products", products, at_least=1)
    whole("k, of as many as products,", k, at_least=1, at_most=products)
    whole("seed", seed, at_least=0)
    local = Local(game, players, batch)
    if local.small:
        return exact_spectrum(local.exact())
    λ, residuals, spent = ritz(local.vjp, local.field, products, local.symmetric, seed)
    order = _order(λ)[:k]
    return Spectrum(λ[order], residuals[order], False, local.n, spent)


def exact_spectrum(J: Tensor) -> Spectrum:
    """All eigenvalues of `Local.exact()`; exactly real if it is symmetric, exactly imaginary if skew."""
    S, A = symmetric_and_skew(J)
    if not A.any():
        λ = torch.linalg.eigvalsh(S).to(torch.complex128)
    elif not S.any():
        λ = torch.complex(torch.zeros(len(A), dtype=torch.float64), torch.linalg.eigvalsh(-1j * A))
    else:
        λ = torch.linalg.eigvals(S + A)
    λ = λ[_order(λ)]
    return Spectrum(λ, torch.zeros(len(λ), dtype=torch.float64), True, len(λ), len(λ))


def ritz(product: Product, like: Tensor, products: int, symmetric: bool, seed: int) -> tuple[Tensor, Tensor, int]:
    """Ritz values of a product in a Krylov space, their residuals, and the products spent.

    Args:
        product: v -> M v, tensors of shape (n,) with the dtype and device of `like`.
        symmetric: whether M is; then the values are exactly real.
    """
    steps = min(products, like.numel())
    basis = torch.empty(steps + 1, like.numel(), dtype=like.dtype, device=like.device)
    start = torch.randn(like.numel(), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    basis[0] = (start / start.norm()).to(like)
    H = torch.zeros(steps + 1, steps, dtype=torch.float64)
    for j in range(steps):
        w = product(basis[j])
        for _ in range(2):  # Gram-Schmidt twice is as good as orthogonal
            h = basis[: j + 1] @ w
            w = w - basis[: j + 1].T @ h
            H[: j + 1, j] += h.double().cpu()
        H[j + 1, j] = float(w.norm())
        if H[j + 1, j] <= 4 * torch.finfo(like.dtype).eps * H[: j + 2, : j + 1].norm():
            return *_ritz_pairs(H[: j + 1, : j + 1], 0.0, like.dtype, symmetric), j + 1  # the space is invariant
        basis[j + 1] = w / w.norm()
    return *_ritz_pairs(H[:steps], float(H[steps, steps - 1]), like.dtype, symmetric), steps


def _ritz_pairs(H: Tensor, last: float, dtype: torch.dtype, symmetric: bool) -> tuple[Tensor, Tensor]:
    rounding = torch.finfo(dtype).eps * float(H.norm())  # what the products themselves are good for
    if symmetric:
        real, y = torch.linalg.eigh((H + H.T) / 2)
        return real.to(torch.complex128), last * y[-1].abs() + rounding
    λ, vectors = torch.linalg.eig(H)
    return λ, last * (vectors[-1] / vectors.norm(dim=0)).abs() + rounding


def _order(λ: Tensor) -> Tensor:
    """Largest modulus first, of a conjugate pair (equal up to rounding) the one above the real axis first."""
    keys = sorted(range(len(λ)), key=lambda i: (-float(f"{abs(complex(λ[i])):.9e}"), -float(λ[i].imag)))
    return torch.tensor(keys, dtype=torch.long)
