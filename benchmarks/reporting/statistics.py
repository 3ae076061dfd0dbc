"""How well methods did over seeds and problems, each number with its interval. Needs no torch.

Larger scores are better throughout. Whether one method is better than another: `superiority`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy import stats

from benchmarks.statistics import Interval

Scores: TypeAlias = Sequence[np.ndarray]
"""One array a problem, (methods, seeds) of finite numbers; the same methods in each, the seeds may differ."""

DRAWS = 10_000
LEAST = 5
"""Below so many seeds, or problems where those are resampled, there is no interval: it would promise too much."""
TRIMMED = 0.25  # of the scores at either end, in an interquartile mean
ENDS = (0.025, 0.975)
LIMIT = 4.0  # times the least cost, up to where a profile is scored
FEW = f"none below {LEAST}"


def iqm(values: Any) -> np.ndarray:
    """Interquartile mean along the last axis: of what is left without the lowest and the highest quarter.

    Agarwal et al., 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice". Below four values it
    is the mean.

    >>> float(iqm([0.0, 1.0, 2.0, 900.0]))
    1.5
    """
    return np.asarray(stats.trim_mean(values, TRIMMED, axis=-1))


def resampled(scores: Scores, problems: bool = False, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """IQMs of bootstrap samples, (methods, draws): seeds are drawn within problems, the same for all methods.

    Efron and Tibshirani, 1993, chapter 8.

    Args:
        scores: of all methods on all problems.
        problems: whether problems are drawn too; of each that is drawn come as many seeds as all of them have.
        draws: how many samples.
        seed: of the draws; the same one gives the same samples.

    Raises:
        ValueError: a score is not finite, or the problems have other methods.
    """
    scores = _checked(scores)
    chance = np.random.default_rng(seed)
    if problems:
        least = min(one.shape[1] for one in scores)
        which = chance.integers(len(scores), size=(draws, len(scores), 1))
        count = np.array([one.shape[1] for one in scores])[which]
        seeds = (chance.random((draws, len(scores), least)) * count).astype(int)
        most = int(count.max())
        padded = np.stack([np.pad(one, ((0, 0), (0, most - one.shape[1]))) for one in scores], axis=1)
        return np.stack([iqm(method[which, seeds].reshape(draws, -1)) for method in padded])
    drawn = [chance.integers(one.shape[1], size=(draws, one.shape[1])) for one in scores]
    return np.stack(
        [
            iqm(np.concatenate([one[method][index] for one, index in zip(scores, drawn, strict=True)], axis=1))
            for method in range(scores[0].shape[0])
        ]
    )


def aggregate(scores: Scores, problems: bool = False, draws: int = DRAWS, seed: int = 0) -> list[Interval]:
    """The IQM of every method over seeds and problems, with a 95 % interval.

    The percentiles of a bootstrap undercover at few seeds: its variance is (n - 1)/n of the right one, and it takes it
    for known. So they are moved away from the estimate by √(n/(n - 1)) · t/z, which would make the interval of one mean
    exact for normal scores; t has the degrees of freedom of Welch and Satterthwaite (1946, 1947). For resampled
    problems their number K takes the place of n, and t has K - 1.

    Args:
        scores: of all methods on all problems; with fewer than five seeds on any of them there is no interval.
        problems: whether the interval is for other problems of the kind too (resampled), not for these alone.
        draws: bootstrap samples.
        seed: of the draws.

    Raises:
        ValueError: see `resampled`.
    """
    scores = _checked(scores)
    values = iqm(np.concatenate(list(scores), axis=1))
    seeds = [one.shape[1] for one in scores]
    count = len(seeds) if problems else min(seeds)
    if min(seeds) < LEAST or count < LEAST:
        return [Interval(float(value), math.nan, math.nan, FEW) for value in values]
    freedom = np.full(len(values), count - 1.0) if problems else _freedom(scores)
    wider = math.sqrt(count / (count - 1)) * stats.t.ppf(ENDS[1], freedom) / stats.norm.ppf(ENDS[1])
    ends = np.quantile(resampled(scores, problems, draws, seed), ENDS, axis=1)
    low, high = values + wider * (ends - values)
    return [Interval(float(v), float(a), float(b), "95 %") for v, a, b in zip(values, low, high, strict=True)]


def _freedom(scores: Scores) -> np.ndarray:
    """Degrees of freedom of each method's variance: (Σ nv)²/Σ (nv)²/(n - 1) over the problems.

    v is the variance of the winsorised scores, by which an interquartile mean varies (Tukey and McLaughlin, 1963).
    """
    low, high = np.quantile(np.concatenate(list(scores), axis=1), [TRIMMED, 1 - TRIMMED], axis=1)[..., None]
    seeds = np.array([[one.shape[1]] for one in scores])
    parts = seeds * np.stack([np.clip(one, low, high).var(axis=1, ddof=1) for one in scores])
    total, squares = parts.sum(axis=0), (parts**2 / (seeds - 1)).sum(axis=0)
    least = np.full(total.shape, float(seeds.min() - 1))
    return np.divide(total**2, squares, out=least, where=squares > 0)


def _checked(scores: Scores) -> Scores:
    """The scores, if they can be compared."""
    if not scores or len({one.shape[0] for one in scores}) > 1 or any(one.ndim != 2 or not one.size for one in scores):
        shapes = ", ".join(str(one.shape) for one in scores) or "none"
        raise ValueError(f"scores have shapes {shapes}: give (methods, seeds) a problem, the same methods in each.")
    if not all(np.isfinite(one).all() for one in scores):
        raise ValueError("scores hold a number that is not finite: give a run that diverged the worst score there is.")
    return scores


def normalised(values: Any, base: float, best: float) -> np.ndarray:
    """(base - m)/(base - best) for values m: 0 is no better than the base, or lost, and 1 as good as the best.

    Cut off at 0, so that one run that went far astray cannot outweigh all others.

    Args:
        values: larger is better, -inf for a run that is lost.
        base: what a run has before it begins.
        best: what the best method comes to.

    Raises:
        ValueError: the best is no better than the base.

    >>> normalised([-2.0, -1.0, -4.0, -np.inf], base=-3.0, best=-1.0)
    array([0.5, 1. , 0. , 0. ])
    """
    if not best > base:
        raise ValueError(f"best {best:g} is not above base {base:g}: leave out a problem on which nothing was learnt.")
    return np.maximum(0.0, (base - np.asarray(values, dtype=float)) / (base - best))


def rank_stability(drawn: np.ndarray) -> np.ndarray:
    """How often each method has each rank, (methods, ranks) with 1 first: rows and columns sum to 1.

    Methods that tie share the ranks between them.

    Args:
        drawn: a score of every method in every bootstrap sample, (methods, draws), as of `resampled`.

    >>> rank_stability(np.array([[3.0, 1.0], [2.0, 2.0]]))
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    first, last = (stats.rankdata(-drawn, method=method, axis=0)[:, None] for method in ("min", "max"))
    ranks = np.arange(1, len(drawn) + 1)[:, None]
    return np.mean(((first <= ranks) & (ranks <= last)) / (last - first + 1), axis=2)


