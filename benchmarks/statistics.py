"""What is said of several seeds together, while they are played and after.

How optimizers compare is told in `benchmarks.reporting`, by `statistics` and `superiority`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import numpy as np

FEW = 6
"""Below so many values no interval holds the median with 95 %; then it is from the least to the greatest."""


class Interval(NamedTuple):
    """An estimate and an interval around it.

    Args:
        value: the estimate, such as the median of the values.
        low: where the interval begins.
        high: where it ends.
        kind: what interval it is: `95 %`, `min to max`, or `none`.
    """

    value: float
    low: float
    high: float
    kind: str


def interval(values: Iterable[float]) -> Interval:
    """The median and an exact interval for it from order statistics, whatever the distribution; nan is left out.

    >>> interval([1.0, 3.0, 2.0])
    Interval(value=2.0, low=1.0, high=3.0, kind='min to max')
    """
    known = np.sort([value for value in values if not np.isnan(value)])
    if not len(known):
        return Interval(np.nan, np.nan, np.nan, "none")
    median = float(np.median(known))
    if len(known) < FEW:
        return Interval(median, float(known[0]), float(known[-1]), "min to max")
    low, high = _ends(len(known))
    return Interval(median, float(known[low]), float(known[high]), "95 %")


@cache
def _ends(count: int) -> tuple[int, int]:
    """The places of the interval's ends among so many values in order, whatever these are."""
    from scipy import stats  # only now: it takes a while, and the terminal rarely needs it

    found = stats.quantile_test(np.arange(float(count)), p=0.5).confidence_interval(0.95)
    return int(found.low), int(found.high)


def number(value: float) -> str:
    """A number as tables show it: three digits, and words where there is none.

    >>> number(0.12345), number(float("inf")), number(float("nan")), number(12000.0)
    ('0.123', '∞', '–', '12,000')
    """
    if value != value:
        return "–"
    if abs(value) == float("inf"):
        return "∞" if value > 0 else "−∞"
    if abs(value) >= 999.5:  # which three digits call 1e+03
        return f"{value:,.0f}" if abs(value) < 1e6 else f"{value:.3g}"
    return f"{value:.3g}"


def ranged(value: float, low: float, high: float, kind: str = "95 %") -> str:
    """An estimate and its interval in brackets, or in words the range of values too few for one.

    >>> ranged(0.5, 0.4, 0.6), ranged(0.5, 0.4, 0.6, "min to max"), ranged(0.5, float("nan"), float("nan"))
    ('0.5 [0.4, 0.6]', '0.5 (0.4 to 0.6)', '0.5')
    """
    if low != low:
        return number(value)
    ends = f"[{number(low)}, {number(high)}]" if kind == "95 %" else f"({number(low)} to {number(high)})"
    return f"{number(value)} {ends}"
