"""What players could gain by moving alone."""

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


def test_duality_gap_in_closed_form() -> None:
    x, y, μ, σ = 0.7, -0.4, 1.0, 3.0
    gap = dg.duality_gap(quadratic(μ, σ, μ), (torch.tensor(x), torch.tensor(y)), rule=mm.sgd(0.5))
    assert gap.total == pytest.approx((μ + σ**2 / μ) / 2 * (x**2 + y**2))
    assert max(gap.gradients) < 1e-9
    assert dg.duality_gap(quadratic(μ, σ, μ), ZERO).total == 0


def test_local_gap_stays_near() -> None:
    gap = dg.duality_gap(
        mm.games.bilinear().game, (torch.tensor([2.0]), torch.tensor([1.0])), radius=0.5, rule=mm.sgd(0.1)
    )
    assert gap.gains == pytest.approx((0.5 * 1.0, 0.5 * 2.0))  # radius · |F_i|


def test_exploitability_of_a_matrix_game() -> None:
    game = mm.games.rock_paper_scissors()
    third, rock = torch.full((3,), 1 / 3), torch.eye(3)[0]
    assert dg.duality_gap(game.game, (third, third), rule=mm.sgd(1.0)).total == pytest.approx(0, abs=1e-9)
    assert dg.duality_gap(game.game, (rock, third), rule=mm.sgd(1.0)).gains == pytest.approx((0.0, 1.0))


SIDES = (mm.projections.simplex(), mm.projections.simplex())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(3))
def test_the_gap_of_a_matrix_game_is_exact(dtype: torch.dtype, seed: int) -> None:
    """max_j (Aᵀx)_j - min_i (Ay)_i with the default rule: Adam's equal steps are what a simplex projects away."""
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(6, 9, generator=generator, dtype=torch.float64).to(dtype)
    x, y = (torch.rand(n, generator=generator, dtype=torch.float64).to(dtype).softmax(0) for n in A.shape)
    game = mm.zero_sum(lambda x, y: x @ A @ y, constraints=SIDES)
    found = dg.duality_gap(game, (x, y))
    assert found.total == pytest.approx(float((x @ A).max() - (A @ y).min()), rel=1e-5)
    assert found.slack == pytest.approx((0.0, 0.0), abs=1e-6)
    mine = mm.zero_sum(lambda x, y: x @ A @ y, constraints=(lambda v: SIDES[0](v), lambda v: SIDES[1](v)))
    searched = dg.duality_gap(mine, (x, y))
    assert searched.total == pytest.approx(found.total, rel=1e-4) and searched.slack == (math.inf, math.inf)


def test_exact_gaps_on_boxes_and_balls() -> None:
    A, box, ball = torch.randn(3, 4), mm.projections.box(-1.0, 2.0), mm.projections.ball(3.0)
    game = mm.zero_sum(lambda x, y: x @ A @ y, constraints=(box, ball))
    x, y = torch.rand(3), torch.rand(4)
    g = A @ y
    lowest, highest = torch.where(g > 0, -g, 2 * g).sum(), 3 * (x @ A).norm()
    assert dg.duality_gap(game, (x, y)).gains == pytest.approx((float(x @ g - lowest), float(highest - x @ g)))


def test_a_convex_gap_under_constraints_is_certified() -> None:
    """The least distance to a point outside of the simplex, which Adam does not reach."""
    target = torch.tensor([2.0, 1.0, -1.0, 0.5])
    game = mm.Game(lambda x: ((x - target) ** 2).sum(), constraints=(mm.projections.simplex(),))
    start = torch.full((4,), 0.25)
    found = dg.duality_gap(game, (start,))
    best = mm.projections.simplex()(target)
    expected = float(((start - target) ** 2).sum() - ((best - target) ** 2).sum())
    assert found.total == pytest.approx(expected) and found.slack[0] < 1e-6 and found.gradients[0] < 1e-6


