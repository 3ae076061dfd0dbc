import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.data import stream
from benchmarks.quality import distances

DIRECTIONS = st.integers(0, 10_000)  # a seed that hypothesis can shrink


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=stream(seed), dtype=torch.float64)


def whiten(x: Tensor) -> Tensor:
    """Give a sample exactly mean 0 and covariance I."""
    x = x - x.mean(0)
    inverse: Tensor = torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T)))
    return x @ inverse.T


# --- Frechet distance -----------------------------------------------------------------------------------------------


def test_fd_of_gaussians_that_commute_has_a_closed_form() -> None:
    """With covariances diag(a^2), diag(b^2): |m|^2 + sum (a - b)^2."""
    mean = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    a, b = (torch.tensor(s, dtype=torch.float64) for s in ([1.0, 2.0, 0.1], [3.0, 0.5, 0.1]))
    x, y = whiten(randn(50, 3)) * a, whiten(randn(50, 3, seed=1)) * b + mean
    assert distances.fd(x, y) == pytest.approx(float(mean.square().sum() + (a - b).square().sum()), rel=1e-10)


def test_fd_of_gaussians_that_do_not_commute() -> None:
    """Against tr sqrt(S1 S2) from the eigenvalues of the plain, nonsymmetric product."""
    one, two = randn(4, 4), randn(4, 4, seed=1)
    x, y = whiten(randn(50, 4)) @ one, whiten(randn(50, 4, seed=1)) @ two
    s, t = one.T @ one, two.T @ two
    cross = torch.linalg.eigvals(s @ t).sqrt().real.sum()
    assert distances.fd(x, y) == pytest.approx(float(s.trace() + t.trace() - 2 * cross), rel=1e-9)


@given(DIRECTIONS)
def test_fd_is_a_symmetric_distance_without_a_direction(seed: int) -> None:
    x, y = randn(40, 3, seed=seed), 2 * randn(40, 3, seed=seed + 1) + 1
    turn = torch.linalg.qr(randn(3, 3, seed=seed + 2)).Q
    d = distances.fd(x, y)
    assert d > 0
    assert distances.fd(x, x) == pytest.approx(0, abs=1e-9)
    assert distances.fd(y, x) == pytest.approx(d)
    assert distances.fd(x @ turn + 5, y @ turn + 5) == pytest.approx(d)
    assert distances.fd(3 * x, 3 * y) == pytest.approx(9 * d)


def test_fd_survives_constant_features_and_one_dimension() -> None:
    x = randn(30, 3) * torch.tensor([1.0, 0.0, 0.0])
    assert distances.fd(x, x + 2) == pytest.approx(12)
    assert distances.fd(randn(30, 1), randn(30, 1) + 2) == pytest.approx(4)


def test_fd_refuses_unequal_and_small_samples() -> None:
    with pytest.raises(ValueError, match="equal sizes, not 40 and 41"):
        distances.fd(randn(40, 3), randn(41, 3))
    with pytest.raises(ValueError, match="fd in 20 dimensions needs at least 40 samples, not 39"):
        distances.fd(randn(39, 20), randn(39, 20))
    with pytest.raises(ValueError, match="3 and 4 dimensions"):
        distances.fd(randn(40, 3), randn(40, 4))


# --- kernel distance ------------------------------------------------------------------------------------------------


def test_kid_equals_its_double_sum() -> None:
    x, y = randn(5, 3), randn(4, 3, seed=1) + 0.5

    def k(a: Tensor, b: Tensor) -> float:
        return float((a @ b / 3 + 1) ** 3)

    xx = np.mean([k(x[i], x[j]) for i in range(5) for j in range(5) if i != j])
    yy = np.mean([k(y[i], y[j]) for i in range(4) for j in range(4) if i != j])
    xy = np.mean([k(a, b) for a in x for b in y])
    assert distances.kid(x, y) == pytest.approx(xx + yy - 2 * xy)


def test_kid_is_unbiased_even_on_tiny_samples() -> None:
    same = np.array([distances.kid(randn(8, 2, seed=2 * k), randn(8, 2, seed=2 * k + 1)) for k in range(2000)])
    assert abs(same.mean()) < 4 * same.std() / math.sqrt(len(same))
    assert (same < 0).mean() > 0.2  # the biased estimate is never negative


def test_kid_has_the_value_of_the_population() -> None:
    """In 1-D, N(0, 1) against N(m, 1): the features of (xy + 1)^3 are 1, sqrt3 x, sqrt3 x^2, x^3."""
    m = 1.0
    gaps = [0, math.sqrt(3) * m, math.sqrt(3) * m**2, m**3 + 3 * m]
    expected = sum(gap**2 for gap in gaps)
    found = [distances.kid(randn(300, 1, seed=2 * k), randn(300, 1, seed=2 * k + 1) + m) for k in range(100)]
    assert np.mean(found) == pytest.approx(expected, abs=0.4 * float(np.std(found)))
    assert np.mean(found) == pytest.approx(expected, rel=0.1)


