"""Identities between second-order fields that hold on every smooth zero-sum game, on games that are not quadratic."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import minimax as mm

pytestmark = pytest.mark.usefixtures("float64")

Players = tuple[dict[str, Tensor], Tensor]


def some_game(seed: int) -> tuple[mm.Game, Players]:
    """A payoff with third derivatives everywhere, players of different sizes and structures."""
    generator = torch.Generator().manual_seed(seed)
    A, B, c = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((3, 4), (3, 4), (4,)))

    def payoff(x: dict[str, Tensor], y: Tensor) -> Tensor:
        u = x["w"] + x["b"]
        return u.sin() @ A @ y.tanh() + u @ B @ y + (u**3).sum() / 3 - (y**2 * c).sum() + (u @ B).exp() @ y.cos() / 5

    def leaf(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64) / 2

    return mm.zero_sum(payoff), ({"w": leaf(3), "b": leaf()}, leaf(4))


def general_sum(seed: int) -> tuple[mm.Game, tuple[Tensor, ...]]:
    """Three players of their own losses."""
    generator = torch.Generator().manual_seed(seed)
    C = torch.randn(3, 6, 6, generator=generator, dtype=torch.float64)

    def loss(i: int):
        def of(*players: Tensor) -> Tensor:
            z = torch.cat(players)
            return z.sin() @ C[i] @ z + (C[i] @ z).tanh().sum()

        return of

    players = tuple(torch.randn(n, generator=generator, dtype=torch.float64) for n in (1, 2, 3))
    return mm.Game(*(loss(i) for i in range(3))), players


def field_of(optimizer: mm.GameOptimizer, game: mm.Game, z: Players) -> Tensor:
    """The direction that an optimizer with SGD of rate 1 moves against."""
    players, _, _ = optimizer.step(game, z, optimizer.init(game, z))
    return flat(z) - flat(players)


def flat(z: object) -> Tensor:
    return torch.cat([leaf.reshape(-1) for leaf in torch.utils._pytree.tree_leaves(z)])


def jacobian(game: mm.Game, z: object) -> Tensor:
    """DF, dense, by products with unit vectors."""
    leaves, spec = torch.utils._pytree.tree_flatten(z)
    sizes = [leaf.numel() for leaf in leaves]
    columns = []
    for unit in torch.eye(sum(sizes), dtype=torch.float64):
        parts = [p.reshape(leaf.shape) for p, leaf in zip(unit.split(sizes), leaves, strict=True)]
        columns.append(flat(game.jvp(z, torch.utils._pytree.tree_unflatten(parts, spec))))
    return torch.stack(columns, 1)


def without_diagonal(J: Tensor, sizes: list[int]) -> Tensor:
    return J - torch.block_diag(*(block.split(sizes, 1)[i] for i, block in enumerate(J.split(sizes))))


def assert_same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


seeds = st.integers(0, 10**6)
weights = st.floats(-2, 2)
rule = mm.sgd(1.0)
few = settings(max_examples=15)  # ten double backward passes an example


@few
@given(seeds)
def test_rotation_is_minus_the_off_diagonal(seed: int) -> None:
    """Aᵀξ = -H_o ξ."""
    game, z = some_game(seed)
    J, ξ = jacobian(game, z), flat(game.field(z))
    H_o = without_diagonal(J, [4, 4])
    assert_same((J.T - J) @ ξ / 2, -H_o @ ξ)
    sga = field_of(mm.SymplecticGradientAdjustment(rule, lam=1.0, align=False), game, z)
    assert_same(sga - ξ, -H_o @ ξ)


@few
@given(seeds, weights)
def test_sga_is_lookahead_is_jare(seed: int, λ: float) -> None:
    game, z = some_game(seed)
    sga = field_of(mm.SymplecticGradientAdjustment(rule, lam=λ, align=False), game, z)
    assert_same(sga, field_of(mm.PolicyPrediction(rule, alpha=λ), game, z))
    ξ, jare = flat(game.field(z)), field_of(mm.JARE(rule, gamma=abs(λ)), game, z)
    assert_same(sga - ξ, math.copysign(1, λ) * (jare - ξ))


@few
@given(seeds, weights)
def test_lola_is_lookahead_twice_as_far(seed: int, α: float) -> None:
    game, z = some_game(seed)
    twice = field_of(mm.PolicyPrediction(rule, alpha=2 * α), game, z)
    assert_same(field_of(mm.LOLA(rule, alpha=α), game, z), twice)


@few
@given(seeds)
def test_consensus_is_rotation_and_strain(seed: int) -> None:
    """Jᵀξ = Aᵀξ + Sξ; the Hamiltonian's direction is Jᵀξ alone."""
    game, z = some_game(seed)
    J, ξ = jacobian(game, z), flat(game.field(z))
    consensus = field_of(mm.ConsensusOptimization(rule, gamma=1.0), game, z)
    sga = field_of(mm.SymplecticGradientAdjustment(rule, align=False), game, z)
    assert_same(consensus - ξ, (sga - ξ) + (J + J.T) @ ξ / 2)
    assert_same(field_of(mm.HamiltonianDescent(rule), game, z), J.T @ ξ)


