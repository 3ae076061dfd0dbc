"""Games in closed form: they carry their equilibrium and the spectrum of DF there, so that theory can be the test.

Every function returns a `ClosedForm`, and raises a ValueError for an argument that is no number or out of its range.
Where the field is linear its spectrum says all: a method multiplies the part of z along each eigenvalue λ by its update
map (1 - hλ for simultaneous play; see the docstrings of the optimizers).
"""

from __future__ import annotations

import math
from cmath import sqrt
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from minimax import projections, tree
from minimax.game import Game, zero_sum
from minimax.game import cooperative as shared_loss
from minimax.oracle import Players
from minimax.validation import real, shown, whole


@dataclass(frozen=True)
class ClosedForm:
    """A game with its answers.

    Args:
        name: of the game.
        game: the losses.
        start: players to start from, in torch's default dtype (or the dtype of the matrix that was passed).
        equilibrium: the equilibrium, or one of them where the docstring says so.
        eigenvalues: of DF at the equilibrium, all of them; empty where F is not differentiable there.
        lipschitz: the largest singular value of DF at the equilibrium, L of step size rules; where F is linear it is
            the Lipschitz constant of F. Infinite where F is not differentiable.
        batches: for stochastic games, the function k -> k-th batch.
    """

    name: str
    game: Game
    start: Players
    equilibrium: Players
    eigenvalues: tuple[complex, ...]
    lipschitz: float
    batches: Callable[[int], Any] | None = None

    @property
    def attracts(self) -> bool:
        """Whether simultaneous play with small steps converges near the equilibrium: every eigenvalue has Re λ > 0."""
        return bool(self.eigenvalues) and all(value.real > 0 for value in self.eigenvalues)

    def distance(self, players: Players) -> Tensor:
        """|z - z*|, the distance of the players from the equilibrium."""
        return tree.norm(tree.sub(tree.flatten(players)[0], tree.flatten(self.equilibrium)[0]))


def bilinear(A: Tensor | None = None, *, dim: int = 1, condition: float = 1.0) -> ClosedForm:
    """xᵀAy: pure rotation, eigenvalues ±iσ_k (and 0, once per row that A has more than columns, or fewer).

    Args:
        A: the payoff matrix, shape (rows, columns); by default diagonal with singular values spaced geometrically.
        dim: the size of the default A.
        condition: largest over smallest singular value of the default A, >= 1; the largest is 1.

    Raises:
        ValueError: an A that is no real matrix, or a dim or condition out of its range.

    Example:
        >>> bilinear(dim=2, condition=10.0).eigenvalues
        (1j, 0.1j, -1j, -0.1j)
    """
    whole("dim", dim, at_least=1)
    real("condition", condition, at_least=1)
    if A is not None:
        _matrix("A", A)
    else:
        A = torch.diag(torch.logspace(0, -math.log10(condition), dim))
    σ = torch.linalg.svdvals(A.double()).tolist()
    rows, columns = A.shape
    return ClosedForm(
        name="bilinear",
        game=zero_sum(lambda x, y: x @ A @ y),
        start=(A.new_ones(rows), A.new_ones(columns)),
        equilibrium=(A.new_zeros(rows), A.new_zeros(columns)),
        eigenvalues=(*(s * 1j for s in σ), *(s * -1j for s in σ), *(0j,) * abs(rows - columns)),
        lipschitz=σ[0],
    )


def noisy_bilinear(noise: float = 1.0) -> ClosedForm:
    """(1 + noise e) xy with e = ±1 in the batch: on independent samples extragradient needs ρ > 1 (Hsieh et al., 2020).

    Example:
        >>> game = noisy_bilinear()
        >>> [game.batches(k).item() for k in range(4)]
        [-1.0, 1.0, -1.0, -1.0]
    """
    real("noise", noise)

    def batches(k: int) -> Tensor:
        coin = torch.randint(2, (), generator=torch.Generator().manual_seed(k))
        return (2 * coin - 1).to(torch.get_default_dtype())

    return ClosedForm(
        name="noisy bilinear",
        game=zero_sum(lambda x, y, e: (1 + noise * e) * x * y),
        start=(torch.tensor(1.0), torch.tensor(1.0)),
        equilibrium=(torch.tensor(0.0), torch.tensor(0.0)),
        eigenvalues=(1j, -1j),
        lipschitz=1.0,
        batches=batches,
    )


