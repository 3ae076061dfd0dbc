"""Scores of models that know classes: does the class of a sample agree with what was asked for?"""

from __future__ import annotations

import math

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from benchmarks.data import Images
from benchmarks.quality.features import Recipe, accuracy, train

FAIR = 0.2  # of a class's share among the data, from which samples have it


def share(right: Tensor) -> float:
    """How many of the answers are right, as a share.

    >>> share(torch.tensor([True, True, False, True]))
    0.75
    """
    return float(right.double().mean())


def auc(low: Tensor, high: Tensor) -> float:
    """The probability that one of the second values exceeds one of the first ones, ties counting half.

    nan where a value is not finite.

    >>> auc(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]))
    0.875
    """
    if not bool(torch.cat((low, high)).isfinite().all()):
        return math.nan
    above = (high[:, None] > low).double() + 0.5 * (high[:, None] == low)
    return float(above.mean())


def agreement(probabilities: Tensor, labels: Tensor) -> float:
    """Share of samples whose most probable class (of (n, classes)) is the label that was asked for, (n,).

    >>> agreement(torch.eye(3), torch.tensor([0, 1, 1]))
    0.6666666666666666
    """
    return share(probabilities.argmax(1) == labels)


def spread(probabilities: Tensor, shares: Tensor) -> dict[str, float]:
    """How samples spread over classes, by the most probable one of each.

    `classes`: those with at least a fifth of their share among the data; `class_kl`: KL(samples || data) of the shares.
    nan where a sample is not finite.

    >>> spread(torch.eye(4)[[0, 0, 1, 1]], torch.full((4,), 0.25))
    {'classes': 2.0, 'class_kl': 0.6931471805599453}
    """
    if not bool(probabilities.isfinite().all()):
        return {"classes": math.nan, "class_kl": math.nan}
    told = torch.bincount(probabilities.argmax(1).cpu(), minlength=len(shares)).double() / len(probabilities)
    kl = torch.where(told > 0, told * (told / shares.double()).log(), 0.0).sum()
    fair = (told >= FAIR * shares) & (shares > 0)
    return {"classes": float(fair.sum()), "class_kl": max(0.0, float(kl))}


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


def nmi(codes: Tensor, classes: Tensor) -> float:
    """Mutual information of codes and classes over the mean of their entropies: 1 where one tells the other.

    >>> classes = torch.tensor([0, 0, 1, 1])
    >>> nmi(1 - classes, classes), nmi(torch.tensor([0, 1, 0, 1]), classes)
    (1.0, 0.0)
    """
    from sklearn.metrics import normalized_mutual_info_score  # only now: most workers do without

    return float(normalized_mutual_info_score(classes.cpu().numpy(), codes.cpu().numpy()))


def train_on_generated(images: Tensor, labels: Tensor, real: Images, epochs: int = 20, seed: int = 0) -> float:
    """Accuracy on real test images of a classifier trained on generated ones alone (Ravuri and Vinyals 2019).

    `images` are (n, channels, size, size) of the same size as `real`; the floor is the same with as many real images.
    """
    generated = Images(real.name, images.detach().float(), labels, real.test, real.test_labels, real.classes)
    return accuracy(train(generated, Recipe(epochs=epochs, batch=64), seed), real.test, real.test_labels)
