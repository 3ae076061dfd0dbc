"""Figures from tables: one function a figure, DataFrame in, Figure out. Needs no torch.

Every figure that shows a number says over how many seeds, how many of them diverged, and what its band is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from io import BytesIO
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import record, table

AXES = {"gradients": "gradient evaluations", "seconds": "training seconds", "steps": "optimizer steps"}
COLUMNS = {"gradients": "gradients", "seconds": "train_time_s", "steps": "step"}
LOG_RATIO = 30.0  # values that are positive and span more than this go on a logarithmic axis
MOMENTS = 5  # columns of a grid of samples over training
SHARES = (
    "recall",
    "precision",
    "coverage",
    "density",
    "agreement",
    "share",
    "fair_modes",
    "modes",
)  # never logarithmic
REACH = 3.0  # how many times its start's coordinates a phase portrait shows
P = ParamSpec("P")
Place: TypeAlias = tuple[str, str]  # row and column of a grid


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures, and what makes their files the same at every writing."""
    rc = {
        **sns.axes_style("whitegrid"),
        **sns.plotting_context("paper"),
        **{"svg.hashsalt": "minimax", "svg.fonttype": "none", "figure.dpi": 120, "axes.titlesize": "medium"},
        **{"legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False, "grid.alpha": 0.5},
    }
    with mpl.rc_context(rc):
        yield


def _styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            return draw(*args, **kwargs)

    return styled


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write stem.png and stem.svg, without a date; returns their paths.

    Raises:
        OSError: the disk is full, say.
    """
    out = []
    for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
        data = BytesIO()
        with style():
            figure.savefig(data, format=kind, metadata=metadata)
        figure.set_layout_engine("none")  # laid out once, which takes as long as drawing
        out.append(stem.with_name(f"{stem.name}.{kind}"))
        record.write_atomic(out[-1], data.getvalue())
    return out


def colours(labels: Sequence[str]) -> dict[str, Any]:
    """One colour an optimizer, the same in every figure of the same labels."""
    names = sorted(set(labels))
    palette = sns.color_palette("colorblind" if len(names) <= 10 else "husl", len(names))
    return dict(zip(names, palette, strict=True))


def legend_of(runs: pd.DataFrame) -> dict[str, str]:
    """label -> label with its number of seeds and of divergences."""
    out = {}
    for label, group in runs.groupby("label"):
        lost = int((group.status == "diverged").sum())
        out[str(label)] = f"{label} (n = {len(group)}{f', {lost} diverged' if lost else ''})"
    return out


@_styled
def curves(rows: pd.DataFrame, runs: pd.DataFrame, floors: pd.DataFrame, metrics: Sequence[str], axis: str) -> Figure:
    """Metrics over the budget: median over seeds, interquartile band, a thin line a seed, ✗ where a seed diverged.

    Args:
        rows: the curves of one problem.
        runs: its runs.
        floors: its reference values.
        metrics: one panel each.
        axis: gradients, seconds or steps.
    """
    figure = Figure(figsize=(4.2 * len(metrics) + 0.4, 3.8), layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    palette, names = colours(list(runs.label)), legend_of(runs)
    for panel, metric in zip(panels, metrics, strict=True):
        shown = rows[(rows.metric == metric) & np.isfinite(rows.value.astype(float))]
        for label, group in shown.groupby("label"):
            _curve(panel, group, COLUMNS[axis], palette[str(label)], names[str(label)])
        logarithmic = metric.partition("/")[0] not in SHARES and _scale(panel.set_yscale, shown.value)
        for what, value in floors[floors.metric == metric][["what", "value"]].itertuples(index=False):
            if np.isfinite(value) and (value > 0 or not logarithmic):
                panel.axhline(value, color="0.4", linestyle=":", linewidth=1)
                place: Any = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom", "fontsize": "small"}
                panel.annotate(what, (1, value), color="0.4", **place)
        panel.set(xlabel=AXES[axis], ylabel=metric)
    _legend_below(figure, panels)
    figure.suptitle(f"{rows.title.iloc[0]}: median over seeds, band between the quartiles, ✗ diverged")
    return figure


def _curve(panel: Axes, group: pd.DataFrame, x: str, colour: Any, name: str) -> None:
    for _, one in group.groupby("run_id"):
        panel.plot(one[x], one.value, color=colour, linewidth=0.5, alpha=0.35)
        if (one.status == "diverged").all():
            panel.plot(one[x].iloc[-1], one.value.iloc[-1], "X", color=colour, markersize=7, markeredgecolor="white")
    by_step = group.groupby("step")
    middle = pd.DataFrame({"x": by_step[x].median(), "value": by_step.value.median()})
    panel.fill_between(
        middle.x, by_step.value.quantile(0.25), by_step.value.quantile(0.75), color=colour, alpha=0.18, lw=0
    )
    sns.lineplot(data=middle, x="x", y="value", color=colour, linewidth=1.8, label=name, legend=False, ax=panel)


def _scale(scale: Callable[..., Any], values: pd.Series) -> bool:
    """Make an axis logarithmic where that shows more, linear below the smallest value; says whether it did."""
    finite = values[np.isfinite(values.astype(float))].astype(float)
    positive = finite[finite > 0]
    wide = len(positive) > 0 and bool((finite >= 0).all()) and positive.max() / positive.min() > LOG_RATIO
    if wide and len(positive) < len(finite):
        scale("symlog", linthresh=positive.min())  # zeros have a place of their own
    elif wide:
        scale("log")
    return wide


def _legend_below(figure: Figure, panels: Sequence[Axes]) -> None:
    found = {
        label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    if found:
        figure.legend(list(found.values()), list(found), loc="outside lower center", ncols=min(3, len(found)))


@_styled
def tradeoff(runs: pd.DataFrame) -> Figure:
    """Quality at the last iterate against two sides of stability, for all optimizers on one problem.

    Left, how far it fell behind its own best; right, how much longer the players' path was than the way they came.
    Small dots are seeds, large ones medians; seeds that diverged have no quality and stand in the legend.
    """
    figure = Figure(figsize=(8.4, 3.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    palette, names = colours(list(runs.label)), legend_of(runs)
    measures = {"last_minus_best": "last minus best", "path_ratio": "path length / displacement"}
    kept = runs[runs.status.isin(record.PLAYED - {"diverged"})]
    for panel, (measure, words) in zip(panels, measures.items(), strict=True):
        for label in names:
            group = kept[kept.label == label]
            x, y = group[measure].astype(float), group.value.astype(float)
            panel.scatter(x, y, color=palette[label], s=14, alpha=0.5, linewidths=0)
            panel.scatter(x.median(), y.median(), color=palette[label], s=80, edgecolors="white", label=names[label])
        panel.set(xlabel=words)
    _scale(panels[0].set_yscale, kept.value)
    for panel, measure in zip(panels, measures, strict=True):
        _scale(panel.set_xscale, kept[measure])
    first = runs.iloc[0]
    panels[0].set_ylabel(f"{first.headline} ({'higher' if first.higher_is_better else 'lower'} is better)")
    _legend_below(figure, panels)
    figure.suptitle(f"{first.title}: final quality against stability, dots are seeds, large dots their medians")
    return figure


@_styled
def overview(summary: pd.DataFrame) -> Figure:
    """Problems × optimizers: colour is the rank by the median headline, text the median; ✗ counts diverged seeds."""
    frame = summary.assign(rank=ranks(summary), text=[_cell(row) for row in summary.to_dict("records")])
    rank = frame.pivot(index="title", columns="label", values="rank").astype(float)
    text = frame.pivot(index="title", columns="label", values="text").fillna("")
    rows, columns = rank.shape
    figure = Figure(figsize=(2.2 + 1.5 * columns, 1.6 + 0.5 * rows), layout="constrained")
    panel = figure.subplots()
    bar = {"label": "rank (1 is best)", "ticks": range(1, columns + 1)}
    sns.heatmap(rank, annot=text, fmt="", cmap="crest", linewidths=1, vmin=1, vmax=columns, cbar_kws=bar, ax=panel)
    panel.set(xlabel="", ylabel="")
    panel.tick_params(axis="x", rotation=20)
    panel.tick_params(axis="y", rotation=0)
    seeds = "–".join(map(str, sorted({summary.seeds.min(), summary.seeds.max()})))
    panel.set_title(f"headline metric, median over {seeds} seeds; those that diverged, ✗, count as the worst")
    return figure


def _cell(row: Mapping[Any, Any]) -> str:
    value = f"{row['median']:.3g}" if np.isfinite(row["median"]) else ""
    if row["diverged"]:
        return f"{value}  ✗ {row['diverged']}/{row['seeds']}".strip()
    return value or "–"


def ranks(summary: pd.DataFrame) -> pd.Series:
    """Rank of every row of a summary among the optimizers of its problem by the median headline, 1 for the best."""
    signed = summary["median"].where(~summary["higher_is_better"].astype(bool), -summary["median"])
    groups = signed.groupby(summary.title)
    return groups.rank(method="min", na_option="bottom").where(np.isfinite(signed), groups.transform("size"))


@_styled
def phase(rows: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """Phase portraits of a game of scalars: a panel an optimizer, a line a seed, ○ its start, ● its end, ✗ diverged."""
    keys = ["label", "run_id", "status", "step"]
    wide = rows[rows.metric.isin(["x", "y"])].pivot(index=keys, columns="metric", values="value")
    names, palette = legend_of(runs), colours(list(runs.label))
    columns = min(5, len(names))
    count = -(-len(names) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.7 * count + 0.4), layout="constrained")
    panels = figure.subplots(count, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for panel, label in zip(panels, names, strict=False):
        paths = wide.loc[[label]] if label in wide.index.get_level_values("label") else wide.iloc[:0]
        for (_, _, status), path in paths.groupby(level=["label", "run_id", "status"]):
            panel.plot(path.x, path.y, color=palette[label], linewidth=0.8, alpha=0.8)
            panel.plot(path.x.iloc[0], path.y.iloc[0], "o", color=palette[label], markerfacecolor="white", markersize=4)
            mark = "X" if status == "diverged" else "o"
            panel.plot(path.x.iloc[-1], path.y.iloc[-1], mark, color=palette[label], markersize=5)
        panel.set_title(names[label].replace(" (", "\n("), fontsize="small")
        panel.set_aspect("equal")
    reach = _reach(wide)
    panels[0].set(xlim=(-reach, reach), ylim=(-reach, reach))
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    figure.supxlabel("x, the first player's first coordinate")
    figure.supylabel("y")
    figure.suptitle(f"{rows.title.iloc[0]}: ○ start, ● end, ✗ diverged")
    return figure


def _reach(paths: pd.DataFrame) -> float:
    """Half the side of the square around the origin to look at: all paths, but for those that leave it far behind."""
    start = np.abs(paths.groupby(level="run_id").first().to_numpy()).max()
    return 1.1 * float(min(np.nanmax(np.abs(paths.to_numpy())), REACH * start))


@_styled
def training_grid(pictures: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """Pictures over training, a row an optimizer: its median seed by the headline at the last iterate, one fixed noise.

    Args:
        pictures: those of one problem and one name.
        runs: the problem's runs.
    """
    tiles: dict[Place, np.ndarray] = {}
    share = pictures.step / pictures.groupby("run_id").step.transform("max").clip(lower=1)
    longest = share[pictures.run_id == pictures.run_id.value_counts().index[0]].sort_values()
    moments = longest.iloc[np.unique(np.linspace(0, len(longest) - 1, MOMENTS).round().astype(int))].to_numpy()
    for label, group in pictures.groupby("label"):
        seeds = ranked(runs[runs.label == label])
        which = "median" if len(seeds) > 1 else "only"
        mine = group[group.seed == seeds[len(seeds) // 2]]
        for moment in moments if len(mine) else ():  # methods differ by a step in when they are evaluated
            picture = mine.loc[(share[mine.index] - moment).abs().idxmin()]
            tiles[f"{label}\n{which} seed ({picture.seed})", f"{100 * moment:.0f} % of its run"] = read(picture.path)
    return _grid(tiles, f"{pictures.title.iloc[0]}: over training, from one fixed noise")


@_styled
def seed_grid(pictures: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """The last pictures of the best, median and worst seed by the final headline, a column an optimizer."""
    tiles: dict[Place, np.ndarray] = {}
    captions: dict[Place, str] = {}
    for label, group in pictures.groupby("label"):
        mine = runs[runs.label == label]
        seeds = ranked(mine)
        which = {"best": seeds[0], "median": seeds[len(seeds) // 2], "worst": seeds[-1]}
        if len(seeds) == 1:
            which = {"only": seeds[0]}
        for name, seed in which.items():
            taken = group[group.seed == seed].sort_values("step")
            if len(taken):
                key = (f"{name} seed", str(label))
                tiles[key] = read(str(taken.path.iloc[-1]))
                captions[key] = f"seed {seed}: {table.headline(mine[mine.seed == seed]).iloc[0]:.3g}"
    return _grid(
        tiles, f"{pictures.title.iloc[0]}: last pictures, seeds by their final {runs.headline.iloc[0]}", captions
    )


def ranked(runs: pd.DataFrame) -> list[int]:
    """The seeds of one optimizer from best to worst; those that failed come last."""
    values = table.headline(runs)
    signed = -values if runs.higher_is_better.iloc[0] else values
    order = signed.sort_values(kind="stable", na_position="last").index
    return [int(seed) for seed in runs.loc[order].seed]


def read(path: str) -> np.ndarray:
    """A picture as a worker wrote it: pixels, or (n, 2) points."""
    if path.endswith(".npy"):
        points: np.ndarray = np.load(path)
        return points
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image)


def _grid(tiles: Mapping[Place, np.ndarray], title: str, captions: Mapping[Place, str] | None = None) -> Figure:
    rows, columns = (list(dict.fromkeys(key[side] for key in tiles)) for side in (0, 1))
    figure = Figure(figsize=(1.7 * len(columns) + 1.2, 1.7 * len(rows) + 0.7), layout="constrained")
    panels = figure.subplots(len(rows), len(columns), squeeze=False)
    window = _window([tile for tile in tiles.values() if tile.dtype != np.uint8])
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            panel = panels[i, j]
            panel.set(xticks=[], yticks=[])
            panel.grid(False)
            sns.despine(ax=panel, left=True, bottom=True)
            if (row, column) in tiles:
                _tile(panel, tiles[row, column], window)
                panel.set_xlabel((captions or {}).get((row, column), ""), fontsize="small")
            if i == 0:
                panel.set_title(column, fontsize="small")
            if j == 0:
                panel.set_ylabel(row, fontsize="small")
    figure.suptitle(title)
    return figure


def _tile(panel: Axes, tile: np.ndarray, window: float) -> None:
    """A picture as it is, points as their density on a square common to the whole grid."""
    if tile.dtype == np.uint8:
        panel.imshow(tile, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        return
    points = tile[np.isfinite(tile).all(axis=1)]
    counts, _, _ = np.histogram2d(points[:, 0], points[:, 1], bins=72, range=[[-window, window]] * 2)
    # The square root keeps thin modes visible beside full ones.
    panel.imshow(
        np.sqrt(counts.T), origin="lower", cmap="rocket_r", extent=(-window, window) * 2, interpolation="nearest"
    )


def _window(clouds: Sequence[np.ndarray]) -> float:
    """Half the side of a square around the origin that shows nearly all points of the median cloud."""
    sizes = [
        float(np.quantile(np.abs(cloud[np.isfinite(cloud)]), 0.995)) for cloud in clouds if np.isfinite(cloud).any()
    ]
    return 1.3 * float(np.median(sizes)) if sizes else 1.0
