"""What a run that breaks leaves behind, and what it says of it."""

import math

import pytest
import torch
from torch import nn

import minimax as mm

pytestmark = pytest.mark.usefixtures("float64")

SADDLE = mm.zero_sum(lambda x, y: x * y)
START = (torch.tensor(1.0), torch.tensor(1.0))


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
