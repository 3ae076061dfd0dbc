"""Kinds of equilibria, by second derivatives."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import minimax as mm
from minimax import diagnostics as dg

pytestmark = pytest.mark.usefixtures("float64")

ZERO, ONE = ((torch.tensor(value, dtype=torch.float64),) * 2 for value in (0.0, 1.0))


def quadratic(a: float, b: float, c: float) -> mm.Game:
    return mm.games.quadratic(a, b, c).game


@pytest.mark.parametrize(
    "game, kind",
    [
        (mm.games.scsc(), "local Nash"),
        (mm.games.cooperative(), "local Nash"),
        (mm.games.hidden_minimax(), "local minimax"),
        (mm.games.spurious_point(), "stable, not Nash"),
        (mm.games.quadratic(-1.0, 0.5, 1.0), "unstable"),
        (mm.games.quadratic(-1.0, 0.5, -1.0), "unstable"),
        (mm.games.bilinear(), "undecided"),
        (mm.games.monkey_saddle(), "undecided"),
        (mm.games.dirac_gan(gamma=0.3), "local Stackelberg"),
        (mm.games.dirac_gan(), "undecided"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_kinds(game: Any, kind: str) -> None:
    found = dg.classify(game.game, game.equilibrium)
    assert found.kind == kind and found.exact and found.norm == 0
    if game.eigenvalues:
        assert found.leftmost == pytest.approx(min(λ.real for λ in game.eigenvalues), abs=1e-6)


def test_the_deciding_eigenvalues() -> None:
    found = dg.classify(quadratic(-6.0, 4.0, 2.0), ZERO)
    assert found.own == pytest.approx((-6.0, 2.0)) and found.leader == pytest.approx(-6 + 4 * 4 / 2)
    flipped = dg.classify(quadratic(1.0, 2.0, -2.0), ZERO, leader=1)
    assert flipped.own == pytest.approx((1.0, -2.0)) and flipped.leader == pytest.approx(-2.0 + 2 * 2 / 1)
    assert flipped.kind == "local minimax"  # of the game in which y moves first


def test_a_nash_point_that_play_leaves() -> None:
    Q = torch.tensor([[1.0, 2.0], [2.0, 1.0]])
    found = dg.classify(mm.games.cooperative(Q).game, ZERO)
    assert found.kind == "local Nash" and found.leftmost == pytest.approx(-1.0)


def test_general_sum_stackelberg() -> None:
    # x leads -x²/2 + 2xy - y²/2 with y(x) = x: in total x²(-½ + 2 - ½), a minimum, although L_xx = -1.
    def leads(x: Tensor, y: Tensor) -> Tensor:
        return -(x**2) / 2 + 2 * x * y - y**2 / 2

    def follows(x: Tensor, y: Tensor) -> Tensor:
        return (y - x) ** 2 / 2

    for game in (mm.Game(leads, follows), mm.Game(lambda x, y: (leads(x, y), follows(x, y)))):
        found = dg.classify(game, ZERO)
        assert found.kind == "local Stackelberg" and found.leader == pytest.approx(2.0) and found.own[0] == -1
    open_question = dg.classify(mm.Game(lambda x, y: leads(x, y) + y, follows), ZERO)
    assert open_question.leader is None


def test_not_stationary() -> None:
    found = dg.classify(mm.games.scsc().game, ONE)
    assert found.kind == "not stationary" and found.norm == pytest.approx(math.hypot(11, 9))
    assert str(found).startswith("not stationary: |F| = 14.2; own Hessians >= 1, 1; Re λ(DF) >= 1")


@pytest.mark.parametrize("sign, kind", [(1.0, "undecided"), (-3.0, "unstable")])
def test_large_games_by_ritz_values(sign: float, kind: str) -> None:
    n = 300
    curved = torch.cat([torch.ones(n - 1), torch.tensor([sign])])
    game = mm.zero_sum(lambda x, y: (curved * x**2).sum() / 2 + x @ y - (y**2).sum() / 2)
    found = dg.classify(game, (torch.zeros(n), torch.zeros(n)))
    assert found.kind == kind and not found.exact and found.own[0] == pytest.approx(sign)
    J = torch.tensor([[sign, 1.0], [-1.0, 1.0]])
    assert found.leftmost == pytest.approx(float(torch.linalg.eigvals(J).real.min()), abs=1e-6)


def test_a_leader_must_be_a_player() -> None:
    with pytest.raises(ValueError, match="leader, one of 2 players, must be an integer >= 0 and <= 1, got 2"):
        dg.classify(mm.games.scsc().game, ONE, leader=2)


def test_a_leader_that_does_not_mind_its_follower() -> None:
    """L_1 = -x² names no y: its total Hessian is its own. L_1 = (y - 1)² names no x: it has that of r(x) = x."""
    second = lambda x, y: (y - x) ** 2
    away = dg.classify(mm.Game(lambda x, y: -(x**2), second), ZERO)
    assert (away.kind, away.leader) == ("unstable", -2)
    bilevel = mm.transforms.bilevel(lambda x, y: (y - 1) ** 2 + 0 * x, second)
    found = dg.classify(bilevel, ONE)
    assert found.leader == 2 and found.own[1] == 2
