"""Distances between two samples of features: `x` is real, `y` is generated, both (n, d); a score is a float.

All are computed in float64 on the CPU, so a score does not depend on the device. Samples that are not finite score nan:
a diverged run is a result.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def fd(x: Tensor, y: Tensor) -> float:
    """Frechet distance between the Gaussians fitted to two samples (Heusel et al. 2017; Dowson and Landau 1982).

    `|m_x - m_y|^2 + tr(S_x + S_y - 2 (S_x^1/2 S_y S_x^1/2)^1/2)`. A small sample biases it upwards, so only equal
    sizes compare.

    Raises:
        ValueError: the sizes differ, or there are fewer than 2 d samples.
    """
    x, y = _pair(x, y)
    _same_size(x, y)
    if len(x) < 2 * x.shape[1]:
        raise ValueError(f"fd in {x.shape[1]} dimensions needs at least {2 * x.shape[1]} samples, not {len(x)}")
    if not _finite(x, y):
        return math.nan
    one, two = _covariance(x), _covariance(y)
    root = _sqrt(one)
    # The product is symmetric and positive semidefinite; rounding alone makes an eigenvalue negative.
    cross = torch.linalg.eigvalsh(root @ two @ root).clamp(min=0).sqrt().sum()
    return float((x.mean(0) - y.mean(0)).square().sum() + one.trace() + two.trace() - 2 * cross)


def kid(x: Tensor, y: Tensor) -> float:
    """Unbiased squared MMD with the kernel `k(a, b) = (a.b / d + 1)^3` (Binkowski et al. 2018); it may be negative.

    `sum_{i!=j} k(x_i, x_j) / n(n-1) + sum_{i!=j} k(y_i, y_j) / m(m-1) - 2 mean k(x_i, y_j)`.
    """
    x, y = _pair(x, y)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a: Tensor) -> Tensor:
        k, n = kernel(a, a), len(a)
        return (k.sum() - k.trace()) / (n * (n - 1))

    return float(within(x) + within(y) - 2 * kernel(x, y).mean()) if _finite(x, y) else math.nan


def prdc(x: Tensor, y: Tensor, k: int = 5) -> dict[str, float]:
    """Precision, recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020) on neighbourhood balls.

    B(a) is the open ball around `a` up to its k-th neighbour in its own sample. Precision: share of y in some B(x_i);
    recall: share of x in some B(y_j); density: mean over y of #{i: y in B(x_i)} / k, which may exceed 1; coverage:
    share of the B(x_i) that hold a y.

    Raises:
        ValueError: a sample has k points or fewer.
    """
    x, y = _pair(x, y)
    if min(len(x), len(y)) <= k:
        raise ValueError(f"prdc with k={k} needs more than {k} samples on each side, not {len(x)} and {len(y)}")
    if not _finite(x, y):
        return dict.fromkeys(("precision", "recall", "density", "coverage"), math.nan)
    distance = _distance(x, y)  # (n, m)
    in_x = distance < _radius(x, k)[:, None]
    in_y = distance < _radius(y, k)[None, :]
    return {
        "precision": in_x.any(0).double().mean().item(),
        "recall": in_y.any(1).double().mean().item(),
        "density": in_x.double().sum(0).mean().item() / k,
        "coverage": in_x.any(1).double().mean().item(),
    }


def classifier_score(probabilities: Tensor) -> float:
    """`exp(E KL(p(c|y) || p(c)))` of probabilities (n, classes), in [1, classes] (Salimans et al. 2016).

    >>> round(classifier_score(torch.eye(4)), 6), round(classifier_score(torch.full((5, 4), 0.25)), 6)
    (4.0, 1.0)
    """
    p = probabilities.detach().double().cpu()
    return float((torch.xlogy(p, p) - torch.xlogy(p, p.mean(0))).sum(1).mean().exp())


def sliced_w2(x: Tensor, y: Tensor, projections: int = 128, seed: int = 0) -> float:
    """Sliced Wasserstein-2 distance: root mean square of the 1-D distances along fixed random directions.

    In one dimension the best coupling pairs the sorted values (Rabin et al. 2011).

    Raises:
        ValueError: the sizes differ.
    """
    x, y = _pair(x, y)
    _same_size(x, y)
    if not _finite(x, y):
        return math.nan
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(x.shape[1], projections, generator=generator, dtype=torch.float64)
    directions /= directions.norm(dim=0)
    gaps = (x @ directions).sort(0).values - (y @ directions).sort(0).values
    return float(gaps.square().mean().sqrt())


def _pair(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    x, y = (z.detach().double().cpu().flatten(1) for z in (x, y))
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"the samples have {x.shape[1]} and {y.shape[1]} dimensions")
    return x, y


def _same_size(x: Tensor, y: Tensor) -> None:
    if len(x) != len(y):
        raise ValueError(f"the samples must have equal sizes, not {len(x)} and {len(y)}")


def _finite(x: Tensor, y: Tensor) -> bool:
    return bool(x.isfinite().all() and y.isfinite().all())


def _covariance(x: Tensor) -> Tensor:
    centred = x - x.mean(0)
    return centred.T @ centred / (len(x) - 1)


def _sqrt(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def _distance(x: Tensor, y: Tensor) -> Tensor:
    # The matrix-product shortcut loses half the digits between near points, and collapsed samples are all near.
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _radius(x: Tensor, k: int) -> Tensor:
    return _distance(x, x).kthvalue(k + 1, dim=1).values  # the first neighbour is the point itself
