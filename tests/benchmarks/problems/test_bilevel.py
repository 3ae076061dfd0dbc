import pytest
import torch

import minimax as mm
from benchmarks.problem import View
from benchmarks.problems.bilevel.hyperclean import HyperClean
from benchmarks.testing import Run

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture
def it() -> HyperClean:
    HyperClean.prepare(None, None, download=False)
    return HyperClean("cpu")


def test_value_and_hypergradient_at_zero(it: HyperClean) -> None:
    θ = torch.zeros(600, requires_grad=True)
    value = it.rows.error(it.rows.answer(θ.sigmoid()))
    assert value.item() == pytest.approx(0.3876964508, abs=1e-10)
    assert torch.autograd.grad(value, θ)[0].norm().item() == pytest.approx(7.05328098e-3, abs=1e-11)


def test_the_answer_is_the_followers_best(it: HyperClean) -> None:
    θ = torch.linspace(-3, 3, 600)
    answer = it.rows.answer(θ.sigmoid())
    assert it.game().gradient((θ, answer), 1).norm().item() < 1e-12


def test_the_best_value_and_what_the_rows_are_worth(it: HyperClean) -> None:
    best = it.evaluate(View(it.perfect(0), None, 0))
    assert best["value"] == pytest.approx(0.16941276, abs=1e-7) and best["test_accuracy"] > 0.88
    floors = {(floor.metric, floor.what): floor.value for floor in it.floors()}
    assert floors["value", "optimum"] == pytest.approx(best["value"])
    assert floors["test_accuracy", "all-rows"] == pytest.approx(0.323, abs=1e-3)
    assert floors["test_accuracy", "right-rows"] == pytest.approx(0.851, abs=1e-3)
    assert floors["test_accuracy", "with-validation"] == pytest.approx(0.829, abs=1e-3)
    assert floors["test_accuracy", "validation-rows"] == pytest.approx(0.859, abs=1e-3)


def test_stackelberg_finds_the_hypergradient_at_the_followers_answer(it: HyperClean) -> None:
    θ = torch.zeros(600)
    z = (θ, it.rows.answer(θ.sigmoid()))
    optimizer = mm.StackelbergGradient(mm.sgd(1.0), damping=0.0, tolerance=1e-12, iterations=500)
    moved = optimizer.step(it.game(), z, optimizer.init(it.game(), z))[0][0]
    at = θ.clone().requires_grad_()
    (exact,) = torch.autograd.grad(it.rows.error(it.rows.answer(at.sigmoid())), at)
    torch.testing.assert_close(-moved, exact, atol=1e-9, rtol=1e-6)


def test_stackelberg_cleans_and_gradient_play_is_refused(it: HyperClean) -> None:
    run = Run(it, mm.StackelbergGradient(it.recipe.rule))
    for _ in range(100):
        run.step()
    scores = it.evaluate(run.view)
    assert scores["value"] < 0.2 and scores["test_accuracy"] > 0.85
    with pytest.raises(mm.GameError, match="leader"):
        mm.AlternatingGDA(it.recipe.rule).init(it.game(), it.players(0))
