"""The games with known values: what is known about them, on the instances played and on others."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

import minimax as mm
from benchmarks.problem import View
from benchmarks.problems import discover
from benchmarks.problems.adversarial import (
    auc,
    dann_logistic,
    dann_moment,
    fair,
    group_dro,
    minimax_filter,
    portfolio,
    robust_gaussian,
    robust_linear,
    robust_regression,
    trust_region,
)
from benchmarks.problems.adversarial._normal import cdf, told_apart
from benchmarks.problems.adversarial._valued import Instance, Valued, allowed
from benchmarks.testing import play
from minimax.diagnostics import stable_step

pytestmark = pytest.mark.usefixtures("float64")

KINDS = {name: found.kind for name, found in discover().items() if issubclass(found.kind, Valued)}
Draw = Callable[..., Tensor]


def posed(name: str) -> Valued:
    KINDS[name].prepare(None, None, download=False)
    return KINDS[name]("cpu")


def spd(draw: Draw, d: int) -> Tensor:
    root = draw(d, d)
    return root @ root.T + 0.3 * torch.eye(d)


def labelled(draw: Draw, n: int, d: int) -> tuple[Tensor, Tensor]:
    y = torch.where(torch.arange(n) % 3 > 0, 1.0, -1.0)
    return draw(n, d) + 0.7 * y[:, None], y


def groups(draw: Draw, μ: float, τ: float) -> group_dro.Groups:
    x, y = draw(30, 3), draw(30)
    it = group_dro.squares(x, y, torch.arange(30) % 4, 4, μ)
    return group_dro.Groups(it.A, it.b, it.c, it.p, it.μ, None, τ)


OTHERS: dict[str, Callable[[Draw], Instance]] = {
    "moment": lambda draw: dann_moment.Matching(draw(3), spd(draw, 3) + 3 * torch.eye(3), draw(3), 2.5, 0.7),
    "logistic": lambda draw: dann_logistic.Carried(draw(3), draw(3), 0.8),
    "linear": lambda draw: robust_linear.Robust(*labelled(draw, 20, 4), 0.3, 0.02),
    "linear-l2": lambda draw: robust_linear.Robust(*labelled(draw, 20, 4), 0.3, 0.02, 2.0),
    "linear-sparse": lambda draw: robust_linear.Robust(*labelled(draw, 20, 6), 0.9, 0.05),
    "gaussian": lambda draw: robust_gaussian.TwoNormals(1 + draw(5).abs(), 0.8, 0.6),
    "gaussian-l2": lambda draw: robust_gaussian.TwoNormals(1 + draw(5).abs(), 0.8, 0.6, 2.0),
    "regression": lambda draw: robust_regression.Regression(draw(15, 4), draw(15) + 1, 0.2),
    "groups": lambda draw: groups(draw, 0.05, 0.0),
    "groups-tempered": lambda draw: groups(draw, 0.05, 0.4),
    "auc": lambda draw: auc.SquareAUC(draw(20, 4), torch.arange(20) % 3 > 1, 0.05),
    "portfolio": lambda draw: portfolio.Portfolio(1 + draw(4).abs(), spd(draw, 4), 1.5, 0.1),
    "filter": lambda draw: minimax_filter.Filter(spd(draw, 4), draw(4), draw(4), 40.0, 40.0, 1.7),
    "odds": lambda draw: fair.Fair(draw(3), draw(3), 1.3, "odds"),
    "parity": lambda draw: fair.Fair(draw(3), draw(3), 1.3, "parity"),
    "trust": lambda draw: trust_region.Quadratic(draw(4, 3), draw(4)),
}
CONVEX = {*OTHERS} - {"logistic", "filter", "odds", "parity", "trust"}
"""Those of which the first player's loss is convex, so that what is stationary is best."""

RATES = {
    "linear": 50.0,
    "linear-l2": 50.0,
    "linear-sparse": 50.0,
    "groups-tempered": 0.03,
    "odds": 0.05,
    "parity": 0.05,
}


