"""GANs of a few numbers: the Dirac-GANs, and a WGAN with a quadratic critic."""

from __future__ import annotations

import math
from cmath import sqrt
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from minimax import projections
from minimax.game import Game, zero_sum
from minimax.games.closed_form import ClosedForm, largest
from minimax.validation import real, whole


def dirac_gan(gamma: float = 0.0) -> ClosedForm:
    """The Dirac-GAN f(ψθ) + f(0), f(t) = -log(1 + e⁻ᵗ), data at 0, generator at θ, critic ψx; eigenvalues ±i/2.

    With R1, γ/2 ψ² on the critic's loss, they are γ/2 ± √(γ²/4 - ¼): real from γ = 1 on.

    Args:
        gamma: γ, the weight of R1 in the convention γ/2 E|∇D|².

    Example:
        >>> dirac_gan().eigenvalues, dirac_gan(gamma=1.0).eigenvalues
        ((0.5j, -0.5j), ((0.5+0j), (0.5+0j)))

    Source: Mescheder, Geiger & Nowozin, Which Training Methods for GANs do actually Converge?, 2018.
    """
    return _dirac("Dirac-GAN", _logistic, _logistic, 0.5, gamma)


def dirac_nsgan(gamma: float = 0.0) -> ClosedForm:
    """The Dirac-GAN whose generator maximises f(-ψθ): eigenvalues as `dirac_gan`, yet it converges, sublinearly.

    Example:
        >>> dirac_nsgan().eigenvalues
        (0.5j, -0.5j)
    """
    return _dirac("Dirac-NSGAN", softplus, _logistic, 0.5, gamma)


def dirac_wgan(gamma: float = 0.0, clip: float | None = None) -> ClosedForm:
    """The Dirac-GAN with f(t) = t: bilinear, eigenvalues ±i; clipping |ψ| <= clip does not make it converge.

    Example:
        >>> dirac_wgan().eigenvalues
        (1j, -1j)
    """
    if clip is not None:
        real("clip", clip, at_least=0)
    constraints = None if clip is None else (None, projections.weight_clipping(clip))
    return _dirac("Dirac-WGAN", lambda t: t, lambda t: t, 1.0, gamma, constraints)


def dirac_wgan_gp(weight: float = 1.0) -> ClosedForm:
    """The Dirac-WGAN with λ (|ψ| - 1)² on the critic's loss: F jumps at ψ = 0, and play does not reach (0, 0).

    It ends beside the data, at θ = ±2λ, where λ >= 1, and circles where λ is small.

    Example:
        >>> dirac_wgan_gp().game.field((torch.tensor(0.0), torch.tensor(2.0)))
        (tensor(2.), tensor(2.))
    """
    real("weight", weight, at_least=0)
    return ClosedForm(
        name="Dirac-WGAN-GP",
        game=Game(lambda θ, ψ: ψ * θ, lambda θ, ψ: -ψ * θ + weight * (ψ.abs() - 1) ** 2),
        start=(torch.tensor(1.0), torch.tensor(1.0)),
        equilibrium=(torch.tensor(0.0), torch.tensor(0.0)),
        eigenvalues=(),
        lipschitz=math.inf,
    )


def dirac_relativistic(gamma: float = 0.0) -> ClosedForm:
    """The Dirac-GAN of differences, softplus(D(0) - D(θ)) for the generator: the `dirac_nsgan`, as D(0) = 0.

    With R1 and R2 of weight γ/2 each, which both are ψ² here, the eigenvalues are γ ± √(γ² - ¼): real from γ = ½ on.

    Args:
        gamma: γ, the weight of each.

    Example:
        >>> dirac_relativistic(gamma=0.5).eigenvalues
        ((0.5+0j), (0.5+0j))

    Source: Huang, Gokaslan, Kuleshov & Tompkin, The GAN is dead; long live the GAN! A Modern Baseline GAN, 2024.
    """
    real("gamma", gamma, at_least=0)
    return _dirac("Dirac-RpGAN", softplus, _logistic, 0.5, 2 * gamma)


