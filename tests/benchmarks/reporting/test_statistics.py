"""Each number against an exact oracle, a closed form, or its own promise on simulated data."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from benchmarks.reporting import statistics
from benchmarks.reporting.statistics import (
    aggregate,
    expected_best,
    iqm,
    median_time,
    normalised,
    profile,
    profile_score,
    rank_stability,
    resampled,
    survival,
    time_to_target,
)

LAWS = {
    "normal": (lambda chance, size: chance.normal(size=size), 0.0),
    # E[x | middle half] of an exponential: 2 ∫ -log(1 - q) dq over [1/4, 3/4]
    "exponential": (
        lambda chance, size: chance.exponential(size=size),
        2 * integrate.quad(lambda q: -math.log1p(-q), 0.25, 0.75)[0],
    ),
    "heavy tails": (lambda chance, size: chance.standard_t(2, size=size), 0.0),
}
ends = st.floats(0.1, 100)


def test_an_iqm_is_the_mean_of_the_middle_half():
    assert iqm([9.0, 1.0, 2.0, 3.0, -50.0, 4.0, 5.0, 70.0]) == np.mean([2, 3, 4, 5])
    assert iqm([[1.0, 2.0], [3.0, 5.0]]).tolist() == [1.5, 4.0]


def test_bootstrap_samples_have_the_exact_law():
    """Of three seeds there are 27 samples; beside another problem of one seed."""
    scores = [np.array([[0.0, 1.0, 5.0]]), np.array([[2.0]])]
    exact = sorted(float(iqm([*drawn, 2.0])) for drawn in product([0.0, 1.0, 5.0], repeat=3))
    found = resampled(scores, draws=200_000)[0]
    for value in set(exact):
        assert np.mean(np.isclose(found, value)) == pytest.approx(exact.count(value) / 27, abs=0.005)


def test_resampled_problems_have_the_exact_law():
    """Of two problems, of two seeds and of three: each is drawn at both places, and two of its seeds."""
    values = [[0.0, 1.0], [3.0, 7.0, 12.0]]
    weights = {}
    for pair in product(values, repeat=2):
        draws = [list(product(problem, repeat=2)) for problem in pair]
        for one, other in product(*draws):
            mean = float(np.round(iqm([*one, *other]), 9))
            weights[mean] = weights.get(mean, 0) + 1 / (4 * len(draws[0]) * len(draws[1]))
    found = resampled([np.array([problem]) for problem in values], problems=True, draws=200_000)[0].round(9)
    assert set(found) == set(weights)
    for value, weight in weights.items():
        assert np.mean(found == value) == pytest.approx(weight, abs=0.005)


def test_methods_share_their_samples_and_a_seed_repeats_them():
    scores = [np.random.default_rng(k).normal(size=(1, 6)).repeat(2, axis=0) for k in range(3)]
    for problems in (False, True):
        found = resampled(scores, problems, draws=50)
        assert (found[0] == found[1]).all() and (found == resampled(scores, problems, draws=50)).all()
        assert (found != resampled(scores, problems, draws=50, seed=1)).any()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("problems", [1, 4])
def test_intervals_of_five_seeds_hold_the_truth_as_often_as_they_say(law, problems):
    """Nominal 95 %, at least 94 %: every simulated experiment is a row, as if it were a method. All have one law."""
    draw, truth = LAWS[law]
    chance = np.random.default_rng(100)
    found = aggregate([draw(chance, (1500, 5)) for _ in range(problems)], draws=500)
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.94


def test_intervals_of_unlike_problems_hold_the_truth():
    """Problems at different places and of different spread: what is estimated is the IQM of their mixture."""
    chance, places, spreads = np.random.default_rng(101), np.arange(6) / 2, 0.3 + np.arange(6) % 3
    truth = iqm((places[:, None] + spreads[:, None] * stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)).ravel())
    found = aggregate([m + s * chance.normal(size=(1500, 5)) for m, s in zip(places, spreads, strict=True)], draws=500)
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.94


def test_the_second_interval_holds_for_problems_that_were_not_seen():
    """Problems drawn from a population: the interval for these alone misses it, that of resampled ones does not."""
    chance = np.random.default_rng(102)
    scores = [chance.normal(size=(800, 1)) + 0.3 * chance.normal(size=(800, 5)) for _ in range(8)]
    these, others = (aggregate(scores, problems, draws=500) for problems in (False, True))
    held = [np.mean([one.low <= 0 <= one.high for one in found]) for found in (these, others)]
    assert held[0] < 0.7 and held[1] >= 0.94


def test_bootstrap_percentiles_alone_would_undercover():
    """So the widening is needed, and this file would notice if it went."""
    chance = np.random.default_rng(103)
    scores = [chance.normal(size=(1500, 5))]
    low, high = np.quantile(resampled(scores, draws=500), [0.025, 0.975], axis=1)
    assert np.mean((low <= 0) & (high >= 0)) < 0.91


FIVE, NINE = (np.array([[0.0] * k + [1.0] * (k + 1)]) for k in (2, 4))  # n times the variance: 3/2 and 5/2


@pytest.mark.parametrize(
    "scores, problems, n, freedom",
    [
        ([FIVE], False, 5, 4),
        ([FIVE / 10] * 3, False, 5, 12),
        ([FIVE, NINE], False, 5, 16 / (1.5**2 / 4 + 2.5**2 / 8)),
        ([FIVE] * 6, True, 6, 5),
        ([np.array([[0.0, 0.0, 0.0, 0.0, 9.0]])], False, 5, 4),  # winsorised, all are the same
    ],
)
def test_percentiles_are_moved_as_those_of_a_mean(scores, problems, n, freedom):
    """By √(n/(n - 1)) t/z, n being the seeds of the smallest problem, or the problems."""
    value, kept = iqm(np.concatenate(scores, axis=1))[0], resampled(scores, problems, draws=500, seed=7)
    (found,) = aggregate(scores, problems, draws=500, seed=7)
    wider = math.sqrt(n / (n - 1)) * stats.t.ppf(0.975, freedom) / 1.959963984540054
    expected = value + wider * (np.quantile(kept, [0.025, 0.975]) - value)
    assert (found.value, found.low, found.high) == pytest.approx((value, *expected), rel=1e-9)


@pytest.mark.parametrize("seeds, problems, has", [(4, 9, False), (5, 1, True), (5, 9, True)])
def test_few_seeds_have_no_interval(seeds, problems, has):
    (found,) = aggregate([np.arange(seeds)[None] * 1.0] * problems, draws=50)
    assert np.isfinite([found.value]).all() and np.isfinite(found.low) == has == (found.kind == "95 %")


def test_few_problems_have_no_interval_for_others():
    assert math.isnan(aggregate([np.arange(5.0)[None]] * 4, problems=True, draws=50)[0].low)
    assert np.isfinite(aggregate([np.arange(5.0)[None]] * 5, problems=True, draws=50)[0].low)


@pytest.mark.parametrize("scores", [[], [np.ones((2, 3)), np.ones((1, 3))], [np.ones(3)], [np.ones((2, 0))]])
def test_scores_of_other_shapes_are_refused(scores):
    with pytest.raises(ValueError, match=r"shapes (none|\(.*\)): give \(methods, seeds\) a problem"):
        aggregate(scores)


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="the worst score there is"):
        aggregate([np.array([[1.0, -np.inf]])])


@given(st.lists(st.floats(-10, 10), min_size=1), ends)
def test_normalised_scores_do_not_depend_on_the_unit(values, best):
    found = normalised(values, base=-best, best=best)
    assert (found >= 0).all() and np.allclose(found, normalised(3 * np.array(values) + 7, 7 - 3 * best, 7 + 3 * best))
    assert np.allclose(found[found > 0], (np.array(values)[found > 0] + best) / (2 * best))


def test_where_nothing_was_learnt_there_is_no_score():
    with pytest.raises(ValueError, match="nothing was learnt"):
        normalised([1.0], base=2.0, best=2.0)


@given(st.integers(1, 6), st.integers(0, 1000))
def test_each_method_has_some_rank_and_each_rank_some_method(methods, seed):
    found = rank_stability(np.random.default_rng(seed).integers(0, 4, size=(methods, 30)).astype(float))
    assert np.allclose(found.sum(axis=0), 1) and np.allclose(found.sum(axis=1), 1)


def test_who_always_leads_has_rank_one():
    drawn = np.array([[1.0, 1.0, 0.0], [5.0, 6.0, 7.0], [1.0, 0.0, 1.0]])
    assert rank_stability(drawn).tolist() == [[0, 0.5, 0.5], [1, 0, 0], [0, 0.5, 0.5]]


@given(st.integers(5, 60), st.data())
def test_survival_has_wilsons_interval(count, data):
    survived = data.draw(st.integers(0, count))
    found, z = survival(survived, count), stats.norm.ppf(0.975)
    for end in (found.low, found.high):  # both solve (p - s)² = z² p(1 - p)/n
        assert (end - survived / count) ** 2 == pytest.approx(z**2 * end * (1 - end) / count, abs=1e-12)
    assert found.low <= found.value <= found.high and found.low < found.high


def test_survival_of_few_runs_has_no_interval():
    assert survival(3, 3)[:1] == (1.0,) and math.isnan(survival(3, 3).low) and math.isnan(survival(0, 0).value)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=5), st.integers(1, 4))
def test_the_expected_best_of_k_is_that_of_all_ways_to_draw_them(values, most):
    found = expected_best(values, most)
    for k in range(1, most + 1):
        assert found[k - 1] == pytest.approx(np.mean([max(drawn) for drawn in product(values, repeat=k)]), abs=1e-9)


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, math.nan]), min_size=1, max_size=8))
def test_time_to_target_holds_at_the_end(values):
    costs = np.arange(len(values)) * 10.0
    holding = [cost for k, cost in enumerate(costs) if all(value >= 1 for value in values[k:])]
    assert time_to_target(costs, values, 1.0) == (min(holding) if holding else math.inf)


@pytest.mark.parametrize(
    "times, median",
    [([3.0], 3.0), ([1.0, 2.0], 2.0), ([5.0, math.inf, 1.0], 5.0), ([math.inf, 1.0, math.inf], math.inf)],
)
def test_misses_take_part_in_the_median(times, median):
    assert median_time(times) == median


TABLE = np.array([[10.0, math.inf, 4.0, math.inf], [20.0, 5.0, 2.0, math.inf]])
"""Cost to target of two methods on four problems, the last of which nobody solves."""


def test_profiles_of_a_table_made_by_hand():
    found = profile(TABLE, [1.0, 1.9, 2.0, 1e9])
    assert found.tolist() == [[0.25, 0.25, 0.5, 0.5], [0.5, 0.5, 0.75, 0.75]]
    assert profile_score(TABLE) == pytest.approx([(1 + 0 + 2 / 3) / 4, (2 / 3 + 1 + 1) / 4])


@given(st.lists(st.lists(ends | st.just(math.inf), min_size=3, max_size=3), min_size=1, max_size=4))
def test_a_profiles_score_is_its_area(rows):
    costs = np.array(rows)
    jumps = np.unique(np.clip(statistics.ratios(costs), 1, 4))
    edges = np.unique([1.0, *jumps, 4.0])
    middle = profile(costs, (edges[1:] + edges[:-1]) / 2)
    assert profile_score(costs) == pytest.approx(middle @ np.diff(edges) / 3, abs=1e-9)