@few
@given(seeds, weights)
def test_against_dense_matrices_in_a_general_sum_game(seed: int, α: float) -> None:
    """Three players of one, two and three numbers."""
    game, z = general_sum(seed)
    J, ξ = jacobian(game, z), flat(game.field(z))
    H_o = without_diagonal(J, [1, 2, 3])
    assert_same(field_of(mm.PolicyPrediction(rule, alpha=α), game, z), ξ - α * H_o @ ξ)
    assert_same(field_of(mm.JARE(rule, gamma=abs(α)), game, z), ξ + abs(α) * H_o.T @ ξ)
    sga = field_of(mm.SymplecticGradientAdjustment(rule, lam=α, align=False), game, z)
    assert_same(sga, ξ + α * (J.T - J) @ ξ / 2)
    assert_same(field_of(mm.HamiltonianDescent(rule), game, z), J.T @ ξ)


@few
@given(seeds)
def test_lola_shapes_the_opponents_step(seed: int) -> None:
    """LOLA descends L_i(z_i, z_j - α ∂_j L_j(z)) to first order in α, by nested differentiation."""
    game, z = general_sum(seed)
    losses = game.functions

    def stepped(α: Tensor, i: int) -> Tensor:
        def loss(z_i: Tensor) -> Tensor:
            at = [*z[:i], z_i, *z[i + 1 :]]
            others = [
                at[j]
                if j == i
                else at[j] - α * torch.func.grad(lambda w, j=j: losses[j](*at[:j], w, *at[j + 1 :]))(at[j])
                for j in range(3)
            ]
            return losses[i](*others)

        return torch.func.grad(loss)(z[i])

    zero, one = torch.zeros(()), torch.ones(())
    slopes = [torch.func.jvp(lambda α, i=i: stepped(α, i), (zero,), (one,)) for i in range(3)]
    expected = torch.cat([value + 0.3 * slope for value, slope in slopes])
    assert_same(field_of(mm.LOLA(rule, alpha=0.3), game, z), expected)


@few
@given(seeds)
def test_penalties_are_gradients(seed: int) -> None:
    """JARE and Nagarajan-Kolter are gradients of the penalised losses."""
    game, (x, y) = some_game(seed)
    payoff = game.functions[0]

    def slope_x(x, y) -> Tensor:
        return sum((g**2).sum() for g in torch.func.grad(payoff, 0)(x, y).values())

    def slope_y(x, y) -> Tensor:
        return (torch.func.grad(payoff, 1)(x, y) ** 2).sum()

    γ = 0.7
    of_x = torch.func.grad(lambda x: payoff(x, y) + γ / 2 * slope_y(x, y))(x)
    of_y = torch.func.grad(lambda y: -payoff(x, y) + γ / 2 * slope_x(x, y))(y)
    assert_same(field_of(mm.JARE(rule, gamma=γ), game, (x, y)), flat((of_x, of_y)))
    η_x = torch.func.grad(lambda x: payoff(x, y) + γ * slope_y(x, y))(x)
    plain = torch.func.grad(lambda y: -payoff(x, y))(y)
    assert_same(field_of(mm.NagarajanKolter(rule, eta=γ), game, (x, y)), flat((η_x, plain)))
    other = torch.func.grad(lambda y: -payoff(x, y) + γ * slope_x(x, y))(y)
    expected = flat((torch.func.grad(lambda x: payoff(x, y))(x), other))
    assert_same(field_of(mm.NagarajanKolter(rule, eta=γ, generator=1), game, (x, y)), expected)


@few
@given(seeds, weights)
def test_cooperative_games_need_no_correction(seed: int, λ: float) -> None:
    """A = 0, exactly: SGA is gradient descent to the last bit."""
    _, z = some_game(seed)
    shared = mm.cooperative(some_game(seed)[0].functions[0], players=2)
    adjusted = mm.SymplecticGradientAdjustment(rule, lam=λ)
    plain = mm.SimultaneousGDA(rule)
    step = [optimizer.step(shared, z, optimizer.init(shared, z))[0] for optimizer in (adjusted, plain)]
    assert torch.equal(flat(step[0]), flat(step[1]))


def test_one_player_needs_no_correction() -> None:
    game = mm.Game(lambda x: (x.sin() * x.exp()).sum() ** 2)
    z = (torch.tensor([0.3, -0.7]),)
    sga, plain = mm.SymplecticGradientAdjustment(rule), mm.SimultaneousGDA(rule)
    assert torch.equal(sga.step(game, z, sga.init(game, z))[0][0], plain.step(game, z, plain.init(game, z))[0][0])
