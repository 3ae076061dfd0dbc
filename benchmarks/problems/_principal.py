"""Principal components: the linear autoencoder that models are read beside."""

from __future__ import annotations

import torch
from torch import Tensor


def principal(train: Tensor, test: Tensor, components: int) -> Tensor:
    """Test images as far as the first principal components of the training images tell them apart, shaped like them.

    >>> x = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])
    >>> torch.allclose(principal(x, torch.tensor([[3.0, 5.0]]), 1), torch.tensor([[3.0, 1.0]]))
    True
    """
    mean, axes = fitted(train, components)
    return (mean + (test.flatten(1) - mean) @ axes.T @ axes).view_as(test)


def coordinates(train: Tensor, test: Tensor, components: int) -> Tensor:
    """Test images along the first principal components of the training images, (tests, components)."""
    mean, axes = fitted(train, components)
    return (test.flatten(1) - mean) @ axes.T


def fitted(train: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """The mean of the images as rows, and their first principal axes, (components, pixels)."""
    rows, mean = train.flatten(1), train.flatten(1).mean(0)
    return mean, torch.linalg.svd(rows - mean, full_matrices=False).Vh[:components]
