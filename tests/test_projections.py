import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minimax as mm
from minimax.projections import ball, box, each, l1_ball, simplex, weight_clipping

numbers = st.lists(st.floats(-10, 10), min_size=12, max_size=12).map(lambda x: torch.tensor(x).double().reshape(3, 4))
LOW = torch.tensor([[-0.5], [0.0], [1.0]]).double()
RADII = torch.tensor([[0.5], [1.5], [3.0]]).double()
SETS = {
    "box": box(-0.5, 2.0),
    "box of tensors": box(LOW, LOW + torch.tensor([0.0, 1.0, 2.0, 3.0]).double()),
    "box, half open": box(LOW, math.inf),
    "ball": ball(1.5),
    "ball of rows": ball(1.5, dim=-1),
    "ball of columns, each its own": ball(RADII[:, 0].new_tensor([[0.1, 1.0, 2.0, 5.0]]), dim=0),
    "ball of rows, each its own": ball(RADII, dim=1),
    "ball of both dimensions": ball(1.5, dim=(0, 1)),
    "l1 ball": l1_ball(1.5),
    "l1 ball of rows": l1_ball(1.5, dim=-1),
    "l1 ball of rows, each its own": l1_ball(RADII, dim=-1),
    "l1 ball of columns": l1_ball(0.7, dim=0),
    "simplex": simplex(),
}


def feasible(name: str, x: torch.Tensor) -> bool:
    """Whether x lies in the set, up to rounding."""
    P, ε = SETS[name], 1e-9
    if isinstance(P, box):
        return bool(((x >= P.low - ε) & (x <= P.high + ε)).all())
    if isinstance(P, simplex):
        return bool((x >= 0).all()) and torch.allclose(x.sum(-1), torch.ones(3).double())
    dims = (0, 1) if P.dim is None else P.dim
    norms = torch.linalg.vector_norm(x, 1 if isinstance(P, l1_ball) else 2, dim=dims, keepdim=True)
    return bool((norms <= P.radius + ε).all())


