"""Figures from tables: one function a figure, DataFrame in, Figure out. Needs no torch.

Every figure that shows a number says over how many seeds, how many of them diverged or failed, and what its band is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from io import BytesIO
from pathlib import Path
from textwrap import wrap
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks import record
from benchmarks.reporting import tables
from benchmarks.reporting.looks import Look, looks, place

AXES = {"gradients": "gradient evaluations", "seconds": "training seconds", "steps": "optimizer steps"}
COLUMNS = {"gradients": "units", "seconds": "train_time_s", "steps": "step"}
LOG_RATIO = 30.0  # values that are positive and span more than this go on a logarithmic axis
NEAR = 0.06  # of an axis: references that lie nearer to each other than this have one label
ABREAST = 12  # optimizers that an overview has side by side, at most; more stand one below the other
TICKS = 6  # on an axis, at most
DIGITS = 12  # behind the point, of a median that ranks tell apart: what lies behind them is rounding
LETTERS, LINE = 13, 0.19  # letters in an inch, inches of a line
REACH = 3.0  # how many times its start's coordinates a phase portrait shows
P = ParamSpec("P")


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures, and what makes their files the same at every writing."""
    rc = {
        **sns.axes_style("whitegrid"),
        **sns.plotting_context("paper"),
        **{"svg.hashsalt": "minimax", "svg.fonttype": "none", "figure.dpi": 120, "axes.titlesize": "medium"},
        "text.parse_math": False,  # a dollar in a name is a dollar
        **{"legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False, "grid.alpha": 0.5},
    }
    with mpl.rc_context(rc):
        yield


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Give a figure the common look."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            return draw(*args, **kwargs)

    return drawn


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write stem.png and stem.svg, without a date; returns their paths.

    Raises:
        OSError: the disk is full, say.
    """
    with style():
        _laid_out(figure)
        out = []
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            data = BytesIO()
            figure.savefig(data, format=kind, metadata=metadata)
            out.append(stem.with_name(f"{stem.name}.{kind}"))
            record.write_atomic(out[-1], data.getvalue())
    return out


def _laid_out(figure: Figure) -> None:
    """Place everything once, which takes as long as drawing, and to so many digits as are the same every time."""
    figure.draw_without_rendering()
    figure.set_layout_engine(None)  # "none" leaves one that places nothing, for which every file is drawn twice
    for panel in figure.axes:
        panel.set_position(np.round(panel.get_position(original=True).bounds, 6).tolist())


def legend_of(runs: pd.DataFrame) -> dict[str, str]:
    """label -> label with its number of seeds, and how many of them diverged, failed or are flagged."""
    out = {}
    for label, group in runs.groupby("label", sort=False):
        lost, skipped = (int((group.status == name).sum()) for name in ("diverged", "skipped"))
        failed = int((~group.status.isin(record.PLAYED)).sum()) - skipped
        counts = {"diverged": lost, "failed or unfinished": failed, "skipped": skipped}
        counts |= tables.counted(group)
        told = [f"n = {len(group)}", *(f"{count} {what}" for what, count in counts.items() if count)]
        out[str(label)] = f"{label} ({', '.join(told)})"
    return out


@styled
def curves(rows: pd.DataFrame, runs: pd.DataFrame, floors: pd.DataFrame, metrics: pd.DataFrame, axis: str) -> Figure:
    """Metrics over the budget: median over seeds, interquartile band, a thin line a seed, ✗ where a seed diverged.

    The median and the band end where fewer than half of the seeds are left.

    Args:
        rows: the curves of one problem.
        runs: its runs.
        floors: its reference values.
        metrics: its metrics, a panel each; a bounded one is never drawn on a logarithmic axis.
        axis: gradients, seconds or steps.
    """
    figure = Figure(figsize=(4.2 * len(metrics) + 0.4, 3.4), layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    look, names = looks(runs.label), legend_of(runs)
    for panel, metric in zip(panels, metrics.to_dict("records"), strict=True):
        shown = rows[(rows.metric == metric["name"]) & np.isfinite(rows.value.astype(float))]
        for label in names:
            if (group := shown[shown.label == label]).size:
                _curve(panel, group, COLUMNS[axis], look[label], names[label])
        bounded = np.isfinite(metric["low"]) and np.isfinite(metric["high"])
        logarithmic = not bounded and _scale(panel, "y", shown.value)
        _references(panel, floors[floors.metric == metric["name"]], logarithmic)
        panel.set(
            xlabel=AXES[axis], ylabel=f"{metric['name']} [{metric['unit']}]" if metric["unit"] else metric["name"]
        )
        panel.xaxis.set_major_locator(MaxNLocator(TICKS, integer=axis != "seconds"))
    legend_below(figure, panels)
    what = "median over seeds while half of them are left, band between the quartiles, ✗ diverged"
    headed(figure, f"{rows.title.iloc[0]}: {what}")
    return figure


def _references(panel: Axes, floors: pd.DataFrame, logarithmic: bool) -> None:
    """What a metric is read against: a line each, and a band where it is known how much it varies."""
    shown = floors[np.isfinite(floors.value) & ((floors.value > 0) | (not logarithmic))].sort_values("value")
    for low, high in floors[["low", "high"]].dropna().itertuples(index=False):
        if high > 0 or not logarithmic:
            panel.axhspan(low, high, color="0.4", alpha=0.15, linewidth=0)
    for value in shown.value:
        panel.axhline(value, color="0.4", linestyle=":", linewidth=1)
    at = np.column_stack([np.full(len(shown), panel.get_xlim()[0]), shown.value])
    heights = (panel.transData + panel.transAxes.inverted()).transform(at)[:, 1]
    words: list[str] = []
    for reference, value, gap in zip(shown.reference, shown.value, np.diff(heights, append=math.inf), strict=True):
        words.append(reference)
        if gap > NEAR:
            place: Any = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom", "fontsize": "small"}
            panel.annotate(", ".join(words), (1, value), color="0.4", **place)
            words = []


def _curve(panel: Axes, group: pd.DataFrame, x: str, look: Look, name: str) -> None:
    seeds = group.groupby("run_id", observed=True)
    for _, one in seeds:
        panel.plot(one[x], one.value, color=look.colour, dashes=look.dashes, linewidth=0.5, alpha=0.35)
        if (one.status == "diverged").all():
            panel.plot(one[x].iloc[-1], one.value.iloc[-1], "X", color=look.colour, ms=7, markeredgecolor="white")
    by_step = group.groupby("step")
    kept = by_step.size() >= seeds.ngroups / 2  # a step at which one seed alone diverged has no median
    at, middle, low, high = (
        found[kept] for found in (by_step[x].median(), *(by_step.value.quantile(share) for share in (0.5, 0.25, 0.75)))
    )
    panel.fill_between(at, low, high, color=look.colour, alpha=0.18, lw=0)
    marked = not look.alone or len(at) == 1  # one point is no line
    marks: Any = {"marker": look.marker, "markersize": 4, "markevery": max(1, len(at) // 8)} if marked else {}
    panel.plot(at, middle, color=look.colour, dashes=look.dashes, linewidth=1.8, label=name, **marks)


def _scale(panel: Axes, which: str, values: pd.Series) -> bool:
    """Make axis x or y logarithmic where that shows more, linear below the smallest value; says whether it did."""
    finite = values[np.isfinite(values.astype(float))].astype(float)
    positive = finite[finite > 0]
    wide = len(positive) > 0 and bool((finite >= 0).all()) and positive.max() / positive.min() > LOG_RATIO
    if wide:
        scale, axis = (panel.set_xscale, panel.xaxis) if which == "x" else (panel.set_yscale, panel.yaxis)
        if len(positive) < len(finite):
            scale("symlog", linthresh=positive.min())  # zeros have a place of their own
        else:
            scale("log")
        axis.get_major_locator().set_params(numticks=TICKS)  # type: ignore[call-arg]
        plain(axis)
    return wide


def plain(axis: Axis) -> None:
    """Label the decades of a logarithmic axis alone, and without mathematics, which is switched off."""
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("")


def headed(figure: Figure, text: str) -> None:
    """A title over a figure, in as many lines as its width asks for."""
    figure.suptitle(fitted(text, figure.get_figwidth(), 12))


def fitted(text: str, inches: float, letters: int = 15) -> str:
    """A text in lines that fit a width, at so many letters per inch; parameters come apart where one ends.

    >>> print(fitted("alternating rule=adam;betas=(0.5,0.999)", 1.6))
    alternating rule=adam;
    betas=(0.5,0.999)
    """
    return "\n".join(wrap(re.sub(r";(?=\S)", "; ", text), max(12, int(letters * inches))))


def legend_below(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend for all panels, in as many columns as fit; the figure grows by its height."""
    found = {
        label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    if found:
        width, height = figure.get_size_inches()
        columns = min(len(found), max(1, int(width / (0.6 + max(map(len, found)) / LETTERS))))
        figure.set_size_inches(width, height + LINE * -(-len(found) // columns))
        figure.legend(list(found.values()), list(found), loc="outside lower center", ncols=columns)


@styled
def tradeoff(runs: pd.DataFrame) -> Figure:
    """Quality at the last iterate against two sides of stability, for all optimizers on one problem.

    Left, how far it fell behind its own best; right, how much longer the players' path was than the way they came.
    Small dots are seeds, large ones medians; seeds that diverged have no quality and stand in the legend.
    """
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    look, names = looks(runs.label), legend_of(runs)
    measures = {"last_minus_best": "last minus best", "path_ratio": "path length / displacement"}
    kept = runs[runs.status.isin(record.PLAYED - {"diverged"})]
    for panel, (measure, words) in zip(panels, measures.items(), strict=True):
        for label in names:
            group = kept[kept.label == label]
            x, y = group[measure].astype(float), group.value.astype(float)
            how: Any = {"color": look[label].colour, "marker": look[label].marker}
            panel.scatter(x, y, s=14, alpha=0.5, linewidths=0, **how)
            panel.scatter(x.median(), y.median(), s=80, edgecolors="white", label=names[label], **how)
        panel.set(xlabel=words)
    _scale(panels[0], "y", kept.value)
    for panel, measure in zip(panels, measures, strict=True):
        _scale(panel, "x", kept[measure])
    first = runs.iloc[0]
    panels[0].set_ylabel(f"{first.headline} ({first.better} is better)")
    legend_below(figure, panels)
    what = "final quality against stability; small dots are seeds that ended, large ones their medians"
    headed(figure, f"{first.title}: {what}")
    return figure


@styled
def overview(summary: pd.DataFrame) -> Figure:
    """Problems × optimizers: colour is the rank by the median headline, text the median; ✗ and ◐ count seeds."""
    records = summary.to_dict("records")
    names = [f"{row['title']}\n{row['headline']}, {row['better']} is better" for row in records]
    frame = summary.assign(rank=ranks(summary), text=[_cell(row) for row in records], title=names, label=_ways(summary))
    order = sorted(set(frame.label), key=place)
    rank, text = (frame.pivot(index="title", columns="label", values=name)[order] for name in ("rank", "text"))
    if len(order) > ABREAST:
        rank, text = rank.T, text.T
    rows, columns = rank.shape
    labels = [fitted(label, 1.6) for label in rank.columns]
    margin = (
        max(map(len, rank.index.str.split("\n").str[0])) / LETTERS,
        max(len(label) for label in labels) / LETTERS / 2,
    )
    figure = Figure(figsize=(2.6 + margin[0] + 1.3 * columns, 1.2 + margin[1] + 0.5 * rows), layout="constrained")
    panel = figure.subplots()
    bar = {"label": "rank (1 is best)", "ticks": MaxNLocator(TICKS, integer=True)}
    how: Any = {"fmt": "", "cmap": "crest", "linewidths": 1, "vmin": 1, "vmax": len(order), "cbar_kws": bar}
    sns.heatmap(rank.astype(float), annot=text.fillna(""), **how, ax=panel)
    panel.set(xlabel="", ylabel="")
    panel.set_xticks(panel.get_xticks(), labels, rotation=30, ha="right", rotation_mode="anchor")
    panel.tick_params(axis="y", rotation=0)
    seeds = "–".join(map(str, sorted({summary.seeds.min(), summary.seeds.max()})))
    what = "✗ diverged and ◐ flagged count as the worst, ! failed or not ended not at all"
    headed(figure, f"headline metric, median over {seeds} seeds; {what}")
    return figure


def _ways(summary: pd.DataFrame) -> pd.Series:
    """What the columns are called: an optimizer's name alone where it plays every problem in one way."""
    name = summary.label.str.split().str[0]
    ways = summary.groupby([summary.title, name]).size().groupby(level=1).max()
    return name.where(name.map(ways) == 1, summary.label)


def _cell(row: Mapping[Any, Any]) -> str:
    value = f"{row['median']:.3g}" if np.isfinite(row["median"]) else ""
    marks = {"✗": "diverged", "◐": "flagged", "!": "failed"}
    counts = [f"{mark} {row[name]}/{row['seeds']}" for mark, name in marks.items() if row[name]]
    return "  ".join([value, *counts]).strip() or ("skipped" if row["skipped"] else "–")


def ranks(summary: pd.DataFrame) -> pd.Series:
    """Rank of every row of a summary among the optimizers of its problem by the median headline, 1 for the best."""
    signed = (
        summary["median"].where(summary.better != "higher", -summary["median"]).round(DIGITS).map(tables.as_written)
    )
    groups = signed.groupby(summary.title)
    ranked = groups.rank(method="min", na_option="bottom").where(np.isfinite(signed), groups.transform("size"))
    return ranked.where(summary.skipped < summary.seeds)  # what was not played has no rank


@styled
def phase(rows: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """Phase portraits of a game of scalars: a panel an optimizer, a line a seed, ○ its start, ● its end, ✗ diverged."""
    keys = ["label", "run_id", "status", "step"]
    found = rows[rows.metric.isin(["x", "y"])].astype(dict.fromkeys(["metric", *keys[:3]], str))
    wide = found.pivot(index=keys, columns="metric", values="value")
    names, look = legend_of(runs), looks(runs.label)
    count = -(-len(names) // 5)
    columns = -(-len(names) // count)  # rows of about one length
    figure = Figure(figsize=(2.6 * columns, 2.7 * count + 0.4), layout="constrained")
    panels = figure.subplots(count, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for panel, label in zip(panels, names, strict=False):
        paths = wide.loc[[label]] if label in wide.index.get_level_values("label") else wide.iloc[:0]
        for (_, _, status), path in paths.groupby(level=["label", "run_id", "status"]):
            colour = look[label].colour
            panel.plot(path.x, path.y, color=colour, linewidth=0.8, alpha=0.8)
            panel.plot(path.x.iloc[0], path.y.iloc[0], "o", color=colour, markerfacecolor="white", markersize=4)
            mark = "X" if status == "diverged" else "o"
            panel.plot(path.x.iloc[-1], path.y.iloc[-1], mark, color=colour, markersize=5)
        panel.set_title("\n".join([fitted(label, 2), names[label].removeprefix(label).strip()]), fontsize="small")
        panel.set_aspect("equal")
    reach = _reach(wide)
    panels[0].set(xlim=(-reach, reach), ylim=(-reach, reach))
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    figure.supxlabel("x, the first player's first coordinate")
    figure.supylabel("y")
    headed(figure, f"{rows.title.iloc[0]}: ○ start, ● end, ✗ diverged")
    return figure


def _reach(paths: pd.DataFrame) -> float:
    """Half the side of the square around the origin to look at: all paths, but for those that leave it far behind."""
    start = np.abs(paths.groupby(level="run_id").first().to_numpy()).max()
    return 1.1 * float(min(np.nanmax(np.abs(paths.to_numpy())), REACH * start))
