"""Grids of the pictures that cells took: over training, and seed by seed. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from benchmarks import pictures, record
from benchmarks.pictures import MODES, Picture
from benchmarks.reporting import tables
from benchmarks.reporting.figures import fitted, headed, styled

MOMENTS = 5  # columns of a grid of samples over training
BINS = 72  # of a density, a side
SIDE = 1.7  # inches of a picture
WIDTH = 5.0  # inches of a grid, at least: its title would be taller than a narrow one
EDGE = 0.12  # inches free on the left
REAL = "real data"
Place: TypeAlias = tuple[str, str]  # row and column of a grid
Tile: TypeAlias = Picture | None  # a picture, None for a damaged one
Truths: TypeAlias = Mapping[str, Any]  # the path of each picture of real data by its name


class Moment(NamedTuple):
    """A picture of the seed that stands for an optimizer, and when it was taken.

    Args:
        label: the optimizer.
        which: the seed in words.
        share: of the steps that were planned.
        path: of the picture; None if it is damaged.
    """

    label: str
    which: str
    share: float
    path: Any


def over_training(taken: pd.DataFrame, runs: pd.DataFrame, count: int = MOMENTS) -> Iterator[Moment]:
    """Pictures of each optimizer's median seed by the headline at the last iterate, at the same moments for all.

    Args:
        taken: the pictures of one problem and one name.
        runs: the problem's runs.
        count: how many moments, at most.
    """
    longest = taken.groupby("run_id").step.transform("max")
    planned = runs.set_index("run_id").steps if "steps" in runs else longest.iloc[:0]
    share = taken.step / taken.run_id.map(planned).astype(float).fillna(longest).clip(lower=1)
    furthest = taken.run_id[share == share.max()].iloc[0]
    most = share[taken.run_id == furthest].sort_values()
    moments = most.iloc[np.unique(np.linspace(0, len(most) - 1, count).round().astype(int))].to_numpy()
    near = min(np.diff(moments), default=1.0) / 2  # methods differ by a step in when they are evaluated
    for label, group in taken.groupby("label", sort=False):
        seeds = ranked(runs[runs.run_id.isin(group.run_id)])  # one that was not begun stands for nothing
        mine = group[group.seed == seeds[len(seeds) // 2]]
        for moment in moments:
            away = (share[mine.index] - moment).abs()
            if away.min() < near:  # a run that diverged has no more pictures
                which = f"{'median' if len(seeds) > 1 else 'only'} seed ({mine.seed.iloc[0]})"
                yield Moment(str(label), which, float(moment), mine.path[away.idxmin()])


@styled
def training_grid(taken: pd.DataFrame, runs: pd.DataFrame, truths: Truths | None = None) -> Figure:
    """Pictures over training, a row an optimizer, and beside them one of real data.

    Args:
        taken: the pictures of one problem and one name.
        runs: the problem's runs.
        truths: the problem's pictures of real data.
    """
    shown = Tiles(truths or {}, taken.name.iloc[0])
    for moment in over_training(taken, runs):
        row, column = f"{moment.label}\n{moment.which}", f"after {100 * moment.share:.0f} % of the steps"
        shown.add((row, column), moment.path)
    return shown.drawn(f"{taken.title.iloc[0]}: {shown.about}, over training")


@styled
def seed_grid(taken: pd.DataFrame, runs: pd.DataFrame, truths: Truths | None = None) -> Figure:
    """The last pictures of the best, median and worst seed by the final headline, a column an optimizer.

    A single optimizer has a row.
    """
    shown, alone = Tiles(truths or {}, taken.name.iloc[0]), taken.label.nunique() == 1
    for label, group in taken.groupby("label", sort=False):
        mine = runs[runs.label == label]
        seeds = ranked(mine)
        which = {"best": seeds[0], "median": seeds[len(seeds) // 2], "worst": seeds[-1]}
        if len(seeds) == 2:
            del which["median"]
        elif len(seeds) == 1:
            which = {"only": seeds[0]}
        for name, seed in which.items():
            its = group[group.seed == seed].sort_values("step")
            if len(its):
                place = f"{name} seed", str(label)
                shown.add(place[::-1] if alone else place, its.path.iloc[-1], _caption(mine[mine.seed == seed]))
    first = runs.iloc[0]
    how = f"last pictures, seeds by their final {first.headline} ({first.better} is better)"
    return shown.drawn(f"{taken.title.iloc[0]}: {shown.about}, {how}")


def _caption(run: pd.DataFrame) -> str:
    first = run.iloc[0]
    how = "" if first.status in record.PLAYED - {"diverged"} else f", {first.status}"
    return f"seed {first.seed}: {tables.headline(run).iloc[0]:.3g}{how}"


def ranked(runs: pd.DataFrame) -> list[int]:
    """The seeds of one optimizer from best to worst; those that failed come last."""
    values = tables.headline(runs)
    signed = -values if runs.better.iloc[0] == "higher" else values
    order = signed.sort_values(kind="stable", na_position="last").index
    return [int(seed) for seed in runs.loc[order].seed]


def read(path: Any) -> Tile:
    """A picture as a worker wrote it; None if it is damaged or there is no path."""
    try:
        return pictures.read(Path(path)) if isinstance(path, str) else None
    except (OSError, record.DamagedError):
        return None


@dataclass(frozen=True)
class Window:
    """What all densities of a figure show: a square around the origin, and where the modes of the data are.

    Args:
        reach: half its side.
        modes: (K, 2), none where they are not known.
    """

    reach: float
    modes: np.ndarray

    @classmethod
    def around(cls, clouds: Sequence[np.ndarray], modes: np.ndarray) -> Window:
        """One that shows nearly all points of the median cloud."""
        sizes = [
            float(np.quantile(np.abs(cloud[np.isfinite(cloud)]), 0.995)) for cloud in clouds if np.isfinite(cloud).any()
        ]
        return cls(1.3 * float(np.median(sizes)) if sizes else 1.0, modes)

    def density(self, points: np.ndarray) -> np.ndarray:
        """Counts of points in a square lattice of bins, first coordinate first; those that are not finite in none."""
        finite = points[np.isfinite(points).all(axis=1)]
        edges = [[-self.reach, self.reach]] * 2
        counts, _, _ = np.histogram2d(finite[:, 0], finite[:, 1], bins=BINS, range=edges)
        # The square root keeps thin modes visible beside full ones.
        return np.sqrt(counts)


class Tiles:
    """The pictures of one figure: of one name, each at its row and column, in the order in which they came.

    Args:
        truths: the problem's pictures of real data.
        name: what the pictures are called.
    """

    def __init__(self, truths: Truths, name: str) -> None:
        self.name, self.found, self.captions = name, dict[Place, Tile](), dict[Place, str]()
        self.real = {REAL: read(truths[name])} if name in truths else {}
        modes = read(truths.get(MODES))
        self.modes = np.empty((0, 2)) if modes is None or not pointed(modes) else modes.array

    def add(self, place: Place, path: Any, caption: str = "") -> None:
        """Put a picture where it belongs, and some words below it."""
        self.found[place], self.captions[place] = read(path), caption

    @property
    def about(self) -> str:
        """What the pictures show, in words."""
        told = [tile.about for tile in self.found.values() if tile is not None and tile.about]
        return told[0] if told else self.name + " from one fixed noise" * (self.name == "samples")

    @property
    def window(self) -> Window | None:
        """What densities show, None of pixels: where the real data are, if they are known."""
        clouds, real = (
            [tile.array for tile in tiles.values() if tile is not None and pointed(tile)]
            for tiles in (self.found, self.real)
        )
        return Window.around(real or clouds, self.modes) if clouds or real else None

    def drawn(self, title: str) -> Figure:
        """The figure, pictures of real data in the last column."""
        rows, columns = (list(dict.fromkeys(place[side] for place in self.found)) or [""] for side in (0, 1))
        tiles = self.found | {(row, name): tile for row in rows for name, tile in self.real.items()}
        columns += self.real
        labels = max((len(line) for row in rows for line in row.splitlines()), default=0)
        margin = 0.6 + min(1.6, labels / 13)
        side = max(SIDE, (WIDTH - margin) / len(columns))
        height = side * self.tallness + (0.25 if any(self.captions.values()) else 0.05)
        figure = Figure(figsize=(side * len(columns) + margin, height * len(rows) + 0.9), layout="constrained")
        panels, window = figure.subplots(len(rows), len(columns), squeeze=False), self.window
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                panel = panels[i, j]
                panel.set(xticks=[], yticks=[])
                panel.grid(False)
                sns.despine(ax=panel, left=True, bottom=True)
                if (row, column) in tiles:
                    _tile(panel, tiles[row, column], window, left=j == 0, bottom=i == len(rows) - 1)
                    panel.set_xlabel(self.captions.get((row, column), ""), fontsize="small")
                if i == 0:
                    panel.set_title(fitted(column, 1.6), fontsize="small")
                if j == 0:
                    beside: Any = {"rotation": 0, "ha": "right", "va": "center", "fontsize": "small"}
                    panel.set_ylabel("\n".join(fitted(line, 1.6) for line in row.splitlines()), **beside)
        if window is not None:
            title += "; densities, x₁ to the right and x₂ up" + (", ○ true modes" if len(window.modes) else "")
        headed(figure, title)
        engine, left = figure.get_layout_engine(), EDGE / figure.get_figwidth()
        if isinstance(engine, ConstrainedLayoutEngine):  # which places words beside panels a little too far out
            engine.set(rect=(left, 0, 1 - left, 1))
        return figure

    @property
    def tallness(self) -> float:
        """How high the pictures are for their width."""
        sides = [tile.array.shape for tile in self.found.values() if tile is not None and not pointed(tile)]
        return min(2.0, max((height / width for height, width, *_ in sides), default=1.0))


def pointed(tile: Tile) -> bool:
    """Whether a picture is of points."""
    return tile is not None and tile.array.dtype != np.uint8


def _tile(panel: Axes, tile: Tile, window: Window | None, left: bool, bottom: bool) -> None:
    """A picture as it is, its rows and columns named at the sides of the figure; points as their density."""
    if tile is None:
        panel.text(0.5, 0.5, "damaged", ha="center", va="center", color="0.4", transform=panel.transAxes)
    elif window is not None and pointed(tile):
        _density(panel, tile.array, window, left, bottom)
    else:
        panel.imshow(tile.array, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        height, width = tile.array.shape[:2]
        if left and tile.rows:
            _named(panel, "y", tile.rows, height)
        if bottom and tile.columns:
            _named(panel, "x", tile.columns, width)


def _named(panel: Axes, axis: Literal["x", "y"], names: Sequence[str], length: int) -> None:
    """Names along a side of a picture, each at the middle of its row or column."""
    told = {(k + 0.5) * length / len(names) - 0.5: name for k, name in enumerate(names) if name}
    panel.set(**{f"{axis}ticks": list(told), f"{axis}ticklabels": list(told.values())})
    panel.tick_params(axis=axis, labelsize=6, length=0, pad=1)


def _density(panel: Axes, points: np.ndarray, window: Window, left: bool, bottom: bool) -> None:
    """Points as their density, the true modes in rings; the outer panels of a figure bear the scale."""
    reach = window.reach
    counts = window.density(points).T
    panel.imshow(counts, origin="lower", cmap="rocket_r", extent=(-reach, reach) * 2, interpolation="nearest")
    how: Any = {"markerfacecolor": "none", "markeredgecolor": "tab:blue", "markeredgewidth": 0.5}
    panel.plot(*window.modes.T, "o", markersize=5, **how)
    panel.set(xlim=(-reach, reach), ylim=(-reach, reach))
    for axis, shown in ((panel.xaxis, bottom), (panel.yaxis, left)):
        if shown:
            axis.set_major_locator(MaxNLocator(3, integer=True, symmetric=True))
            axis.set_tick_params(labelsize=6, length=2, pad=1, left=left, bottom=bottom)
