"""What is no argument is refused when an optimizer is made, in one sentence: cases from the optimizers' own fields."""

import dataclasses
import math
from typing import Any

import pytest
import torch

import minimax as mm
from minimax.optimizers import BY_NAME

OPTIONAL = {("extra-anchored-gradient", "variable"), ("averaging", "decay"), ("cgd", "iterations")}
OPTIONAL |= {("stackelberg", "neumann"), ("unrolled", "truncate"), ("value-function", "moreau")}
UNBOUNDED = {("golden-ratio", "longest")}
NO_NUMBERS: list[Any] = [math.nan, math.inf, "0.1", True, 1j, [0.1], (0.1, 0.2), {}, None, torch.optim.Adam]
NO_INTEGERS: list[Any] = [0, -1, 1.5, 1e9, math.nan, "3", True, None, [1], torch.tensor(2)]


def cases() -> list[Any]:
    found = []
    for name, kind in BY_NAME.items():
        for field in dataclasses.fields(kind):
            if field.name in ("rule", "inner", "order", "draw") or (name, field.name) == ("alternating", "steps"):
                continue
            wrong = NO_NUMBERS
            if field.type == "bool":
                wrong = [0, 1, "False", None, torch.tensor(True)]
            elif str(field.type).startswith("int"):
                wrong = NO_INTEGERS[1:] if field.name == "generator" else NO_INTEGERS
            for value in wrong:
                key = (name, field.name)
                if (value is None and key in OPTIONAL) or (value == math.inf and key in UNBOUNDED):
                    continue
                found.append(pytest.param(name, field.name, value, id=f"{name}-{field.name}-{value}"))
    return found


@pytest.mark.parametrize("name, field, value", cases())
def test_every_field_says_what_it_takes(name: str, field: str, value: Any) -> None:
    with pytest.raises(
        ValueError, match=rf"^{field} must be (an? (finite )?number|an integer|True or False).*, got .*\.$"
    ):
        BY_NAME[name].of(mm.sgd(0.1), **{field: value})


@pytest.mark.parametrize("name", BY_NAME)
def test_tensors_of_numbers_are_read_where_they_are_taken(name: str) -> None:
    """An ensemble's tensor with one bad entry is refused too."""
    for field in dataclasses.fields(BY_NAME[name]):
        if field.type == "Hyperparameter":
            default = float(getattr(BY_NAME[name].of(mm.sgd(0.1)), field.name))
            BY_NAME[name].of(mm.sgd(0.1), **{field.name: torch.tensor([default, default])})
            with pytest.raises(ValueError, match=f"^{field.name} must be .*, got nan in a tensor"):
                BY_NAME[name].of(mm.sgd(0.1), **{field.name: torch.tensor([default, math.nan])})


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: mm.ExtraGradient(mm.sgd(0.1), explore=-1), "explore must be a finite number >= 0, got -1"),
        (lambda: mm.Lookahead(mm.SimultaneousGDA(mm.sgd(0.1)), k=1.5), r"k must be an integer >= 1, got 1\.5"),
        (lambda: mm.SVRE(mm.sgd(0.1), iterations=1e9), r"iterations must be an integer >= 1, got 1000000000\.0"),
        (lambda: mm.AlternatingGDA(mm.sgd(0.1), steps=[1, 5]), r"steps must be an integer >= 1 or a tuple"),
        (lambda: mm.AlternatingGDA(mm.sgd(0.1), steps=(1, 2.5)), r"steps must be an integer >= 1, got 2\.5"),
        (lambda: mm.AlternatingGDA(mm.sgd(0.1), steps=()), r"steps must be an integer >= 1 or a tuple"),
        (
            lambda: mm.AlternatingGDA(mm.sgd(0.1), order=[1, 0]),
            r"order must be a permutation .* in a tuple, got \[1, 0\]",
        ),
        (lambda: mm.AlternatingGDA(mm.sgd(0.1), order=("x", 0)), r"order must be a permutation"),
        (lambda: mm.AlternatingGDA(mm.sgd(0.1), order=1), r"order must be a permutation"),
        (lambda: mm.OptimisticGDA(mm.entropic(0.1)), "OptimisticGDA adds up moves, which entropic has none for"),
        (lambda: mm.GoldenRatio((mm.sgd(0.1), mm.entropic(0.1))), "GoldenRatio adds up moves, which entropic"),
    ],
)
def test_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


RULED = [kind for kind in BY_NAME.values() if issubclass(kind, mm.Ruled)]
ADAM = torch.optim.Adam([torch.zeros(1)])


@pytest.mark.parametrize(
    "value, cure",
    [
        (0.1, r"got 0\.1: {0}\(sgd\(0\.1\)\)"),
        (None, r"got None: {0}\(sgd\(0\.1\)\)"),
        ("adam", r"got 'adam': {0}\(sgd"),
        (mm.adam, r"got the class adam: {0}\(adam\(0\.1\)\)"),
        (torch.optim.Adam, r"{0}\(from_torch\(torch\.optim\.Adam, lr=\.\.\.\)\)"),
        (ADAM, r"{0}\(from_torch\(torch\.optim\.Adam, lr=\.\.\.\)\)"),
        (mm.SimultaneousGDA(mm.sgd(0.1)), r"{0}\(sgd\(0\.1\)\)"),
        ((mm.sgd(0.1), 0.2), r"got 0\.2: {0}\(sgd\(0\.2\)\)"),
    ],
    ids=["number", "none", "text", "class", "torch class", "torch optimizer", "optimizer", "tuple"],
)
def test_what_is_no_rule(value: Any, cure: str) -> None:
    for kind in RULED:
        with pytest.raises(TypeError, match="moves players by a rule, .*" + cure.replace("{0}", kind.__name__)):
            kind(value)


def test_rules_come_in_a_tuple() -> None:
    for kind in RULED:
        name = kind.__name__
        with pytest.raises(TypeError, match=rf"{name} takes one rule per player in a tuple, got a list: {name}\(\(sgd"):
            kind([mm.sgd(0.1), mm.adam(0.1)])


def test_unrolled_takes_a_rule_inside_too() -> None:
    with pytest.raises(TypeError, match=r"inner of Unrolled moves players by a rule, got 0\.3"):
        mm.Unrolled(mm.sgd(0.1), inner=0.3)
