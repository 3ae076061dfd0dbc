"""How large a step each method bears."""

import math
from typing import Any

import pytest
import torch

import minimax as mm
from minimax import diagnostics as dg

pytestmark = pytest.mark.usefixtures("float64")

ZERO, ONE = ((torch.tensor(value, dtype=torch.float64),) * 2 for value in (0.0, 1.0))


def quadratic(a: float, b: float, c: float) -> mm.Game:
    return mm.games.quadratic(a, b, c).game


def test_stable_steps_on_bilinear_games() -> None:
    closed = mm.games.bilinear(torch.diag(torch.tensor([2.0, 0.5])))
    limits, σ = dg.stable_step(closed.game, closed.start, gamma=0.3), 2.0
    assert limits["simultaneous"] == 0 and limits["proximal"] == math.inf and limits["momentum"] == 0
    assert limits["alternating"] == pytest.approx(2 / σ, rel=1e-6)
    assert limits["extragradient"] == pytest.approx(1 / σ, rel=1e-6)
    assert limits["optimistic"] == pytest.approx(1 / σ / 3**0.5, rel=1e-6)
    assert limits["hamiltonian"] == pytest.approx(2 / σ**2)
    assert limits["consensus"] == pytest.approx(min(0.6 / (1 + 0.3**2 * s**2) for s in (2.0, 0.5)))


def test_stable_steps_on_scsc() -> None:
    limits = dg.stable_step(mm.games.scsc(1.0, 10.0).game, ONE)
    assert limits["simultaneous"] == pytest.approx(2 / 101)
    assert limits["alternating"] == pytest.approx(2 / 11, rel=1e-6)


@pytest.mark.parametrize(
    "method, optimizer",
    [
        ("simultaneous", mm.SimultaneousGDA),
        ("alternating", mm.AlternatingGDA),
        ("extragradient", mm.ExtraGradient),
        ("optimistic", mm.OptimisticGDA),
        ("consensus", lambda rule: mm.ConsensusOptimization(rule, gamma=0.1)),
        ("momentum", lambda rule: mm.SimultaneousGDA(mm.sgd(rule.lr, momentum=-0.3))),
    ],
)
@pytest.mark.parametrize("b", [0.5, 3.0])
def test_play_is_stable_just_below_the_limit_and_not_above(method: str, optimizer: Any, b: float) -> None:
    game = quadratic(1.0, b, 0.4)
    limit = dg.stable_step(game, ONE)[method]
    for factor, ends in ((0.94, True), (1.06, False)):
        found = mm.solve(
            game, ONE, optimizer(mm.sgd(factor * limit)), steps=700, every=700, limits=mm.Limits(growth=math.inf)
        )
        size = math.hypot(*map(float, found.players))
        assert size < 0.1 if ends else not size < 10


def test_stable_steps_of_large_games_come_from_ritz_values() -> None:
    n = 300
    game = mm.zero_sum(lambda x, y: (x**2).sum() / 2 + 3 * (x @ y) - (y**2).sum() / 2)
    large, small = dg.stable_step(game, (torch.ones(n),) * 2), dg.stable_step(quadratic(1.0, 3.0, 1.0), ONE)
    assert "alternating" not in large
    for name, limit in large.items():
        assert limit == pytest.approx(small[name], rel=1e-6)


def test_lookahead_rescues_simultaneous_play() -> None:
    limits = dg.stable_step(mm.games.bilinear().game, mm.games.bilinear().start, lookahead=(6, 0.5))
    assert limits["lookahead"] > 0.5