# --- precision, recall, density, coverage ---------------------------------------------------------------------------


def brute_prdc(x: list[list[float]], y: list[list[float]], k: int) -> dict[str, float]:
    def radius(points: list[list[float]], i: int) -> float:
        return sorted(math.dist(points[i], p) for j, p in enumerate(points) if j != i)[k - 1]

    rx, ry = ([radius(points, i) for i in range(len(points))] for points in (x, y))
    inside = [[math.dist(a, b) < r for b in y] for a, r in zip(x, rx, strict=True)]
    return {
        "precision": sum(any(row[j] for row in inside) for j in range(len(y))) / len(y),
        "recall": sum(any(math.dist(a, b) < r for b, r in zip(y, ry, strict=True)) for a in x) / len(x),
        "density": sum(map(sum, inside)) / (k * len(y)),
        "coverage": sum(map(any, inside)) / len(x),
    }


@given(DIRECTIONS, st.integers(1, 5), st.integers(6, 15), st.integers(6, 15), st.floats(0, 2))
def test_prdc_equals_a_loop(seed: int, k: int, n: int, m: int, shift: float) -> None:
    x, y = randn(n, 2, seed=seed), randn(m, 2, seed=seed + 1) + shift
    assert distances.prdc(x, y, k) == pytest.approx(brute_prdc(x.tolist(), y.tolist(), k))


def test_prdc_on_a_set_made_by_hand() -> None:
    """Real 0, 1, 3, 7 with radii 1, 1, 2, 4 for k=1; generated 0.5 and 100 with radius 99.5 each."""
    x, y = (torch.tensor(v)[:, None] for v in ([0.0, 1.0, 3.0, 7.0], [0.5, 100.0]))
    expected = {"precision": 1 / 2, "recall": 1.0, "density": 2 / 2, "coverage": 2 / 4}
    assert distances.prdc(x, y, k=1) == pytest.approx(expected)


def test_prdc_tells_collapse_from_invention() -> None:
    x = torch.cat((randn(100, 2), randn(100, 2, seed=1) + 50))
    collapsed = distances.prdc(x, randn(200, 2, seed=2))
    invented = distances.prdc(randn(200, 2, seed=2), torch.cat((randn(100, 2), randn(100, 2, seed=1) + 50)))
    assert collapsed["precision"] > 0.9 > 0.6 > collapsed["recall"]
    assert invented["recall"] > 0.9 > 0.6 > invented["precision"]
    same = distances.prdc(x, x.clone())
    # An open ball holds its centre and the k - 1 nearest, but not the k-th.
    assert same == pytest.approx({"precision": 1, "recall": 1, "density": 1, "coverage": 1})


def test_prdc_refuses_too_few() -> None:
    with pytest.raises(ValueError, match="k=5 needs more than 5 samples on each side, not 20 and 5"):
        distances.prdc(randn(20, 2), randn(5, 2))


# --- the other scores -----------------------------------------------------------------------------------------------


def test_classifier_score_by_hand() -> None:
    p = torch.tensor([[0.9, 0.1], [0.3, 0.7]])
    kl = [0.9 * math.log(0.9 / 0.6) + 0.1 * math.log(0.1 / 0.4), 0.3 * math.log(0.3 / 0.6) + 0.7 * math.log(0.7 / 0.4)]
    assert distances.classifier_score(p) == pytest.approx(math.exp(sum(kl) / 2))


def test_sliced_w2_in_one_dimension_and_under_translation() -> None:
    x, y = torch.tensor([[0.0], [3.0], [1.0]]), torch.tensor([[5.0], [1.0], [0.0]])
    assert distances.sliced_w2(x, y) == pytest.approx(math.sqrt(4 / 3))  # 0-0, 1-1, 3-5
    x, shift = randn(50, 6), randn(6, seed=1)
    # A direction sees (direction . shift)^2, whose mean is |shift|^2 / d.
    found = distances.sliced_w2(x, x + shift, projections=20_000)
    assert found == pytest.approx(float(shift.norm()) / math.sqrt(6), rel=0.02)
    assert distances.sliced_w2(x, x[torch.randperm(50)]) == pytest.approx(0, abs=1e-12)
    assert distances.sliced_w2(x, x + shift) == distances.sliced_w2(x, x + shift)
    with pytest.raises(ValueError, match="equal sizes, not 50 and 49"):
        distances.sliced_w2(x, x[1:])


def test_samples_that_are_not_finite_score_nan() -> None:
    x = randn(40, 2)
    y = x.clone()
    y[3, 1] = math.inf
    found = [distances.fd(x, y), distances.kid(x, y), distances.sliced_w2(x, y), *distances.prdc(x, y).values()]
    assert all(math.isnan(value) for value in found)
