"""Whether samples are copies of training images, and whether they fill the same cells: scores on rows of numbers."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor

NULL = 0.05  # the share of test images that are as near to a training image as what counts as memorised
BINS, SOME = 20, 5000  # cells, and how many rows at most they are fitted to
SIGNIFICANT = NormalDist().inv_cdf(0.975)


def nearest(x: Tensor, train: Tensor) -> Tensor:
    """The distance of every row to its nearest training row, (n,)."""
    # |x|² + |t|² - 2xt loses the last digits of a small distance, so the nearest row is found by it and measured anew.
    index = torch.cat([torch.cdist(part, train).argmin(1) for part in x.split(256)])
    return (x - train[index]).norm(dim=1)


def reach(test: Tensor, train: Tensor) -> float:
    """The distance to the nearest training row that one test row in twenty stays below."""
    return float(nearest(test, train).quantile(NULL))


def memorised(x: Tensor, train: Tensor, reach: float) -> float:
    """The share of rows that lie nearer to a training row than all but one test row in twenty do.

    Fresh data score .05, copies 1. nan where a row is not finite.

    >>> train = torch.arange(10.0)[:, None]
    >>> memorised(torch.tensor([[1.0], [2.4], [3.5], [20.0]]), train, reach=0.1)
    0.25
    """
    return float((nearest(x, train) < reach).double().mean()) if bool(x.isfinite().all()) else math.nan


def bins(train: Tensor, count: int = BINS) -> Tensor:
    """The centres of cells of the training rows, by k-means, (count, d)."""
    some = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:SOME]
    rows = np.unique(train.cpu()[some].double().numpy(), axis=0)
    centres = kmeans2(rows, count, minit="++", seed=0)[0] if len(rows) > count else rows
    return torch.from_numpy(centres).to(train)


def filled(centres: Tensor, x: Tensor) -> Tensor:
    """The share of rows in each cell, (count,): a row is in the cell of the nearest centre.

    >>> filled(torch.tensor([[0.0], [10.0]]), torch.tensor([[1.0], [9.0], [2.0], [-5.0]]))
    tensor([0.7500, 0.2500], dtype=torch.float64)
    """
    return torch.bincount(torch.cdist(x, centres).argmin(1), minlength=len(centres)).double() / len(x)


def different_bins(centres: Tensor, x: Tensor, y: Tensor) -> float:
    """The share of cells that x and y fill differently, by a test of two proportions at 5 %; .05 for two alike.

    nan where a row of y is not finite.

    Source: Richardson & Weiss, On GANs and GMMs, 2018, where it is called NDB/K.
    """
    if not bool(y.isfinite().all()):
        return math.nan
    p, q = filled(centres, x), filled(centres, y)
    pooled = (len(x) * p + len(y) * q) / (len(x) + len(y))
    deviation = (pooled * (1 - pooled) * (1 / len(x) + 1 / len(y))).sqrt()
    return float(((p - q).abs() > SIGNIFICANT * deviation).double().mean())
