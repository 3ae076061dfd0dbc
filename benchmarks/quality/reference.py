"""Trivial models of images that the scores are read against, fitted in a moment."""

from __future__ import annotations

import torch
from torch import Tensor


def k_means(train: Tensor, test: Tensor, clusters: int, rounds: int = 50) -> Tensor:
    """Cluster of every test row, (tests,), by Lloyd's algorithm on the training rows from `clusters` of them.

    >>> x = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    >>> assigned = k_means(x, x, 2)
    >>> bool(assigned[0] == assigned[1] != assigned[2] == assigned[3])
    True
    """
    centres = train[_some(len(train), clusters)]
    for _ in range(rounds):
        near = torch.cdist(train, centres).argmin(1)
        centres = torch.stack([train[near == k].mean(0) if (near == k).any() else centres[k] for k in range(clusters)])
    return torch.cdist(test, centres).argmin(1)


def bernoulli_mixture_nll(train: Tensor, test: Tensor, components: int, rounds: int = 60) -> float:
    """-E log p(test) in nats of a mixture of products of Bernoullis, fitted by EM to `train`, rows of zeros and ones.

    >>> round(bernoulli_mixture_nll(torch.tensor([[0.0], [1.0]]).repeat(100, 1), torch.tensor([[1.0]]), 1), 4)
    0.6931
    """
    mean = 0.5 * train[_some(len(train), components)] + 0.25
    weight = mean.new_full((components,), 1 / components)
    for _ in range(rounds):
        share = _joint(train, mean, weight).softmax(dim=1)  # rows, components
        count = share.sum(0)
        # One pseudo-observation of each outcome keeps every probability off 0 and 1.
        mean = (share.T @ train + 1) / (count[:, None] + 2)
        weight = (count + 1) / (len(train) + components)
    return -float(_joint(test, mean, weight).logsumexp(1).mean())


def _joint(x: Tensor, mean: Tensor, weight: Tensor) -> Tensor:
    return x @ mean.log().T + (1 - x) @ (1 - mean).log().T + weight.log()


def _some(total: int, count: int) -> Tensor:
    return torch.randperm(total, generator=torch.Generator().manual_seed(0))[:count]