def drawn(seed: int) -> Draw:
    return partial(torch.randn, generator=torch.Generator().manual_seed(seed))


def given(name: str, seed: int) -> Instance:
    return posed(name).instance if name in KINDS else OTHERS[name](drawn(seed))


CASES = [*((name, 100) for name in KINDS), *((name, seed) for name in OTHERS for seed in (100, 101))]


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_value_and_answer(name: str, seed: int) -> None:
    """The value is what the answer makes of it, no other answer makes more, and no other first player less."""
    it, draw = given(name, seed), drawn(seed + 1)
    game, z = it.game(), it.saddle()
    least = float(it.value(z[0]))
    close = 2e-8 * max(1.0, abs(least))

    def paid(*z: Tensor) -> float:
        return float(game.losses(z)[0])

    assert paid(*z) == pytest.approx(least, abs=close)
    for scale in (1e-3, 0.1, 1.0):
        moved = allowed(game, tuple(each + scale * draw(each.shape) for each in z))
        assert it.value(moved[0]) > least - close
        if len(z) == 2:
            assert paid(z[0], moved[1]) <= least + close
            if not isinstance(it, minimax_filter.Filter):  # whose first player is valued at its own best head
                assert paid(*moved) <= float(it.value(moved[0])) + close
            if name in CONVEX:
                assert paid(moved[0], z[1]) >= least - close
    if len(z) == 2:  # nor does the first player want to move
        stays = allowed(game, (z[0] - 1e-3 * game.gradient(z, 0), z[1]))[0]
        assert (stays - z[0]).norm() < 1e-8


@pytest.mark.parametrize("name", [name for name in OTHERS if name not in ("trust", "filter", "groups-tempered")])
def test_the_value_is_what_an_opponent_attains_who_plays_alone(name: str) -> None:
    it, draw = given(name, 102), drawn(103)
    game, (x, y) = it.game(), it.saddle()
    x = allowed(game, (x + 0.2 * draw(x.shape), y))[0]
    start = allowed(game, (x, y + 0.2 * draw(y.shape)))[1]
    rate = RATES.get(name, 0.3)
    found = mm.transforms.response(game, (x,), 1, lambda _: start, mm.sgd(rate), 400)
    value = float(it.value(x))
    reached = float(game.losses((x, found))[0])
    assert value - 1e-3 * max(1.0, abs(value)) < reached < value + 1e-9


# ---------------------------------------------------------------------------------------------- the instances played


def test_a_domain_critic_between_normals() -> None:
    assert told_apart(torch.tensor(1.0)).item() == pytest.approx(0.581726, abs=5e-7)
    assert told_apart(torch.tensor(2.0)).item() == pytest.approx(0.356316, abs=5e-7)
    assert told_apart(torch.tensor(0.0)).item() == pytest.approx(math.log(2), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "w", "v", "limit", "accuracy"),
    [
        ("dann-moment", (0.047619, 0.476190), 0.142857, 0.290847, None),
        ("dann-moment-strong", (0.005464, 0.497268), 0.016393, 0.013066, 0.843843),
    ],
)
def test_moments(name: str, w: tuple[float, ...], v: float, limit: float, accuracy: float | None) -> None:
    it = posed(name)
    assert it.saddle[0].tolist() == pytest.approx(w, abs=1e-6) and it.saddle[1].item() == pytest.approx(v, abs=1e-6)
    assert stable_step(it.game(), it.saddle)["simultaneous"] == pytest.approx(limit, abs=1e-6)
    floors = {(floor.metric, floor.what): floor.value for floor in it.floors()}
    assert floors["target_accuracy", "source-only"] == pytest.approx(0.619773, abs=1e-6)
    if accuracy is not None:
        assert floors["target_accuracy", "answer"] == pytest.approx(accuracy, abs=1e-6)


