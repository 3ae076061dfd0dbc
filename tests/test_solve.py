import math

import pytest
import torch
from torch import nn

import minimax as mm
from minimax import games

pytestmark = pytest.mark.usefixtures("float64")

SADDLE = mm.zero_sum(lambda x, y: x * y)
START = (torch.tensor(1.0), torch.tensor(1.0))


def test_converged() -> None:
    solution = mm.solve(SADDLE, START, mm.ExtraGradient(mm.sgd(0.5)), limits=mm.Limits(tolerance=1e-8))
    assert solution.status.kind == "converged" and solution.status.ok
    assert solution.records["norm"][-1] <= 1e-8 < solution.records["norm"][-2]
    assert str(solution.status).startswith(f"converged after {solution.status.step} steps: |F| = ")


def test_budget() -> None:
    solution = mm.solve(SADDLE, START, mm.AlternatingGDA(mm.sgd(0.1)), steps=7)
    assert str(solution.status) == "budget after 7 steps: the budget of 7 steps is spent."
    assert solution.status.ok and solution.cost == mm.Cost(gradients=14) and int(solution.state["step"]) == 7


def test_diverged_by_growth() -> None:
    solution = mm.solve(SADDLE, START, mm.SimultaneousGDA(mm.sgd(1.0)), limits=mm.Limits(growth=10))
    assert solution.status.kind == "diverged" and not solution.status.ok
    # |z| grows by √2 a step; the limit is 10 |z_0|.
    assert solution.status.step == math.floor(math.log2(100)) + 1
    assert "exceeds 10 times its start" in str(solution.status)


@pytest.mark.parametrize("kind", [mm.SimultaneousGDA, mm.AlternatingGDA, mm.ExtraGradient, mm.OptimisticGDA])
def test_diverged_into_nan_is_a_result(kind: type[mm.GameOptimizer]) -> None:
    game = mm.zero_sum(lambda x, y: x**4 - y**4 + x * y)
    solution = mm.solve(game, (10 * START[0], START[1]), kind(mm.sgd(1.0)), limits=mm.Limits(growth=math.inf))
    assert solution.status.kind == "diverged" and solution.status.step < 20
    assert "not finite" in str(solution.status)


def test_batches_that_run_out() -> None:
    game = mm.zero_sum(lambda x, y, b: b * x * y)
    batches = [torch.tensor(1.0)] * 5
    solution = mm.solve(game, START, mm.ExtraGradient(mm.sgd(0.1), fresh=True), batches, steps=10)
    assert solution.status.kind == "exhausted" and not solution.status.ok
    assert solution.status.step == 2, "two draws a step: the fifth batch is half a step"
    assert (
        str(solution.status)
        == "exhausted after 2 steps: the batches ran out before 10 steps; pass more, or a function."
    )


def test_no_batches_at_all() -> None:
    solution = mm.solve(mm.zero_sum(lambda x, y, b: b * x * y), START, mm.SimultaneousGDA(mm.sgd(0.1)), [], steps=3)
    assert (solution.status.kind, solution.status.step) == ("exhausted", 0)
    assert solution.players == START


def test_exactly_enough_batches() -> None:
    game = mm.zero_sum(lambda x, y, b: b * x * y)
    solution = mm.solve(game, START, mm.SimultaneousGDA(mm.sgd(0.1)), iter([torch.tensor(1.0)] * 3), steps=3)
    assert solution.status.kind == "budget"


def test_batches_in_order() -> None:
    """An iterable and a function give the draws of a step one after another."""
    seen = []
    game = mm.zero_sum(lambda x, y, b: (seen.append(int(b)), b * x * y)[1])
    optimizer = mm.AlternatingGDA(mm.sgd(0.01), steps=(1, 2), order=(1, 0))
    for batches in ([torch.tensor(float(k)) for k in range(1, 5)], lambda k: torch.tensor(float(k + 1))):
        seen.clear()
        mm.solve(game, START, optimizer, batches, steps=2, check=False)
        assert seen == [1, 2, 2, 3, 4, 4]


