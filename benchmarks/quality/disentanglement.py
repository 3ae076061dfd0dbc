"""Whether each number of a code tells one factor that the data were made from, as disentanglement_lib scores it.

Codes are (n, numbers), the means of q(z|x) as a rule; factors, (n, factors), are integers. The rows stand for the
population, best as all combinations of the factors; disentanglement_lib draws 10,000 rows at random to learn from and
5,000 to test on. No score depends on the order of the numbers or on their sign, nor, but for what counts as idle in
codes with the prior N(0, I), on their scale.

Source: Locatello et al., Challenging Common Assumptions in the Unsupervised Learning of Disentangled Representations,
2019, and its program disentanglement_lib.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.problem import Metric

Array: TypeAlias = NDArray[Any]

BINS = 20
TRAIN = 2 / 3  # of the rows; the others are tested on
VOTES, GROUP = (3000, 2000), 64  # to learn from and to test on, and the rows that cast one
TREES = 20
IDLE = 0.06  # the deviation, beside a prior's 1, below which a number says nothing
METRICS = tuple(
    Metric(name, "higher", range=(0, 1))
    for name in ("mig", "sap", "dci_disentanglement", "dci_completeness", "dci_informativeness", "factor_score")
)


def scores(codes: Tensor, factors: Tensor) -> dict[str, float]:
    """Every score by its name, of codes whose prior is N(0, I); nan where a code is not finite."""
    if not bool(codes.isfinite().all()):
        return {metric.name: math.nan for metric in METRICS}
    told = {f"dci_{name}": value for name, value in dci(codes, factors).items()}
    found = {"mig": mig(codes, factors), "sap": sap(codes, factors), **told}
    return {**found, "factor_score": factor_score(codes, factors, IDLE)}


def declared(headline: str = "") -> Sequence[Metric]:
    """The declarations of what `scores` yields; the headline leads, if one of these does."""
    return [replace(metric, headline=metric.name == headline) for metric in METRICS]


def mig(codes: Tensor, factors: Tensor) -> float:
    """Mutual information gap: mean over factors v of (I(z_1; v) - I(z_2; v)) / H(v), z_1 and z_2 the most telling ones.

    A number is sorted into 20 bins of equal width. Here, unlike in disentanglement_lib, one that has at most 20 values
    keeps them apart, so that nothing is lost of one that tells a factor exactly.

    Source: Chen, Li, Grosse & Duvenaud, Isolating Sources of Disentanglement in Variational Autoencoders, 2018.

    >>> import torch
    >>> grid = torch.cartesian_prod(torch.arange(4), torch.arange(3))
    >>> round(mig(grid, grid), 6), abs(round(mig(grid[:, [1, 1]], grid), 6))
    (1.0, 0.0)
    """
    from sklearn.metrics import mutual_info_score

    z, v = _read(codes, factors)
    binned = [binning(column) for column in z.T]
    told = np.array([[mutual_info_score(truth, bins) for bins in binned] for truth in v.T])
    entropy = np.array([mutual_info_score(truth, truth) for truth in v.T])
    return float(np.mean(_gap(told) / entropy))


def binning(z: Array) -> Array:
    """The bin of each number, (n,): its value, where there are at most 20 of them, else one of 20 of equal width."""
    low, high = z.min(), z.max()
    unit = (z - low) / (high - low) if high > low else 0 * z
    values, which = np.unique(unit.round(6), return_inverse=True)
    return which if len(values) <= BINS else np.minimum((BINS * unit).astype(int), BINS - 1)


def sap(codes: Tensor, factors: Tensor) -> float:
    """Separated attribute predictability: mean over factors of the accuracy of the best number less the second best.

    Accuracy is that of a linear support vector machine, C = .01 and classes balanced, that sees one number alone. A
    factor of many values is never told well by a line, so the best score there is lies below 1. Numbers come with
    deviation 1, where disentanglement_lib takes them as they are and the penalty depends on their scale.

    Source: Kumar, Sattigeri & Balakrishnan, Variational Inference of Disentangled Latent Concepts, 2018.
    """
    from sklearn.svm import LinearSVC

    z, v = _read(codes, factors)
    z = (z - z.mean(0)) / _deviation(z)
    train, test = _parts(len(z))

    def accuracy(number: Array, truth: Array) -> float:
        svm = LinearSVC(C=0.01, class_weight="balanced", dual=False)
        return float(svm.fit(number[train, None], truth[train]).score(number[test, None], truth[test]))

    return float(np.mean(_gap(np.array([[accuracy(number, truth) for number in z.T] for truth in v.T]))))


def dci(codes: Tensor, factors: Tensor) -> dict[str, float]:
    """Disentanglement, completeness and informativeness, from the importance R of a number for telling a factor.

    Disentanglement is 1 - H(R_i· / ΣR_i·) to the base of the count of factors, mean over numbers i weighted by their
    share of R; completeness the same of the columns, to the base of the count of numbers; informativeness the accuracy
    on rows unseen. R are importances in a forest of 20 trees, the kind of the source; disentanglement_lib boosts 100
    trees a class, which takes fifty times as long.

    Source: Eastwood & Williams, A Framework for the Quantitative Evaluation of Disentangled Representations, 2018.
    """
    from sklearn.ensemble import RandomForestClassifier

    z, v = _read(codes, factors)
    train, test = _parts(len(z))
    # All numbers stand to choice at every node: a number drawn by chance would get importance that it has not earned.
    forest = partial(RandomForestClassifier, TREES, max_features=None, random_state=0)
    models = [forest().fit(z[train], truth[train]) for truth in v.T]
    right = [model.score(z[test], truth[test]) for model, truth in zip(models, v.T, strict=True)]
    importance = np.stack([model.feature_importances_ for model in models], axis=1)  # (numbers, factors)
    return {
        "disentanglement": concentration(importance),
        "completeness": concentration(importance.T),
        "informativeness": float(np.mean(right)),
    }


def concentration(importance: Array) -> float:
    """1 - the entropy of each row, to the base of its length, mean over the rows weighted by their sums.

    >>> concentration(np.array([[1.0, 0.0], [0.0, 1.0]])), concentration(np.ones((3, 2)))
    (1.0, 0.0)
    """
    from scipy.stats import entropy

    rows, total = importance.sum(1), importance.sum()
    weights = rows / total if total > 0 else np.full(len(rows), 1 / len(rows))
    return max(0.0, float(np.sum(weights * (1 - entropy(importance + 1e-11, base=importance.shape[1], axis=1)))))


def factor_score(codes: Tensor, factors: Tensor, idle: float = 0.0) -> float:
    """FactorVAE's score: how often the number that varies least among 64 rows tells which factor they have in common.

    Each group of rows votes for the number with the least variance, relative to that of all rows; a number stands for
    the factor that most of its 3,000 votes were cast under, and 2,000 more are tested; in disentanglement_lib 10,000
    and 5,000. A number with a deviation of at most `idle` gets no vote; there, constants get them all.

    Source: Kim & Mnih, Disentangling by Factorising, 2018.
    """
    z, v = _read(codes, factors)
    deviation = z.std(0)
    active = deviation > idle
    if not active.any():
        return 0.0
    z, stream = z[:, active] / deviation[active], np.random.default_rng(0)
    learned, tested = (_votes(z, v, count, stream) for count in VOTES)
    return float(tested[learned.argmax(0), np.arange(z.shape[1])].sum() / tested.sum())


def _votes(z: Array, v: Array, count: int, stream: np.random.Generator) -> Array:
    """How often each number varies least while each factor is fixed, (factors, numbers)."""
    rows = {(k, value): np.flatnonzero(v[:, k] == value) for k in range(v.shape[1]) for value in np.unique(v[:, k])}
    found = np.zeros((v.shape[1], z.shape[1]), dtype=int)
    fixed, first = stream.integers(v.shape[1], size=count), stream.integers(len(v), size=count)
    groups = np.stack([stream.choice(rows[k, v[row, k]], GROUP) for k, row in zip(fixed, first, strict=True)])
    np.add.at(found, (fixed, z[groups].var(1).argmin(1)), 1)
    return found


def _read(codes: Tensor, factors: Tensor) -> tuple[Array, Array]:
    """Both as arrays.

    Raises:
        ValueError: they do not go together, or cannot be scored.
    """
    z, v = codes.detach().double().cpu().numpy(), factors.detach().cpu().numpy()
    if z.ndim != 2 or v.ndim != 2 or len(z) != len(v):
        raise ValueError(f"codes {z.shape} and factors {v.shape}: give (n, numbers) and (n, factors), a row a datum.")
    if z.shape[1] < 2:
        raise ValueError("codes of 1 number cannot be scored: every score compares two.")
    if not np.isfinite(z).all():
        raise ValueError("codes are not finite: use scores, which yields nan.")
    if (v == v[0]).all(0).any():
        raise ValueError(f"factor {(v == v[0]).all(0).argmax()} has one value: leave it out.")
    return z, v


def _parts(count: int) -> tuple[Array, Array]:
    """The rows to learn from and those to test on."""
    order = np.random.default_rng(0).permutation(count)
    return order[: round(TRAIN * count)], order[round(TRAIN * count) :]


def _deviation(z: Array) -> Array:
    deviation = z.std(0)
    return np.where(deviation > 0, deviation, 1.0)


def _gap(told: Array) -> Array:
    """The largest less the second largest of each row."""
    ordered = np.sort(told, axis=1)
    return ordered[:, -1] - ordered[:, -2]