def test_a_critic_that_is_not_damped_enforces() -> None:
    it = posed("dann-moment").instance
    assert isinstance(it, dann_moment.Matching)
    bare = dann_moment.Matching(it.m, it.S, it.Δ, 1.0, κ=0.0)
    w, v = bare.saddle()
    assert w.tolist() == pytest.approx((0, 0.5), abs=1e-12) and v.item() == pytest.approx(1 / 6)
    assert stable_step(bare.game(), (w, v))["simultaneous"] == pytest.approx(0.219164, abs=1e-6)


@pytest.mark.parametrize(("rate", "ends"), [(0.0129, True), (0.0133, False)])
def test_simultaneous_play_has_its_limit(rate: float, ends: bool) -> None:
    it = posed("dann-moment-strong")
    near, far = (
        it.evaluate(play(it, mm.SimultaneousGDA(mm.sgd(rate)), steps, 100))["distance"] for steps in (100, 400)
    )
    assert (far < near) == ends


def test_alternating_play_matches_moments() -> None:
    it = posed("dann-moment-strong")
    assert it.evaluate(play(it, mm.AlternatingGDA(mm.sgd(0.05)), 400, 100))["distance"] < 1e-3


def test_a_logistic_critic_is_not_left_at_chance() -> None:
    it = posed("dann-logistic")
    assert it.saddle[0].tolist() == pytest.approx((0.871512, 2.054504), abs=1e-6)
    assert it.judge(it.saddle[0])["critic_loss"] == pytest.approx(0.622207, abs=1e-6)


def test_linear_risks() -> None:
    near, wide = posed("robust-linear"), posed("robust-linear-wide")
    assert near.instance.value(near.saddle[0]).item() == pytest.approx(0.3264594514, abs=1e-10)
    assert near.saddle[0][:2].tolist() == pytest.approx((2.578755, 1.560010), abs=1e-6)
    assert wide.instance.value(wide.saddle[0]).item() == pytest.approx(0.6795214630, abs=1e-10)
    assert wide.saddle[0][:2].tolist() == pytest.approx((0.411489, 0), abs=1e-6)
    assert wide.saddle[1][0, 1].item() == pytest.approx(-0.8420763, abs=1e-6)


def test_breast_cancer() -> None:
    near, wide = posed("robust-linear-cancer"), posed("robust-linear-cancer-wide")
    for it, risk, robust in ((near, 0.14261443, 537), (wide, 0.33725122, 483)):
        assert it.instance.value(it.saddle[0]).item() == pytest.approx(risk, abs=1e-8)
        assert it.judge(it.saddle[0])["robust_accuracy"] == pytest.approx(robust / 569)
    natural = near.instance.naive()["natural"]
    assert near.judge(natural)["robust_double"] == pytest.approx(0.789104, abs=1e-6)


def test_two_normals() -> None:
    it = posed("robust-gaussian")
    floors = {(floor.metric, floor.what): floor.value for floor in it.floors()}
    assert floors["robust_accuracy", "answer"] == pytest.approx(0.766697, abs=1e-6)
    assert floors["robust_accuracy", "natural"] == pytest.approx(0.754080, abs=1e-6)


@pytest.mark.parametrize("d", [4, 25, 400])
def test_weak_features_are_turned_round(d: int) -> None:
    """Means of η = 2/√d: together right at .977, and at a radius of η at chance."""
    η = 2 / math.sqrt(d)
    it = robust_gaussian.TwoNormals(torch.full((d,), η), 1.0, 0.0)
    w = torch.ones(d)
    at = [it.robust(w, k * η).item() for k in (0, 1, 2)]
    assert at == pytest.approx([0.977250, 0.5, 0.022750], abs=1e-6)
    weak = torch.cat((torch.tensor([1.0]), torch.full((d,), η)))
    counted = torch.distributions.Normal(0.0, 1.0).sample((4000, d + 1)) + weak
    share = (counted @ weak > 0).double().mean().item()
    assert share == pytest.approx(robust_gaussian.TwoNormals(weak, 1.0, 0.0).robust(weak, 0.0).item(), abs=0.02)