def test_history() -> None:
    pd = pytest.importorskip("pandas")
    solution = mm.solve(SADDLE, START, mm.ConsensusOptimization(mm.sgd(0.1)), steps=25, every=10)
    history = solution.history
    assert isinstance(history, pd.DataFrame)
    assert list(history) == ["step", "loss_0", "loss_1", "norm", "gradients", "hvps", "samples"]
    assert history["step"].tolist() == [10, 20, 25]
    assert history["gradients"].tolist() == [20, 40, 50] and history["hvps"].tolist() == [10, 20, 25]
    assert (history["loss_0"] == -history["loss_1"]).all()


def test_samples_are_counted() -> None:
    game = mm.zero_sum(lambda x, y, b: b.mean() * x * y)
    solution = mm.solve(game, START, mm.ExtraGradient(mm.sgd(0.1), fresh=True), lambda k: torch.ones(8, 2), steps=3)
    assert solution.cost == mm.Cost(gradients=12, samples=48)


def test_resuming_is_exact() -> None:
    """With batches as a function of their index, a run stopped anywhere goes on as if it had not been."""
    closed, optimizer = games.noisy_bilinear(), mm.OptimisticGDA(mm.adam(0.05))
    whole = [
        it.players
        for it, _ in zip(mm.iterate(closed.game, closed.start, optimizer, closed.batches), range(20), strict=False)
    ]
    for stop in (1, 7, 19):
        for it in mm.iterate(closed.game, closed.start, optimizer, closed.batches):
            if it.step == stop:
                break
        rest = mm.iterate(closed.game, it.players, optimizer, closed.batches, state=it.state)
        for k, again in zip(range(stop, 20), rest, strict=False):
            assert again.step == k + 1 and again.players == whole[k]


def test_a_resumed_run_may_diverge_without_an_exception() -> None:
    optimizer = mm.SimultaneousGDA(mm.sgd(0.1))
    state = optimizer.init(SADDLE, START)
    resumed = mm.iterate(SADDLE, (torch.tensor(math.nan), START[1]), optimizer, state=state)
    assert not bool(next(resumed).info.finite)


def test_modules_are_moved_in_place() -> None:
    x, y = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    game = mm.zero_sum(lambda x, y, b: (x(b) * y(b)).sum())
    solution = mm.solve(game, (x, y), mm.ExtraGradient(mm.sgd(0.5)), lambda k: torch.ones(1, 1), steps=300)
    assert solution.players == (x, y)
    assert x.weight.abs().item() < 1e-8
    named = mm.solve(game, {"x": x, "y": y}, mm.ExtraGradient(mm.sgd(0.5)), lambda k: torch.ones(1, 1), steps=3)
    assert named.players["x"] is x


def test_buffers_of_modules_advance() -> None:
    net = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1))
    mm.solve(
        mm.Game(lambda d, b: d(b).square().mean()),
        (net,),
        mm.ExtraGradient(mm.sgd(0.1)),
        lambda k: torch.randn(4, 2),
        steps=5,
    )
    assert net[0].num_batches_tracked.item() == 10  # two passes a step


def test_start_is_left_alone() -> None:
    players = (torch.ones(2), torch.ones(2))
    mm.solve(mm.zero_sum(lambda x, y: x @ y), players, mm.ExtraGradient(mm.adam(0.1)), steps=5)
    assert all(torch.equal(player, torch.ones(2)) for player in players)


@pytest.mark.parametrize("options", [{"steps": 0}, {"every": 0}, {"steps": -3}])
def test_bad_budget(options: dict) -> None:
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"{name} must be an integer >= 1, got {value}"):
        mm.solve(SADDLE, START, mm.SimultaneousGDA(mm.sgd(0.1)), **options)


@pytest.mark.parametrize("players", [torch.ones(2), 3.0, None])
def test_players_that_are_no_tuple(players) -> None:
    with pytest.raises(mm.GameError, match=f"players must be a tuple or dict of players, got {type(players).__name__}"):
        mm.solve(SADDLE, players, mm.SimultaneousGDA(mm.sgd(0.1)))


