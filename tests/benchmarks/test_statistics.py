import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.statistics import interval, number, ranged


@pytest.mark.parametrize("count", range(2, 12))
def test_an_interval_is_called_what_it_is(count):
    _, low, high, kind = interval(np.arange(count) ** 2)
    assert (kind == "min to max") == (count < 6)
    assert ((low, high) == (0, (count - 1) ** 2)) == (count < 9)  # up to eight, 95 % takes all that there is


def test_nothing_known_has_no_interval():
    assert interval([math.nan]) == pytest.approx((math.nan, math.nan, math.nan, "none"), nan_ok=True)


def test_a_run_that_diverged_is_the_far_end():
    assert interval([1.0, 2.0, 3.0, 4.0, math.inf])[:3] == (3.0, 1.0, math.inf)
    assert interval([1.0, 2.0, math.inf, math.inf, math.inf])[0] == math.inf


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_the_seeds_does_not_matter(values, random):
    found = interval(values)
    random.shuffle(values)
    assert interval(values) == found and found.low <= found.value <= found.high


def test_it_holds_the_median_as_often_as_it_says():
    """P(low <= m <= high) >= 95 % for any continuous distribution; 4,000 samples tell it to 0.7 points."""
    drawn = np.random.default_rng(0).exponential(size=(4000, 10))
    held = np.mean([found.low <= math.log(2) <= found.high for found in map(interval, drawn)])
    assert held > 0.943


@pytest.mark.parametrize(
    "value, text",
    [
        (0.0, "0"),
        (-0.00123456, "-0.00123"),
        (999.4, "999"),
        (999.5, "1,000"),
        (-1000.0, "-1,000"),
        (999_999.0, "999,999"),
        (1e6, "1e+06"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "–"),
    ],
)
def test_numbers_have_three_digits_and_thousands_all(value, text):
    assert number(value) == text


def test_what_few_values_span_is_no_interval():
    assert ranged(1.0, 0.5, math.inf) == "1 [0.5, ∞]" and ranged(1.0, 0.5, 2.0, "min to max") == "1 (0.5 to 2)"
