"""Kinds of equilibria, gaps, stable steps, the report and the pictures."""

import math
from itertools import islice
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch
from torch import Tensor

import minimax as mm
from minimax import diagnostics as dg

pytestmark = pytest.mark.usefixtures("float64")

ZERO, ONE = ((torch.tensor(value, dtype=torch.float64),) * 2 for value in (0.0, 1.0))


def quadratic(a: float, b: float, c: float) -> mm.Game:
    return mm.games.quadratic(a, b, c).game


# ------------------------------------------------------------------------------------------------ kinds of points


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


# ---------------------------------------------------------------------------------------------------------- gaps


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


# -------------------------------------------------------------------------------------------------- stable steps


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


# ------------------------------------------------------------------------------------------- report and pictures


def test_the_report_is_a_page() -> None:
    page = str(dg.report(mm.games.scsc().game, ZERO))
    assert "A game of 2 players with 1 + 1 = 2 parameters" in page
    for part in (
        "local Nash",
        "|A|/|S| = 10, 84°",
        "+10i",
        "exact",
        "alternating    up to 0.182",
        "proximal       any",
    ):
        assert part in page
    assert max(map(len, page.splitlines())) <= 120


def test_the_report_of_a_network() -> None:
    n = 300
    game = mm.Game(lambda x, y, b: (x @ y) * b.mean() + x @ x, lambda x, y, b: y @ y - (x @ y).sin())
    found = dg.report(game, {"x": torch.ones(n) / n, "y": torch.ones(n) / n}, torch.ones(4))
    assert found.sizes == (n, n) and not found.spectrum.exact and "leading Ritz values from" in str(found)


def test_draw_spectrum() -> None:
    games = {f"γ = {γ}": mm.games.dirac_gan(gamma=γ) for γ in (0.0, 0.3)}
    ax = dg.draw_spectrum({name: dg.spectrum(g.game, g.equilibrium) for name, g in games.items()}, step=0.5)
    drawn = {tuple(point) for scatter in ax.collections for point in scatter.get_offsets().round(6).tolist()}
    assert {(0.0, 0.5), (0.0, -0.5), (0.15, 0.476970), (0.15, -0.476970)} <= drawn
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["γ = 0.0", "γ = 0.3", "stable at h = 0.5"]
    plt.close("all")


def test_draw_has_a_portrait_where_there_are_two_numbers() -> None:
    for form, titles in (
        (mm.games.dirac_gan(), ["Eigenvalues of DF", "The flow -F"]),
        (mm.games.bilinear(dim=3), ["Eigenvalues of DF"]),
    ):
        assert [ax.get_title() for ax in dg.draw(form.game, form.equilibrium).axes] == titles
    named = mm.Game(lambda x, y: (x * y).sum(), lambda x, y: (y**2 - x * y).sum())
    assert len(dg.draw(named, {"x": torch.ones(2), "y": torch.ones(2)}).axes) == 1
    plt.close("all")


def test_draw_phase() -> None:
    optimizers = {"in": mm.ExtraGradient(mm.sgd(0.3)), "out": mm.SimultaneousGDA(mm.sgd(0.9))}
    ax = dg.draw_phase(mm.games.dirac_gan().game, optimizers, ONE, steps=30, points=6, equilibrium=ZERO)
    paths = {line.get_label(): line.get_xydata() for line in ax.get_lines()}
    assert len(paths["in"]) == 31 and len(paths["out"]) <= 31
    alone = mm.solve(mm.games.dirac_gan().game, ONE, optimizers["in"], steps=30).players
    assert paths["in"][-1].tolist() == pytest.approx([float(x) for x in alone])
    plt.close("all")
    with pytest.raises(mm.GameError, match="two players with one number each"):
        dg.draw_phase(mm.games.scsc().game, start=(torch.ones(2), torch.ones(2)))