def test_magnitude() -> None:
    assert mm.solve.__globals__["magnitude"](({"a": torch.tensor(3.0)}, torch.tensor([4.0]))).item() == 5


# ------------------------------------------------------------------------------------------ games with constraints

SIMPLICES = (mm.projections.simplex(), mm.projections.simplex())


def matrix_game(rows: int = 3, columns: int = 4, constrained: bool = True) -> tuple[mm.Game, mm.game.Players]:
    A = torch.randn(rows, columns, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    game = mm.zero_sum(lambda x, y: x @ A @ y, constraints=SIMPLICES if constrained else None)
    return game, (torch.full((rows,), 1 / rows), torch.full((columns,), 1 / columns))


def natural_residual(game: mm.Game, players: mm.game.Players) -> float:
    """By hand: |z - P(z - F(z))|."""
    pairs = zip(players, game.field(players), strict=True)
    return float(torch.cat([z - mm.projections.simplex()(z - g) for z, g in pairs]).norm())


@pytest.mark.parametrize(
    "optimizer",
    [
        mm.ExtraGradient(mm.sgd(0.3)),
        mm.PastExtraGradient(mm.sgd(0.2)),
        mm.OptimisticGDA(mm.sgd(0.2)),
        mm.ExtraGradient(mm.entropic(1.0)),
        mm.Lookahead(mm.ExtraGradient(mm.sgd(0.3))),
    ],
    ids=lambda optimizer: optimizer.name,
)
def test_constrained_games_converge_in_the_natural_residual(optimizer: mm.GameOptimizer) -> None:
    """|F| stays at 1 where the equilibrium lies on a simplex."""
    game, start = matrix_game()
    limits = mm.Limits(tolerance=1e-5)
    solution = mm.solve(game, start, optimizer, steps=3000, limits=limits)
    assert solution.status.kind == "converged" and "|z - P(z - F)| = " in str(solution.status)
    assert (
        natural_residual(game, solution.players) < 2e-5 and float(torch.cat(game.field(solution.players)).norm()) > 0.1
    )
    together = mm.ensemble(game, optimizer, [start] * 2, steps=3000, limits=limits)
    assert together.statuses == (solution.status,) * 2
    norms = together.records["norm"][: solution.status.step, 0]
    torch.testing.assert_close(norms.tolist(), solution.records["norm"], rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    "optimizer",
    [
        mm.SimultaneousGDA(mm.sgd(0.4)),
        mm.PastExtraGradient(mm.sgd(0.4)),
        mm.AlternatingGDA(mm.sgd(0.4), steps=3),
        mm.KBeam(mm.sgd(0.4), steps=2),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_residual_is_taken_where_the_gradient_was(
    optimizer: mm.GameOptimizer, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss quadratic in the own player alone tells the point from the gradient."""
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **options: real(f, **options, backend="eager"))
    ball = mm.projections.ball(0.5)
    game = mm.Game(lambda x, y: (x**2).sum(), lambda x, y: (y**2).sum() + y.sum(), constraints=(None, ball))
    play = mm.compiled(optimizer) if compiled else optimizer
    z = (torch.tensor([1.0, 2.0]), torch.tensor([0.4, -0.2]))
    state = optimizer.init(game, z)
    for _ in range(3):
        z, state, info = play.step(game, z, state)
        (g_x,), (g_y,) = info.gradients
        y = (g_y - 1) / 2
        torch.testing.assert_close(info.natural[0][0], g_x)
        torch.testing.assert_close(info.natural[1][0], y - ball(y - g_y))
        torch.testing.assert_close(info.residual, torch.cat([g_x, y - ball(y - g_y)]).norm())


def test_nothing_is_kept_where_nothing_is_constrained() -> None:
    optimizer = mm.PastExtraGradient(mm.sgd(0.1))
    info = optimizer.step(SADDLE, START, optimizer.init(SADDLE, START))[2]
    assert info.point == () and info.natural is info.gradients and float(info.residual) == float(info.norm)


def test_one_constrained_player() -> None:
    """The other one is judged by its gradient."""
    game = mm.zero_sum(lambda x, y: (x - 3) ** 2 / 2 + x * y - y**2, constraints=(mm.projections.box(-1, 1), None))
    solution = mm.solve(game, START, mm.SimultaneousGDA(mm.sgd(0.2)), limits=mm.Limits(tolerance=1e-6))
    assert solution.status.kind == "converged" and [float(z) for z in solution.players] == pytest.approx([1.0, 0.5])


# --------------------------------------------------------------------------------------- what a run that breaks leaves


class Net(nn.Module):
    """One weight in front of a BatchNorm, whose buffers a NaN would poison."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv1 = nn.BatchNorm1d(2), nn.Linear(2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv1(self.norm(x))


def broken_at(k: int):
    """Batches of which the k-th (from 0) holds a NaN."""
    return lambda j: torch.full((4, 2), math.nan) if j == k else torch.randn(4, 2, generator=torch.manual_seed(j))


@pytest.mark.parametrize("every, kept", [(1, 6), (4, 4), (100, 0)])
def test_nan_does_not_reach_the_modules(every: int, kept: int) -> None:
    torch.manual_seed(0)
    x, y = Net(), Net()
    before = [{name: value.clone() for name, value in net.state_dict().items()} for net in (x, y)]
    game = mm.Game(lambda x, y, b: x(b).square().mean(), lambda x, y, b: (y(b) - x(b)).square().mean())
    optimizer = mm.SimultaneousGDA(mm.adam(0.1))
    solution = mm.solve(game, (x, y), optimizer, broken_at(6), steps=20, every=every)
    assert solution.status.kind == "diverged" and solution.status.step == min(every * -(-7 // every), 20)
    assert str(solution.status).endswith(": the gradient of players[0]['norm.weight'] is not finite.")
    assert int(solution.state["step"]) == kept and solution.players == (x, y)
    again = Net(), Net()
    for net, state in zip(again, before, strict=True):
        net.load_state_dict(state)
    if kept:
        mm.solve(game, again, optimizer, broken_at(6), steps=kept)
    for net, alone in zip((x, y), again, strict=True):
        torch.testing.assert_close(net.state_dict(), alone.state_dict())
    assert solution.cost.gradients == 2 * solution.status.step


def test_a_run_that_grows_keeps_what_is_within_the_limits() -> None:
    for every in (1, 3):
        solution = mm.solve(SADDLE, START, mm.SimultaneousGDA(mm.sgd(1.0)), limits=mm.Limits(growth=10), every=every)
        step = int(solution.state["step"])
        assert solution.status.kind == "diverged" and step == solution.status.step - every
        assert (
            math.hypot(*solution.players) == pytest.approx(2 ** ((step + 1) / 2))
            and math.hypot(*solution.players) <= 15
        )
    together = mm.ensemble(SADDLE, mm.SimultaneousGDA(mm.sgd(1.0)), [START], limits=mm.Limits(growth=10))
    alone = mm.solve(SADDLE, START, mm.SimultaneousGDA(mm.sgd(1.0)), limits=mm.Limits(growth=10))
    assert together.statuses == (alone.status,) and together.member(0) == alone.players


def test_the_end_of_the_batches_is_judged_too() -> None:
    """Even between two records."""
    batches = [torch.tensor(1.0)] * 4 + [torch.tensor(math.inf)]
    game = mm.zero_sum(lambda x, y, b: b * x * y)
    solution = mm.solve(game, START, mm.SimultaneousGDA(mm.sgd(0.1)), batches, steps=10, every=3)
    assert (solution.status.kind, solution.status.step) == ("diverged", 5) and int(solution.state["step"]) == 3
    fine = mm.solve(game, START, mm.SimultaneousGDA(mm.sgd(0.1)), batches[:4], steps=10, every=3)
    assert fine.status.kind == "exhausted" and fine.records["step"] == [3, 4] and int(fine.state["step"]) == 4
    assert mm.ensemble(game, mm.SimultaneousGDA(mm.sgd(0.1)), [START], batches[:4], steps=10, every=3).records[
        "step"
    ].tolist() == [3, 4]


def test_what_is_not_finite_has_a_name() -> None:
    def solved(*losses, players, steps: int = 9) -> str:
        optimizer = mm.SimultaneousGDA(mm.sgd(0.1))
        return mm.solve(
            mm.Game(*losses), players, optimizer, lambda k: torch.tensor(float(k)), steps=steps
        ).status.reason

    player = {"w": torch.tensor(1.0), "b": [torch.tensor(1.0), torch.tensor(1.0)]}

    def fine(x, y, k):
        return x**2 + 0 * y["w"]

    def root(x, y, k):  # whose derivative is infinite from the third step on
        return y["w"] + (y["b"][1] * (k < 2)).sqrt() + y["b"][0]

    assert solved(fine, root, players=(START[0], player)) == "the gradient of players[1]['b'][1] is not finite"
    assert solved(fine, root, players={"x": START[0], "y": player}).startswith("the gradient of players['y']['b'][1]")
    overflow = solved(
        fine, lambda x, y, k: y["w"] - torch.where(k > 2, math.inf, 0.0), players=(START[0], {"w": START[0]})
    )
    assert overflow == "the loss of players[1] is not finite"
    rate = mm.SimultaneousGDA(mm.sgd(lambda step: torch.where(step < 3, 0.1, torch.inf)))
    assert mm.solve(SADDLE, START, rate).status.reason == "players[0] is not finite"


def test_the_first_step_names_what_is_not_finite() -> None:
    with pytest.raises(mm.GameError, match=r"the gradient of players\[1\] first"):
        mm.solve(mm.zero_sum(lambda x, y: x + y.sqrt()), (START[0], torch.tensor(0.0)), mm.SimultaneousGDA(mm.sgd(0.1)))


@pytest.mark.parametrize("rate", [0.9, 0.1, 0.02])
@pytest.mark.parametrize("start", [0.0, 1e-3])
def test_a_solution_far_from_a_start_at_zero_is_no_divergence(rate: float, start: float) -> None:
    """One step of size 1,000 and more from 0 has no start to be compared with but itself."""
    far = mm.zero_sum(lambda x, y: (x - 5000) ** 2 / 2 - (y - 5000) ** 2 / 2)
    z, limits = (torch.tensor(start), torch.tensor(0.0)), mm.Limits(tolerance=1.0)
    optimizer = mm.SimultaneousGDA(mm.sgd(rate))
    solution = mm.solve(far, z, optimizer, steps=600, limits=limits)
    assert solution.status.kind == "converged"
    assert mm.ensemble(far, optimizer, [z], steps=600, limits=limits, every=600).statuses == (solution.status,)


def test_growth_from_zero_is_still_divergence() -> None:
    game = mm.zero_sum(lambda x, y: x * y + x)
    solution = mm.solve(game, (torch.tensor(0.0), torch.tensor(0.0)), mm.SimultaneousGDA(mm.sgd(1.0)))
    assert solution.status.kind == "diverged" and solution.status.step > 15
    together = mm.ensemble(game, mm.SimultaneousGDA(mm.sgd(1.0)), [(torch.tensor(0.0), torch.tensor(0.0))])
    assert together.statuses == (solution.status,)


# ---------------------------------------------------------------------------------------------- what is passed wrongly

FIRST = mm.zero_sum(lambda x, y, b: b.mean() * x * y)


@pytest.mark.parametrize(
    "batches", [torch.ones(64, 2), {"real": torch.ones(3)}, "data", 5, torch.utils.data.TensorDataset]
)
def test_one_batch_is_no_iterable_of_batches(batches) -> None:
    if isinstance(batches, type):
        batches = batches(torch.ones(3))
    for play in (
        lambda: mm.solve(FIRST, START, mm.SimultaneousGDA(mm.sgd(0.1)), batches),
        lambda: mm.ensemble(FIRST, mm.SimultaneousGDA(mm.sgd(0.1)), [START] * 2, batches),
    ):
        with pytest.raises(
            TypeError, match="batches must be an iterable of batches or a function k -> k-th batch, got"
        ):
            play()


def test_an_empty_data_loader() -> None:
    data = torch.utils.data.TensorDataset(torch.ones(5))
    loader = torch.utils.data.DataLoader(data, batch_size=8, drop_last=True)
    expected = "exhausted after 0 steps: there was not a batch: is the DataLoader empty, or the iterator used up."
    optimizer = mm.SimultaneousGDA(mm.sgd(0.1))
    assert str(mm.solve(FIRST, START, optimizer, loader).status) == expected
    assert str(mm.ensemble(FIRST, optimizer, [START], loader).statuses[0]) == expected
    fresh = mm.ExtraGradient(mm.sgd(0.1), fresh=True)
    assert "not the 2 batches that a step takes" in str(mm.solve(FIRST, START, fresh, [torch.ones(2)]).status)


@pytest.mark.parametrize("value", [0, -1, 2.5, math.nan, math.inf, None, "10", True, torch.tensor(3)])
@pytest.mark.parametrize("name", ["steps", "every"])
def test_counts(name: str, value) -> None:
    with pytest.raises(ValueError, match=f"{name} must be an integer >= 1, got "):
        mm.solve(SADDLE, START, mm.SimultaneousGDA(mm.sgd(0.1)), **{name: value})
    with pytest.raises(ValueError, match=f"{name} must be an integer >= 1, got "):
        mm.ensemble(SADDLE, mm.SimultaneousGDA(mm.sgd(0.1)), [START], **{name: value})


@pytest.mark.parametrize("value", [-1.0, math.nan, None, "1", True, 1j, [1.0], torch.tensor(1.0)])
@pytest.mark.parametrize("name", ["tolerance", "growth"])
def test_limits_are_numbers(name: str, value) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a .*number >= "):
        mm.Limits(**{name: value})
    assert mm.Limits(growth=math.inf).growth == math.inf
    with pytest.raises(ValueError, match="tolerance must be a finite number >= 0, got inf"):
        mm.Limits(tolerance=math.inf)


def test_other_arguments_of_the_wrong_kind() -> None:
    optimizer = mm.SimultaneousGDA(mm.sgd(0.1))
    for limits in (None, 1e-6, {"tolerance": 1e-6}):
        with pytest.raises(TypeError, match=r"limits must be Limits\(tolerance=..., growth=...\), got "):
            mm.solve(SADDLE, START, optimizer, limits=limits)
    with pytest.raises(ValueError, match="compile must be True or False, got 'False'"):
        mm.solve(SADDLE, START, optimizer, compile="False")
    for wrong in (mm.sgd(0.1), mm.ExtraGradient, torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1), None):
        for play in (lambda: mm.solve(SADDLE, START, wrong), lambda: mm.ensemble(SADDLE, wrong, [START])):  # noqa: B023
            with pytest.raises(TypeError, match="optimizer must be a game optimizer, got"):
                play()
    for wrong in (games.bilinear(), lambda x, y: x * y):
        with pytest.raises(TypeError, match="game must be a Game, such as zero_sum"):
            mm.solve(wrong, START, optimizer)


@pytest.mark.parametrize(
    "other",
    [
        mm.SimultaneousGDA(mm.sgd(0.1)),
        mm.SimultaneousGDA((mm.adam(0.1), mm.sgd(0.1))),
        mm.SimultaneousGDA(mm.adam(0.1, amsgrad=True)),
        mm.OptimisticGDA(mm.adam(0.1)),
        mm.Lookahead(mm.SimultaneousGDA(mm.adam(0.1))),
    ],
)
def test_the_state_of_another_optimizer(other: mm.GameOptimizer) -> None:
    optimizer = mm.SimultaneousGDA(mm.adam(0.1))
    with pytest.raises(ValueError, match="state is of another optimizer or of other players: state"):
        next(mm.iterate(SADDLE, START, optimizer, state=other.init(SADDLE, START)))
    for wrong in ({}, 5, {"step": torch.tensor(3)}):
        with pytest.raises(ValueError, match="state is of another optimizer or of other players: state"):
            next(mm.iterate(SADDLE, START, optimizer, state=wrong))
    larger = optimizer.init(SADDLE, (torch.ones(2), torch.ones(2)))
    with pytest.raises(ValueError, match="state is of another optimizer or of other players: state"):
        next(mm.iterate(SADDLE, START, optimizer, state=larger))


def test_a_torch_optimizers_state_goes_on() -> None:
    optimizer = mm.SimultaneousGDA(mm.from_torch(torch.optim.Adam, lr=0.1))
    whole = mm.solve(SADDLE, START, optimizer, steps=4)
    half = mm.solve(SADDLE, START, optimizer, steps=2)
    it = next(mm.iterate(SADDLE, half.players, optimizer, state=half.state))
    it = next(mm.iterate(SADDLE, it.players, optimizer, state=it.state))
    assert it.players == whole.players and it.step == 4


# ---------------------------------------------------------------------------------------------------------- to look at


def test_reprs_are_short() -> None:
    x, y = nn.Linear(300, 300), nn.Linear(300, 1)
    game = mm.zero_sum(lambda x, y, b: y(x(b)).mean())
    solution = mm.solve(game, (x, y), mm.ExtraGradient(mm.sgd(0.01)), lambda k: torch.ones(2, 300), steps=2)
    assert repr(solution) == (
        "Solution(budget after 2 steps: the budget of 2 steps is spent; 2 players with 90,601 numbers; "
        "8 gradients, 4 samples)"
    )
    it = next(mm.iterate(*game.functional((x, y)), mm.ExtraGradient(mm.sgd(0.01)), lambda k: torch.ones(2, 300)))
    assert str(it).startswith("Iterate(step=1, 2 players with 90,601 numbers, Info(losses=(") and len(str(it)) < 300
    together = mm.ensemble(SADDLE, mm.ExtraGradient(mm.sgd(torch.tensor([0.1, 9.0]))), [START] * 2, steps=50)
    assert repr(together) == "Ensemble(2 members: 1 budget, 1 diverged; each of 2 players with 2 numbers)"
    for page in (solution._repr_html_(), together._repr_html_()):
        assert page.startswith("<table>") and "budget after" in page and len(page) < 2000
    stood = mm.solve(SADDLE, START, mm.ExtraGradient(mm.sgd(0.5)), limits=mm.Limits(tolerance=1e-3))._repr_html_()
    assert "&lt;=" in stood


def test_plot() -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    game, start = matrix_game()
    solution = mm.solve(game, start, mm.ExtraGradient(mm.sgd(0.3)), steps=30)
    left, right = solution.plot().axes
    assert [line.get_label() for line in left.get_lines()] == ["player 0", "player 1"]
    assert left.get_lines()[0].get_xydata().tolist() == [
        [4.0 * k, loss] for k, loss in enumerate(solution.records["loss_0"], 1)
    ]
    assert right.get_yscale() == "log" and right.get_ylabel() == "|z - P(z - F)|"
    assert right.get_lines()[0].get_ydata().tolist() == solution.records["norm"]
    still = mm.solve(SADDLE, (torch.tensor(0.0), torch.tensor(0.0)), mm.ExtraGradient(mm.sgd(0.3)), steps=3)
    still.plot()  # a residual of 0 has no logarithm
    with pytest.raises(ValueError, match="no step was recorded"):
        mm.solve(FIRST, START, mm.ExtraGradient(mm.sgd(0.3)), []).plot()
    plt.close("all")


@pytest.mark.parametrize("library, use", [("pandas", lambda s: s.history), ("seaborn", lambda s: s.plot())])
def test_without_a_library(library: str, use, monkeypatch: pytest.MonkeyPatch) -> None:
    solution = mm.solve(SADDLE, START, mm.ExtraGradient(mm.sgd(0.3)), steps=3)
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(ImportError, match=f"pip install {library}"):
        use(solution)
