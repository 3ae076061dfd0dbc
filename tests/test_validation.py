"""One validator for all: what is no number, integer, flag or function of its kind is refused in one sentence."""

import math
import re

import pytest
import torch

from minimax import validation

NO_NUMBERS = [None, True, "0.1", 1j, [0.1], (0.1,), {}, torch.optim.SGD, torch.tensor(0.1), lambda step: 0.1]


@pytest.mark.parametrize(
    "value", [*NO_NUMBERS, math.nan, math.inf, -math.inf, 10**400], ids=lambda value: type(value).__name__
)
def test_no_real_numbers(value: object) -> None:
    with pytest.raises(ValueError, match=r"^rate must be a finite number, got .*[^.]\.$"):
        validation.real("rate", value)


@pytest.mark.parametrize("value", [0, 1, -3.5, 1e300, torch.finfo(torch.float64).max])
def test_real_numbers(value: float) -> None:
    validation.real("rate", value)
    validation.real("rate", value, tensor=True, schedule=True)


@pytest.mark.parametrize(
    "bounds, inside, outside",
    [
        ({"at_least": 0}, [0, 1e9], [-1e-300]),
        ({"above": 0}, [1e-300], [0, -1]),
        ({"at_most": 1}, [1, -9], [1.0000001]),
        ({"below": 1}, [0.9999999], [1, 2]),
        ({"at_least": 0, "below": 1}, [0, 0.5], [-0.5, 1]),
    ],
    ids=str,
)
def test_ranges_of_numbers_and_tensors(bounds: dict, inside: list, outside: list) -> None:
    for value in inside:
        validation.real("a", value, **bounds)
        validation.real("a", torch.tensor([value, value], dtype=torch.float64), **bounds, tensor=True)
    for value in outside:
        with pytest.raises(ValueError, match=f"a must be a finite number .*, got {re.escape(str(value))}"):
            validation.real("a", value, **bounds)
        with pytest.raises(ValueError, match="in a tensor"):
            validation.real("a", torch.tensor([inside[0], value], dtype=torch.float64), **bounds, tensor=True)


@pytest.mark.parametrize(
    "value",
    [
        torch.tensor(math.nan),
        torch.tensor([0.1, math.inf]),
        torch.tensor([]),
        torch.ones(2, 2),
        torch.tensor(1j),
        torch.tensor(True),
        torch.empty((), device="meta"),
        torch.ones(2).to_sparse(),
    ],
    ids=str,
)
def test_no_tensors_of_numbers(value: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"^rate must be a finite number.*, got .*[^.]\.$"):
        validation.real("rate", value, tensor=True)


def test_infinity_only_where_it_is_meant() -> None:
    validation.real("high", math.inf, finite=False)
    with pytest.raises(ValueError, match="high must be a number, got nan"):
        validation.real("high", math.nan, finite=False)


def test_schedules_pass_but_not_classes_of_them() -> None:
    validation.real("rate", lambda step: 0.1, schedule=True)
    with pytest.raises(ValueError, match=r"a schedule step -> number, got the class StepLR"):
        validation.real("rate", torch.optim.lr_scheduler.StepLR, schedule=True)


def test_tensors_are_not_read_under_transforms() -> None:
    def checked(rate: torch.Tensor) -> torch.Tensor:
        validation.real("rate", rate, at_least=0, tensor=True)
        validation.real("other", 0.5, at_least=0, below=1)
        validation.whole("steps", 3, at_least=1)
        validation.flag("fresh", False)
        return rate * 2

    rates = torch.tensor([1.0, 2.0])
    assert torch.equal(torch.vmap(checked)(rates), 2 * rates)
    assert torch.equal(torch.compile(checked, fullgraph=True, backend="eager")(rates), 2 * rates)


@pytest.mark.parametrize("value", [0, -1, 1.5, 2.0, 1e9, True, "3", None, [1], torch.tensor(3), math.nan], ids=str)
def test_no_integers(value: object) -> None:
    with pytest.raises(ValueError, match=r"^k must be an integer >= 1, got .*[^.]\.$"):
        validation.whole("k", value, at_least=1)
    validation.whole("k", 1, at_least=1)


def test_integers_in_a_range() -> None:
    with pytest.raises(ValueError, match="player must be an integer >= 0 and <= 1, got 2"):
        validation.whole("player", 2, at_least=0, at_most=1)


@pytest.mark.parametrize("value", [0, 1, "False", None])
def test_flags(value: object) -> None:
    with pytest.raises(ValueError, match="fresh must be True or False, got"):
        validation.flag("fresh", value)


def test_functions() -> None:
    validation.function("term", abs, "a function of a tensor")
    with pytest.raises(TypeError, match="term must be a function of a tensor, got 3"):
        validation.function("term", 3, "a function of a tensor")
    with pytest.raises(
        TypeError, match=r"term must be a function of a tensor, got the class ReLU: pass ReLU\(\.\.\.\)"
    ):
        validation.function("term", torch.nn.ReLU, "a function of a tensor")
