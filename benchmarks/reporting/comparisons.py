"""Tables of how optimizers compare, from the runs and curves of a suite. Needs no torch.

Everywhere here a score is the headline at the last iterate with its sign turned so that larger is better; a run that
diverged or is flagged has -inf, and one that failed (timeout, error) or was not played has none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from benchmarks import record
from benchmarks.reporting import statistics, superiority, tables
from benchmarks.reporting.statistics import LEAST

BASELINES = ("alternating", "simultaneous")
"""What all others are compared with: the first of these that was played, else the first optimizer there is."""
OWN = "the problem's target"
ROWS = ("tuned", "one-for-all")
"""How the labels end that `benchmarks.tune` has chosen the settings of."""
ROUNDING = 1e-6
"""Of single precision, relative, with room for some operations."""
Scores: TypeAlias = Mapping[str, Mapping[str, np.ndarray]]
"""Scores of the seeds by problem and label."""
Pair: TypeAlias = tuple[str, Sequence[str], Sequence[np.ndarray], Sequence[np.ndarray]]
"""A label, problems, its scores on each, and those of what it is compared with."""


def signed(values: pd.Series, better: str | pd.Series) -> pd.Series:
    """Values turned so that larger is better; which way they were is the same for all, or each one's own."""
    return values * np.where(better == "higher", 1.0, -1.0)


def scores(runs: pd.DataFrame) -> Scores:
    """The scores of every problem and label that has any."""
    kept = runs[runs.status.isin(record.PLAYED)]
    known = signed(tables.headline(kept), kept.better).dropna()
    found: dict[str, dict[str, np.ndarray]] = {}
    for (title, label), each in known.groupby([kept.title, kept.label], sort=False):
        found.setdefault(str(title), {})[str(label)] = each.to_numpy(float)
    return found


def settled(scores: Sequence[np.ndarray], aim: float) -> list[np.ndarray]:
    """Scores on one problem; all the same where all reach its own target, as beyond it digits are of rounding."""
    reached = all((one >= aim).all() for one in scores)
    return [np.full_like(one, aim) for one in scores] if reached else list(scores)


def own(aims: Mapping[str, tuple[float, str]]) -> dict[str, float]:
    """The targets that problems declare, as scores, of all `targets`."""
    return {title: aim for title, (aim, source) in aims.items() if source == OWN}


def reached(runs: pd.DataFrame) -> dict[str, float]:
    """The least score on target by problem, for tables that do not tell the target itself: `own`, seen from inside."""
    there = scores(runs[runs.status == "target"])
    return {title: min(float(one.min()) for one in each.values()) for title, each in there.items()}


def controls(curves: pd.DataFrame) -> frozenset[str]:
    """The problems of one player, where no optimizer plays a game: negative controls."""
    seen = {name: set(curves.title[curves.metric == f"player_norm_{name}"].astype(str)) for name in (0, 1)}
    return frozenset(seen[0] - seen[1])


def baseline(runs: pd.DataFrame) -> str:
    """The label that all others are compared with: plain play where it meets any, else who meets some most often."""
    met = runs[runs.groupby("title").label.transform("nunique") > 1]
    problems = (runs if met.empty else met).groupby("label", sort=False).title.nunique()
    return next((name for name in BASELINES if name in problems), str(problems.idxmax()))


def against(label: str, base: str) -> str:
    """What a label is compared with: the baseline, for a tuned row the baseline tuned in the same way.

    >>> against("optimistic tuned", "alternating"), against("optimistic lr=1", "alternating")
    ('alternating tuned', 'alternating')
    """
    row = label.rpartition(" ")[2]
    return f"{base} {row}" if row in ROWS else base


def comparable(labels: pd.Series) -> pd.Series:
    """Which of the labels curves and pictures show: those that are tuned where there are some, else all.

    >>> comparable(pd.Series(["sga", "sga tuned", "sga one-for-all"])).tolist()
    [False, True, False]
    """
    tuned = labels.str.endswith(f" {ROWS[0]}")
    return tuned if tuned.any() else tuned | True


def tuning(labels: Iterable[str]) -> str:
    """How the settings came about, in sentences."""
    rows = [row for row in ROWS if any(label.rpartition(" ")[2] == row for label in labels)]
    plain = "every optimizer plays at the settings of the problem's recipe, or at those in its name"
    if not rows:
        return f"Untuned: {plain}. This says how they do there, not how well they can do."
    named = " and ".join(rows)
    return (
        f"Rows that end in {named} have been tuned alike for every optimizer, and are compared with the baseline tuned "
        f"in the same way. In all others, which are untuned, {plain}."
    )


class Versus(NamedTuple):
    """How a label compares with the baseline, on one problem or on several together.

    Args:
        label: what is compared.
        problems: on which.
        seeds: of the one that has fewer.
        better: P(it beats the baseline).
        low: where the interval begins; nan below five seeds.
        high: where it ends.
        p: after Holm's correction for all rows of the table.
        claim: 1 better, -1 worse, 0 no difference found.
        level: every run of both has the same score, as where all reach the target.
    """

    label: str
    problems: tuple[str, ...]
    seeds: int
    better: float
    low: float
    high: float
    p: float
    claim: int
    level: bool

    @property
    def small(self) -> bool:
        """Whether there is a difference, which is too small to be claimed."""
        return not self.claim and self.p <= superiority.LEVEL and (self.low > 0.5 or self.high < 0.5)