def test_concave_losses_are_searched_from_several_starts() -> None:
    game = mm.Game(lambda x: -(x**2).sum() - 0.1 * x.sum(), constraints=(mm.projections.box(-1.0, 1.0),))
    assert dg.duality_gap(game, (torch.tensor([-0.01]),)).total == pytest.approx(1.1 - (0.0001 - 0.001), abs=1e-6)


def test_a_gap_is_asked_at_feasible_points() -> None:
    game = mm.zero_sum(lambda x, y: x @ y, constraints=SIDES)
    with pytest.raises(ValueError, match=r"players\[1\] lies 0.71 outside of its constraint: project it first"):
        dg.duality_gap(game, (torch.tensor([0.5, 0.5]), torch.tensor([1.0, 1.0])))


def test_constrained_points_are_judged_by_the_natural_residual() -> None:
    """The pure saddle of this matrix: nobody can improve, and |F| is 4."""
    A = torch.tensor([[2.0, 1.0], [4.0, 0.0]])
    game = mm.zero_sum(lambda x, y: x @ A @ y, constraints=SIDES)
    saddle, off = (torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0])), (torch.tensor([0.0, 1.0]),) * 2
    found = dg.classify(game, saddle)
    assert float(torch.cat(game.field(saddle)).norm()) > 4
    assert found.kind == "undecided, constraints bind" and found.norm == pytest.approx(0, abs=1e-9)
    assert dg.classify(game, off).kind == "not stationary"
    page = str(dg.report(game, saddle))
    assert "not stationary" not in page and "|z - P(z - F)| = 0)" in page
    strict = mm.zero_sum(lambda x, y: (x - 3) ** 2 - (y + 3) ** 2, constraints=(mm.projections.box(-1, 1),) * 2)
    assert dg.classify(strict, (torch.tensor(1.0), torch.tensor(-1.0))).kind == "local Nash"
    inside = mm.zero_sum(lambda x, y: -3 * x**2 - y**2 + 4 * x * y, constraints=(mm.projections.box(-1, 1), None))
    assert dg.classify(inside, ZERO).kind == "local minimax"


@pytest.mark.parametrize("bad", [math.nan, math.inf, None, "3", True, [3], -1, 0.5])
def test_numbers_that_are_none(bad: Any) -> None:
    game, z = mm.games.scsc().game, ONE
    for name, ask in {
        "products": dg.classify,
        "seed": dg.report,
        "samples": dg.rotation,
        "points": lambda game, z, points: dg.path_angle(game, z, ZERO, points=points),
        "steps": dg.duality_gap,
        "k": lambda game, z, k: dg.spectrum(game, z, k=k),
    }.items():
        with pytest.raises(ValueError, match=f"^{name}.* must be an integer >= "):
            ask(game, z, **{name: bad})
    if bad != 0.5:
        for name, ask in {"tolerance": dg.classify, "gamma": dg.stable_step, "step": dg.draw}.items():
            with pytest.raises(ValueError, match=f"^{name} must be a finite number"):
                if not (name == "step" and bad is None):
                    ask(game, z, **{name: bad})
                else:
                    raise ValueError("step must be a finite number")
    for pair in (5, (5,), "ab c", (0, 0.5), (5, math.nan)):
        with pytest.raises(ValueError, match="lookahead"):
            dg.stable_step(game, z, lookahead=pair)


def test_a_gap_is_never_negative_and_survives_divergence() -> None:
    game = mm.zero_sum(lambda x, y: x**4 - y**4 + x * y)
    gap = dg.duality_gap(game, (torch.tensor(2.0), torch.tensor(2.0)), rule=mm.sgd(1.0), steps=20)
    assert gap.gains[0] >= 0 and gap.gains[1] >= 0 and math.isfinite(gap.total)


def test_gap_arguments() -> None:
    with pytest.raises(ValueError, match="steps"):
        dg.duality_gap(mm.games.scsc().game, ONE, steps=0)
    with pytest.raises(ValueError, match="radius must be a finite number >= 0"):
        dg.duality_gap(mm.games.scsc().game, ONE, radius=-1.0)