def quadratic(a: float, b: float, c: float, *, name: str = "quadratic") -> ClosedForm:
    """a/2 x² + b xy - c/2 y² for numbers x and y: DF = [[a, b], [-b, c]], λ = (a + c)/2 ± √((a - c)²/4 - b²).

    Example:
        >>> quadratic(1.0, 2.0, 1.0).eigenvalues
        ((1+2j), (1-2j))
    """
    for argument, value in (("a", a), ("b", b), ("c", c)):
        real(argument, value)
    root = sqrt((a - c) ** 2 / 4 - b**2)
    return ClosedForm(
        name=name,
        game=zero_sum(lambda x, y: a / 2 * x**2 + b * x * y - c / 2 * y**2),
        start=(torch.tensor(1.0), torch.tensor(1.0)),
        equilibrium=(torch.tensor(0.0), torch.tensor(0.0)),
        eigenvalues=((a + c) / 2 + root, (a + c) / 2 - root),
        lipschitz=_norm([[a, b], [-b, c]]),
    )


def scsc(mu: float = 1.0, sigma: float = 10.0) -> ClosedForm:
    """Strongly convex, strongly concave: μ/2 x² + σxy - μ/2 y², eigenvalues μ ± iσ.

    Simultaneous play is stable below h = 2μ/(μ² + σ²), alternating play below 2/(μ + σ).

    Example:
        >>> scsc(mu=1.0, sigma=10.0).eigenvalues
        ((1+10j), (1-10j))
    """
    real("mu", mu)
    real("sigma", sigma)
    return quadratic(mu, sigma, mu, name="scsc")


def rotated_saddle(angle: float = math.pi / 4) -> ClosedForm:
    """(x² - y²)/2 turned towards xy: cos φ (x² - y²)/2 + sin φ xy, eigenvalues e^{±iφ}; φ = 0 is minimisation.

    Example:
        >>> [round(abs(value), 6) for value in rotated_saddle(1.0).eigenvalues]
        [1.0, 1.0]
    """
    real("angle", angle)
    return quadratic(math.cos(angle), math.sin(angle), math.cos(angle), name="rotated saddle")


def hidden_minimax() -> ClosedForm:
    """-3x² - y² + 4xy: gradient play leaves the local minimax (0, 0), eigenvalues -2 and -2; Follow-the-Ridge finds it.

    Example:
        >>> hidden_minimax().attracts
        False
    """
    return quadratic(-6.0, 4.0, 2.0, name="hidden minimax")


def spurious_point() -> ClosedForm:
    """3x² + y² + 4xy: (0, 0) is no local minimax, as y sits in a minimum, but gradient play is drawn to it (2, 2).

    Example:
        >>> spurious_point().attracts
        True
    """
    return quadratic(6.0, 4.0, -2.0, name="spurious point")


def monkey_saddle() -> ClosedForm:
    """x³ - 3xy²: stationary at (0, 0) where DF = 0, so that no linearisation decides; not an equilibrium of any kind.

    Example:
        >>> monkey_saddle().eigenvalues
        (0j, 0j)
    """
    return ClosedForm(
        name="monkey saddle",
        game=zero_sum(lambda x, y: x**3 - 3 * x * y**2),
        start=(torch.tensor(0.5), torch.tensor(0.5)),
        equilibrium=(torch.tensor(0.0), torch.tensor(0.0)),
        eigenvalues=(0j, 0j),
        lipschitz=0.0,
    )


def cooperative(Q: Tensor | None = None) -> ClosedForm:
    """½ zᵀQz minimised by all players, one number each: DF = Q is symmetric, so nothing rotates.

    Args:
        Q: symmetric, shape (players, players); [[2, 1], [1, 2]] by default, eigenvalues 1 and 3.

    Raises:
        ValueError: a Q that is no real symmetric matrix.

    Example:
        >>> cooperative().eigenvalues
        ((1+0j), (3+0j))
    """
    Q = torch.tensor([[2.0, 1.0], [1.0, 2.0]]) if Q is None else Q
    _matrix("Q", Q)
    if Q.shape[0] != Q.shape[1] or not torch.equal(Q, Q.T):
        raise ValueError(f"Q must be symmetric, got {shown(Q)}: pass (Q + Q.T) / 2.")

    def loss(*players: Tensor) -> Tensor:
        z = torch.stack(players)
        return z @ Q @ z / 2

    λ = torch.linalg.eigvalsh(Q.double()).tolist()
    n = len(Q)
    return ClosedForm(
        name="cooperative",
        game=shared_loss(loss, players=n),
        start=tuple(Q.new_ones(n)),
        equilibrium=tuple(Q.new_zeros(n)),
        eigenvalues=tuple(complex(value) for value in λ),
        lipschitz=max(abs(λ[0]), abs(λ[-1])),
    )