def versus(pairs: Sequence[Pair]) -> list[Versus]:
    """Compare in one family: label, problems, scores of it and of what it is compared with."""
    found = [superiority.superiority(mine, other) for _, _, mine, other in pairs]
    adjusted = superiority.holm([one.p for one in found])
    out = []
    for (label, problems, mine, other), one, p in zip(pairs, found, adjusted, strict=True):
        seeds = min(min(len(x), len(y)) for x, y in zip(mine, other, strict=True))
        told = superiority.claim(one.better, float(p))
        level = all(len(set(x) | set(y)) == 1 and math.isfinite(x[0]) for x, y in zip(mine, other, strict=True))
        out.append(Versus(label, tuple(problems), seeds, *one.better[:3], float(p), told, level))
    return out


def by_problem(found: Scores, base: str, aims: Mapping[str, float] | None = None) -> list[Versus]:
    """Every label against the baseline on every problem, corrected for all of these comparisons together.

    Args:
        found: the scores.
        base: the baseline.
        aims: the problems' own targets, as scores: two labels that reach one in all runs are level there.
    """
    return versus(
        [
            _pair(found, label, other, [title], aims or {})
            for title, each in found.items()
            for label in each
            if (other := against(label, base)) in each and label != other
        ]
    )


def overall(found: Scores, base: str, aims: Mapping[str, float] | None = None) -> list[Versus]:
    """Every common label against the baseline over all problems that both have been played on; see `by_problem`."""
    pairs = [(label, against(label, base)) for label in common(found)]
    shared = {pair: [title for title, each in found.items() if set(pair) <= each.keys()] for pair in pairs}
    return versus(
        [
            _pair(found, label, other, titles, aims or {})
            for (label, other), titles in shared.items()
            if titles and label != other
        ]
    )


def _pair(found: Scores, label: str, other: str, titles: Sequence[str], aims: Mapping[str, float]) -> Pair:
    level = [settled([found[title][label], found[title][other]], aims.get(title, math.inf)) for title in titles]
    return label, titles, [mine for mine, _ in level], [base for _, base in level]


class Aggregates(NamedTuple):
    """Normalised scores over the problems that all of some labels were played on.

    Args:
        table: one row a label: IQM, its intervals for these problems and for others, how often it leads.
        problems: that take part.
        left_out: that do not, with the reason.
    """

    table: pd.DataFrame
    problems: tuple[str, ...]
    left_out: dict[str, str]


def starts(curves: pd.DataFrame, runs: pd.DataFrame) -> dict[str, float]:
    """The median headline of each problem's players before the first step, where it was evaluated."""
    first = curves[(curves.step == 0) & (curves.iterate != "ema") & np.isfinite(curves.value)]
    heads = runs.groupby("title", sort=False).headline.first()
    out = {}
    for title, group in first.groupby("title", observed=True):
        values = group.value[group.metric.astype(str) == heads.get(title)]
        if len(values):
            out[str(title)] = float(values.median())
    return out


def aggregates(
    found: Scores, runs: pd.DataFrame, begin: Mapping[str, float], aims: Mapping[str, float] | None = None
) -> Aggregates:
    """IQM of normalised scores: 0 is no better than before training, or lost, 1 the median of the best label.

    Logarithms are taken where lower is better and all values are positive. Problems that not all of the common labels
    were played on, or on which nothing was learnt, are left out.

    Args:
        found: the scores.
        runs: all runs, for which way is better.
        begin: of `starts`.
        aims: of `own`.
    """
    labels, left_out = common(found), dict[str, str]()
    better = runs.groupby("title").better.first()
    kept: dict[str, np.ndarray] = {}
    for title, each in found.items():
        if not set(labels) <= each.keys():
            left_out[title] = "not played by all"
        elif title not in begin:
            left_out[title] = "not evaluated before training"
        else:
            held = settled([each[label] for label in labels], (aims or {}).get(title, math.inf))
            values = normal(held, begin[title], str(better[title]))
            if values is None:
                left_out[title] = "no optimizer got better than before training"
            else:
                kept[title] = values
    return Aggregates(_ranked(labels, list(kept.values())), tuple(kept), left_out)


def common(found: Scores) -> list[str]:
    """The labels that were played on as many problems as any."""
    counts = pd.Series([label for each in found.values() for label in each], dtype=object).value_counts(sort=False)
    return [str(label) for label in counts[counts == counts.max()].index]


def normal(values: Sequence[np.ndarray], begin: float, better: str) -> np.ndarray | None:
    """Normalised scores of all labels on one problem, (labels, seeds): of as many seeds as all have."""
    seeds = min(map(len, values))
    held, base = np.stack([one[:seeds] for one in values]), begin if better == "higher" else -begin
    finite = np.append(held[np.isfinite(held)], base)
    if better != "higher" and (finite < 0).all():
        with np.errstate(divide="ignore"):
            held, base = -np.log(-held), -math.log(-base)
    best = float(np.median(held, axis=1).max())
    return statistics.normalised(held, base, best) if math.isfinite(best) and best > base else None


