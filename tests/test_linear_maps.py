"""The linear maps that optimizers declare, beyond the contract's clause `linear`: which have none, and why."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

import minimax as mm
from minimax.diagnostics import expand
from minimax.linear_maps import ELSEWHERE, Expansion, LinearMap, radius
from minimax.optimizers import BY_NAME
from minimax.testing import CHECKS
from minimax.testing._linear import quadratic_games

pytestmark = pytest.mark.usefixtures("float64")

RATES = (mm.sgd(0.05), mm.sgd(0.02))
CASES: dict[str, mm.GameOptimizer] = {
    **{f"{name}, two step sizes": kind.of(RATES) for name, kind in BY_NAME.items()},
    "critic steps": mm.AlternatingGDA(RATES, steps=(1, 3), order=(1, 0)),
    "fresh critic steps": mm.AlternatingGDA(mm.sgd(0.05), steps=(2, 1), fresh=True),
    "exploring": mm.ExtraGradient(RATES, explore=3.0),
    "exploring past": mm.PastExtraGradient(RATES, explore=2.0),
    "a tensor": mm.ConsensusOptimization(mm.sgd(torch.tensor(0.05)), gamma=torch.tensor(0.7)),
    "sga without a sign": mm.SymplecticGradientAdjustment(RATES, lam=0.3, align=False),
    "sga pushed away": mm.SymplecticGradientAdjustment(RATES, lam=0.3, eps=-0.1),
    "the second is regularised": mm.NagarajanKolter(RATES, generator=1, eta=0.4),
    "unrolled by another rule": mm.Unrolled(RATES, steps=3, inner=mm.sgd(0.2)),
    "truncated": mm.Unrolled(RATES, steps=4, truncate=2),
    "truncated, warm": mm.Unrolled(RATES, steps=4, truncate=2, warm=True, inner=mm.sgd(0.2)),
    "a series": mm.StackelbergGradient(RATES, neumann=0.2, iterations=3),
    "moves of the follower": mm.StackelbergGradient(RATES, steps=3),
    "answers": mm.ValueFunction(RATES, gamma=3.0, steps=2),
    "an envelope": mm.ValueFunction(RATES, gamma=3.0, moreau=0.7),
    "damped penalty": mm.MehraHamm(RATES, gamma=3.0, damping=0.4),
    "damped": mm.StackelbergGradient(RATES, damping=0.5),
    "damped ridge": mm.FollowTheRidge(RATES, damping=0.5),
    "one candidate": mm.KBeam(RATES, candidates=1, steps=2),
    "lookahead around memory": mm.Lookahead(mm.OptimisticGDA(RATES), k=3, alpha=0.4),
    "nested lookahead": mm.Lookahead(mm.Lookahead(mm.PastExtraGradient(RATES), k=2, alpha=0.7), k=4, alpha=0.3),
    "average around lookahead": mm.Averaging(mm.Lookahead(mm.SimultaneousGDA(RATES), k=2), power=1.0),
    "compiled": mm.compiled(mm.ExtraGradient(RATES)),
    "extragradient with momentum": mm.ExtraGradient(RATES, explore=2.0, momentum=-0.3),
    "more optimism": mm.OptimisticGDA(RATES, optimism=2.0),
    "fixed golden ratio": mm.GoldenRatio(RATES, fixed=True),
    "Heun": mm.RungeKutta(RATES, stages=2),
    "third order": mm.RungeKutta(RATES, stages=3),
    "primal-dual, halfway": mm.PrimalDual(RATES, theta=0.5),
    "contracting": mm.Halpern(mm.OptimisticGDA(RATES), gamma=1.1),
}


def zero_sum() -> Expansion:
    return expand(*quadratic_games()["a zero-sum game"])


@pytest.mark.parametrize("case", CASES)
def test_play_follows_the_declared_map(case: str) -> None:
    if case != "compiled":
        CHECKS["linear"](CASES[case])
    if not case.startswith(("golden", "anderson", "k-beam", "polyak", "restarted", "bome")):
        assert isinstance(CASES[case].linear(zero_sum()), LinearMap)


ANCHORED = [mm.Halpern.of, mm.ExtraAnchoredGradient, mm.FastExtraGradient, partial(mm.FastExtraGradient, rho=-0.2)]


@pytest.mark.parametrize("make", ANCHORED)
def test_an_anchor_lets_go_late(make: Callable[[mm.Rule], mm.GameOptimizer]) -> None:
    """Far down a run (k = 10¹²) the anchored steps are what their maps say, and never before."""
    (game, start), optimizer = quadratic_games()["a zero-sum game"], make(mm.sgd(0.05))
    declared = optimizer.linear(expand(game, start))
    assert isinstance(declared, LinearMap) and declared.late and declared.sublinear
    for e in torch.eye(3):
        z = e.split([2, 1])
        state: Any = optimizer.init(game, tuple(torch.ones_like(part) for part in z)) | {"step": torch.tensor(10**12)}
        moved, _, _ = optimizer.step(game, z, state)
        torch.testing.assert_close(torch.cat(moved), declared.matrix @ e, rtol=1e-9, atol=1e-9)


def test_factors_are_those_of_the_eigenvalues() -> None:
    """On xy with h = 1/2: √(1 + h²) a simultaneous step; a round of two, half taken, |1 + (1 - ih)²| / 2."""
    at = expand(mm.zero_sum(lambda x, y: x * y), (torch.tensor(0.0), torch.tensor(0.0)))
    plain, round_ = mm.SimultaneousGDA(mm.sgd(0.5)).linear(at), mm.Lookahead.of(mm.sgd(0.5), k=2).linear(at)
    assert isinstance(plain, LinearMap) and plain.factor(at) == pytest.approx(1.25**0.5)
    assert isinstance(round_, LinearMap) and round_.factor(at) == pytest.approx(
        abs(1 + (1 - 0.5j) ** 2) ** 0.5 / 2**0.5
    )


REASONS: dict[str, tuple[mm.GameOptimizer, str]] = {
    "momentum": (mm.SimultaneousGDA(mm.sgd(0.1, momentum=0.5)), "undefined: sgd is no plain gradient step"),
    "adam": (mm.Halpern(mm.ExtraGradient((mm.sgd(0.1), mm.adam(0.1)))), "undefined: adam is no plain gradient step"),
    "a rate that falls": (
        mm.SimultaneousGDA(mm.sgd(lambda k: 1 / (1 + k))),
        "undefined: sgd is no plain gradient step",
    ),
    "rates of an ensemble": (mm.SimultaneousGDA(mm.sgd(torch.ones(3))), "undefined: sgd is no plain gradient step"),
    "momenta of an ensemble": (
        mm.SimultaneousGDA(mm.sgd(0.1, momentum=torch.zeros(3))),
        "undefined: sgd is no plain gradient step",
    ),
    "an inner rule": (mm.Unrolled(mm.sgd(0.1), inner=mm.adam(0.1)), "undefined: adam is no plain gradient step"),
    "a schedule": (mm.JARE(mm.sgd(0.1), gamma=lambda k: 0.1), "undefined: a parameter follows a schedule"),
    "a schedule around": (
        mm.Lookahead.of(mm.sgd(0.1), alpha=lambda k: 0.5),
        "undefined: a parameter follows a schedule",
    ),
    "rounds out of step": (mm.Lookahead(mm.Lookahead.of(mm.sgd(0.1), k=2), k=3), "undefined: k is no multiple of 2"),
    "adaptive inside": (mm.Halpern(mm.GoldenRatio(mm.sgd(0.1))), "adaptive"),
    "a step that falls": (mm.ExtraAnchoredGradient(mm.sgd(0.1), variable=0.6), "adaptive"),
    "no sign": (mm.SymplecticGradientAdjustment(mm.sgd(0.1), eps=0.0), "undefined: the sign of λ"),
    "too few iterations": (mm.StackelbergGradient(mm.sgd(0.1), iterations=1), "undefined: fewer iterations"),
    "no such generator": (mm.NagarajanKolter(mm.sgd(0.1), generator=2), "undefined: for two players or more"),
}


@pytest.mark.parametrize("case", REASONS)
def test_what_has_no_linear_map_says_why(case: str) -> None:
    optimizer, why = REASONS[case]
    flat = mm.zero_sum(lambda x, y: x @ y + x @ x - y @ y)
    said = optimizer.linear(expand(flat, (torch.zeros(2), torch.zeros(2))))
    assert isinstance(said, str) and said.startswith(why)
    assert optimizer.adaptive == (why == "adaptive")


@pytest.mark.parametrize("kind", [mm.StackelbergGradient, mm.Unrolled, mm.LOLA])
def test_a_leader_who_gains_by_the_answer_does_not_rest_at_an_equilibrium(kind: type[mm.GameOptimizer]) -> None:
    """L_1 = x² + y, L_2 = (y - x)²: to lower y, the leader moves from 0, where neither would move alone."""
    leads, follows = mm.Game(lambda x, y: x**2 + y, lambda x, y: (y - x) ** 2), (torch.tensor(0.0), torch.tensor(0.0))
    assert kind.of(mm.sgd(0.1)).linear(expand(leads, follows)) == ELSEWHERE


def test_expansions_hold_every_players_hessian_and_gradient() -> None:
    """Of L_1 = x² y + 3y, L_2 = xy³ at (1, 2), on dicts and modules too; L_2 bends in y where x is not 0."""
    game = mm.Game(lambda x, y: x**2 * y + 3 * y, lambda x, y: x * y**3)
    at = expand(game, {"x": torch.tensor(1.0), "y": torch.tensor(2.0)})
    torch.testing.assert_close(
        at.H, [torch.tensor([[4.0, 2.0], [2.0, 0.0]]), torch.tensor([[0.0, 12.0], [12.0, 12.0]])]
    )
    torch.testing.assert_close(at.g, [torch.tensor([4.0, 4.0]), torch.tensor([8.0, 12.0])])
    torch.testing.assert_close(at.J, torch.tensor([[4.0, 2.0], [12.0, 12.0]]))
    torch.testing.assert_close(at.off, torch.tensor([[0.0, 2.0], [12.0, 0.0]]))
    assert at.bent and not zero_sum().bent and at.shaped(0) and not zero_sum().shaped(0)
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(module.weight, 1.0)
    weighed = mm.Game(lambda m, y: game_of(m.weight, y), lambda m, y: m.weight.sum() * y**3)
    torch.testing.assert_close(expand(weighed, (module, torch.tensor(2.0))).H, at.H)


def test_a_player_is_not_shaped_by_answers_that_cancel() -> None:
    """∂x∂y L_2 = (1, 1) and ∂y L_1 = (1, -1)."""
    game = mm.Game(lambda x, y: x**2 + y[0] - y[1], lambda x, y: x * y.sum() + y @ y)
    assert not expand(game, (torch.tensor(0.0), torch.zeros(2))).shaped(0)


def test_one_number_has_one_eigenvalue() -> None:
    assert radius(torch.tensor([[-0.5]]), torch.tensor([[2.0]])) == 0.5


def game_of(weight: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return weight.square().sum() * y + 3 * y
