"""Figures of what it takes to get there: profiles over problems, seeds on target, the best of so many settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.reporting import comparisons, statistics
from benchmarks.reporting.figures import TICKS, headed, legend_below, styled
from benchmarks.reporting.looks import Look, looks
from benchmarks.reporting.words import words

SETTINGS = 3
"""From so many settings of one optimizer on, their expected best is drawn."""


def _step(panel: Axes, x: Any, y: Any, look: Look, name: str) -> None:
    marks: Any = {} if look.alone else {"marker": look.marker, "markersize": 4, "markevery": max(1, len(x) // 6)}
    how: Any = {"drawstyle": "steps-post", "color": look.colour, "dashes": look.dashes, "linewidth": 1.8}
    panel.plot(x, y, label=name, **how, **marks)


@styled
def profile(costs: pd.DataFrame) -> Figure:
    """Performance profiles: the share of problems that an optimizer solves at τ times the least cost, and B over it.

    Args:
        costs: median gradients to target, a row a label and a column a problem; inf of a miss.
    """
    table, look = costs.to_numpy(float), looks(costs.index)
    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    panel = figure.subplots()
    jumps = statistics.ratios(table)
    at = np.unique(np.append(jumps[(jumps > 1) & (jumps < statistics.LIMIT)], [1.0, statistics.LIMIT]))
    lines, scored = statistics.profile(table, at), statistics.profile_score(table)
    for label, line, score in zip(costs.index, lines, scored, strict=True):
        _step(panel, at, line, look[label], f"{label} (B = {score:.2f})")
    panel.set(xlim=(1, statistics.LIMIT), ylim=(-0.02, 1.02))
    panel.set(xlabel="τ: gradients to target over those of the fastest", ylabel="share of problems")
    legend_below(figure, [panel])
    headed(figure, f"problems solved within τ times the least cost, of {costs.shape[1]}")
    return figure


@styled
def reached(spent: pd.DataFrame, aim: str) -> Figure:
    """The share of seeds that are on target, and stay there, over what they spent.

    Args:
        spent: the runs of one problem with their cost to target, as of `comparisons.times`.
        aim: the target in words.
    """
    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    panel, look = figure.subplots(), looks(spent.label)
    finite = spent.cost[np.isfinite(spent.cost)]
    most = 1.1 * float(finite.max()) if len(finite) else 1.0
    for label, group in spent.groupby("label", sort=False):
        ordered = np.sort(group.cost[np.isfinite(group.cost)])
        x = np.concatenate([[0.0], ordered, [most]])
        y = np.concatenate([np.arange(len(ordered) + 1), [len(ordered)]]) / len(group)
        _step(panel, x, y, look[str(label)], f"{label} ({len(ordered)} of {len(group)})")
    panel.set(xlim=(0, most), ylim=(-0.02, 1.02), xlabel="gradient evaluations", ylabel="share of seeds on target")
    panel.xaxis.set_major_locator(MaxNLocator(TICKS))
    legend_below(figure, [panel])
    headed(figure, f"{spent.title.iloc[0]}: seeds that reach {aim} and hold it to the end")
    return figure


@styled
def best_of(scores: Mapping[str, Sequence[float]], runs: pd.DataFrame) -> Figure:
    """The expected best of k settings of each optimizer of which several were tried, for k = 1, 2, …

    Args:
        scores: by optimizer, the median of each setting; larger is better, and a lost one counts as the worst that is
            not.
        runs: of the problem.
    """
    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    panel, look, first = figure.subplots(), looks(scores), runs.iloc[0]
    worst = min(value for tried in scores.values() for value in tried if math.isfinite(value))
    for name, tried in scores.items():
        found = statistics.expected_best(np.maximum(tried, worst), len(tried))
        at, shown = np.arange(1, len(tried) + 1), found if first.better == "higher" else -found
        panel.plot(
            at, shown, marker=look[name].marker, color=look[name].colour, label=f"{name} ({len(tried)} settings)"
        )
    told = words(str(first.headline), first.better)
    panel.set(xlabel="settings tried", ylabel=f"{told.name}\n({told.direction})")
    panel.xaxis.set_major_locator(MaxNLocator(TICKS, integer=True))
    legend_below(figure, [panel])
    headed(figure, f"{first.title}: the best of so many settings, as expected")
    return figure


def tried(each: comparisons.Scores, title: str) -> dict[str, list[float]]:
    """By optimizer, the medians of its settings on a problem, where there are several; none where all are lost."""
    found: dict[str, list[float]] = {}
    for label, one in each[title].items():
        found.setdefault(label.partition(" ")[0], []).append(float(np.median(one)))
    kept = {name: values for name, values in found.items() if len(values) >= SETTINGS}
    return kept if any(math.isfinite(value) for values in kept.values() for value in values) else {}