def dirac_noise(sigma: float = 1.0) -> ClosedForm:
    """The Dirac-GAN with instance noise, E f(ψ(θ + σε)) + E f(ψσε): eigenvalues σ²/4 ± √(σ⁴/16 - ¼).

    The expectations over the normal ε are taken by quadrature, so that nothing is random.

    Args:
        sigma: σ > 0, the noise's standard deviation, on real and fake alike.

    Example:
        >>> [complex(round(value.real, 4), round(value.imag, 4)) for value in dirac_noise(1.0).eigenvalues]
        [(0.25+0.433j), (0.25-0.433j)]

    Source: Mescheder, Geiger & Nowozin, Which Training Methods for GANs do actually Converge?, 2018.
    """
    real("sigma", sigma, above=0)
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    noise = sigma * torch.from_numpy(nodes).to(torch.get_default_dtype())
    w = torch.from_numpy(weights / weights.sum()).to(noise)

    def payoff(θ: Tensor, ψ: Tensor) -> Tensor:
        return -w @ (softplus(-ψ * (θ + noise)) + softplus(-ψ * noise))

    root = sqrt(sigma**4 / 16 - 0.25)
    return ClosedForm(
        name="Dirac-GAN with noise",
        game=zero_sum(payoff),
        start=(torch.tensor(1.0), torch.tensor(1.0)),
        equilibrium=(torch.tensor(0.0), torch.tensor(0.0)),
        eigenvalues=(sigma**2 / 4 + root, sigma**2 / 4 - root),
        lipschitz=largest([[0.0, 0.5], [-0.5, sigma**2 / 2]]),
    )


def dirac_hinge() -> ClosedForm:
    """The Dirac-GAN with the hinge loss: [1 + ψθ]₊ for the critic, -ψθ for the generator; eigenvalues ±i.

    It circles within |ψθ| < 1. From outside, small steps end on the circle of radius √2, the largest that fits.

    Example:
        >>> dirac_hinge().game.field((torch.tensor(2.0), torch.tensor(-3.0)))
        (tensor(3.), tensor(0.))

    Source: Lim & Ye, Geometric GAN, 2017, for the loss.
    """
    return ClosedForm(
        name="Dirac hinge GAN",
        game=Game(lambda θ, ψ: -ψ * θ, lambda θ, ψ: 1 + (1 + ψ * θ).relu()),
        start=(torch.tensor(0.5), torch.tensor(0.5)),
        equilibrium=(torch.tensor(0.0), torch.tensor(0.0)),
        eigenvalues=(1j, -1j),
        lipschitz=1.0,
    )


def dirac_lsgan(a: float = 0.0, b: float = 1.0, c: float = 1.0) -> ClosedForm:
    """The least-squares Dirac-GAN, data at 0, generator at θ, critic D(x) = ψx + β, the second player being (ψ, β).

    D minimises ½(D(0) - b)² + ½(D(θ) - a)², G minimises ½(D(θ) - c)². At θ = ψ = 0, β = (a + b)/2 the eigenvalues are
    ±√((b - a)(a + b - 2c))/2 and 2: ±i/2 for the codes (0, 1, 1). For (-1, 1, 0) they are 0, nothing rotates, and every
    ψ is at rest at θ = 0.

    Args:
        a: what the critic is to say of fakes.
        b: what it is to say of data.
        c: what the generator wants it to say of fakes.

    Example:
        >>> dirac_lsgan().eigenvalues, dirac_lsgan(-1.0, 1.0, 0.0).eigenvalues
        ((0.5j, -0.5j, (2+0j)), (0j, 0j, (2+0j)))

    Source: Mao et al., Least Squares Generative Adversarial Networks, 2017, for the loss.
    """
    for name, value in (("a", a), ("b", b), ("c", c)):
        real(name, value)
    root = sqrt((b - a) * (a + b - 2 * c)) / 2
    return ClosedForm(
        name="Dirac-LSGAN",
        game=Game(
            lambda θ, d: (d[0] * θ + d[1] - c) ** 2 / 2,
            lambda θ, d: (d[1] - b) ** 2 / 2 + (d[0] * θ + d[1] - a) ** 2 / 2,
        ),
        start=(torch.tensor(1.0), torch.tensor([1.0, (a + b) / 2])),
        equilibrium=(torch.tensor(0.0), torch.tensor([0.0, (a + b) / 2])),
        eigenvalues=(root, 0 - root, 2 + 0j),
        lipschitz=max(2.0, abs(b - a) / 2, abs(a + b - 2 * c) / 2),
    )


