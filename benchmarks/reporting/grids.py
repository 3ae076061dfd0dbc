"""Grids of the pictures that cells took: over training, and seed by seed. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import pictures, record
from benchmarks.reporting import tables
from benchmarks.reporting.figures import fitted, headed, styled

MOMENTS = 5  # columns of a grid of samples over training
Place: TypeAlias = tuple[str, str]  # row and column of a grid
Tile: TypeAlias = np.ndarray | None  # a picture, None for a damaged one


@styled
def training_grid(taken: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """Pictures over training, a row an optimizer: its median seed by the headline at the last iterate, one fixed noise.

    Args:
        taken: the pictures of one problem and one name.
        runs: the problem's runs.
    """
    tiles: dict[Place, Tile] = {}
    longest = taken.groupby("run_id").step.transform("max")
    planned = runs.set_index("run_id").steps if "steps" in runs else longest.iloc[:0]
    share = taken.step / taken.run_id.map(planned).astype(float).fillna(longest).clip(lower=1)
    furthest = taken.run_id[share == share.max()].iloc[0]
    most = share[taken.run_id == furthest].sort_values()
    moments = most.iloc[np.unique(np.linspace(0, len(most) - 1, MOMENTS).round().astype(int))].to_numpy()
    near = min(np.diff(moments), default=1.0) / 2  # methods differ by a step in when they are evaluated
    for label, group in taken.groupby("label", sort=False):
        seeds = ranked(runs[runs.label == label])
        which = "median" if len(seeds) > 1 else "only"
        mine = group[group.seed == seeds[len(seeds) // 2]]
        for moment in moments if len(mine) else ():
            away = (share[mine.index] - moment).abs()
            key = f"{label}\n{which} seed ({mine.seed.iloc[0]})", f"after {100 * moment:.0f} % of the steps"
            if away.min() < near:  # a run that diverged has no more pictures
                tiles[key] = read(mine.path[away.idxmin()])
    return _grid(tiles, f"{taken.title.iloc[0]}: over training, from one fixed noise")


@styled
def seed_grid(taken: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    """The last pictures of the best, median and worst seed by the final headline, a column an optimizer."""
    tiles: dict[Place, Tile] = {}
    captions: dict[Place, str] = {}
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
                key = (f"{name} seed", str(label))
                tiles[key] = read(its.path.iloc[-1])
                captions[key] = _caption(mine[mine.seed == seed])
    return _grid(tiles, f"{taken.title.iloc[0]}: last pictures, seeds by their final {runs.headline.iloc[0]}", captions)


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
    """A picture as a worker wrote it: pixels, or (n, 2) points; None if it is damaged or there is no path."""
    try:
        return pictures.read(Path(path)) if isinstance(path, str) else None
    except (OSError, record.DamagedError):
        return None


def _grid(tiles: Mapping[Place, Tile], title: str, captions: Mapping[Place, str] | None = None) -> Figure:
    rows, columns = (list(dict.fromkeys(key[side] for key in tiles)) or [""] for side in (0, 1))
    figure = Figure(figsize=(1.7 * len(columns) + 1.2, 1.7 * len(rows) + 0.7), layout="constrained")
    panels = figure.subplots(len(rows), len(columns), squeeze=False)
    window = _window([tile for tile in tiles.values() if tile is not None and tile.dtype != np.uint8])
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
                panel.set_title(fitted(column, 1.6), fontsize="small")
            if j == 0:
                panel.set_ylabel("\n".join(fitted(line, 1.6) for line in row.splitlines()), fontsize="small")
    headed(figure, title)
    return figure


def _tile(panel: Axes, tile: Tile, window: float) -> None:
    """A picture as it is, points as their density on a square common to the whole grid."""
    if tile is None:
        panel.text(0.5, 0.5, "damaged", ha="center", va="center", color="0.4", transform=panel.transAxes)
        return
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
