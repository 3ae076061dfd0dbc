"""What every optimizer is tuned over, and what is chosen: points of one space, their scores, the best of them."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from scipy.stats import qmc

from benchmarks.optimizers import KNOWN
from benchmarks.problem import Recipe
from benchmarks.record import UsageError
from benchmarks.runner import setup
from benchmarks.runner.spec import Spec, defaults, parse

DECADES = 1.25  # of the rates, to either side of the recipe's
RATIO = 4.0  # that the last player's rate is multiplied by at most, and divided by, against the others'
EDGE = 0.1  # of an axis, at either end: a best trial there says that the axis is too short
LEAST = 1e-12  # that a score is taken the logarithm of
TUNED, SHARED = "tuned", "one-for-all"
"""The rows of a table that a search adds: an optimizer at its best point of this problem, and of all the others."""


class Axis(NamedTuple):
    """A parameter, and what it is tried at: between low and high, evenly in its logarithm or as it is."""

    name: str
    low: float
    high: float
    logarithmic: bool = True

    def at(self, u: float) -> float:
        """The value at u in [0, 1), to three digits; a whole number where both ends are.

        >>> Axis("gamma", 0.01, 1.0).at(0.5), Axis("steps", 1, 10).at(0.5), Axis("alpha", 0.2, 0.9, False).at(0.0)
        (0.1, 3, 0.2)
        """
        low, high = (math.log(end) if self.logarithmic else end for end in (self.low, self.high))
        value = low + u * (high - low)
        value = math.exp(value) if self.logarithmic else value
        return round(value) if isinstance(self.low, int) else float(f"{value:.3g}")


OWN: Mapping[str, Axis] = {
    **dict.fromkeys(("consensus", "jare"), Axis("gamma", 0.01, 1.0)),
    **dict.fromkeys(("lola", "policy-prediction", "sos"), Axis("alpha", 0.01, 1.0)),
    **dict.fromkeys(("extragradient", "past-extragradient"), Axis("explore", 0.25, 2.0)),
    **dict.fromkeys(("stackelberg", "follow-the-ridge"), Axis("damping", 0.01, 10.0)),
    "nagarajan-kolter": Axis("eta", 0.01, 1.0),
    "optimistic": Axis("optimism", 0.5, 2.0),
    "sga": Axis("lam", 0.1, 10.0),
    "lookahead": Axis("alpha", 0.2, 0.9, False),
    "golden-ratio": Axis("phi", 1.2, 1.6, False),
    "unrolled": Axis("steps", 1, 10),
    "k-beam": Axis("candidates", 2, 10),
    "svre": Axis("iterations", 2, 20),
}
"""Of each optimizer the one parameter of its own; of the others it is the momentum of the rule."""
MOMENTUM = Axis("momentum", -0.5, 0.9, False)
BETA = Axis("betas", 0.0, 0.9, False)  # the first of them


class Point(NamedTuple):
    """A setting in terms of the recipe's, so that it means the same on every problem; each in [0, 1)."""

    rate: float
    ratio: float
    own: float

    @property
    def edges(self) -> tuple[str, ...]:
        """The axes at whose ends it lies."""
        return tuple(name for name, u in self._asdict().items() if not EDGE <= u < 1 - EDGE)


def points(trials: int) -> list[Point | None]:
    """The trials, the same for all: first the recipe as it is (None), then points that fill the space evenly.

    >>> points(3)[0] is None, len(points(3)), points(5)[:3] == points(3)
    (True, 3, True)

    Source: Halton, On the efficiency of certain quasi-random sequences of points, 1960, scrambled.
    """
    found = qmc.Halton(3, scramble=True, rng=0).random(trials - 1) if trials > 1 else []
    return [None, *(Point(*map(float, row)) for row in found)]


def at(spec: Spec, recipe: Recipe, players: int, point: Point | None) -> Spec:
    """An optimizer at a point, on a problem with this recipe; what the spec gives itself stays.

    Args:
        spec: the optimizer, as it would be played untuned.
        recipe: the problem's.
        players: how many there are.
        point: None for the recipe as it is.

    Raises:
        UsageError: the recipe's rate is no number that could be multiplied.
    """
    if point is None:
        return spec
    given = dict(spec.settings)
    untuned = setup.resolve(spec, recipe)
    rules = untuned.rule if isinstance(untuned.rule, tuple) else (untuned.rule,) * players
    if "lr" not in given:
        try:
            given["lr"] = _rates([setup.rate(setup.plain_rules(rule)[0]) for rule in rules], point)
        except ValueError as error:
            raise UsageError(f"{spec} cannot be tuned: {error}") from error
    axis = own(spec, recipe)
    if axis is not None and axis.name not in given:
        value: Any = axis.at(point.own)
        if axis is BETA:
            value = (value, setup.plain_rules(rules[0])[0].betas[1])  # type: ignore[attr-defined]
        given[axis.name] = value
    return replace(spec, settings=tuple(given.items()))


