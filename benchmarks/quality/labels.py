"""Scores of models that know classes: does the class of a sample agree with what was asked for?"""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from benchmarks.data import Images
from benchmarks.quality.features import Recipe, accuracy, train


def share(right: Tensor) -> float:
    """How many of the answers are right, as a share.

    >>> share(torch.tensor([True, True, False, True]))
    0.75
    """
    return float(right.double().mean())


def agreement(probabilities: Tensor, labels: Tensor) -> float:
    """Share of samples whose most probable class (of (n, classes)) is the label that was asked for, (n,).

    >>> agreement(torch.eye(3), torch.tensor([0, 1, 1]))
    0.6666666666666666
    """
    return share(probabilities.argmax(1) == labels)


def confusion(codes: Tensor, classes: Tensor, count: int) -> Tensor:
    """Count of every pair (code, class), `count x count`.

    >>> confusion(torch.tensor([0, 0, 1]), torch.tensor([1, 1, 0]), 2).tolist()
    [[0, 2], [1, 0]]
    """
    return torch.bincount(codes.long() * count + classes.long(), minlength=count**2).unflatten(0, (count, count))


def code_accuracy(codes: Tensor, classes: Tensor, count: int = 10) -> float:
    """Share of samples with `match[code] = class` under the best one-to-one matching (Hungarian method, Kuhn 1955).

    >>> code_accuracy(torch.tensor([0, 1, 2, 2]), torch.tensor([2, 0, 1, 0]), 3)
    0.75
    """
    table = confusion(codes, classes, count).cpu()
    rows, columns = linear_sum_assignment(table.numpy(), maximize=True)
    return float(table[torch.as_tensor(rows), torch.as_tensor(columns)].sum()) / len(codes)


def train_on_generated(images: Tensor, labels: Tensor, real: Images, epochs: int = 20, seed: int = 0) -> float:
    """Accuracy on real test images of a classifier trained on generated ones alone (Ravuri and Vinyals 2019).

    `images` are (n, channels, size, size) of the same size as `real`; the floor is the same with as many real images.
    """
    generated = Images(real.name, images.detach().float(), labels, real.test, real.test_labels, real.classes)
    return accuracy(train(generated, Recipe(epochs=epochs, batch=64), seed), real.test, real.test_labels)
