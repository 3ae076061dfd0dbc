"""Games with constraints are judged by the natural residual, taken where the gradient was."""

import pytest
import torch

import minimax as mm

pytestmark = pytest.mark.usefixtures("float64")

SADDLE = mm.zero_sum(lambda x, y: x * y)
START = (torch.tensor(1.0), torch.tensor(1.0))


SIMPLICES = (mm.projections.simplex(), mm.projections.simplex())


def matrix_game(
    rows: int = 3, columns: int = 4, constrained: bool = True, seed: int = 3
) -> tuple[mm.Game, mm.game.Players]:
    A = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    game = mm.zero_sum(lambda x, y: x @ A @ y, constraints=SIMPLICES if constrained else None)
    return game, (torch.full((rows,), 1 / rows), torch.full((columns,), 1 / columns))


def natural_residual(game: mm.Game, players: mm.game.Players) -> float:
    """By hand: |z - P(z - F(z))|."""
    pairs = zip(players, game.field(players), strict=True)
    return float(torch.cat([z - mm.projections.simplex()(z - g) for z, g in pairs]).norm())


@pytest.mark.parametrize(
    "optimizer",
    [
        mm.ExtraGradient(mm.sgd(0.3)),
        mm.PastExtraGradient(mm.sgd(0.2)),
        mm.OptimisticGDA(mm.sgd(0.2)),
        mm.ExtraGradient(mm.entropic(1.0)),
        mm.Lookahead(mm.ExtraGradient(mm.sgd(0.3))),
    ],
    ids=lambda optimizer: optimizer.name,
)
def test_constrained_games_converge_in_the_natural_residual(optimizer: mm.GameOptimizer) -> None:
    """|F| stays at 1 where the equilibrium lies on a simplex."""
    game, start = matrix_game(2, 3, seed=1)  # solved at a vertex, from which an average can part once more
    limits = mm.Limits(tolerance=1e-5)
    solution = mm.solve(game, start, optimizer, steps=400, limits=limits)
    assert solution.status.kind == "converged" and "|z - P(z - F)| = " in str(solution.status)
    assert (
        natural_residual(game, solution.players) < 2e-5 and float(torch.cat(game.field(solution.players)).norm()) > 0.1
    )
    together = mm.ensemble(game, optimizer, [start] * 2, steps=400, limits=limits)
    assert together.statuses == (solution.status,) * 2
    norms = together.records["norm"][: solution.status.step, 0]
    torch.testing.assert_close(norms.tolist(), solution.records["norm"], rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    "optimizer",
    [
        mm.SimultaneousGDA(mm.sgd(0.4)),
        mm.PastExtraGradient(mm.sgd(0.4)),
        mm.AlternatingGDA(mm.sgd(0.4), steps=3),
        mm.KBeam(mm.sgd(0.4), steps=2),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_residual_is_taken_where_the_gradient_was(
    optimizer: mm.GameOptimizer, compiled: bool, quick: object
) -> None:
    """A loss quadratic in the own player alone tells the point from the gradient."""
    ball = mm.projections.ball(0.5)
    game = mm.Game(lambda x, y: (x**2).sum(), lambda x, y: (y**2).sum() + y.sum(), constraints=(None, ball))
    play = mm.compiled(optimizer) if compiled else optimizer
    z = (torch.tensor([1.0, 2.0]), torch.tensor([0.4, -0.2]))
    state = optimizer.init(game, z)
    for _ in range(3):
        z, state, info = play.step(game, z, state)
        (g_x,), (g_y,) = info.gradients
        y = (g_y - 1) / 2
        torch.testing.assert_close(info.natural[0][0], g_x)
        torch.testing.assert_close(info.natural[1][0], y - ball(y - g_y))
        torch.testing.assert_close(info.residual, torch.cat([g_x, y - ball(y - g_y)]).norm())


def test_nothing_is_kept_where_nothing_is_constrained() -> None:
    optimizer = mm.PastExtraGradient(mm.sgd(0.1))
    info = optimizer.step(SADDLE, START, optimizer.init(SADDLE, START))[2]
    assert info.point == () and info.natural is info.gradients and float(info.residual) == float(info.norm)


def test_one_constrained_player() -> None:
    """The other one is judged by its gradient."""
    game = mm.zero_sum(lambda x, y: (x - 3) ** 2 / 2 + x * y - y**2, constraints=(mm.projections.box(-1, 1), None))
    solution = mm.solve(game, START, mm.SimultaneousGDA(mm.sgd(0.2)), limits=mm.Limits(tolerance=1e-6))
    assert solution.status.kind == "converged" and [float(z) for z in solution.players] == pytest.approx([1.0, 0.5])
