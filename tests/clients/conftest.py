"""What the clients share: equal modules for two trainings, the comparison of the two, the schedules by name.

A client is a training loop as people write it, with `torch.optim`, `backward` and `step`, next to the same training by
`minimax.bind`. Both start from equal modules and see equal batches; after every step all parameters *and buffers* must
be equal to 1e-10.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.clients.loops import SCHEDULES, Modules, Schedule, values

Step = Callable[[int], Any]


@pytest.fixture(autouse=True)
def _double(float64: torch.dtype) -> None:
    """Every client trains in float64, so that 1e-10 says something."""


@pytest.fixture
def twins() -> Callable[..., tuple[Modules, Modules]]:
    """Two equal sets of modules, of modules as their makers leave them."""

    def make(*modules: nn.Module) -> tuple[Modules, Modules]:
        return modules, copy.deepcopy(modules)

    return make


@pytest.fixture
def side_by_side() -> Callable[..., None]:
    """Take both trainings' steps in turn and compare the modules after every one."""

    def play(steps: int, hand: tuple[Modules, Step], ours: tuple[Modules, Step], buffers: bool = True) -> None:
        start = copy.deepcopy([values(module, False) for module in hand[0]])
        for k in range(steps):
            hand[1](k)
            ours[1](k)
            for expected, found in zip(hand[0], ours[0], strict=True):
                torch.testing.assert_close(values(found, buffers), values(expected, buffers), rtol=1e-10, atol=1e-10)
        for before, module in zip(start, hand[0], strict=True):
            after = values(module, False)
            assert all((after[name] - before[name]).abs().max() > 1e-6 for name in after), "nothing was trained"

    return play


@pytest.fixture(params=SCHEDULES)
def schedule(request: pytest.FixtureRequest) -> Schedule:
    """A test that asks for it runs under every schedule, or under those it names with `indirect`."""
    return SCHEDULES[request.param]
