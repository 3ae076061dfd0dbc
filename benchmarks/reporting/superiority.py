"""Whether one method is better than another, and what a comparison of so many seeds can find. Needs no torch.

P(A > B) is the probability that a run of A beats a run of B on the same problem, ties counting ½. Runs of two methods
are compared unpaired: that they share a seed ties their results together hardly at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from benchmarks.reporting.statistics import FEW, LEAST
from benchmarks.statistics import Interval

LEVEL = 0.05
ENOUGH = 0.75
"""The least P(A > B) that is worth a claim."""
EXACT = 64  # runs of one problem, up to which all rearrangements are counted
DIGITS = 9  # to which two statistics are the same
SIMULATED = 2000
FOUND = 0.8
"""The power at which a difference counts as one that would be found."""
FAR = 8.0  # a shift, in standard deviations, beyond which all is separate


class Superiority(NamedTuple):
    """How two methods compare.

    Args:
        better: P(A > B), and its interval.
        p: of exchangeable runs, two-sided; 1 where there is nothing to compare.
    """

    better: Interval
    p: float


def superiority(a: Sequence[Any], b: Sequence[Any]) -> Superiority:
    """Compare two methods over seeds and problems; each problem counts the same.

    The interval is Wilson's (1927), with as many trials as there are runs of the method that has fewer: the variance
    of the estimate on one problem is at most θ(1 - θ)/min(m, n), whatever the distributions (Birnbaum and Klose,
    1957), and θ(1 - θ) is concave, so that it holds for the mean over problems as well. Methods that diverge now and
    then come near that bound, where the usual intervals undercover. The test counts all rearrangements of the runs
    within the problems (Mann and Whitney, 1947; van Elteren, 1960); above 64 runs on a problem it takes the normal law.

    Args:
        a: the scores of A, one array a problem: larger is better, -inf for a run that is lost.
        b: those of B, for the same problems.

    Raises:
        ValueError: a score is nan, or a problem has no runs of one of them.
    """
    pairs = [(np.asarray(x, dtype=float), np.asarray(y, dtype=float)) for x, y in zip(a, b, strict=True)]
    if not pairs or any(not x.size or not y.size or np.isnan(x).any() or np.isnan(y).any() for x, y in pairs):
        raise ValueError("scores are missing, or nan: leave out a problem that one of the two has not been played on.")
    value = float(np.mean([_wins(x, y) for x, y in pairs]))
    least = min(min(len(x), len(y)) for x, y in pairs)
    low, high = wilson(value, least * len(pairs)) if least >= LEAST else (math.nan, math.nan)
    return Superiority(Interval(value, low, high, "95 %" if least >= LEAST else FEW), _tested(pairs, value))


def _wins(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean((a[:, None] > b) + 0.5 * (a[:, None] == b)))


def wilson(share: float, trials: float) -> tuple[float, float]:
    """Both ends of Wilson's 95 % interval, |p - share| = z √(p(1 - p)/n); the share need be of no whole number.

    >>> wilson(1.0, 5)
    (0.5655, 1.0)
    """
    z = float(stats.norm.ppf(1 - LEVEL / 2))
    shrunk = 1 + z**2 / trials
    middle = (share + z**2 / (2 * trials)) / shrunk
    half = z / shrunk * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return min(max(0.0, middle - half), share), max(min(1.0, middle + half), share)  # rounded, they may pass it by


def _tested(pairs: Sequence[tuple[np.ndarray, np.ndarray]], value: float) -> float:
    """The p-value of P(A > B) under exchangeable runs."""
    ranks = [stats.rankdata(np.concatenate(pair)) for pair in pairs]
    if max(map(len, ranks)) > EXACT:
        spread = math.sqrt(sum(_variance(r, len(x)) for r, (x, _) in zip(ranks, pairs, strict=True))) / len(pairs)
        return 1.0 if spread == 0 else float(2 * stats.norm.sf(abs(value - 0.5) / spread))
    points, mass = np.zeros(1), np.ones(1)
    for rank, (x, _) in zip(ranks, pairs, strict=True):
        points, mass = _sum(points, mass, *_null(tuple((2 * rank).astype(int).tolist()), len(x)))
    far = np.abs(points / len(pairs) - 0.5) >= abs(value - 0.5) - 10**-DIGITS
    return min(1.0, float(mass[far].sum()))


def _variance(ranks: np.ndarray, first: int) -> float:
    """Of P(A > B) over all rearrangements of one problem's runs, ties included."""
    second = len(ranks) - first
    return float(ranks.var(ddof=1)) * (first * second / len(ranks)) / (first * second) ** 2


