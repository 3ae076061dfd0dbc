import pytest
import torch
from torch import Tensor

import minimax as mm
from minimax import games

pytestmark = pytest.mark.usefixtures("float64")


def play(optimizer: mm.GameOptimizer, game: mm.Game, z, steps: int = 1):
    state = optimizer.init(game, z)
    for _ in range(steps):
        z, state, info = optimizer.step(game, z, state)
    return z, info


def dense(game: mm.Game, z: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """ξ and H_o of flat players, as matrices."""
    n, cuts = [len(x) for x in z], torch.eye(sum(len(x) for x in z))
    columns = [torch.cat(game.jvp(z, tuple(unit.split(n)))) for unit in cuts]
    J = torch.stack(columns, 1)
    own = torch.block_diag(*(J.split(n)[i].split(n, 1)[i] for i in range(len(z))))
    return torch.cat(game.field(z)), J - own


@pytest.mark.parametrize("h", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("rows, columns", [(1, 1), (3, 5), (5, 3)])
def test_is_the_proximal_point_method_on_bilinear_games(h: float, rows: int, columns: int) -> None:
    """z⁺ = (I + hJ)⁻¹ z for every step size, each step from the last one's solution."""
    A = torch.randn(rows, columns)
    J = torch.zeros(rows + columns, rows + columns)
    J[:rows, rows:], J[rows:, :rows] = A, -A.T
    z = (torch.randn(rows), torch.randn(columns))
    optimizer = mm.CompetitiveGradientDescent(mm.sgd(h), tolerance=1e-14, iterations=30)
    expected = torch.cat(z)
    for _ in range(5):
        expected = torch.linalg.solve(torch.eye(rows + columns) + h * J, expected)
    found, info = play(optimizer, games.bilinear(A).game, z, 5)
    torch.testing.assert_close(torch.cat(found), expected, rtol=1e-10, atol=1e-10)
    assert float(info.extra["residual"]) <= 1e-12


@pytest.mark.parametrize("s", [0.2, 1.0, 5.0])
def test_bilinear_modulus(s: float) -> None:
    """1/√(1 + s²), with players of one number, 0-dim."""
    z = (torch.tensor(1.0), torch.tensor(0.5))
    found, info = play(mm.CompetitiveGradientDescent(mm.sgd(s)), mm.zero_sum(lambda x, y: x * y), z, 3)
    ratio = (torch.stack(found).norm() / torch.stack(z).norm()) ** (1 / 3)
    assert float(ratio) == pytest.approx((1 + s**2) ** -0.5, rel=1e-10)
    assert int(info.extra["iterations"]) == 1


def general_sum(n: int) -> tuple[mm.Game, tuple[Tensor, ...]]:
    C = torch.randn(n, 2 * n, 2 * n)

    def loss(i: int):
        def of(*z: Tensor) -> Tensor:
            w = torch.cat(z)
            return w.sin() @ C[i] @ w + (w**3).sum()

        return of

    return mm.Game(*(loss(i) for i in range(n))), tuple(torch.randn(2) for _ in range(n))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_general_sum_against_dense_solve(n: int) -> None:
    """Δ = -h (I + hH_o)⁻¹ ξ for any number of players; indefinite systems, so no conjugate gradients."""
    h = 0.3
    game, z = general_sum(n)
    ξ, H_o = dense(game, z)
    expected = torch.cat(z) - h * torch.linalg.solve(torch.eye(len(ξ)) + h * H_o, ξ)
    optimizer = mm.CompetitiveGradientDescent(mm.sgd(h), tolerance=1e-13, iterations=2 * n + 2)
    found, info = play(optimizer, game, z)
    torch.testing.assert_close(torch.cat(found), expected, rtol=1e-9, atol=1e-9)
    assert float(info.extra["residual"]) < 1e-9
    assert info.cost.gradients == n


def test_cooperative_game_with_an_indefinite_system() -> None:
    """I - h²f_xy f_yx is negative for hσ > 1; on f = xy, Δ = -h/(1 - h²) (y - hx, x - hy)."""
    h, game = 2.0, mm.cooperative(lambda x, y: x * y, players=2)
    found, _ = play(mm.CompetitiveGradientDescent(mm.sgd(h)), game, (torch.tensor(1.0), torch.tensor(3.0)))
    expected = [1 - h / (1 - h**2) * (3 - h), 3 - h / (1 - h**2) * (1 - 3 * h)]
    assert [float(x) for x in found] == pytest.approx(expected)


def test_adam_makes_it_acgd() -> None:
    """The paper's update: A^½ (I + A_x^½ D_xy A_y D_yx A_x^½)⁻¹ A^½ (∇_x f + D_xy A_y ∇_y f), A = η/(√v̂ + ε)."""
    η, β, ε = 1.0, 0.9, 1e-5
    C = torch.randn(3, 4)
    game = mm.zero_sum(lambda x, y: x.sin() @ C @ y.cos() + x.square().sum() - y.exp().sum())
    z = (torch.randn(3), torch.randn(4))
    rule = mm.adam(η, betas=(0.0, β), eps=ε)
    optimizer = mm.CompetitiveGradientDescent(rule, tolerance=1e-13, iterations=4)  # in the norm of A⁻¹ 3 will do
    state, v = optimizer.init(game, z), [torch.zeros(3), torch.zeros(4)]
    for t in range(1, 5):
        fx, fy = game.field(z)[0], -game.field(z)[1]
        D = dense(game, z)[1][:3, 3:]
        v = [β * a + (1 - β) * g**2 for a, g in zip(v, (fx, fy), strict=True)]
        A, B = (η / ((a / (1 - β**t)).sqrt() + ε) for a in v)
        root = A.sqrt()
        K = torch.eye(3) + root[:, None] * D @ torch.diag(B) @ D.T * root
        x = z[0] - root * torch.linalg.solve(K, root * (fx + D @ (B * fy)))
        y_root = B.sqrt()
        L = torch.eye(4) + y_root[:, None] * D.T @ torch.diag(A) @ D * y_root
        y = z[1] + y_root * torch.linalg.solve(L, y_root * (fy - D.T @ (A * fx)))
        z, state, _ = optimizer.step(game, z, state)
        torch.testing.assert_close(z, (x, y), rtol=1e-9, atol=1e-9)


def test_warm_start_saves_iterations_and_changes_no_solution() -> None:
    """From its own solution a solve takes no iterations, and the residual is b - A x₀, not b."""
    A = torch.randn(6, 9)
    game, z = games.bilinear(A).game, (torch.randn(6), torch.randn(9))
    optimizer = mm.CompetitiveGradientDescent(mm.sgd(0.3), tolerance=1e-9, iterations=20)
    cold, info = play(optimizer, game, z)
    state = optimizer.step(game, z, optimizer.init(game, z))[1]
    warm, _, again = optimizer.step(game, z, state)
    torch.testing.assert_close(warm, cold, rtol=0, atol=1e-8)
    assert int(info.extra["iterations"]) >= 5
    assert int(again.extra["iterations"]) == 0
    assert again.cost.hvps == 2 and info.cost.hvps == 2 + 2 * int(info.extra["iterations"])


def test_a_solve_starts_at_the_last_correction() -> None:
    """A batch that turns the gradient around turns Δ around, but changes Δ - d by hσ only: within tolerance here."""
    game = mm.zero_sum(lambda x, y, b: b @ x + x @ y)
    z, h = (torch.zeros(3), torch.zeros(3)), 0.05
    optimizer = mm.CompetitiveGradientDescent(mm.sgd(h), tolerance=2 * h)
    state, b = optimizer.init(game, z), torch.ones(3)
    for batch in (b, -b):
        z, state, info = optimizer.step(game, z, state, batch)
        assert int(info.extra["iterations"]) == 0 and 0 < float(info.extra["residual"]) <= 2 * h


def test_the_smaller_player_is_solved_for() -> None:
    for rows, columns in ((2, 7), (7, 2)):
        game, z = games.bilinear(torch.randn(rows, columns)).game, (torch.randn(rows), torch.randn(columns))
        optimizer = mm.CompetitiveGradientDescent(mm.sgd(0.5), tolerance=1e-12)
        assert optimizer.init(game, z)["correction"].shape == (2,)
        assert int(play(optimizer, game, z)[1].extra["iterations"]) == 2


def test_a_rate_of_zero_stands_still() -> None:
    """Schedules may start at 0: nothing is divided by it."""
    game = mm.zero_sum(lambda x, y: (x * y).sum())
    z = (torch.ones(2), torch.ones(2))
    for rule in (mm.sgd(0.0), mm.adam(lambda step: 0.0 * step), (mm.sgd(0.5), mm.sgd(0.0))):
        found, info = play(mm.CompetitiveGradientDescent(rule), game, z)
        assert torch.equal(found[1], z[1]) and bool(torch.isfinite(info.extra["residual"]))


def test_refusals() -> None:
    closed = games.bilinear(dim=1)
    optimizer = mm.CompetitiveGradientDescent(mm.from_torch(torch.optim.Adam))
    with pytest.raises(RuntimeError, match="from_torch has no metric: use sgd, rmsprop or adam"):
        play(optimizer, closed.game, closed.start)
    with pytest.raises(ValueError, match="iterations must be an integer >= 1"):
        mm.CompetitiveGradientDescent(mm.sgd(0.1), iterations=0)
    with pytest.raises(ValueError, match="tolerance must be a finite number >= 0"):
        mm.CompetitiveGradientDescent(mm.sgd(0.1), tolerance=-1.0)


@pytest.mark.parametrize("h", [1.0, 30.0, 1000.0])
def test_by_default_it_is_proximal_in_many_dimensions_too(h: float) -> None:
    """Ten iterations left 4e4 where .15 was right, as truncated conjugate gradients may have any residual."""
    n, game = 30, games.bilinear(torch.randn(30, 40))
    J, z = mm.diagnostics.jacobian(game.game, game.start), torch.cat(game.start)
    found, info = play(mm.CompetitiveGradientDescent(mm.sgd(h)), game.game, game.start, 4)
    expected = torch.linalg.matrix_power(torch.linalg.inv(torch.eye(70) + h * J), 4) @ z
    torch.testing.assert_close(torch.cat(found), expected, rtol=1e-4, atol=1e-4)
    assert float(info.extra["residual"]) <= 1e-6 and float(info.extra["missed"]) == 0
    assert 10 < int(info.extra["iterations"]) <= 4 * n


@pytest.mark.parametrize("h", [1.0, 30.0, 1000.0])
def test_the_residual_told_is_the_residual_in_float32_too(h: float) -> None:
    """What a recursion holds for the residual says 1e-7 where rounding has left 1, unless it is computed anew."""
    A = torch.randn(8, 8)
    game, z = games.bilinear(A.float()).game, tuple(torch.randn(2, 8).float())
    J = mm.diagnostics.jacobian(games.bilinear(A).game, games.bilinear(A).start)
    optimizer = mm.CompetitiveGradientDescent(mm.sgd(h))
    state = optimizer.init(game, z)
    for _ in range(4):
        before = torch.cat(z).double()
        new, state, info = optimizer.step(game, z, state)
        d = -h * J @ before
        residual = d - (torch.eye(16) + h * J) @ (torch.cat(new).double() - before)
        assert float(info.extra["residual"]) >= float(residual.norm() / d.norm()) / 4 - 1e-6
        z = tuple(leaf.float() for leaf in expected_step(h, J, before).split(8))


def expected_step(h: float, J: Tensor, z: Tensor) -> Tensor:
    return torch.linalg.solve(torch.eye(len(z)) + h * J, z)


def test_a_solve_that_missed_its_tolerance_is_told_in_info_and_status() -> None:
    game = games.bilinear(torch.randn(30, 30))
    for iterations, missed in ((10, True), (None, False)):
        optimizer = mm.CompetitiveGradientDescent(mm.sgd(3.0), iterations=iterations)
        _, info = play(optimizer, game.game, game.start)
        assert (float(info.extra["missed"]) == float(info.extra["residual"]) > 1e-3) is missed
        solution = mm.solve(game.game, game.start, mm.Lookahead(optimizer), steps=3, limits=mm.Limits(growth=1e30))
        assert ("its linear solves left residuals of up to" in str(solution.status)) is missed
        together = mm.ensemble(game.game, optimizer, [game.start] * 2, steps=3, limits=mm.Limits(growth=1e30))
        alone = mm.solve(game.game, game.start, optimizer, steps=3, limits=mm.Limits(growth=1e30))
        assert together.statuses == (alone.status,) * 2


def test_networks_keep_ten_iterations() -> None:
    game, start = mm.zero_sum(lambda x, y: (x * y * torch.linspace(0, 9, 600)).sum()), (torch.ones(600),) * 2
    _, info = play(mm.CompetitiveGradientDescent(mm.sgd(1.0), tolerance=0.0), game, start)
    assert int(info.extra["iterations"]) == 10


@pytest.mark.parametrize("kind", [mm.StackelbergGradient, mm.FollowTheRidge])
def test_leaders_and_followers_tell_too(kind: type) -> None:
    """Thirty curvatures take thirty iterations."""
    curved = torch.logspace(-2, 2, 30)
    game = mm.zero_sum(lambda x, y: (x**2).sum() + (x * y).sum() - (curved * y**2).sum())
    start = (torch.ones(30), torch.ones(30))
    for iterations, missed in ((5, True), (200, False)):
        solution = mm.solve(game, start, kind(mm.sgd(1e-3), iterations=iterations), steps=3)
        assert ("its linear solves left residuals of up to" in str(solution.status)) is missed
