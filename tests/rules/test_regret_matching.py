"""Regret matching: printed moves, its bounds against any stream of gradients, matrix games, and poker."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import minimax as mm
from minimax import games
from minimax.diagnostics import duality_gap
from minimax.rules import regret_matching

pytestmark = pytest.mark.usefixtures("float64")

THREE = torch.tensor([[0.0, -1, 2], [1, 0, -1], [-2, 1, 0]], dtype=torch.float64)  # the row player maximises
FIRST = ((None, (0, 1)), (0, (2, 3)))
"""The decisions of Kuhn poker's first player, whose second one comes after a check."""


def even(*shape: int) -> Tensor:
    return torch.full(shape, 1 / shape[-1], dtype=torch.float64)


@pytest.mark.parametrize(
    "rule, expected",
    [
        (regret_matching(), [(1, 0, 0), (0.25, 0.75, 0), (0, 1, 0)]),
        (regret_matching(plus=True), [(1, 0, 0), (0.25, 0.75, 0), (0, 0.833333, 0.166667)]),
        (regret_matching(plus=True, predictive=True), [(1, 0, 0), (0.142857, 0.857143, 0)]),
        (regret_matching(predictive=True), [(1, 0, 0), (0.142857, 0.857143, 0)]),
    ],
)
def test_by_hand(rule: mm.Rule, expected: list[tuple[float, ...]]) -> None:
    game, z, optimizer = mm.zero_sum(lambda x, y: -(x @ THREE @ y)), (even(3), even(3)), mm.SimultaneousGDA(rule)
    state = optimizer.init(game, z)
    for row in expected:
        z, state, _ = optimizer.step(game, z, state)
        np.testing.assert_allclose(z[0], row, atol=5e-7)
        np.testing.assert_allclose(z[1], row, atol=5e-7)  # as the matrix is skew


def stream(seed: int, kind: str, actions: int, T: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    g = torch.randn(T, actions, generator=draw, dtype=torch.float64)
    if kind == "drifting":
        g = g.cumsum(0)
    elif kind == "turning":
        g = g * (-1.0) ** torch.arange(T)[:, None] * 10 ** g[:, :1]
    return list(g)


@settings(max_examples=25)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["random", "drifting", "turning"]),
    st.integers(2, 6),
    st.booleans(),
    st.booleans(),
)
def test_regret_is_within_its_bound(seed: int, kind: str, actions: int, plus: bool, predictive: bool) -> None:
    """√Σ|r_t|², and with predictions √Σ|r_t - r_{t-1}|², after every move, whatever the gradients are."""
    rule, x, last = regret_matching(plus=plus, predictive=predictive), even(actions), 0.0
    memory, regret, squares = rule.init([x]), torch.zeros(actions), 0.0
    for step, g in enumerate(stream(seed, kind, actions, 40)):
        r = g @ x - g
        regret, squares = regret + r, squares + float((r - (last if predictive else 0)).square().sum())
        assert float(regret.max()) <= squares**0.5 + 1e-9
        (d,), memory = rule.move([x], [g], memory, torch.tensor(step))
        x, last = x + d, r
        assert bool((x >= 0).all()) and float(x.sum()) == pytest.approx(1, abs=1e-12)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.floats(-300, 250), st.booleans(), st.booleans())