def _ranked(labels: Sequence[str], values: Sequence[np.ndarray]) -> pd.DataFrame:
    """One row a label, best first; without rows where no problem is left."""
    columns = ["label", "iqm", "low", "high", "low_others", "high_others", "first", "seeds"]
    if not values:
        return pd.DataFrame(columns=columns)
    these, others = (statistics.aggregate(values, problems) for problems in (False, True))
    leads = statistics.rank_stability(statistics.resampled(values))[:, 0]
    seeds = min(one.shape[1] for one in values)
    told = leads if seeds >= LEAST else np.full(len(labels), np.nan)
    rows = [
        (label, *one[:3], *other[1:3], lead, seeds)
        for label, one, other, lead in zip(labels, these, others, told, strict=True)
    ]
    return pd.DataFrame(rows, columns=columns).sort_values("iqm", ascending=False, kind="stable", ignore_index=True)


def targets(found: Scores, metrics: pd.DataFrame, runs: pd.DataFrame) -> dict[str, tuple[float, str]]:
    """What a headline is to reach on each problem, as a score, and where that comes from.

    The problem's own target, or else the median of the best label: of an even number of seeds the worse of the two in
    the middle, so that half of its seeds reach it.
    """
    better = runs.groupby("title").better.first()
    heads = metrics[metrics.headline.astype(bool)].set_index("title")
    aims = pd.to_numeric(heads.target, errors="coerce") if "target" in heads else pd.Series(dtype=float)
    out = {}
    for title, each in found.items():
        own = float(aims.get(title, np.nan))
        if not math.isnan(own):
            out[title] = (own if better[title] == "higher" else -own, OWN)
            continue
        middles = {label: float(np.sort(one)[(len(one) - 1) // 2]) for label, one in each.items()}
        best = max(middles, key=lambda label: middles[label])
        if math.isfinite(middles[best]):
            out[title] = (middles[best], f"the median of {best}")
    return out


def times(curves: pd.DataFrame, runs: pd.DataFrame, aims: Mapping[str, tuple[float, str]]) -> pd.DataFrame:
    """One row a run that was played on a problem with a target: the gradients to it, at least 1; inf where it missed.

    What is off a target by rounding alone has reached it: where all runs end at one point, it is the median of one.

    Args:
        curves: all of them.
        runs: of which those that diverged or are flagged miss, whatever they reached on the way.
        aims: of `targets`.
    """
    kept = runs[runs.status.isin(record.PLAYED) & runs.title.isin(list(aims))]
    lost = set(kept.run_id[kept.status.eq("diverged") | tables.is_flagged(kept)])
    heads = kept.set_index("run_id").headline
    rows = curves[(curves.iterate != "ema") & curves.run_id.isin(set(heads.index) - lost)]
    rows = rows[rows.metric.astype(str).to_numpy() == heads.reindex(rows.run_id.astype(str)).to_numpy()]
    grouped = {str(run): one for run, one in rows.groupby("run_id", observed=True)}
    spent = []
    for run in kept.itertuples():
        one, cost = grouped.get(str(run.run_id)), math.inf
        if one is not None:
            values = signed(one.value, str(run.better))
            aim = aims[str(run.title)][0]
            cost = max(1.0, statistics.time_to_target(one.units.to_numpy(), values, aim - ROUNDING * abs(aim)))
        spent.append(cost)
    return kept[["run_id", "title", "label", "seed"]].assign(cost=np.asarray(spent, dtype=float))


def medians(spent: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Median cost to target, a row a label and a column a problem that all of them were played on."""
    wide = spent.groupby(["label", "title"]).cost.agg(statistics.median_time).unstack("title")
    return wide.reindex(list(labels)).dropna(axis=1)


class Compared(NamedTuple):
    """All that is said of a suite's optimizers together.

    Args:
        scores: by problem and label.
        base: the label that all others are compared with.
        by_problem: every label against it on every problem.
        overall: every common one, over all problems.
        aggregates: normalised scores.
        aims: what the headline is to reach on each problem, as a score, and where that comes from.
        spent: the cost to it, a row a run.
        costs: its medians, a row a label and a column a problem.
        controls: the problems of one player.
    """

    scores: Scores
    base: str
    by_problem: list[Versus]
    overall: list[Versus]
    aggregates: Aggregates
    aims: dict[str, tuple[float, str]]
    spent: pd.DataFrame
    costs: pd.DataFrame
    controls: frozenset[str]


def compare(found: tables.Tables) -> Compared:
    """Compare the optimizers of a suite."""
    runs, known = found.runs, scores(found.runs)
    base, aims = baseline(runs), targets(known, found.metrics, runs)
    spent = times(found.curves, runs, aims)
    told = by_problem(known, base, own(aims)), overall(known, base, own(aims))
    together = aggregates(known, runs, starts(found.curves, runs), own(aims))
    costs = medians(spent, common(known))
    return Compared(known, base, *told, together, aims, spent, costs, controls(found.curves))
