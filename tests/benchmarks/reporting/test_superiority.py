"""P(A > B), its test and its interval against brute force, scipy and simulated data."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.reporting.superiority import (
    _variance,
    claim,
    detectable,
    holm,
    power,
    superiority,
    threshold,
    wilson,
)
from benchmarks.statistics import Interval

few = st.lists(st.sampled_from([-math.inf, 0.0, 1.0, 2.0]), min_size=1, max_size=4)


def wins(a, b):
    return np.mean([(x > y) + (x == y) / 2 for x, y in product(a, b)])


def rearranged(a, b):
    """P(A > B) under every way to call as many of the runs A."""
    runs = [*a, *b]
    for chosen in combinations(range(len(runs)), len(a)):
        yield wins([runs[k] for k in chosen], [runs[k] for k in range(len(runs)) if k not in chosen])


@given(few, few, few, few)
def test_the_estimate_and_the_test_are_those_of_all_rearrangements(a, b, c, d):
    found = superiority([a, c], [b, d])
    value = (wins(a, b) + wins(c, d)) / 2
    assert found.better.value == pytest.approx(value)
    law = [(x + y) / 2 for x in rearranged(a, b) for y in rearranged(c, d)]
    assert found.p == pytest.approx(np.mean([abs(x - 0.5) >= abs(value - 0.5) - 1e-9 for x in law]))


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 1000))
def test_one_problem_without_ties_is_mann_and_whitneys_test(first, second, seed):
    chance = np.random.default_rng(seed)
    a, b = chance.normal(0.5, size=first), chance.normal(size=second)
    assert superiority([a], [b]).p == pytest.approx(stats.mannwhitneyu(a, b, method="exact").pvalue)


def test_many_runs_take_the_normal_law():
    chance = np.random.default_rng(0)
    a, b = chance.integers(0, 9, 80), chance.integers(1, 9, 60)
    expected = stats.mannwhitneyu(a, b, method="asymptotic", use_continuity=False)
    assert superiority([a], [b]).p == pytest.approx(expected.pvalue)
    assert superiority([np.ones(50)], [np.ones(50)]).p == 1.0


@given(few, few)
def test_the_normal_law_has_the_variance_of_all_rearrangements(a, b):
    ranks = stats.rankdata([*a, *b])
    assert _variance(ranks, len(a)) == pytest.approx(np.var(list(rearranged(a, b))))


@given(few, few)
def test_to_be_better_is_not_to_be_worse(a, b):
    there, back = superiority([a], [b]), superiority([b], [a])
    assert there.better.value == pytest.approx(1 - back.better.value) and there.p == pytest.approx(back.p)


@given(st.integers(0, 30), st.integers(5, 30))
def test_the_interval_is_wilsons(successes, trials):
    successes = min(successes, trials)
    found = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson(successes / trials, trials) == pytest.approx((found.low, found.high), abs=1e-12)


def drawn(chance, kind, size):
    """Simulated runs of A and B, and the true P(A > B)."""
    if kind == "shift":
        return chance.normal(1.0, size=size), chance.normal(size=size), stats.norm.cdf(1 / math.sqrt(2))
    if kind == "same":
        return chance.normal(size=size), chance.normal(size=size), 0.5
    if kind == "spread":
        return chance.normal(0.5, 5.0, size=size), chance.normal(size=size), stats.norm.cdf(0.5 / math.sqrt(26))
    rate = chance.choice([0.1, 0.2, 0.3, 0.4, 0.5], size=(size[0], 1, 1))  # A is better, and lost so often
    lost = chance.random(size) < rate
    return np.where(lost, -np.inf, chance.normal(20, size=size)), chance.normal(size=size), 1 - rate[:, 0, 0]


@pytest.mark.parametrize("kind", ["shift", "same", "spread", "lost"])
@pytest.mark.parametrize("seeds, problems", [(5, 1), (5, 4), (10, 1)])
def test_intervals_hold_the_truth_as_often_as_they_say(kind, seeds, problems):
    """At least 94 % of a nominal 95 %, also where a method is lost now and then, which is as bad as it can be.

    A share of so few runs is coarse: Wilson's interval holds what it says on average over the shares that there may be.
    """
    a, b, truth = drawn(np.random.default_rng(100), kind, (2500, problems, seeds))
    values = ((a[..., :, None] > b[..., None, :]) + 0.5 * (a[..., :, None] == b[..., None, :])).mean(axis=(1, 2, 3))
    low, high = np.array([wilson(value, seeds * problems) for value in values]).T
    assert np.mean((low <= truth) & (truth <= high)) >= 0.94


def test_few_seeds_have_no_interval_and_make_no_claim():
    found = superiority([np.ones(4)] * 9, [np.zeros(4)] * 9)
    assert math.isnan(found.better.low) and found.p < 1e-9 and claim(*found) == 0


@pytest.mark.parametrize("a, b", [([], []), ([[1.0]], [[]]), ([[math.nan]], [[1.0]])])
def test_what_was_not_played_is_refused(a, b):
    with pytest.raises(ValueError, match="leave out a problem"):
        superiority(a, b)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_holm_closes_bonferroni(values):
    """A hypothesis is rejected where every set that holds it is, each by Bonferroni (Marcus, Peritz, Gabriel, 1976)."""
    found = holm(values)
    for k, adjusted in enumerate(found):
        sets = [s for n in range(1, len(values) + 1) for s in combinations(range(len(values)), n) if k in s]
        assert adjusted == pytest.approx(min(1.0, max(len(s) * min(values[j] for j in s) for s in sets)))


def test_a_claim_takes_all_three():
    sure = Interval(0.9, 0.6, 1.0, "95 %")
    assert claim(sure, 0.05) == 1 and claim(sure, 0.051) == 0 and claim(sure, math.nan) == 0
    assert claim(Interval(0.74, 0.6, 0.8, "95 %"), 0.01) == 0 and claim(Interval(0.8, 0.5, 0.9, "95 %"), 0.01) == 0
    assert claim(Interval(0.1, 0.0, 0.4, "95 %"), 0.01) == -1 and claim(Interval(0.3, 0.2, 0.4, "95 %"), 0.01) == 0


def with_wins(count, seeds):
    """Runs of A and B without ties, of which so many pairs are won by A."""
    b = np.arange(seeds) + 0.5
    won = np.full(seeds, count // seeds)
    won[: count % seeds] += 1
    return won + np.linspace(0.1, 0.2, seeds), b


@pytest.mark.parametrize("seeds, comparisons", [(5, 1), (5, 4), (7, 1), (10, 9)])
def test_the_threshold_is_where_claims_begin(seeds, comparisons):
    claims = {}
    for count in range(seeds**2 // 2, seeds**2 + 1):
        a, b = with_wins(count, seeds)
        better, p = superiority([a], [b])
        assert better.value == pytest.approx(count / seeds**2)
        claims[count / seeds**2] = claim(better, min(1.0, comparisons * p))
    begins = min((value for value, claimed in claims.items() if claimed), default=math.inf)
    assert threshold(seeds, comparisons=comparisons) == pytest.approx(begins)


def test_power_is_how_often_simulated_methods_are_told_apart():
    chance, shift = np.random.default_rng(7), math.sqrt(2) * stats.norm.ppf(0.9)
    for seeds, problems in ((8, 1), (5, 3)):
        a, b = chance.normal(shift, size=(600, problems, seeds)), chance.normal(size=(600, problems, seeds))
        told = np.mean([claim(*superiority(x, y)) == 1 for x, y in zip(a, b, strict=True)])
        assert power(0.9, seeds, problems) == pytest.approx(told, abs=0.06)  # three standard errors


def test_power_grows_and_its_size_is_kept():
    assert power(0.5, 10) <= 0.025 and power(0.5, 5, 6) <= 0.025  # half of the level: one side
    assert power(0.99, 4) == 0.0 and power(0.99, 5, comparisons=40) == 0.0
    grown = [power(0.9, seeds) for seeds in (5, 10, 20)]
    assert grown == sorted(grown) and grown[-1] > 0.95
    with pytest.raises(ValueError, match=r"give a probability between 0 and 1, such as 0\.9"):
        power(1.0, 5)


def test_what_is_detectable_is_detected():
    found = detectable(10)
    assert power(found, 10) >= 0.8 > power(found - 0.02, 10)
    assert math.isnan(detectable(4)) and math.isnan(detectable(5, comparisons=40))