def cyclic(players: int = 3, mu: float = 0.0) -> ClosedForm:
    """Player i minimises μ/2 x_i² + x_i (x_{i+1} - x_{i-1}), indices around the circle: λ_k = μ + 2i sin(2πk/n).

    At μ = 0 the losses sum to zero and |z| is conserved by the flow.

    Example:
        >>> cyclic(players=3, mu=0.5).game.field(tuple(torch.tensor([1.0, 2.0, 4.0])))
        (tensor(-1.5000), tensor(4.), tensor(1.))
    """
    whole("players", players, at_least=1)
    real("mu", mu)

    def loss(i: int) -> Callable[..., Tensor]:
        return lambda *x: mu / 2 * x[i] ** 2 + x[i] * (x[(i + 1) % players] - x[i - 1])

    λ = tuple(mu + 2j * math.sin(2 * math.pi * k / players) for k in range(players))
    return ClosedForm(
        name="cyclic",
        game=Game(*(loss(i) for i in range(players))),
        start=tuple(1 - 2 * torch.arange(players) / players),
        equilibrium=tuple(torch.zeros(players)),
        eigenvalues=λ,
        lipschitz=max(abs(value) for value in λ),
    )


def tandem() -> ClosedForm:
    """L_1 = (x + y)² - 2x, L_2 = (x + y)² - 2y: the line x + y = 1 of equilibria, eigenvalues 0 and 4.

    LOLA with step α goes to x + y = (1 - 2α)/(1 - 4α) instead (Letcher et al., 2019). One point of the line is given.

    Example:
        >>> tandem().game.field((torch.tensor(0.5), torch.tensor(0.5)))
        (tensor(0.), tensor(0.))
    """
    return ClosedForm(
        name="tandem",
        game=Game(lambda x, y: (x + y) ** 2 - 2 * x, lambda x, y: (x + y) ** 2 - 2 * y),
        start=(torch.tensor(1.0), torch.tensor(1.0)),
        equilibrium=(torch.tensor(0.5), torch.tensor(0.5)),
        eigenvalues=(0j, 4 + 0j),
        lipschitz=4.0,
    )


def matching_pennies() -> ClosedForm:
    """Mixed strategies on the simplex, payoff [[1, -1], [-1, 1]]: both play (½, ½).

    Example:
        >>> matching_pennies().equilibrium[0]
        tensor([0.5000, 0.5000])
    """
    return _matrix_game("matching pennies", torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))


def rock_paper_scissors() -> ClosedForm:
    """Mixed strategies on the simplex, payoff 1, 0 or -1: both play (⅓, ⅓, ⅓).

    Example:
        >>> rock_paper_scissors().equilibrium[0]
        tensor([0.3333, 0.3333, 0.3333])
    """
    return _matrix_game("rock paper scissors", torch.tensor([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]]))


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
        lipschitz=_norm([[0.0, slope], [-slope, gamma]]),
    )


def _matrix_game(name: str, A: Tensor) -> ClosedForm:
    rows, columns = A.shape
    return replace(
        bilinear(A),
        name=name,
        game=zero_sum(lambda x, y: x @ A @ y, constraints=(projections.simplex(), projections.simplex())),
        start=(torch.eye(rows, dtype=A.dtype)[0], torch.eye(columns, dtype=A.dtype)[-1]),
        equilibrium=(A.new_full((rows,), 1 / rows), A.new_full((columns,), 1 / columns)),
    )


def _matrix(name: str, value: Any) -> None:
    real_matrix = isinstance(value, Tensor) and value.dim() == 2 and value.is_floating_point()
    if not (real_matrix and value.numel() and bool(torch.isfinite(value).all())):
        raise ValueError(f"{name} must be a matrix of finite floating point numbers, got {shown(value)}.")


def _norm(J: list[list[float]]) -> float:
    return float(torch.linalg.matrix_norm(torch.tensor(J, dtype=torch.float64), 2))
