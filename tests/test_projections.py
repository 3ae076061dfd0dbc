import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minimax as mm
from minimax.projections import ball, box, simplex, weight_clipping

points = st.lists(st.floats(-10, 10), min_size=1, max_size=6).map(lambda x: torch.tensor(x, dtype=torch.float64))
SETS = {"box": box(-0.5, 2.0), "ball": ball(1.5), "simplex": simplex()}


def feasible(name: str, x: torch.Tensor) -> bool:
    if name == "box":
        return bool((x >= -0.5).all() and (x <= 2).all())
    if name == "ball":
        return float(x.norm()) <= 1.5 + 1e-12
    return bool((x >= 0).all()) and float(x.sum()) == pytest.approx(1, abs=1e-12)


def member(name: str, raw: torch.Tensor) -> torch.Tensor:
    """Some point of the set, made without projecting."""
    if name == "box":
        return raw.sigmoid() * 2.5 - 0.5
    return raw.softmax(-1) if name == "simplex" else raw / (1e-9 + raw.norm()) * 1.5 * raw.norm().tanh()


@pytest.mark.parametrize("name", SETS)
@given(points, st.integers(0, 1000))
def test_nearest_point(name: str, x: torch.Tensor, seed: int) -> None:
    """Feasible, idempotent, and ⟨x - Px, p - Px⟩ <= 0 for every p of the set, which is what nearest means."""
    P = SETS[name]
    near = P(x)
    assert feasible(name, near)
    torch.testing.assert_close(P(near), near, rtol=0, atol=1e-12)
    p = member(name, torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3)
    assert float((x - near) @ (p - near)) <= 1e-10


@pytest.mark.parametrize("name", SETS)
@given(points, st.floats(-5, 5))
def test_nonexpansive(name: str, x: torch.Tensor, shift: float) -> None:
    y = x.flip(0) * 0.7 + shift
    assert float((SETS[name](x) - SETS[name](y)).norm()) <= float((x - y).norm()) + 1e-12


@pytest.mark.parametrize("name", SETS)
def test_keeps_what_is_inside(name: str) -> None:
    inside = member(name, torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64))
    torch.testing.assert_close(SETS[name](inside), inside, rtol=0, atol=1e-15)


def test_simplex_projects_each_row() -> None:
    x = torch.randn(4, 3, 5)
    rows = torch.stack([simplex()(row) for row in x.reshape(-1, 5)]).reshape(x.shape)
    torch.testing.assert_close(simplex()(x), rows)


@pytest.mark.parametrize("P", [ball(0.0), ball(1.0)])
def test_ball_at_the_origin(P: ball) -> None:
    assert torch.equal(P(torch.zeros(3)), torch.zeros(3))


def test_under_vmap() -> None:
    x = torch.randn(6, 4)
    for P in SETS.values():
        torch.testing.assert_close(torch.vmap(P)(x), torch.stack([P(row) for row in x]))


def test_weight_clipping_is_a_box() -> None:
    assert weight_clipping(0.01) == box(-0.01, 0.01)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: box(1, 0), "low must not exceed high, got low=1, high=0"),
        (lambda: box(math.nan, 1), "low must be a number, got nan"),
        (lambda: ball(-1), "radius must be a finite number >= 0, got -1"),
    ],
)
def test_bad_sets(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("kind", [mm.SimultaneousGDA, mm.AlternatingGDA, mm.ExtraGradient, mm.OptimisticGDA])
def test_applied_to_every_leaf_after_every_move(kind: type[mm.GameOptimizer]) -> None:
    game = mm.zero_sum(lambda x, y: 10 * (x[0].sum() + x[1]) * y.sum(), constraints=(box(-0.1, 0.1), ball(0.2)))
    players = ([torch.ones(2), torch.ones(())], torch.ones(3))
    optimizer = kind(mm.adam(1.0))
    state = optimizer.init(game, players)
    for _ in range(3):
        players, state, _ = optimizer.step(game, players, state)
        assert all(leaf.abs().max() <= 0.1 for leaf in players[0]) and players[1].norm() <= 0.2 + 1e-6