def test_regression_of_the_diabetes_data() -> None:
    it = posed("robust-regression").instance
    assert isinstance(it, robust_regression.Regression)
    w, D = it.saddle()
    assert it.value(w).item() == pytest.approx(16.9835756395, abs=1e-9)
    assert it.penalty() == pytest.approx(185.299486, abs=1e-6) and it.most == pytest.approx(25.393574, abs=1e-6)
    assert D.norm().item() == pytest.approx(5.0)
    # The worst mean square within W2 distance √δ, δ = ρ²/n.
    n = len(it.x)
    mean = (it.x @ w - it.y).square().mean().sqrt()
    assert (it.value(w) ** 2 / n).item() == pytest.approx(((mean + 5 / math.sqrt(n) * w.norm()) ** 2).item())


def test_groups() -> None:
    it = posed("group-dro")
    assert it.saddle[0].tolist() == pytest.approx((2, 1)) and it.saddle[1].tolist() == pytest.approx(
        (1 / 4, 5 / 12, 1 / 3)
    )
    assert it.instance.value(it.saddle[0]).item() == pytest.approx(2.5)
    line = group_dro.around(torch.tensor([[0.0], [3.0]]), torch.tensor([1.0, 4.0]))
    x, q = line.saddle()
    assert (x.item(), line.value(x).item(), q[0].item()) == pytest.approx((2, 2, 2 / 3), abs=1e-6)


def test_groups_of_the_diabetes_data() -> None:
    it = posed("group-dro-diabetes")
    floors = {(floor.metric, floor.what): floor.value for floor in it.floors()}
    assert floors["worst", "answer"] == pytest.approx(0.52315730, abs=5e-7)
    assert floors["worst", "erm"] == pytest.approx(0.58276466, abs=1e-8)


def test_tempered_groups_go_from_the_mean_to_the_worst() -> None:
    it = groups(drawn(100), 0.0, 0.0)
    x = drawn(101)(3)
    tempered = [group_dro.Groups(it.A, it.b, it.c, it.p, 0.0, None, τ).value(x).item() for τ in (1e-4, 1.0, 1e5)]
    assert tempered[0] == pytest.approx(it.value(x).item(), rel=1e-3) and tempered[0] > tempered[1] > tempered[2]
    assert tempered[2] == pytest.approx((it.p @ it.losses(x)).item(), rel=1e-3)
    some = group_dro.Groups(it.A, it.b, it.c, it.p, 0.0, None, 0.4)
    answer = (it.losses(x) / 0.4 + it.p.log()).softmax(0)
    assert some.payoff(x, answer).item() == pytest.approx(some.value(x).item(), abs=1e-12)


@pytest.mark.parametrize("name", ["minimax-filter", "minimax-filter-diabetes"])
def test_filters_reach_the_formula(name: str) -> None:
    it = posed(name).instance
    assert isinstance(it, minimax_filter.Filter)
    assert -it.value(it.saddle()[0]) == pytest.approx(it.best().item() - it.ρ + 1, abs=1e-12)


def test_filters_are_valued_at_the_best_of_both_predictors() -> None:
    it, draw = given("filter", 102), drawn(103)
    assert isinstance(it, minimax_filter.Filter)
    u = draw(4)
    w, v = u @ it.y / (u @ it.S @ u), u @ it.s / (u @ it.S @ u)
    x = torch.cat((3 * u, w[None] / 3))
    game = it.game()
    assert game.losses((x, v / 3))[0].item() == pytest.approx(it.value(x).item(), abs=1e-12)
    assert game.gradient((x, v / 3), 0)[-1].abs() < 1e-12 and game.gradient((x, v / 3), 1).abs() < 1e-12


def test_what_filters_tell() -> None:
    it = posed("minimax-filter")
    told = it.judge(it.saddle[0])
    assert it.instance.best().item() == pytest.approx(0.692820, abs=1e-6)
    assert (told["r2_target"], told["r2_sensitive"]) == pytest.approx((0.746410, 0.053590), abs=1e-6)
    sensitive, target = it.instance.frontier()
    assert (target[0], sensitive[0]) == pytest.approx((0.6, 0.0), abs=0.02)
    assert (target[-1], sensitive[-1]) == pytest.approx((0.8, 0.2), abs=0.02)
    assert sorted(target) == target and sorted(sensitive) == sensitive
    known = [each.item() for each in posed("minimax-filter-diabetes").instance.constants()]
    assert known == pytest.approx((0.5005799559, 0.2175708643, 0.1589632851), abs=1e-9)


