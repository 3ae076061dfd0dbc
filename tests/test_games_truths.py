"""Equilibria and values of matrix games, poker, markets and control, against the literature and by hand."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

import minimax as mm
from minimax import games
from minimax.diagnostics import duality_gap
from minimax.games import ClosedForm

pytestmark = pytest.mark.usefixtures("float64")


def numbers(players: tuple[torch.Tensor, ...]) -> list[float]:
    return torch.cat([player.reshape(-1) for player in players]).tolist()


def value(closed: ClosedForm) -> float:
    return float(closed.game.losses(closed.equilibrium)[0])


def test_matrix_games_by_linear_programming() -> None:
    found = []
    for seed in range(100):
        closed = games.matrix_game(torch.tensor(np.random.default_rng(seed).standard_normal((5, 7))))
        assert duality_gap(closed.game, closed.equilibrium).total < 1e-10
        found.append(value(closed))
    assert found[0] == pytest.approx(-0.0442770524, abs=5e-11)
    assert sum(found) == pytest.approx(14.0296783, abs=5e-8)


def test_matrix_games_by_hand() -> None:
    closed = games.matrix_game(torch.tensor([[0.0, -1.0, 2.0], [1.0, 0.0, -3.0], [-2.0, 3.0, 0.0]]))
    assert value(closed) == pytest.approx(0, abs=1e-12)
    assert numbers(closed.equilibrium) == pytest.approx([1 / 2, 1 / 3, 1 / 6] * 2, abs=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 1 / 6, 1 / 3])
def test_kuhn_poker_is_solved_by_every_share_of_bluffs(alpha: float) -> None:
    closed = games.kuhn_poker(alpha)
    assert value(closed) == pytest.approx(1 / 18, abs=1e-14)
    assert duality_gap(closed.game, closed.equilibrium).total < 1e-14


def test_kuhn_poker_under_even_play() -> None:
    closed = games.kuhn_poker()
    assert float(closed.game.losses(closed.start)[1]) == pytest.approx(1 / 8, abs=1e-15)
    assert duality_gap(closed.game, closed.start).total == pytest.approx(11 / 12, abs=1e-14)
    with pytest.raises(ValueError, match="alpha"):
        games.kuhn_poker(0.4)


def test_plans_are_projected_to_the_nearest_ones() -> None:
    """Against a solver, and by the variational inequality: no corner lies on the far side."""
    (project, _), stream = games.kuhn_poker().game.constraints, torch.Generator().manual_seed(0)
    corners = torch.tensor([[0.0, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]])
    x = 2 * torch.randn(2000, 4, generator=stream)
    p = project(x)
    assert float(p.min()) >= 0
    torch.testing.assert_close(
        torch.stack((p[:, 0] + p[:, 1], p[:, 2] + p[:, 3])), torch.stack((p[:, 0] ** 0, p[:, 0]))
    )
    assert float(((x - p)[:, None] * (corners - p[:, None])).sum(-1).max()) < 1e-13
    torch.testing.assert_close(project(p), p, rtol=0, atol=1e-14)
    limits = [{"type": "eq", "fun": lambda z: [z[0] + z[1] - 1, z[2] + z[3] - z[0]]}]
    for row, found in zip(x[:5].numpy(), p[:5], strict=True):
        far = lambda z, row=row: ((z - row) ** 2).sum()
        end = minimize(far, [0.5, 0.5, 0.25, 0.25], method="SLSQP", bounds=[(0, 1)] * 4, constraints=limits, tol=1e-12)
        np.testing.assert_allclose(found.numpy(), end.x, atol=1e-5)
    lowest = project.lowest(x)
    assert torch.equal((x * lowest).sum(-1), (x @ corners.T).min(-1).values)


def test_cournot_and_its_leader() -> None:
    closed = games.cournot()
    assert numbers(closed.equilibrium) == pytest.approx([7 / 3, 10 / 3], abs=1e-14)
    end = mm.solve(closed.game, closed.start, mm.StackelbergGradient(mm.sgd(0.2), damping=0.0), steps=300).players
    assert numbers(end) == pytest.approx([3.5, 2.75], abs=1e-6)


def test_cournot_with_a_capacity() -> None:
    """q = (2.5, 1.5, .5) at the price 2; eigenvalues 1, 1, 1, 3; and a limit that does not bind costs nothing."""
    closed = games.cournot(costs=(1.0, 2.0, 3.0), capacity=4.5)
    assert numbers(closed.equilibrium) == pytest.approx([2.5, 1.5, 0.5, 2], abs=1e-14)
    assert sorted(value.real for value in closed.eigenvalues) == pytest.approx([1, 1, 1, 3], abs=1e-14)
    roomy = games.cournot(capacity=9.0)
    assert numbers(roomy.equilibrium) == pytest.approx([7 / 3, 10 / 3, 0], abs=1e-14)


def test_bertrand_and_its_leader() -> None:
    closed = games.bertrand()
    assert numbers(closed.equilibrium) == [4, 4] and closed.eigenvalues == (5, 3)
    end = mm.solve(closed.game, closed.start, mm.StackelbergGradient(mm.sgd(0.1), damping=0.0), steps=200).players
    assert numbers(end) == pytest.approx([4.214286, 4.053571], abs=1e-6)
    leader, follower = closed.game.losses(end)
    assert follower < leader


def test_river_basin() -> None:
    closed = games.river_basin()
    stated = [21.1447960154, 16.0278534470, 2.7259627009, 0.5743599994, 0]
    assert numbers(closed.equilibrium) == pytest.approx(stated, abs=5e-11)


def test_lq_control() -> None:
    closed = games.lq_control()
    assert [*numbers(closed.equilibrium), value(closed)] == pytest.approx(
        [0.7386403077, 0.0923300385, 1.8125043385], abs=5e-11
    )
    with pytest.raises(ValueError, match="disturbance wins"):
        games.lq_control(gamma=0.6)
