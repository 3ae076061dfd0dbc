"""What is said of several seeds together, while they are played and after.

How optimizers compare is told in `benchmarks.reporting`, by `statistics` and `superiority`.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    from scipy import stats  # only now: it takes a while, and the terminal rarely needs it

    found = stats.quantile_test(known, q=median, p=0.5).confidence_interval(0.95)
    return Interval(median, float(found.low), float(found.high), "95 %")