def test_fair_accuracy() -> None:
    it = posed("fair")
    floors = {(floor.metric, floor.what): floor.value for floor in it.floors()}
    assert floors["accuracy", "fair"] == pytest.approx(0.841345, abs=1e-6) and floors["gap", "fair"] < 1e-12
    assert floors["accuracy", "most-accurate"] == pytest.approx(0.855461, abs=1e-6)
    assert floors["gap", "most-accurate"] == pytest.approx(0.105207, abs=1e-5)


@pytest.mark.parametrize("criterion", ["odds", "parity"])
def test_the_price_of_being_told_turns_to_the_fair_direction(criterion: fair.Criterion) -> None:
    m, c = drawn(100)(4), drawn(101)(4)
    gaps = []
    for λ in (0.0, 3.0, 1000.0):
        it = fair.Fair(m, c, λ, criterion)
        gaps.append(it.scores(it.saddle()[0])["gap"])
    assert gaps[0] > gaps[1] > gaps[2] and gaps[2] < 0.02
    best = cdf((m @ m - (m @ c) ** 2 / (c @ c)).sqrt()).item()
    assert it.scores(it.saddle()[0])["accuracy"] == pytest.approx(best, abs=1e-2)
    assert it.scores(it.naive()["fair"])["accuracy"] == pytest.approx(best)


def test_gaps_and_adversaries_are_what_is_counted() -> None:
    it = fair.Fair(torch.tensor([1.0, 0.5]), torch.tensor([0.3, 1.0]), 1.0)
    w = torch.tensor([1.0, 0.7])
    y, a = (2.0 * torch.randint(2, (200_000,)) - 1 for _ in range(2))
    score = (y[:, None] * it.m + a[:, None] * it.c + torch.randn(200_000, 2)) @ w
    told, scores = score > 0, it.scores(w)
    share = lambda *which: told[torch.stack(which).all(0)].double().mean().item()
    assert scores["accuracy"] == pytest.approx((told == (y > 0)).double().mean().item(), abs=0.005)
    assert scores["gap"] == pytest.approx(share(a > 0) - share(a < 0), abs=0.01)
    assert scores["gap"] == pytest.approx(share(a > 0, y > 0) - share(a < 0, y > 0), abs=0.01)
    right = ((score - y * (it.m @ w)) * a * (it.c @ w).sign() > 0).double().mean().item()
    assert scores["adversary"] == pytest.approx(right, abs=0.005)


def test_area_under_the_curve() -> None:
    it = posed("auc")
    assert it.instance.value(it.saddle[0]).item() == pytest.approx(-0.2013524366, abs=1e-10)
    assert it.saddle[1].item() == pytest.approx(-0.8613454127, abs=1e-9)


def test_the_square_auc_is_that_of_pairs() -> None:
    """V/p(1-p) + 1 is the mean over pairs of (1 - wᵀ(x - x'))², x of ones, without the penalty."""
    x, y = drawn(100)(12, 3), torch.arange(12) % 3
    it = auc.SquareAUC(x, (y > 1).long(), 1e-9)
    u = drawn(101)(5)
    ones, zeros = x[y > 1] @ u[:3], x[y <= 1] @ u[:3]
    u = torch.cat((u[:3], torch.stack((ones.mean(), zeros.mean()))))
    pairs = (1 - ones[:, None] + zeros).square().mean()
    assert (it.value(u) / (len(ones) * len(zeros) / 144) + 1).item() == pytest.approx(pairs.item(), abs=1e-6)


def test_portfolio() -> None:
    assert posed("portfolio").saddle[0].tolist() == pytest.approx((0.5298160, 0.3532107), abs=5e-8)