def own(spec: Spec, recipe: Recipe) -> Axis | None:
    """The axis beside the rates: a parameter of the optimizer, else the momentum of its rule if it has one."""
    axis = OWN.get(spec.optimizer)
    if axis is not None and axis.name in defaults(KNOWN[spec.optimizer]):
        return axis
    rule = setup.resolve(spec, recipe).rule
    first = setup.plain_rules(rule[0] if isinstance(rule, tuple) else rule)[0]
    return next((each for each in (BETA, MOMENTUM) if each.name in vars(first)), None)


def _rates(rates: Sequence[float], point: Point) -> float | tuple[float, ...]:
    """The rates times the point's factor, the last apart from the others by its ratio, around the same mean."""
    factor = 10 ** (DECADES * (2 * point.rate - 1))
    apart = RATIO ** (point.ratio - 0.5) if len(rates) > 1 else 1.0
    new = [factor * rate / apart for rate in rates[:-1]] + [factor * rates[-1] * apart]
    rounded = tuple(float(f"{rate:.3g}") for rate in new)
    return rounded if len(rounded) > 1 else rounded[0]


@dataclass(frozen=True)
class Trial:
    """How a point did.

    Args:
        index: of the point.
        spec: the optimizer there.
        scores: a score a seed, see `score`.
    """

    index: int
    spec: Spec
    scores: tuple[float, ...]

    @property
    def score(self) -> float:
        """The mean of its scores; worst where a run failed."""
        return fmean(self.scores) if self.scores else math.inf


def score(status: Mapping[str, Any], metric: Mapping[str, Any]) -> float:
    """What a run is chosen by, the lower the better: the logarithm of its headline.

    Runs that diverged, are flagged or have no result score inf. What lies among real data scores as the end of their
    band does: there is nothing to choose between such runs. A headline that may be negative and has no such band, such
    as a log-likelihood, is taken as it is.

    Args:
        status: how the run ended, as its file says.
        metric: the headline, as the cell's file declares it.
    """
    value = status.get("value", math.nan)
    if status.get("status") not in ("ok", "target") or status.get("flags") or not math.isfinite(value):
        return math.inf
    floors = status.get("floors", ())
    band = [high for name, what, _, _, high in floors if (name, what) == (metric["name"], "real") and high is not None]
    sign = -1 if metric["better"] == "higher" else 1
    if not band and not metric["range"][0] >= 0:
        return sign * value
    return sign * math.log(max(value, *band, LEAST) if sign > 0 else max(value, LEAST))


def best(trials: Sequence[Trial], count: int = 1) -> list[Trial]:
    """The best trials by the mean of their scores; of equal ones those that come first, the recipe above all."""
    return sorted(trials, key=lambda trial: (trial.score, trial.index))[:count]


def one_for_all(problems: Mapping[str, Sequence[Trial]], but: str) -> int | None:
    """The point that does best on all problems but one: by its mean distance to the best point of each.

    Where a run failed the distance is one more than that of the worst that did not; None where no other problem has a
    run that did not fail.
    """
    totals: dict[int, float] = {}
    for name, trials in problems.items():
        finite = [trial.score for trial in trials if math.isfinite(trial.score)]
        if name == but or not finite:
            continue
        for trial in trials:
            distance = min(trial.score, max(finite) + 1) - min(finite)
            totals[trial.index] = totals.get(trial.index, 0.0) + distance
    return min(totals, key=lambda index: (totals[index], index), default=None)


def choices(path: Path) -> dict[tuple[str, str], dict[str, Spec]]:
    """What a search has chosen: for each problem and optimizer, as it is spelled untuned, the rows that are added.

    Raises:
        UsageError: the file cannot be read, or is no table of a search.
    """
    optimizers: dict[str, dict[str, list[Trial]]] = {}
    found: dict[tuple[str, str], dict[str, Spec]] = {}
    try:
        for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
            problem, optimizer, (spec,) = row["problem"], row["optimizer"], parse(row["spec"])
            trial = Trial(int(row["trial"]), spec, (float(row["first"]),))
            optimizers.setdefault(optimizer, {}).setdefault(problem, []).append(trial)
            if row["chosen"] == "True":
                found[problem, optimizer] = {TUNED: spec}
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"--tuned {path} is no table of benchmarks.tune ({error}): name one.") from error
    if not found:
        raise UsageError(f"--tuned {path} is no table of benchmarks.tune (it chooses nothing): name one.")
    for (problem, optimizer), rows in found.items():
        trials = optimizers[optimizer]
        if (shared := one_for_all(trials, problem)) is not None:
            rows[SHARED] = next(trial.spec for trial in trials[problem] if trial.index == shared)
    return found