def survival(survived: int, count: int) -> Interval:
    """The share of runs that survived, with Wilson's 95 % interval; without one below five runs.

    Wilson, 1927, "Probable Inference, the Law of Succession, and Statistical Inference".

    >>> survival(9, 10)
    Interval(value=0.9, low=0.596, high=0.982, kind='95 %')
    """
    share = survived / count if count else math.nan
    if count < LEAST:
        return Interval(share, math.nan, math.nan, FEW)
    found = stats.binomtest(survived, count).proportion_ci(method="wilson")
    return Interval(share, float(found.low), float(found.high), "95 %")


def expected_best(values: Any, trials: int) -> np.ndarray:
    """E_k for k = 1 to `trials`: the expected best of k settings, drawn with replacement from those tried.

    E_k = Σᵢ x₍ᵢ₎ [(i/n)^k - ((i - 1)/n)^k] for values in ascending order. Dodge et al., 2019, "Show Your Work: Improved
    Reporting of Experimental Results".

    Args:
        values: one a setting, larger is better; -inf, of a setting that is lost, makes every E_k so.
        trials: the greatest k.

    >>> expected_best([0.0, 1.0], 3)
    array([0.5  , 0.75 , 0.875])
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    share = np.arange(len(ordered) + 1)[:, None] / len(ordered)
    return ordered @ np.diff(share ** np.arange(1, trials + 1), axis=0)


def time_to_target(costs: Any, values: Any, target: float) -> float:
    """The first cost from which on the target is met to the end; inf where the last value misses it.

    Args:
        costs: of the evaluations, in ascending order.
        values: of them, larger is better; nan misses.
        target: what is to be reached.

    >>> time_to_target([1, 2, 3, 4], [0.0, 5.0, 0.0, 6.0], 5.0), time_to_target([1, 2], [5.0, 0.0], 5.0)
    (4.0, inf)
    """
    (missed,) = np.nonzero(~(np.asarray(values, dtype=float) >= target))
    first = missed[-1] + 1 if len(missed) else 0
    return float(costs[first]) if first < len(costs) else math.inf


def median_time(times: Any) -> float:
    """The median of times to target, in which those that missed take part as inf; of an even number the later one.

    >>> median_time([1.0, 2.0, np.inf]), median_time([1.0, np.inf])
    (2.0, inf)
    """
    ordered = np.sort(np.asarray(times, dtype=float))
    return float(ordered[len(ordered) // 2]) if len(ordered) else math.nan


def ratios(costs: np.ndarray) -> np.ndarray:
    """Each method's cost over the least on the problem; inf where it missed, or all did.

    Args:
        costs: to target, (methods, problems), above 0; inf of a miss.
    """
    least = costs.min(axis=0)
    return np.divide(costs, least, out=np.full(costs.shape, math.inf), where=np.isfinite(costs))


def profile(costs: np.ndarray, at: Any) -> np.ndarray:
    """Performance profiles ρ(τ), (methods, len(at)): the share of problems that cost at most τ times the least.

    Dolan and Moré, 2002, "Benchmarking optimization software with performance profiles"; as in AlgoPerf (Dahl et al.,
    2023) a problem that nobody solves counts for nobody.

    Args:
        costs: to target, (methods, problems); inf of a miss.
        at: the τ.
    """
    return (ratios(costs)[:, :, None] <= np.asarray(at, dtype=float)).mean(axis=1)


def profile_score(costs: np.ndarray, limit: float = LIMIT) -> np.ndarray:
    """B = ∫₁^limit ρ(τ) dτ / (limit - 1) of every method, between 0 and 1; Dahl et al., 2023, where the limit is 4.

    A problem at ratio r adds (limit - r)/(limit - 1), so that the integral of the steps is exact.

    >>> profile_score(np.array([[1.0, 4.0], [2.0, 2.0]]))
    array([0.8333, 0.8333])
    """
    return np.maximum(0.0, (limit - ratios(costs)) / (limit - 1)).mean(axis=1)
