"""What codes say of a model: how many of them are used, and how far they are, all together, from their prior."""

from __future__ import annotations

import math

import torch
from torch import Tensor

ACTIVE = 0.01  # the variance over the data from which on a unit counts as used (Burda, Grosse & Salakhutdinov, 2016)


def active(means: Tensor) -> float:
    """How many dimensions of the posterior means (n, d) vary over the data by more than .01: Var_x E_q z_j > .01.

    >>> active(torch.tensor([[0.0, 0.0], [1.0, 0.1]]))
    1.0
    """
    return float((means.double().var(0, correction=0) > ACTIVE).sum())


def mmd(x: Tensor, y: Tensor) -> float:
    """Unbiased squared MMD of two samples (n, d), (m, d) with the kernel 2d / (2d + |a - b|²); it may be negative.

    nan where a row is not finite.

    Source: Tolstikhin et al., Wasserstein Auto-Encoders, 2018, where 2d is E|a - b|² of two standard normal codes.
    """
    if not bool(x.isfinite().all() and y.isfinite().all()):
        return math.nan
    x, y, scale = x.double(), y.double(), 2 * x.shape[1]

    def within(a: Tensor) -> Tensor:
        return (scale / (scale + torch.cdist(a, a).square())).sum().sub(len(a)) / (len(a) * (len(a) - 1))

    across = (scale / (scale + torch.cdist(x, y).square())).mean()
    return float(within(x) + within(y) - 2 * across)


def midpoints(codes: Tensor) -> Tensor:
    """Halfway from every code to the nearest other one, (n, d): what a model decodes there should look like data.

    >>> midpoints(torch.tensor([[0.0], [1.0], [5.0]])).flatten().tolist()
    [0.5, 0.5, 3.0]
    """
    apart = torch.cdist(codes, codes).fill_diagonal_(math.inf)
    return (codes + codes[apart.argmin(1)]) / 2


def plane(codes: Tensor) -> Tensor:
    """Codes along their first two principal axes, (n, 2), as they are where they have two dimensions.

    Codes of one dimension lie on a line; those that are not finite are nan.

    >>> plane(torch.tensor([[0.0, 1.0, 0.0], [0.0, 3.0, 0.0], [1.0, 5.0, 0.0]])).shape
    torch.Size([3, 2])
    """
    if codes.shape[1] == 1:
        return torch.cat((codes, torch.zeros_like(codes)), dim=1)
    if codes.shape[1] == 2:
        return codes
    if not bool(codes.isfinite().all()):
        return torch.full_like(codes[:, :2], math.nan)
    centred = codes.double() - codes.double().mean(0)
    return (centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:2].T).to(codes)
