"""How large a step each method bears, from the linearised game."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from minimax.diagnostics._local import Local
from minimax.diagnostics._spectrum import exact_spectrum, ritz
from minimax.game import Game
from minimax.oracle import Players
from minimax.validation import real, shown, whole

Complex = NDArray[np.complex128]
Modulus = Callable[[Complex, float], Any]

SLACK = 1e-10
"""How far above 1 a modulus may be by rounding."""


def stable_step(
    game: Game,
    players: Players,
    batch: Any = None,
    *,
    gamma: float = 0.1,
    momentum: float = -0.3,
    lookahead: tuple[int, float] = (5, 0.5),
    products: int = 70,
    seed: int = 0,
) -> dict[str, float]:
    """The largest step size h at which each method's linearised dynamics stay bounded, for plain SGD with equal steps.

    0 means at no step size, inf at every one. On F(z) = J(z - z*) a step of these methods is linear; it is bounded
    while the modulus of the update map is at most 1, for every eigenvalue λ of J:

        simultaneous        1 - hλ
        alternating         the sweep over the players' blocks of J
        proximal            1 / (1 + hλ)
        extragradient       1 - hλ + h²λ²
        optimistic          r² - (1 - 2hλ) r - hλ = 0
        consensus           1 - hμ, μ an eigenvalue of J + γJᵀJ
        hamiltonian         1 - hσ², σ a singular value of J
        momentum            r² - (1 + b - hλ) r + b = 0
        lookahead           (1 - α) + α (1 - hλ)ᵏ

    Up to 512 parameters this is exact; beyond, it is what the leading Ritz values say (consensus and hamiltonian as if
    J were normal), and alternating play, which no spectrum decides, is left out; it is also above 64 parameters.
    Limits below 10⁻⁴/|λ|_max of the last five count as 0.

    Costs the field and n (small games) or `products` Hessian-vector products.

    Args:
        game: the losses.
        players: the point; tensors or modules.
        batch: as the losses take it.
        gamma: γ of consensus.
        momentum: b of momentum.
        lookahead: (k, α) of lookahead around simultaneous play.
        products: for the Ritz values of games above 512 parameters.
        seed: of their random start.

    Raises:
        ValueError: a number that is none, or out of its range.

    Example:
        >>> import torch, minimax as mm
        >>> limits = stable_step(mm.zero_sum(lambda x, y: 2 * x * y), (torch.tensor(1.0), torch.tensor(1.0)))
        >>> {name: round(limits[name], 4) for name in ("simultaneous", "alternating", "extragradient", "optimistic")}
        {'simultaneous': 0.0, 'alternating': 1.0, 'extragradient': 0.5, 'optimistic': 0.2887}

    Source: Gidel et al., Negative Momentum for Improved Game Dynamics, 2019; Azizian et al., A Tight and Unified
    Analysis of Gradient-Based Methods for a Whole Spectrum of Differentiable Games, 2020.
    """
    real("gamma", gamma, at_least=0)
    real("momentum", momentum)
    if not isinstance(lookahead, tuple) or len(lookahead) != 2:
        raise ValueError(f"lookahead must be a pair (k, α), got {shown(lookahead)}.")
    k, α = lookahead
    whole("lookahead[0]", k, at_least=1)
    real("lookahead[1]", α)
    whole("products", products, at_least=1)
    whole("seed", seed, at_least=0)
    local = Local(game, players, batch)
    if local.small:
        matrix = local.exact()
        J, λ = matrix.numpy(), exact_spectrum(matrix).eigenvalues.numpy()
        μ = _consensus(J, γ=gamma)
        σ = np.linalg.svd(J, compute_uv=False)
    else:
        J = np.zeros((0, 0))
        λ = ritz(local.vjp, local.field, products, local.symmetric, seed)[0].numpy()
        μ, σ = λ + gamma * np.abs(λ) ** 2, np.abs(λ)
    limits = {
        "proximal": math.inf if (λ.real >= 0).all() else 0.0,
        "consensus": circle(μ),
        "hamiltonian": 2 / float(σ.max()) ** 2 if σ.max() > 0 else math.inf,
        **bearable(λ, momentum, lookahead),
    }
    if 0 < len(J) <= 64:
        slices = local.slices()
        limits["alternating"] = _first_crossing(lambda h: _sweep_radius(J, slices, h), float(np.abs(λ).max()))
    return limits


def bearable(λ: Complex, momentum: float = -0.3, lookahead: tuple[int, float] = (5, 0.5)) -> dict[str, float]:
    """The largest h of the methods that see no more of J than each of these eigenvalues."""
    largest = float(np.abs(λ).max(initial=0.0))
    crossings = {
        name: _first_crossing(partial(_largest, modulus, λ), largest)
        for name, modulus in modulus_of(momentum, lookahead).items()
    }
    return {"simultaneous": circle(λ), **crossings}


def circle(λ: Complex) -> float:
    """The largest h with |1 - hλ| <= 1 for all λ: min 2 Re λ / |λ|²."""
    λ = λ[np.abs(λ) > 0]
    return max(0.0, float((2 * λ.real / np.abs(λ) ** 2).min())) if len(λ) else math.inf


def modulus_of(momentum: float = -0.3, lookahead: tuple[int, float] = (5, 0.5)) -> dict[str, Modulus]:
    """Per method, (λ, h) -> the modulus of its update map on a part of z with eigenvalue λ of DF."""
    k, α = lookahead
    return {
        "extragradient": lambda λ, h: np.abs(1 - h * λ + (h * λ) ** 2),
        "optimistic": lambda λ, h: _largest_root(1 - 2 * h * λ, h * λ),
        "momentum": lambda λ, h: _largest_root(1 + momentum - h * λ, -momentum + 0 * λ),
        "lookahead": lambda λ, h: np.abs((1 - α) + α * (1 - h * λ) ** k),
    }


def _largest(modulus: Modulus, λ: Complex, h: float) -> float:
    return float(np.max(modulus(λ, h)))


def _largest_root(b: Complex, c: Complex) -> Any:
    """max |r| over r² - b r - c = 0."""
    root = np.sqrt(b**2 + 4 * c)
    return np.maximum(np.abs(b + root), np.abs(b - root)) / 2


def _consensus(J: NDArray[np.float64], γ: float) -> Complex:
    return exact_spectrum(torch.from_numpy(J + γ * J.T @ J)).eigenvalues.numpy()


def _sweep_radius(J: NDArray[np.float64], slices: list[slice], h: float) -> float:
    """The spectral radius of one step of alternating play: each player sees the moves before its own."""
    step = np.eye(len(J))
    for rows in slices:
        step[rows] -= h * J[rows] @ step
    return float(np.abs(np.linalg.eigvals(step)).max())


def _first_crossing(modulus: Callable[[float], float], scale: float) -> float:
    """The smallest h at which the modulus exceeds 1: on a grid of h |λ|_max from 1e-4 to 1e3, then by bisection."""
    if scale == 0:
        return math.inf
    low = 0.0
    for high in np.geomspace(1e-4, 1e3, 141) / scale:
        if modulus(high) > 1 + SLACK:
            break
        low = high
    else:
        return math.inf
    for _ in range(50 if low else 0):
        middle = (low + high) / 2
        low, high = (low, middle) if modulus(middle) > 1 + SLACK else (middle, high)
    return float(low)
