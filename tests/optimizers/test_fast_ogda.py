"""Fast optimistic play: its momentum grows, and so does its rate with α."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minimax as mm
from minimax.testing._linear import quadratic_games
from tests.optimizers.monotone import path, saddle

pytestmark = pytest.mark.usefixtures("float64")
ROTATION = mm.zero_sum(lambda x, y: x * y)
START = (torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64))


def test_by_hand() -> None:
    """z_0 and z_1 are one point."""
    found = path(mm.FastOGDA(mm.sgd(0.2), alpha=3.0), ROTATION, START, 4)
    expected = [(1, 0), (1, 0), (0.9625, 0.15), (0.8791, 0.31026), (0.758398, 0.44581)]
    np.testing.assert_allclose(found, expected, atol=5e-7)


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.floats(2.1, 20.0))
def test_as_the_paper_writes_it(seed: int, α: float) -> None:
    game, z, _, L = saddle(seed, constrained=False)
    h = 0.2 / L

    def F(w: torch.Tensor) -> torch.Tensor:
        return torch.cat(game.field((w[:3], w[3:])))

    found = path(mm.FastOGDA(mm.sgd(h), alpha=α), game, z, 30)
    old = new = torch.cat(z)
    F_y = F(new)
    for k in range(1, 30):
        y = new + k / (k + α) * (new - old) - h * α / (k + α) * F_y
        F_old, F_y = F_y, F(y)
        old, new = new, y - h * (2 * k + α) / (k + α) * (F_y - F_old)
        torch.testing.assert_close(found[k + 1], new, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("α", [3.0, 6.0])
def test_the_residual_falls_as_k_to_the_minus_half_alpha(α: float) -> None:
    norms = path(mm.FastOGDA(mm.sgd(0.25), alpha=α), ROTATION, START, 2000).norm(dim=1)
    peaks = [norms[k : k + 100].max() for k in (900, 1900)]
    assert float(torch.log(peaks[0] / peaks[1]) / np.log(19.5 / 9.5)) == pytest.approx(α / 2, rel=0.05)


def test_threshold_at_one_over_two_root_three() -> None:
    ends = [path(mm.FastOGDA(mm.sgd(h)), ROTATION, START, 1500)[-1].norm() for h in (0.285, 0.292)]
    assert ends[0] < 0.1 and ends[1] > 10


def test_its_map_far_down_a_run() -> None:
    """At k = 10¹² a step of z, z₋ and d₋ is what it declares; its rate is that of optimistic play at 2h, beside 1."""
    (game, z), optimizer = quadratic_games()["a zero-sum game"], mm.FastOGDA(mm.sgd(0.05))
    at = mm.diagnostics.expand(game, z)
    declared, twice = optimizer.linear(at), mm.OptimisticGDA(mm.sgd(0.1)).linear(at)
    memory = torch.randn(9, generator=torch.Generator().manual_seed(0))
    new, past, move = (tuple(part.split([2, 1])) for part in memory.split(3))
    state = optimizer.init(game, z) | {"step": torch.tensor(10**12), "past": [[v] for v in past]}
    new, after, _ = optimizer.step(game, new, state | {"past_move": [[v] for v in move]})
    found = torch.cat([*new, *(v for (v,) in after["past"]), *(v for (v,) in after["past_move"])])
    torch.testing.assert_close(found, declared.matrix @ memory, rtol=1e-9, atol=1e-9)
    assert declared.late and declared.sublinear and twice.factor(at) < 1 == pytest.approx(declared.factor(at))


@pytest.mark.parametrize("seed", range(2))
def test_it_comes_to_rest_where_constraints_bind(seed: int) -> None:
    game, z, solution, L = saddle(seed, constrained=True)
    end = path(mm.FastOGDA(mm.sgd(0.24 / L), alpha=6.0), game, z, 1500)[-1]
    torch.testing.assert_close(end, solution, rtol=0, atol=0.02)


def test_errors() -> None:
    with pytest.raises(ValueError, match="alpha must be a finite number > 2, got 2"):
        mm.FastOGDA(mm.sgd(0.1), alpha=2)