def member(name: str, seed: int) -> torch.Tensor:
    """Some point of the set, made without projecting."""
    P, raw = SETS[name], 3 * torch.randn(3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if isinstance(P, box):
        low, high = torch.as_tensor(P.low).double(), torch.as_tensor(P.high).double()
        return raw.sigmoid() * (high - low) + low if math.isfinite(float(high.max())) else low + raw.abs()
    if isinstance(P, simplex):
        return raw.softmax(-1)
    dims = (0, 1) if P.dim is None else P.dim
    norms = torch.linalg.vector_norm(raw, 1 if isinstance(P, l1_ball) else 2, dim=dims, keepdim=True)
    return raw / norms * P.radius * norms.tanh()


@pytest.mark.parametrize("name", SETS)
@given(numbers, st.integers(0, 1000))
def test_nearest_point(name: str, x: torch.Tensor, seed: int) -> None:
    """Feasible, idempotent, and ⟨x - Px, p - Px⟩ <= 0 for every p of the set, which is what nearest means."""
    P = SETS[name]
    near = P(x)
    assert feasible(name, near)
    torch.testing.assert_close(P(near), near, rtol=0, atol=1e-12)
    p = member(name, seed)
    assert feasible(name, p)
    assert float(((x - near) * (p - near)).sum()) <= 1e-9


@pytest.mark.parametrize("name", SETS)
@given(numbers, st.floats(-5, 5))
def test_nonexpansive(name: str, x: torch.Tensor, shift: float) -> None:
    y = x.flip(0) * 0.7 + shift
    assert float((SETS[name](x) - SETS[name](y)).norm()) <= float((x - y).norm()) + 1e-12


@pytest.mark.parametrize("name", SETS)
@given(st.integers(0, 1000))
def test_keeps_what_is_inside(name: str, seed: int) -> None:
    inside = member(name, seed)
    torch.testing.assert_close(SETS[name](inside), inside, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SETS)
@given(numbers, st.integers(0, 1000))
def test_lowest_is_of_the_set_and_below_its_other_points(name: str, g: torch.Tensor, seed: int) -> None:
    P = SETS[name]
    low = P.lowest(g)
    if "open" in name:
        return
    assert feasible(name, low)
    assert float((g * low).sum()) <= float((g * member(name, seed)).sum()) + 1e-9


def test_simplex_projects_each_row() -> None:
    x = torch.randn(4, 3, 5)
    rows = torch.stack([simplex()(row) for row in x.reshape(-1, 5)]).reshape(x.shape)
    torch.testing.assert_close(simplex()(x), rows)


@pytest.mark.parametrize("P", [ball(0.0), ball(1.0)])
def test_ball_at_the_origin(P: ball) -> None:
    assert torch.equal(P(torch.zeros(3)), torch.zeros(3))


def test_under_vmap() -> None:
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    for P in SETS.values():
        torch.testing.assert_close(torch.vmap(P)(x), torch.stack([P(row) for row in x]))


def test_bounds_made_of_the_batch_under_vmap() -> None:
    x, center = torch.randn(2, 6, 4).unbind()
    inside = torch.vmap(lambda x, c: box(c - 0.1, c + 0.1)(x))(x, center)
    torch.testing.assert_close(inside, center + (x - center).clamp(-0.1, 0.1))


def test_rows_are_projected_as_they_would_be_alone() -> None:
    x = 3 * torch.randn(5, 2, 3, dtype=torch.float64)
    for kind in (ball, l1_ball):
        apart = torch.stack([kind(0.8)(image) for image in x])
        torch.testing.assert_close(kind(0.8, dim=(1, 2))(x), apart)
        torch.testing.assert_close(kind(0.8, dim=(2, 1))(x), apart)


def test_bounds_keep_the_dtype_of_the_player() -> None:
    x = torch.tensor([3.0, -3.0])
    for P in (box(torch.tensor(-1.0).double(), torch.tensor(1.0).double()), ball(torch.tensor(1.0).double())):
        assert P(x).dtype == torch.float32 and P.lowest(x).dtype == torch.float32


def test_sets_with_the_same_numbers_are_equal() -> None:
    assert box(0, 1) == box(0, 1) != box(0, 2)
    assert box(LOW, 1) == box(LOW.clone(), 1) != box(LOW + 1, 2) and hash(box(LOW, 1)) == hash(box(LOW.clone(), 1))
    assert box(LOW, 1) != box(-0.5, 1) and ball(1.0) != l1_ball(1.0) and ball(1.0) != ball(1.0, dim=-1)
    assert each(box(0, 1), None) == each(box(0, 1), None) != each(None, box(0, 1))


LEAVES = {"w": torch.tensor([3.0, -3.0]), "b": torch.tensor(5.0)}


@pytest.mark.parametrize("kind", [mm.SimultaneousGDA, mm.AlternatingGDA, mm.ExtraGradient, mm.OptimisticGDA])
def test_every_leaf_has_its_own(kind: type[mm.GameOptimizer]) -> None:
    """And the residual, which says what converged, knows it."""
    game = mm.Game(lambda p: (p["w"] - 4).square().sum() + (p["b"] - 6) ** 2, constraints=(each(ball(1.0), None),))
    leaves = {name: leaf.double() for name, leaf in LEAVES.items()}
    found = mm.solve(game, (leaves,), kind(mm.sgd(0.1)), steps=500, limits=mm.Limits(tolerance=1e-9))
    torch.testing.assert_close(found.players[0]["w"], torch.full((2,), 0.5**0.5).double(), rtol=0, atol=1e-4)
    assert float(found.players[0]["b"]) == pytest.approx(6, abs=1e-4) and found.status.kind == "converged"
    gap = mm.diagnostics.duality_gap(game, found.players)
    assert gap.gains[0] == pytest.approx(0, abs=1e-5)


def test_gaps_are_exact_where_every_leaf_is_bounded() -> None:
    game = mm.Game(lambda p: p["w"].sum() + 2 * p["b"], constraints=(each(box(-1, 1), box(0, 3)),))
    gap = mm.diagnostics.duality_gap(game, ({"w": torch.zeros(2), "b": torch.tensor(1.0)},))
    assert gap.gains[0] == pytest.approx(4) and gap.slack[0] == 0


@pytest.mark.parametrize(
    "constraint, message",
    [
        (each(None), r"constraints\[0\] has 1 projections for a player of 2 leaves"),
        (box(torch.zeros(3), 1), r"low has the shape \(3,\), which does not broadcast to a leaf of shape \(2,\)"),
        (box(0, torch.ones(2, 1)), r"high has the shape \(2, 1\), which does not broadcast to a leaf of shape \(2,\)"),
        (
            ball(torch.ones(2), dim=-1),
            r"radius has the shape \(2,\), which does not broadcast to a leaf of shape \(1,\)",
        ),
        (l1_ball(torch.ones(2), dim=-1), r"radius has the shape \(2,\), which does not broadcast to a leaf"),
        (lambda x: x.sum(), r"constraints\[0\] made a tensor of shape \(\).* a projection keeps shape and dtype"),
    ],
)
def test_what_does_not_fit_is_named(constraint, message: str) -> None:
    game = mm.Game(lambda p: p["w"].sum() + p["b"], constraints=(constraint,))
    optimizer = mm.SimultaneousGDA(mm.sgd(0.1))
    with pytest.raises(mm.GameError, match=message):
        optimizer.step(game, (LEAVES,), optimizer.init(game, (LEAVES,)))


def test_weight_clipping_is_a_box() -> None:
    assert weight_clipping(0.01) == box(-0.01, 0.01)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: box(1, 0), "low must not exceed high, got low=1, high=0"),
        (lambda: box(math.nan, 1), "low must be a number, got nan"),
        (lambda: box(torch.zeros(2), torch.tensor([1.0, -1.0])), "low must not exceed high, got low=a tensor of shape"),
        (lambda: box(torch.tensor([0.0, math.nan]), 1), "every entry of low must be a number, got nan"),
        (lambda: box(torch.zeros(2, dtype=torch.int64), 1), "low must be a floating point tensor, got a tensor of sh"),
        (lambda: ball(-1), "radius must be a finite number >= 0, got -1"),
        (lambda: ball(torch.tensor([1.0, -1.0])), "every entry of radius must be a finite number >= 0, got -1"),
        (lambda: ball(1.0, dim=0.5), "dim must be an integer, a tuple of integers, or None, got 0.5"),
        (lambda: l1_ball(0), "radius must be a finite number > 0, got 0"),
        (lambda: l1_ball(1.0, dim="x"), "dim must be an integer, a tuple of integers, or None, got 'x'"),
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
