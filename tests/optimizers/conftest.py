"""Play on z = x + iy: F(x, y) = (μx + σy, μy - σx) is λz with λ = μ - iσ, and update maps are complex numbers."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

import minimax as mm
from minimax.games import ClosedForm

Trajectory = Callable[[mm.GameOptimizer, ClosedForm, int], np.ndarray]


@pytest.fixture
def trajectory(float64: torch.dtype) -> Trajectory:
    """The points z_0 .. z_steps of a game of two numbers, as complex numbers."""

    def play(optimizer: mm.GameOptimizer, closed: ClosedForm, steps: int) -> np.ndarray:
        players = tuple(torch.as_tensor(x, dtype=torch.float64) for x in closed.start)
        points, state = [players], optimizer.init(closed.game, players)
        for _ in range(steps):
            players, state, _ = optimizer.step(closed.game, players, state)
            points.append(players)
        return np.array([complex(float(x), float(y)) for x, y in points])

    return play