def test_a_beam_leaves_the_false_maximum() -> None:
    it = posed("trust-region")
    assert it.judge(it.saddle[0])["damage"] == pytest.approx(3.9570216, abs=5e-8)
    assert it.judge(it.false())["damage"] == pytest.approx(1.7804193, abs=5e-8)
    rule = mm.sgd(0.05)
    plain, beam = (play(it, how, 300, 100) for how in (mm.SimultaneousGDA(rule), mm.KBeam(rule, 5, 1.0)))
    assert it.evaluate(plain)["damage"] == pytest.approx(1.7804193, abs=1e-4)
    assert it.evaluate(beam)["damage"] == pytest.approx(3.9570216, abs=1e-4)


@pytest.mark.parametrize("name", ["robust-linear", "robust-linear-l2"])
def test_play_reaches_the_robust_risk(name: str) -> None:
    it = posed(name)
    before, after = (
        it.evaluate(play(it, mm.SimultaneousGDA(it.recipe.rule), steps, 100))["excess"] for steps in (0, 800)
    )
    assert after < 1e-3 < before


@pytest.mark.parametrize(
    ("name", "steps"), [("group-dro", 300), ("minimax-filter", 400), ("portfolio", 300), ("fair", 300)]
)
def test_play_reaches_the_value(name: str, steps: int) -> None:
    it = posed(name)
    before, after = (
        it.evaluate(play(it, mm.AlternatingGDA(it.recipe.rule), count, 100))["excess"] for count in (0, steps)
    )
    assert after < 0.02 * before


def test_pictures_show_the_boundary_and_the_frontier() -> None:
    it = posed("robust-linear")
    shown = it.pictures(View(it.saddle, None, 0))["boundary"]
    assert (shown == it.truths()["boundary"]).all()
    turned = it.pictures(View((-it.saddle[0],), None, 0))["boundary"]
    assert (shown != turned).any(-1).mean() > 0.3  # the sides are coloured the other way round
    assert posed("minimax-filter").truths()["pareto"].about.startswith("frontier, answer, task-alone")


# ---------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: robust_linear.Robust(torch.ones(2, 1), torch.ones(2), -0.1, 0.1), "^ε must be positive, got -0.1"),
        (lambda: robust_linear.Robust(torch.ones(2, 1), torch.ones(2), 0.1, 0.1, 1.0), "^p must be 2 or inf, got 1.0"),
        (lambda: robust_gaussian.TwoNormals(torch.ones(2), 1.0, 1.5), r"^ε must lie in \[0, 1\).*got 1.5"),
        (lambda: robust_regression.Regression(torch.eye(2), torch.ones(2), -1.0), r"^ρ must lie in \[0, 1\).*got -1.0"),
        (
            lambda: group_dro.squares(torch.ones(3, 1), torch.ones(3), torch.tensor([0, 0, 2]), 3),
            r"groups \[1\] have no",
        ),
        (
            lambda: group_dro.squares(torch.ones(3, 1), torch.ones(3), torch.tensor([0, 1, 2]), 2),
            "there are rows of group 2",
        ),
        (lambda: auc.SquareAUC(torch.ones(3, 1), torch.ones(3), 0.1), "^class 0 has no rows"),
        (lambda: portfolio.Portfolio(torch.ones(2), torch.eye(2), 1.0, 2.0), r"^κ must lie in \[0, 1.41421\).*got 2.0"),
        (
            lambda: minimax_filter.Filter(torch.eye(1), torch.ones(1), torch.ones(1), 1.0, 1.0, 0.0),
            "^ρ must be positive",
        ),
        (lambda: fair.Fair(torch.ones(2), torch.zeros(2), 1.0), "^c must not be 0"),
        (lambda: fair.Fair(torch.ones(2), torch.ones(2), -1.0), "^λ must not be negative, got -1.0"),
        (lambda: trust_region.Quadratic(torch.eye(2), torch.zeros(2)).saddle(), "^Aᵀr is orthogonal"),
    ],
)
def test_what_makes_no_game_is_refused(build: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build()
