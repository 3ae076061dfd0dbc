"""What `solve` and `iterate` are passed wrongly, and what they answer."""

import math

import pytest
import torch

import minimax as mm
from minimax import games

pytestmark = pytest.mark.usefixtures("float64")

SADDLE = mm.zero_sum(lambda x, y: x * y)
START = (torch.tensor(1.0), torch.tensor(1.0))


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
