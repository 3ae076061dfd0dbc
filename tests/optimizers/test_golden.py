"""Every optimizer's way through closed games, as it was when it was last looked at: no change goes unseen.

`python -m tests.optimizers.test_golden` writes the file anew, for changes that are meant.
"""

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import minimax as mm
from minimax.optimizers import BY_NAME

FILE = Path(__file__).with_name("golden.json")
STEPS = 100
RATES = {"anderson-mixing": 0.4, "bome": 0.02, "mehra-hamm": 0.02}  # at .05 they diverge, or rounding grows
OPTIONS: dict[str, dict[str, Any]] = {"anderson-mixing": {"memory": 3}, "stackelberg": {"damping": 0.5}}  # the same


def zero_sum(x: Tensor, y: Tensor) -> Tensor:
    """Side by side: xᵀAy, μ/2 x² + σxy - μ/2 y², and the Dirac-GAN with R1."""
    bilinear = 2 * x[0] * y[0] + x[0] * y[1] - x[1] * y[1]
    scsc = x[2] ** 2 / 2 + 2 * x[2] * y[2] - y[2] ** 2 / 2
    return bilinear + scsc - torch.nn.functional.softplus(-x[3] * y[3]) - y[3] ** 2 / 2


def general_sum(i: int, x: Tensor, y: Tensor) -> Tensor:
    own, other = ((x, y), (y, x))[i]
    return ((1 + 0.5 * i) * own**2 + (1 - 1.5 * i) * own * other - own + other**2).sum()


GAMES = {
    "bilinear, scsc, dirac r1": (mm.zero_sum(zero_sum), ([1.0, -0.5, 1.0, 0.7], [0.5, 1.0, 1.0, -0.4])),
    "quadratic general-sum": (mm.Game(partial(general_sum, 0), partial(general_sum, 1)), ([1.0, -0.5], [0.5, 1.0])),
}


def way(name: str, game: mm.Game, start: Any) -> list[float] | None:
    """Where play ends, and how long its way was; None for a game that is refused."""
    optimizer = BY_NAME[name].of(mm.sgd(RATES.get(name, 0.05)), **OPTIONS.get(name, {}))
    players = tuple(map(torch.tensor, start))
    state, length = optimizer.init(game, players), 0.0
    for _ in range(STEPS):
        before = flat(players)
        try:
            players, state, _ = optimizer.step(game, players, state)
        except mm.GameError:
            return None
        length += float((flat(players) - before).norm())
    return [*flat(players).tolist(), length]


def flat(players: Any) -> Tensor:
    return torch.cat(players)


def ways(name: str) -> dict[str, list[float] | None]:
    return {game: way(name, *setting) for game, setting in GAMES.items()}


@pytest.mark.parametrize("name", BY_NAME)
def test_the_way_is_the_one_on_record(name: str, float64: torch.dtype) -> None:
    recorded, found = json.loads(FILE.read_text())[name], ways(name)
    assert recorded.keys() == found.keys()
    for game, expected in recorded.items():
        assert (found[game] is None) == (expected is None), game
        for a, b in zip(found[game] or (), expected or (), strict=True):
            assert math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9 * max(map(abs, expected))), game


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    record = {name: ways(name) for name in BY_NAME}
    rows = (f"  {json.dumps(name)}: {json.dumps(found)}" for name, found in record.items())
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n")
