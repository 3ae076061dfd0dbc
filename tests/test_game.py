import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import softplus

import minimax as mm
from minimax import games, tree

pytestmark = pytest.mark.usefixtures("float64")

seeds = st.integers(0, 10_000)
sizes = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def smooth(seed: int, dims: list[int]) -> tuple[Callable[..., Any], tuple[torch.Tensor, ...]]:
    """A random smooth, non-quadratic function of players of these sizes, and a random point."""
    generator = torch.Generator().manual_seed(seed)
    W = [torch.randn(5, n, generator=generator, dtype=torch.float64) for n in dims]
    c, d = torch.randn(2, 5, generator=generator, dtype=torch.float64)

    def payoff(*players: torch.Tensor) -> torch.Tensor:
        u = sum(w @ z for w, z in zip(W, players, strict=True))
        return c @ u.tanh() + d @ (u * players[0].sum()).sin() + (u**3).mean() / 10

    return payoff, tuple(torch.randn(n, generator=generator, dtype=torch.float64) for n in dims)


def dense_jacobian(losses: list[Callable[..., Any]], z: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """DF by torch's Hessians of each loss: another route than the oracles'."""
    rows = []
    for i, loss in enumerate(losses):
        blocks = torch.autograd.functional.hessian(loss, z)
        rows.append(torch.cat(blocks[i], 1))
    return torch.cat(rows)


def flat(players: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return torch.cat([player.reshape(-1) for player in players])


def like(z: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(player.shape, dtype=torch.float64) for player in z)


# ------------------------------------------------------------------------------------------------------- the oracles


@settings(max_examples=50)
@given(seeds, sizes)
def test_oracles_of_general_sum_games(seed: int, dims: list[int]) -> None:
    losses = [smooth(seed + i, dims)[0] for i in range(len(dims))]
    z = smooth(seed, dims)[1]
    game, J = mm.Game(*losses), dense_jacobian(losses, z)
    u, v = like(z), like(z)
    torch.testing.assert_close(flat(game.jvp(z, v)), J @ flat(v), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(flat(game.vjp(z, u)), J.T @ flat(u), rtol=1e-10, atol=1e-10)
    for i, loss in enumerate(losses):
        expected = torch.autograd.functional.jacobian(loss, z)[i]
        torch.testing.assert_close(game.field(z)[i], expected)
        assert torch.equal(game.gradient(z, i), game.field(z)[i])
        assert torch.equal(game.losses(z)[i], loss(*z))


@given(seeds, st.integers(1, 4), st.integers(1, 4))
def test_blocks(seed: int, m: int, n: int) -> None:
    payoff, z = smooth(seed, [m, n])
    game = mm.zero_sum(payoff)
    J = dense_jacobian([payoff, lambda x, y: -payoff(x, y)], z)
    cut = [slice(0, m), slice(m, m + n)]
    v = like(z)
    for i in range(2):
        for j in range(2):
            torch.testing.assert_close(game.block(z, i, j, v[j]), J[cut[i], cut[j]] @ v[j], rtol=1e-10, atol=1e-10)
    oracle, point = game.enter(z)
    local = oracle.linearize(point, None)
    torch.testing.assert_close(local.vjp_block(0, 1, [v[0]])[0], J[cut[0], cut[1]].T @ v[0], rtol=1e-10, atol=1e-10)
    assert (oracle.gradients, oracle.hvps) == (2, 1)


@settings(max_examples=20)
@given(seeds, st.integers(1, 3), st.integers(1, 3))
def test_transformed_oracles_agree_with_eager_ones(seed: int, m: int, n: int) -> None:
    """Under vmap the oracles take another way, through torch.func."""
    payoff, z = smooth(seed, [m, n])
    v = like(z)
    for game in (
        mm.zero_sum(payoff),
        mm.cooperative(payoff, players=2),
        mm.Game(payoff, lambda x, y: payoff(x, 2 * y)),
        mm.Game(lambda x, y: (payoff(x, y), payoff(2 * x, y))),
    ):

        def everything(z: Any, v: Any, game: mm.Game = game) -> Any:
            return game.field(z), game.losses(z), game.jvp(z, v), game.vjp(z, v), game.block(z, 0, 1, v[1])

        many = torch.vmap(everything)(*(tuple(player.expand(2, -1) for player in point) for point in (z, v)))
        for a, b in zip(tree.pytree.tree_leaves(many), tree.pytree.tree_leaves(everything(z, v)), strict=True):
            torch.testing.assert_close(a[1], b, rtol=1e-10, atol=1e-10)


def test_shapes_come_back() -> None:
    game = mm.zero_sum(lambda x, y: (x["w"][0] * y).sum() + x["w"][1] ** 2)
    x, y = {"w": [torch.ones(2, 3), torch.tensor(2.0)]}, torch.ones(3)
    field = game.field({"left": x, "right": y})
    assert list(field) == ["left", "right"]
    assert [leaf.shape for leaf in field["left"]["w"]] == [(2, 3), ()]
    assert game.gradient((x, y), 1).shape == (3,)
    assert game.jvp((x, y), (x, y))[0]["w"][0].shape == (2, 3)


def test_players_keep_no_graph_and_may_require_gradients() -> None:
    x, y = torch.tensor(1.0, requires_grad=True), torch.tensor(2.0, requires_grad=True)
    game = mm.zero_sum(lambda x, y: x * y)
    with torch.no_grad():
        field = game.field((x, y))
    assert not any(leaf.requires_grad for leaf in (*field, *game.losses((x, y)), *game.jvp((x, y), (x, y))))
    assert x.grad is None and y.grad is None


# ---------------------------------------------------------------------------------------------------------- identities


def correction(game: mm.Game, z: Any) -> tuple[torch.Tensor, ...]:
    """Aᵀξ with A the skew part of DF."""
    ξ = game.field(z)
    return tuple((a - b) / 2 for a, b in zip(game.vjp(z, ξ), game.jvp(z, ξ), strict=True))


@given(seeds, st.integers(1, 4), st.integers(1, 4))
def test_zero_sum_identities(seed: int, m: int, n: int) -> None:
    """Aᵀξ = -H_o ξ, and the consensus direction Jᵀξ = Aᵀξ + Sξ."""
    payoff, z = smooth(seed, [m, n])
    game = mm.zero_sum(payoff)
    ξ = game.field(z)
    pull = correction(game, z)
    Hξ = [game.block(z, i, 1 - i, ξ[1 - i]) for i in range(2)]
    torch.testing.assert_close(flat(pull), -flat(tuple(Hξ)), rtol=1e-9, atol=1e-9)
    S = tuple((a + b) / 2 for a, b in zip(game.vjp(z, ξ), game.jvp(z, ξ), strict=True))
    torch.testing.assert_close(flat(game.vjp(z, ξ)), flat(pull) + flat(S), rtol=1e-9, atol=1e-9)


@given(seeds, st.integers(2, 4))
def test_cooperative_games_do_not_rotate(seed: int, n: int) -> None:
    payoff, z = smooth(seed, [n, 2])
    game = mm.cooperative(payoff, players=2)
    torch.testing.assert_close(flat(correction(game, z)), torch.zeros(n + 2), rtol=0, atol=1e-10)


@given(seeds, st.integers(1, 4), st.integers(1, 4))
def test_skew_jacobian(seed: int, m: int, n: int) -> None:
    """On a bilinear game ⟨ξ, Jᵀξ⟩ = 0."""
    generator = torch.Generator().manual_seed(seed)
    closed = games.bilinear(torch.randn(m, n, generator=generator, dtype=torch.float64))
    ξ = closed.game.field(closed.start)
    assert abs(flat(ξ) @ flat(closed.game.vjp(closed.start, ξ))) < 1e-10 * max(1, float(flat(ξ) @ flat(ξ)))


# ------------------------------------------------------------------------------------------- nothing leaks or is spent


def test_gradients_do_not_leak_between_players_that_share_a_forward_pass() -> None:
    """One function, shared intermediate values: each player's gradient is that of its own loss alone."""

    def losses(e, g, d, x):
        code = (x @ e).tanh()
        made = (code @ g).tanh()
        score = made @ d
        return (made - x).square().mean() - score.mean(), softplus(-score).mean(), softplus(score).mean()

    e, g, d, x = torch.randn(4, 2), torch.randn(2, 4), torch.randn(4), torch.randn(6, 4)
    joint = mm.Game(losses)
    apart = mm.Game(*(lambda *z, i=i: losses(*z)[i] for i in range(3)))
    for i, (a, b) in enumerate(zip(joint.field((e, g, d), x), apart.field((e, g, d), x), strict=True)):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-14)
        alone = torch.autograd.functional.jacobian(
            lambda z, i=i: losses(*[*(e, g, d)[:i], z, *(e, g, d)[i + 1 :], x])[i], (e, g, d)[i]
        )
        torch.testing.assert_close(a, alone, rtol=1e-13, atol=1e-14)
    mm.testing.check_game(joint, (e, g, d), x)


def test_discriminator_does_not_leak_into_modules_that_are_not_players_turn() -> None:
    """No .grad appears anywhere, and a frozen module in the loss stays out of it."""
    g, d, frozen = nn.Linear(2, 3), nn.Linear(3, 1), nn.Linear(3, 3)
    game = mm.Game(lambda g, d, z: softplus(-d(frozen(g(z)))).mean(), lambda g, d, z: softplus(d(frozen(g(z)))).mean())
    field = game.field((g, d), torch.randn(5, 2))
    assert {"weight", "bias"} == set(field[0]) == set(field[1])
    parameters = [*g.parameters(), *d.parameters(), *frozen.parameters()]
    assert all(p.grad is None and p.requires_grad for p in parameters)


def test_a_shared_payoff_is_evaluated_once() -> None:
    calls = []

    def payoff(x, y):
        calls.append(1)
        return x * y

    mm.zero_sum(payoff).field((torch.tensor(1.0), torch.tensor(2.0)))
    assert len(calls) == 1


def test_two_leaves_of_which_one_is_unused() -> None:
    game = mm.zero_sum(lambda x, y: x[0] * y)
    field = game.field(([torch.tensor(1.0), torch.ones(3)], torch.tensor(2.0)))
    assert torch.equal(field[0][1], torch.zeros(3))


def test_linear_losses_have_zero_second_derivatives() -> None:
    game = mm.Game(lambda x, y: 3 * x.sum(), lambda x, y: -y.sum())
    z = (torch.ones(2), torch.ones(3))
    assert flat(game.jvp(z, z)).abs().max() == 0 and flat(game.vjp(z, z)).abs().max() == 0


# -------------------------------------------------------------------------------------------------------------- errors

ONE, TWO = torch.tensor(1.0), torch.tensor(2.0)
GDA = mm.SimultaneousGDA(mm.sgd(0.1))


def first_step(game: mm.Game, players: Any, batch: Any = None, optimizer: mm.GameOptimizer = GDA) -> None:
    state = optimizer.init(game, players)
    optimizer.step(game, players, state, batch)


@pytest.mark.parametrize(
    "game, players, message",
    [
        (
            mm.zero_sum(lambda x, y: x * y),
            (torch.ones(2), torch.ones(2)),
            r"loss of players\[0\] must be a 0-dim.*\(2,\)",
        ),
        (mm.Game(lambda x, y: x * y, lambda x, y: y.reshape(1)), (ONE, TWO), r"loss of players\[1\].*\(1,\)"),
        (mm.Game(lambda x: 3.0), (ONE,), r"loss of players\[0\] must be a 0-dim tensor, got float"),
        (mm.Game(lambda x, y: x * y), (ONE, TWO), r"loss of players\[0\]|returned|0-dim|2 players"),
        (mm.Game(lambda x, y: (x, y, x)), (ONE, TWO), r"returned 3 losses for 2 players"),
        (mm.Game(lambda x, y: x, lambda x, y: y), (ONE, TWO, ONE), r"2 losses for 3 players"),
        (mm.zero_sum(lambda x, y: x * y), (ONE,), r"2 losses for 1 players"),
        (
            mm.Game(lambda x, y: y, lambda x, y: x * y),
            (ONE, TWO),
            r"loss of players\[0\] does not depend on that player",
        ),
        (mm.Game(lambda x, y: (x, x)), (ONE, TWO), r"loss of players\[1\] does not depend on that player"),
        (mm.zero_sum(lambda x, y: x**2), (ONE, TWO), r"loss of players\[1\] does not depend on that player"),
        (mm.cooperative(lambda x, y: y**2, 2), (ONE, TWO), r"loss of players\[0\] does not depend on that player"),
        (mm.zero_sum(lambda x, y: torch.tensor(0.0)), (ONE, TWO), r"loss of players\[0\] does not depend"),
        (mm.zero_sum(lambda x, y: x * y), (ONE, torch.tensor(3)), r"players\[1\] holds torch.int64.*floating point"),
        (mm.zero_sum(lambda x, y: x * y), (ONE, 2.0), r"players\[1\] holds a float"),
        (
            mm.zero_sum(lambda x, y: x * y),
            (ONE, torch.ones((), device="meta")),
            r"players\[1\] lies on the meta device",
        ),
        (mm.zero_sum(lambda x, y: x * y), (ONE, []), r"players\[1\] has no tensors"),
        (mm.zero_sum(lambda x, y: x * y), {"g": ONE, "d": torch.tensor(3)}, r"players\['d'\] holds torch.int64"),
        (mm.zero_sum(lambda x, y: x * y), ONE, r"players must be a tuple or dict of players, got Tensor"),
        (mm.Game(lambda *z: z), (), r"no players|at least one player"),
        (mm.zero_sum(lambda x, y: x * y, constraints=[None]), (ONE, TWO), r"constraints has 1 entries for 2 players"),
        (
            mm.zero_sum(lambda g, d: d(g(ONE))),
            (nn.Linear(1, 1), nn.Linear(1, 1)),
            r"Linear is an nn.Module.*minimax.bind",
        ),
    ],
)
def test_errors_are_sentences(game: mm.Game, players: Any, message: str) -> None:
    with pytest.raises(mm.GameError, match=message):
        first_step(game, players)


@pytest.mark.parametrize("player", [nn.ReLU(), nn.Linear(2, 1).requires_grad_(False)])
def test_module_without_anything_to_move(player: nn.Module) -> None:
    with pytest.raises(mm.GameError, match=r"players\[0\] has no tensors \(or none that requires gradients\)"):
        mm.bind(mm.zero_sum(lambda x, y: x(y).sum()), (player, torch.ones(2)), GDA)


@pytest.mark.parametrize("losses, message", [((), "at least one loss"), ((lambda x: x, 3), r"losses\[1\].*got int")])
def test_bad_losses(losses: tuple, message: str) -> None:
    with pytest.raises(mm.GameError, match=message):
        mm.Game(*losses)


def named(x: Any, y: Any) -> Any:
    return x * y


ASKED = {
    "no such player": (lambda game: game.gradient((ONE, TWO), 5), r"there is no player 5: the players are 0 to 1"),
    "a negative player": (lambda game: game.gradient((ONE, TWO), -1), r"there is no player -1"),
    "a player that is no number": (lambda game: game.block((ONE, TWO), 0, True, ONE), r"there is no player True"),
    "a vector of another shape": (
        lambda game: game.jvp((ONE, TWO), (ONE, torch.ones(2))),
        r"v must have the structure",
    ),
    "too short a vector": (lambda game: game.vjp((ONE, TWO), ((ONE, ONE), TWO)), r"u must have the structure"),
    "a block's vector": (lambda game: game.block((ONE, TWO), 0, 1, torch.ones(3)), r"v must have the structure"),
    "a batch too many": (
        lambda game: game.field((ONE, TWO), ONE),
        r"named.* 2 players and a batch: does it leave that",
    ),
    "a player too many": (lambda game: game.losses((ONE,)), r"2 losses for 1 players"),
}


@pytest.mark.parametrize("what", ASKED)
def test_what_cannot_be_asked_is_refused(what: str) -> None:
    ask, message = ASKED[what]
    with pytest.raises(mm.GameError, match=message):
        ask(mm.zero_sum(named))


@pytest.mark.parametrize("compile", [False, True])
def test_a_loss_with_a_batch_that_is_missing(compile: bool) -> None:
    game = mm.Game(lambda x, y, b: x * y * b, lambda x, y, b: y)
    with pytest.raises(mm.GameError, match=r"called with 2 players and no batch: are batches missing\?"):
        mm.bind(game, (ONE, TWO), GDA, compile=compile).step()


def test_an_error_inside_a_loss_stays_what_it_is() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        mm.zero_sum(lambda x, y: x * y * None).field((ONE, TWO))


def test_constraints_are_projections() -> None:
    f = lambda x, y: x * y
    with pytest.raises(TypeError, match=r"constraints\[1\] must be a projection of a tensor, or None, got 3"):
        mm.zero_sum(f, constraints=(None, 3))
    with pytest.raises(mm.GameError, match="constraints must be a tuple with one entry per player, got box"):
        mm.zero_sum(f, constraints=mm.projections.box(-1, 1))
    game = mm.zero_sum(lambda x, y: (x * y).sum(), constraints=(None, lambda y: y.sum()))
    with pytest.raises(mm.GameError, match=r"constraints\[1\] made a tensor of shape \(\).* keeps shape and dtype"):
        first_step(game, (torch.ones(2), torch.ones(2)))
    with pytest.raises(ValueError, match="players must be an integer >= 1, got 0"):
        mm.cooperative(f, 0)


BOUND = {
    "a rule": (mm.adam(0.1), r"pass AlternatingGDA\(adam\("),
    "torch's optimizer": (torch.optim.Adam([torch.ones(1)]), r"pass AlternatingGDA\(from_torch\(torch\.optim\.Adam"),
    "a class": (mm.ExtraGradient, r"pass ExtraGradient\.of\(adam"),
    "a number": (0.1, r"optimizer must be a game optimizer, got 0\.1"),
    "nothing": (None, r"optimizer must be a game optimizer, got None"),
}


@pytest.mark.parametrize("what", BOUND)
def test_what_is_no_optimizer_is_refused_with_the_way_out(what: str) -> None:
    optimizer, message = BOUND[what]
    with pytest.raises(TypeError, match=message):
        mm.bind(mm.zero_sum(named), (ONE, TWO), optimizer)
    with pytest.raises(TypeError, match=r"game must be a Game, such as zero_sum\(payoff\)"):
        mm.bind((ONE, TWO), mm.zero_sum(named), GDA)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_first_step_that_is_not_finite(bad: float) -> None:
    game = mm.zero_sum(lambda x, y, b: x * y * b)
    with pytest.raises(mm.GameError, match=r"the first step is not finite: losses \(.*\), gradient norms"):
        mm.solve(game, (ONE, TWO), GDA, batches=[torch.tensor(bad)] * 3, steps=3)


class Cube(torch.autograd.Function):
    """x³, with no forward derivative."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        return 3 * ctx.saved_tensors[0] ** 2 * g


def test_operations_without_forward_derivatives() -> None:
    """Products with the Jacobian and its transpose are backward passes: d/dx 3x²y = 6xy, d/dy 3x²y = 3x²."""
    game = mm.Game(lambda x, y: Cube.apply(x) * y, lambda x, y: -Cube.apply(x) * y + y**2)
    z, v = (torch.tensor(2.0), torch.tensor(3.0)), (torch.tensor(1.0), torch.tensor(10.0))
    assert game.jvp(z, v) == (36 + 120, -12 + 20) and game.vjp(z, v) == (36 - 120, 12 + 20)


def test_a_game_error_is_a_value_error() -> None:
    assert issubclass(mm.GameError, ValueError)
