import math

import pytest

from benchmarks.problem import Metric
from benchmarks.runner import verdict

NAN = math.nan


class Judged:
    """What a verdict asks a problem for."""

    metrics = (
        Metric("kid", headline=True, target=0.1),
        Metric("coverage", "higher", coverage=True),
        Metric("recall", "higher", gate=0.1),
        Metric("memorised", gate=0.5, flag="memorised"),
    )


STEPS = (0, 5, 10, 15)
FINE = {
    "kid": (3, 2, 1, 0.05),
    "coverage": (0, 0.4, 0.5, 0.6),
    "recall": (0, 0.05, 0.4, 0.5),
    "memorised": (0, 0, 0, 0),
}


@pytest.mark.parametrize(
    ("series", "flags", "at"),
    [
        ({}, "", None),
        ({"recall": (0, 0.05, 0.05, 0.05)}, "collapsed", 0),
        ({"recall": (0, 0.5, 0.5, 0.05)}, "collapsed", 15),
        ({"recall": (0, 0.5, 0.05, 0.1)}, "", None),
        ({"coverage": (0.9, 0.4, 0.5, 0.3)}, "", None),  # before training there is nothing to lose
        ({"coverage": (0, 0.4, 0.19, 0.1)}, "collapsed", 10),
        ({"coverage": (0, 0.4, 0.1, 0.1), "recall": (0, 0.5, 0.5, 0)}, "collapsed", 10),
        ({"memorised": (0, 0, 0.6, 0.7)}, "memorised", 10),
        ({"memorised": (0, 0, 0.6, 0.7), "recall": (0, 0, 0, 0)}, "collapsed, memorised", 0),
        (dict.fromkeys(FINE, (0.3, NAN, NAN, NAN)), "not finite", 5),
    ],
)
def test_what_a_run_is_called(series, flags, at):
    evaluated = {name: (list(STEPS), list(values)) for name, values in (FINE | series).items()}
    assert verdict.flagged(Judged(), evaluated) == {"flags": flags, "flagged_at": at}


def test_a_flagged_run_is_not_on_target():
    def told(**series):
        found = [
            {"split": "eval", "iterate": "last", "metric": name, "step": step, "value": value}
            for name, values in (FINE | series).items()
            for step, value in zip(STEPS, values, strict=True)
        ]
        return verdict.outcome(Judged(), found, "last")

    assert told() == ("target", "all targets met")
    assert told(kid=(3, 2, 1, 0.2)) == ("ok", "misses kid 0.2, not <= 0.1")
    assert told(recall=(0, 0, 0, 0)) == ("ok", "is collapsed")
