"""Principal components: the linear autoencoder that the hybrids are read beside."""

from __future__ import annotations

import torch
from torch import Tensor


def principal(train: Tensor, test: Tensor, components: int) -> Tensor:
    """Test images as far as the first principal components of the training images tell them apart, shaped like them.

    >>> x = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])
    >>> torch.allclose(principal(x, torch.tensor([[3.0, 5.0]]), 1), torch.tensor([[3.0, 1.0]]))
    True
    """
    rows, mean = train.flatten(1), train.flatten(1).mean(0)
    axes = torch.linalg.svd(rows - mean, full_matrices=False).Vh[:components]
    return (mean + (test.flatten(1) - mean) @ axes.T @ axes).view_as(test)