def linear_quadratic_gan() -> ClosedForm:
    """A WGAN in closed form: x and z uniform on [-1, 1], G(z) = az + b, D(x) = w_2 x² + w_1 x.

    V = w_2 ((1 - a²)/3 - b²) - w_1 b, min over (a, b), max over (w_2, w_1). At a = ±1, b = w = 0 the eigenvalues are
    ±2i/3 and ±i: it circles, although it is not bilinear.

    Example:
        >>> game = linear_quadratic_gan()
        >>> game.game.losses(game.start)
        (tensor(-0.2500), tensor(0.2500))

    Source: Nagarajan & Kolter, Gradient descent GAN optimization is locally stable, 2017.
    """

    def payoff(g: Tensor, w: Tensor) -> Tensor:
        return w[0] * ((1 - g[0] ** 2) / 3 - g[1] ** 2) - w[1] * g[1]

    return ClosedForm(
        name="linear-quadratic GAN",
        game=zero_sum(payoff),
        start=(torch.tensor([0.5, 0.5]), torch.tensor([0.0, 0.5])),
        equilibrium=(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.0])),
        eigenvalues=(2j / 3, -2j / 3, 1j, -1j),
        lipschitz=1.0,
    )


def covariance_gan(dim: int = 3) -> ClosedForm:
    """A WGAN that learns a covariance: x ~ N(0, Σ), G(z) = Vz, D(x) = xᵀWx, Σ = diag(¼, ..., 1), evenly spaced.

    min over V, max over W of tr W(Σ - VVᵀ), both of shape (dim, dim). Every V with VVᵀ = Σ solves it, beside W = 0; one
    such point is given. Its eigenvalues are ±i√(2(λ_j + λ_k)) for j <= k, and dim (dim - 1) times 0: the rotations of
    V, and the skew part of W.

    Example:
        >>> covariance_gan(1).eigenvalues
        (2j, -2j)

    Source: Daskalakis, Ilyas, Syrgkanis & Zeng, Training GANs with Optimism, 2018.
    """
    whole("dim", dim, at_least=1)
    λ = torch.linspace(0.25, 1, dim) if dim > 1 else torch.ones(1)
    Σ = torch.diag(λ)
    pairs = torch.combinations(λ, with_replacement=True).sum(1)
    ω = (2 * pairs).sqrt().tolist()
    return ClosedForm(
        name="covariance GAN",
        game=zero_sum(lambda V, W: (W * (Σ - V @ V.T)).sum()),
        start=(torch.eye(dim) / 2, torch.zeros(dim, dim)),
        equilibrium=(Σ.sqrt(), torch.zeros(dim, dim)),
        eigenvalues=(*(w * 1j for w in ω), *(w * -1j for w in ω), *(0j,) * (dim * (dim - 1))),
        lipschitz=2.0,
    )


def _logistic(t: Tensor) -> Tensor:
    return -softplus(-t) - math.log(2)  # f(t) + f(0)


def _dirac(
    name: str,
    generator: Callable[[Tensor], Tensor],
    critic: Callable[[Tensor], Tensor],
    slope: float,
    gamma: float,
    constraints: Any = None,
) -> ClosedForm:
    """Generator's loss generator(ψθ), critic's -critic(ψθ) + γ/2 ψ²; both have derivative `slope` at 0."""
    real("gamma", gamma, at_least=0)
    root = sqrt(gamma**2 / 4 - slope**2)
    return ClosedForm(
        name=name,
        game=Game(
            lambda θ, ψ: generator(ψ * θ),
            lambda θ, ψ: -critic(ψ * θ) + gamma / 2 * ψ**2,
            constraints=constraints,
        ),
        start=(torch.tensor(1.0), torch.tensor(1.0)),
        equilibrium=(torch.tensor(0.0), torch.tensor(0.0)),
        eigenvalues=(gamma / 2 + root, gamma / 2 - root),
        lipschitz=largest([[0.0, slope], [-slope, gamma]]),
    )
