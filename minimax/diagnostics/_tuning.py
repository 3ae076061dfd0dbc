"""The best constant parameters of methods with momentum, from the eigenvalues of DF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Eigenvalues = Tensor | Sequence[complex]


class MomentumParameters(NamedTuple):
    """What `SimultaneousGDA(sgd(lr, momentum=momentum))` is made of.

    Args:
        lr: h.
        momentum: b.
        rate: by how much a step multiplies the distance in the long run, less than 1.
    """

    lr: float
    momentum: float
    rate: float


class ExtragradientParameters(NamedTuple):
    """What `ExtraGradient(sgd(lr), explore=explore, momentum=momentum)` is made of.

    Args:
        lr: h.
        explore: ρ = γ/h.
        momentum: m.
        rate: by how much a step multiplies the distance in the long run, less than 1.
    """

    lr: float
    explore: float
    momentum: float
    rate: float


def momentum_parameters(eigenvalues: Eigenvalues) -> MomentumParameters:
    """The heavy ball's best h and b on an ellipse around the eigenvalues: positive b on a line, negative off it.

    With centre c and half axes a along the reals and e across, R = c + √(c² + e² - a²): h = 2/R, b = (a² - e²)/R², and
    a step contracts by (a + e)/R. For eigenvalues in [μ, L] these are Polyak's numbers, for one pair μ ± iσ negative
    momentum, and nothing constant is faster; of a cross with both arms the ellipse holds more than is needed.

    Args:
        eigenvalues: of DF, as `spectrum(...).eigenvalues`; on a cross, c + real numbers and c + imaginary ones.

    Raises:
        ValueError: eigenvalues on no cross, or with an end at 0 or left of it, where momentum alone converges not.

    Example:
        >>> momentum_parameters([1 + 10j, 1 - 10j]).rate
        0.904988
    """
    _, c, a, e = _cross(eigenvalues)
    R = c + float(np.sqrt(c**2 + e**2 - a**2))
    return MomentumParameters(2 / R, (a**2 - e**2) / R**2, (a + e) / R)


def extragradient_parameters(eigenvalues: Eigenvalues) -> ExtragradientParameters:
    """The best h, γ and m of extragradient with momentum: z⁺ = z - h F(z - γ F(z)) + m (z - z₋).

    γ = 1/(2c), c the centre, makes λ(1 - γλ) real on a cross, p at least and q at most. From there on it is the heavy
    ball on [p, q]: √m = (√q - √p) / (√q + √p), h = 4 / (√p + √q)², and a step contracts by √m. Two eigenvalues are
    solved in one step.

    Args:
        eigenvalues: as for `momentum_parameters`; of an interval of reals its ends and its centre.

    Raises:
        ValueError: eigenvalues on no cross, or with an end at 0 or left of it.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x**2 / 2 + x * y - y**2 / 2), (torch.tensor(1.0), torch.tensor(1.0))
        >>> lr, explore, momentum, _ = extragradient_parameters(mm.diagnostics.spectrum(game, z).eigenvalues)
        >>> mm.solve(game, z, mm.ExtraGradient(mm.sgd(lr), explore=explore, momentum=momentum), steps=1).players
        (tensor(0.), tensor(0.))

    Source: Kim, Gidel, Kyrillidis & Pedregosa, When is Momentum Extragradient Optimal?, 2022.
    """
    λ, c, _, _ = _cross(eigenvalues)
    γ = 1 / (2 * c)
    ν = (λ * (1 - γ * λ)).real
    p, q = (float(root) for root in np.sqrt((ν.min(), ν.max())))
    h, m = 4 / (p + q) ** 2, ((q - p) / (q + p)) ** 2
    return ExtragradientParameters(h, γ / h, m, float(np.sqrt(m)))


def _cross(eigenvalues: Eigenvalues) -> tuple[NDArray[np.complex128], float, float, float]:
    """The eigenvalues, their centre, and how far they lie from it along the reals and across."""
    λ = torch.as_tensor(eigenvalues).to(torch.complex128).cpu().numpy().reshape(-1)
    if not len(λ) or not np.isfinite(λ).all():
        raise ValueError(f"eigenvalues must be finite numbers, at least one, got {λ.tolist()}.")
    left, right = float(λ.real.min()), float(λ.real.max())
    rounding = 1e-7 * float(np.abs(λ).max())  # of double eigenvalues
    if left <= rounding:
        raise ValueError(
            f"every eigenvalue must have a positive real part, got {left + 0.0:.6g} at least: momentum alone does not "
            "converge there; play ExtraGradient or OptimisticGDA by diagnostics.stable_step."
        )
    c = (left + right) / 2
    off = np.minimum(np.abs(λ.imag), np.abs(λ.real - c))
    if off.max() > rounding:
        stray = complex(λ[off.argmax()])
        raise ValueError(
            f"eigenvalues must lie on a cross of the reals and a line across them, got {stray:.6g}, which is on "
            f"neither arm through {c:.6g}: no closed form is best there."
        )
    return λ, c, (right - left) / 2, float(np.abs(λ.imag).max())