def test_optimizers_of_larger_games_are_drawn_on_a_plane() -> None:
    """Until now they were left out without a word."""
    form = mm.games.bilinear(dim=3, condition=4.0)
    optimizers = {"in": mm.ExtraGradient(mm.sgd(0.4)), "out": mm.SimultaneousGDA(mm.sgd(0.9))}
    _, paths = dg.draw(form.game, form.equilibrium, optimizers=optimizers, start=form.start).axes
    drawn = {line.get_label(): torch.from_numpy(line.get_xydata()) for line in paths.get_lines()}
    played = islice(mm.iterate(form.game, form.start, optimizers["in"]), 100)
    alone = [form.start, *(it.players for it in played)]
    points = torch.stack([torch.cat(z) for z in alone])
    assert len(drawn["in"]) == 101 and len(drawn["out"]) < 101
    # A projection: no distance grows, and the start is where all paths are.
    assert bool((torch.linalg.vector_norm(drawn["in"], dim=1) <= points.norm(dim=1) + 1e-9).all())
    torch.testing.assert_close(drawn["in"][0], drawn["out"][0])
    shares = [float(label.split("(")[1].split("%")[0]) for label in (paths.get_xlabel(), paths.get_ylabel())]
    assert 50 < sum(shares) <= 100 and shares[0] >= shares[1] and "plane" in paths.get_title()
    plt.close("all")


def test_a_path_in_a_plane_is_drawn_as_it_is() -> None:
    """Distances are kept where all paths lie in the plane, with modules and named players too."""
    game = mm.Game(lambda a, b: (a * b).sum(), lambda a, b: -(a * b).sum())
    start = {"a": torch.tensor([1.0, 0.0]), "b": torch.tensor([1.0, 0.0])}
    zero = {"a": torch.zeros(2), "b": torch.zeros(2)}
    ax = dg.draw(game, zero, optimizers=[mm.ExtraGradient(mm.sgd(0.3))], start=start).axes[1]
    path = torch.from_numpy(ax.get_lines()[0].get_xydata())
    played = [it.players for it in islice(mm.iterate(game, start, mm.ExtraGradient(mm.sgd(0.3))), 100)]
    lengths = [2**0.5] + [float(torch.cat([z["a"], z["b"]]).norm()) for z in played]
    torch.testing.assert_close(path.norm(dim=1), torch.tensor(lengths), rtol=1e-6, atol=1e-9)
    assert ax.get_xlabel().startswith("direction 1 (")
    nets = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    before = nets[0].weight.clone()
    payoff = mm.zero_sum(lambda x, y, b: x(b).mean() * y(b).mean())
    dg.draw_paths(payoff, [mm.SimultaneousGDA(mm.sgd(0.1))], nets, torch.ones(4, 2), steps=3)
    assert torch.equal(nets[0].weight, before)
    plt.close("all")


def test_optimizers_are_never_dropped() -> None:
    form = mm.games.scsc()
    twice = [mm.ExtraGradient(mm.sgd(0.05)), mm.ExtraGradient(mm.sgd(0.02)), mm.SimultaneousGDA(mm.sgd(0.01))]
    labels = [
        text.get_text() for text in dg.draw(form.game, form.equilibrium, optimizers=twice).axes[1].get_legend().texts
    ]
    assert labels == ["1: extragradient", "2: extragradient", "simultaneous"]
    named = {"x": torch.tensor(0.0), "y": torch.tensor(0.0)}
    assert len(dg.draw(form.game, named, optimizers=twice).axes[1].get_legend().texts) == 3
    with pytest.raises(ValueError, match="paths of optimizers need optimizers, and a start: pass start=players"):
        dg.draw(mm.games.bilinear(dim=3).game, mm.games.bilinear(dim=3).equilibrium, optimizers=twice)
    for wrong, sentence in ((twice[0], "must be a list of optimizers"), ([mm.sgd(0.1)], "must be a game optimizer")):
        with pytest.raises(TypeError, match=sentence):
            dg.draw(form.game, form.equilibrium, optimizers=wrong)
    for name, value in {"steps": 0, "points": 1}.items():
        with pytest.raises(ValueError, match=f"{name} must be an integer"):
            dg.draw_phase(form.game, **{name: value})
    with pytest.raises(ValueError, match=r"limits\[1\] must be a finite number > 2"):
        dg.draw_phase(form.game, limits=(2.0, 1.0))
    plt.close("all")
