"""How runs of `solve` end, what they record, and going on from them."""

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
