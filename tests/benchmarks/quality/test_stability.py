import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.data import stream
from benchmarks.quality import stability
from benchmarks.quality.stability import Path as Track


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=stream(seed), dtype=torch.float64)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e3, 5e6])
def test_divergence_is_the_first_bad_norm(bad: float) -> None:
    steps, norms = [0, 10, 20, 30], [1.0, 999.0, bad, 1.0]
    assert stability.diverged_at(steps, norms) == 20
    assert not stability.survived(norms)
    assert stability.survived([1.0, 999.0])
    assert stability.diverged_at([], []) is None


def test_norms_are_relative_to_the_first() -> None:
    assert stability.survived([100.0, 9e4])
    assert stability.diverged_at([0, 1], [1e-2, 11.0]) == 1
    assert stability.diverged_at([0, 1], [math.nan, 1.0]) == 0


def test_half_is_of_the_peak_so_far() -> None:
    assert stability.halved([1, 2, 8]) == [False, False, False]
    assert stability.halved([8, 4, 3.9, 8]) == [False, False, True, False]
    assert stability.halved([8, math.nan]) == [False, True]
    assert stability.halved([0, 0]) == [False, False]


@given(st.lists(st.booleans()))
def test_since_is_where_the_last_stretch_begins(wrong: list[bool]) -> None:
    at = stability.since(range(len(wrong)), wrong)
    if at is None:
        assert not wrong or not wrong[-1]
    else:
        assert all(wrong[at:]) and (at == 0 or not wrong[at - 1])


def test_the_gap_to_the_best() -> None:
    assert stability.last_minus_best([2, 1, math.nan, 1.25]) == 0.25
    assert stability.last_minus_best([2, 7, 5], higher=True) == 2
    assert stability.last_minus_best([1.0, math.nan]) == math.inf
    assert stability.last_minus_best([]) == math.inf


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_the_gap_is_never_negative(values: list[float]) -> None:
    assert stability.last_minus_best(values) >= 0
    assert stability.last_minus_best(values, higher=True) >= 0


def test_gradient_ratio_and_saturation() -> None:
    assert stability.gradient_ratio([1, 2, 9, math.nan], [1, 1, 3, 1]) == 2
    assert math.isnan(stability.gradient_ratio([1.0], [0.0]))
    edge = math.log(99)
    assert stability.saturation(torch.tensor([edge + 0.01, -edge - 0.01, edge - 0.01, 0])) == 0.5
    assert math.isnan(stability.saturation(torch.tensor([0.0, math.nan])))


def test_a_straight_path() -> None:
    path = Track.start([torch.zeros(2), torch.zeros(1, 1)])
    for k in range(1, 6):
        path = path.add([torch.tensor([3.0 * k, 0.0]), torch.tensor([[4.0 * k]])])
    assert path.read() == {"path_length": 25.0, "path_ratio": pytest.approx(1), "update_cosine": pytest.approx(1)}


@pytest.mark.parametrize("corners", [3, 4, 12])
def test_a_path_around_a_polygon_turns_by_its_outer_angle(corners: int) -> None:
    angle = 2 * math.pi / corners
    points = [torch.tensor([math.cos(k * angle), math.sin(k * angle)], dtype=torch.float64) for k in range(corners + 1)]
    path = Track.start(points[:1])
    for point in points[1:-1]:
        path = path.add([point])
    side = 2 * math.sin(angle / 2)
    expected = {
        "path_length": (corners - 1) * side,
        "path_ratio": corners - 1,
        "update_cosine": math.cos(angle),
    }
    assert path.read() == pytest.approx(expected)


def test_players_that_move_in_place_are_safe() -> None:
    """A path that kept a reference would find every update to be zero."""
    player = torch.zeros(3)
    path = Track.start([player])
    for _ in range(4):
        player += 1
        path = path.add([player])
    assert path.read()["path_length"] == pytest.approx(4 * math.sqrt(3))


def test_a_path_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    points = randn(10, 5)
    whole = Track.start([points[0]])
    for point in points[1:]:
        whole = whole.add([point])
    half = Track.start([points[0]])
    for point in points[1:5]:
        half = half.add([point])
    torch.save(dict(vars(half)), tmp_path / "path.pt")
    half = Track(**torch.load(tmp_path / "path.pt", weights_only=True))
    for point in points[5:]:
        half = half.add([point])
    assert half.read() == whole.read()


def test_a_path_that_stands_still_or_blows_up() -> None:
    path = Track.start([torch.ones(2)]).add([torch.ones(2)]).add([torch.ones(2)])
    assert path.read() == pytest.approx({"path_length": 0, "path_ratio": 1, "update_cosine": math.nan}, nan_ok=True)
    blown = path.add([torch.full((2,), math.nan)])
    assert math.isnan(blown.read()["path_length"])


def test_adding_to_a_path_waits_for_no_device() -> None:
    """Nothing on the meta device has a value, so a read of one on the host would raise."""
    path = Track.start([torch.zeros(3, device="meta")])
    assert path.add([torch.ones(3, device="meta")]).length.device.type == "meta"