@lru_cache(maxsize=4096)
def _null(doubled: tuple[int, ...], first: int) -> tuple[np.ndarray, np.ndarray]:
    """What P(A > B) can be when `first` of the runs are called A, and how probable each is; ranks come doubled."""
    ways = np.zeros((first + 1, sum(doubled) + 1))  # how many choices of so many runs have which sum of ranks
    ways[0, 0] = 1.0
    for rank in doubled:
        ways[1:, rank:] += ways[:-1, : ways.shape[1] - rank].copy()
    (sums,) = np.nonzero(ways[first])
    second = len(doubled) - first
    return (sums / 2 - first * (first + 1) / 2) / (first * second), ways[first, sums] / ways[first].sum()


def _sum(x: np.ndarray, p: np.ndarray, y: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The law of the sum of two independent discrete numbers."""
    points, where = np.unique(np.round(np.add.outer(x, y), DIGITS), return_inverse=True)
    return points, np.bincount(where.ravel(), weights=np.multiply.outer(p, q).ravel())


def holm(values: Any) -> np.ndarray:
    """p-values adjusted for how many there are, in their order; Holm, 1979. The chance of any false claim is the level.

    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    found = np.asarray(values, dtype=float)
    order = np.argsort(found, kind="stable")
    raised = np.maximum.accumulate(found[order] * np.arange(len(found), 0, -1))
    out = np.empty_like(found)
    out[order] = np.minimum(1.0, raised)
    return out


def claim(better: Interval, p: float) -> int:
    """1 where A may be called better than B, -1 where worse, 0 where no difference is found.

    That takes an interval beyond ½, an estimate of at least ¾ (a difference that matters), and a p-value of at most .05
    after `holm`.

    >>> claim(Interval(0.9, 0.6, 1.0, "95 %"), 0.01), claim(Interval(0.7, 0.6, 0.8, "95 %"), 0.01)
    (1, 0)
    """
    if not p <= LEVEL:
        return 0
    above = better.low > 0.5 and better.value >= ENOUGH
    below = better.high < 0.5 and better.value <= 1 - ENOUGH
    return int(above) - int(below)


def power(better: float, seeds: int, problems: int = 1, comparisons: int = 1) -> float:
    """How probable it is that A is claimed to be better, when P(A > B) is so much on every problem.

    By 2,000 simulated comparisons of normal scores that differ by a shift, √2 Φ⁻¹(P) standard deviations; what Holm's
    correction asks of the smallest of all p-values is asked of this one.

    Args:
        better: the true P(A > B).
        seeds: of each method on each problem.
        problems: on which both are compared.
        comparisons: for how many of them the p-values are corrected.

    Raises:
        ValueError: `better` is no probability between 0 and 1.
    """
    if not 0 < better < 1:
        raise ValueError(f"better is {better}: give a probability between 0 and 1, such as 0.9.")
    return _power(math.sqrt(2) * float(stats.norm.ppf(better)), seeds, problems, comparisons)


@lru_cache(maxsize=4096)
def _power(shift: float, seeds: int, problems: int, comparisons: int) -> float:
    noise = np.random.default_rng(0).normal(size=(SIMULATED, problems, 2, seeds))
    noise[:, :, 0] += shift
    ranks = stats.rankdata(noise.reshape(SIMULATED, problems, 2 * seeds), axis=-1)[..., :seeds].sum(axis=-1)
    found = ((ranks - seeds * (seeds + 1) / 2) / seeds**2).mean(axis=1)
    return float((found >= threshold(seeds, problems, comparisons) - 10**-DIGITS).mean())


@lru_cache(maxsize=1024)
def threshold(seeds: int, problems: int = 1, comparisons: int = 1) -> float:
    """The least P(A > B) as found that makes a claim, without ties; inf where none does, as below five seeds.

    >>> threshold(5), threshold(5, comparisons=10)
    (1.0, inf)
    """
    if seeds < LEAST:
        return math.inf
    points, mass = np.zeros(1), np.ones(1)
    ranks = tuple(range(2, 4 * seeds + 1, 2))
    for _ in range(problems):
        points, mass = _sum(points, mass, *_null(ranks, seeds))
    means = points / problems
    for mean, p in zip(means, 2 * np.cumsum(mass[::-1])[::-1], strict=True):
        value = float(np.round(mean, DIGITS))
        if claim(Interval(value, *wilson(min(1.0, value), seeds * problems), "95 %"), p * comparisons) > 0:
            return value
    return math.inf


def detectable(seeds: int, problems: int = 1, comparisons: int = 1) -> float:
    """The least true P(A > B) that is found with a power of 80 %; nan where nothing is found, however large.

    By bisection on the shift of `power`, whose simulated noise is the same for all shifts.
    """
    low, high = 0.0, FAR
    if _power(high, seeds, problems, comparisons) < FOUND:
        return math.nan
    while high - low > 1e-2:
        middle = (low + high) / 2
        low, high = (low, middle) if _power(middle, seeds, problems, comparisons) >= FOUND else (middle, high)
    return float(stats.norm.cdf(high / math.sqrt(2)))