def test_no_unit_is_too_small(seed: int, exponent: float, plus: bool, predictive: bool) -> None:
    """The same play in every currency, near the ends of the floating point numbers as well."""
    rule, scale = regret_matching(plus=plus, predictive=predictive), 2.0 ** round(exponent * 3.3)
    plays = []
    for factor in (1.0, scale):
        x, memory = even(4), rule.init([even(4)])
        for step, g in enumerate(stream(seed, "random", 4, 6)):
            (d,), memory = rule.move([x], [factor * g], memory, torch.tensor(step))
            x = x + d
        plays.append(x)
    torch.testing.assert_close(*plays, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_values_of_matrix_games(seed: int) -> None:
    closed = games.matrix_game(torch.tensor(np.random.default_rng(seed).standard_normal((5, 7))))
    value = float(closed.game.losses(closed.equilibrium)[0])
    optimizer = mm.Averaging(mm.AlternatingGDA(regret_matching(plus=True, predictive=True)), power=1.0)
    found = mm.solve(closed.game, (even(5), even(7)), optimizer, steps=400, every=400).answer
    gap = duality_gap(closed.game, found).total
    assert gap < 2e-3 and abs(float(closed.game.losses(found)[0]) - value) <= gap + 1e-12


def average(kind: type[mm.Ruled], rules: tuple[mm.Rule, ...], power: int, T: int) -> tuple[Tensor, Tensor]:
    """Σ t^q (x_t, y_t); by turns x_{t+1}, which y_t had not seen."""
    closed = games.kuhn_poker()
    z, optimizer, x, y = closed.start, kind(rules), 0.0, 0.0
    state, total = optimizer.init(closed.game, z), sum(t**power for t in range(1, T + 1))
    for t in range(1, T + 1):
        old = z
        z, state, _ = optimizer.step(closed.game, z, state)
        x = x + t**power / total * (z if kind is mm.AlternatingGDA else old)[0]
        y = y + t**power / total * old[1]
    return x, y


@pytest.mark.parametrize(
    "plus, predictive, power, simultaneous, alternating",
    [(False, False, 0, 0.051349, 0.015652), (True, False, 1, 0.031484, 0.001915), (True, True, 2, 0.005781, 3.7263e-5)],
    ids=["CFR", "CFR+", "PCFR+"],
)
def test_kuhn_poker(plus: bool, predictive: bool, power: int, simultaneous: float, alternating: float) -> None:
    """Counterfactual regrets on plans: NashConv of the averages at T = 100."""
    make = lambda decisions: regret_matching(plus=plus, predictive=predictive, decisions=decisions)
    for kind, expected in ((mm.SimultaneousGDA, simultaneous), (mm.AlternatingGDA, alternating)):
        found = average(kind, (make(FIRST), make(None)), power, 100)
        digits = 6e-10 if expected < 1e-3 else 6e-7
        assert duality_gap(games.kuhn_poker().game, found).total == pytest.approx(expected, abs=digits)


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_counterfactual_regrets_by_hand(seed: int) -> None:
    """Of one tree of three decisions, by its behaviour strategies."""
    tree, draw = ((None, (0, 4)), (0, (1, 2)), (2, (3, 5, 6))), torch.Generator().manual_seed(seed)
    rule, σ = regret_matching(decisions=tree), [even(2), even(2), even(3)]
    R = [torch.zeros(2), torch.zeros(2), torch.zeros(3)]
    plan = lambda: torch.stack(
        [σ[0][0], σ[0][0] * σ[1][0], σ[0][0] * σ[1][1], *[σ[0][0] * σ[1][1] * σ[2][k] for k in range(3)], σ[0][1]]
    )[[0, 1, 2, 3, 6, 4, 5]]
    x = plan()
    memory = rule.init([x])
    for step in range(8):
        g = torch.randn(7, generator=draw, dtype=torch.float64)
        (d,), memory = rule.move([x], [g], memory, torch.tensor(step))
        last = g[[3, 5, 6]]
        middle = torch.stack([g[1], g[2] + σ[2] @ last])
        first = torch.stack([g[0] + σ[1] @ middle, g[4]])
        for k, costs in enumerate((first, middle, last)):
            R[k] = R[k] + σ[k] @ costs - costs
            above = R[k].clamp(min=0)
            σ[k] = above / above.sum() if above.sum() > 0 else even(len(above))
        x = x + d
        torch.testing.assert_close(x, plan(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "plan, regrets",
    [((0.5, 0.5, 0.4, 0.1), (-1.6, 1.6, 0.2, -0.8)), ((0.0, 1.0, 0.0, 0.0), (-3.5, 0.0, 0.5, -0.5))],
)
def test_regrets_are_of_the_plan_at_hand(plan: tuple[float, ...], regrets: tuple[float, ...]) -> None:
    """Not of the one that the rule would have played, but where the plan never comes."""
    rule, x, g = regret_matching(decisions=FIRST), torch.tensor(plan), torch.tensor([1.0, 0.0, 2.0, 3.0])
    _, memory = rule.move([x], [g], rule.init([x]), torch.tensor(0))
    torch.testing.assert_close(memory["R"][0], torch.tensor(regrets), rtol=1e-12, atol=1e-12)


def test_rows_under_vmap_and_compile() -> None:
    rule = regret_matching(predictive=True, decisions=FIRST)
    closed = games.kuhn_poker()
    optimizer = mm.ExtraGradient((rule, regret_matching(plus=True)))
    begin = optimizer.init(closed.game, closed.start)

    def end(y: Tensor) -> Tensor:
        z, state = (closed.start[0], y), begin
        for _ in range(2):
            z, state, _ = optimizer.step(closed.game, z, state)
        return z[0]

    ys = torch.rand(3, 3, 2, 2).softmax(-1)
    torch._dynamo.reset()
    compiled = torch.compile(end, fullgraph=True, backend="eager")
    for found, y in zip(torch.vmap(end)(ys), ys, strict=True):
        torch.testing.assert_close(found, end(y))
        torch.testing.assert_close(compiled(y), end(y))


@pytest.mark.parametrize("decisions, x", [(None, (0.2, 0.8)), (FIRST, (0.5, 0.5, 0.2, 0.3))])
def test_rounding_makes_no_other_plan(decisions: object, x: tuple[float, ...]) -> None:
    rule, x = regret_matching(decisions=decisions), torch.tensor(x)
    rule.init([x + 1e-9])
    with pytest.raises(mm.GameError, match="got a player of shape"):
        rule.init([x + 1e-6])


def test_errors() -> None:
    with pytest.raises(mm.GameError, match="regret_matching moves rows of numbers >= 0 that sum to 1, got a player"):
        regret_matching().init([torch.ones(3)])
    for plan in (even(4), torch.tensor([0.5, 0.5, 0.5]), torch.tensor([1.5, -0.5, 1.0, 0.5])):
        with pytest.raises(mm.GameError, match=r"moves plans of 4 numbers >= 0 .* sum to the entry they follow"):
            regret_matching(decisions=FIRST).init([plan])
    for wrong in (
        (),
        ((0, (1, 2)),),
        ((None, (0, 2)),),
        ((None, (0, 0)),),
        ((None, ()),),
        [(None, (0, 1))],
        ((1, 2, 3),),
    ):
        with pytest.raises(ValueError, match=r"decisions must be listed as \(\(None, \(0, 1\)\), \(0, \(2, 3\)\)\)"):
            regret_matching(decisions=wrong)
    with pytest.raises(ValueError, match="every entry in decisions must be an integer >= 0"):
        regret_matching(decisions=((None, (0.5, 1)),))
    with pytest.raises(ValueError, match="plus must be True or False"):
        regret_matching(plus=1)
    with pytest.raises(ValueError, match="OptimisticGDA adds up moves, which regret_matching has none for"):
        mm.OptimisticGDA(regret_matching())
