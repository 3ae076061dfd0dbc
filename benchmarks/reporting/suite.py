"""The tables, figures and page of a suite's folder. Needs no torch."""

from __future__ import annotations

import fcntl
import math
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks import record
from benchmarks.command import AXES
from benchmarks.record import UsageError
from benchmarks.reporting import figures, grids, page, paper, profiles, tables
from benchmarks.reporting.comparisons import Compared, comparable, compare
from benchmarks.reporting.moving import animation
from benchmarks.reporting.tables import Tables


def write(home: Path, axis: str = AXES[0], for_paper: bool = False) -> list[Path]:
    """Write the tables, figures and page of a suite's folder; returns their paths.

    Args:
        home: results/<suite>.
        axis: the x-axis of curves: gradients, seconds or steps.
        for_paper: whether to write PDF figures and a LaTeX table too, into the folder paper.

    Raises:
        UsageError: there is no such folder, it holds no cells, or another version has written them.
    """
    with alone(home):
        record.sweep(home)
        found = tables.load(home)
        for note in found.notes:
            print(f"note: {note}", file=sys.stderr)
        paths, told, summary = tables.write(home, found), compare(found), tables.summary(found.runs)
        shown = {}
        for name, figure in drawn(found, told, axis):
            shown[name] = figures.save(figure, home / "figures" / re.sub(r"[^\w.+-]+", "-", name))
            paths += shown[name]
            if for_paper:
                paths.append(home / paper.FOLDER / f"{shown[name][0].stem}.pdf")
                paper.save(figure, paths[-1])
        for name, data in moving(found):
            paths.append(home / "figures" / re.sub(r"[^\w.+-]+", "-", f"{name}.gif"))
            record.write_atomic(paths[-1], data)
        name = home.resolve().name
        texts = {home / page.FILE: page.render(name, found, told, summary, shown)}
        if for_paper:
            texts[home / paper.FOLDER / "table.tex"] = paper.table(name, told, summary)
        for path, text in texts.items():
            record.write_atomic(path, text.encode())
        paths += texts
    return paths


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Have a suite's folder to this process; waits for another one that writes its tables and figures.

    Raises:
        UsageError: there is no such folder.
    """
    try:
        handle = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UsageError(f"{home} cannot be read ({error.strerror}): name the folder of a suite's results.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def drawn(found: Tables, told: Compared, axis: str) -> Iterator[tuple[str, Figure]]:
    """Every figure that the tables have something to show in, with its name."""
    yield "overview", figures.overview(tables.summary(found.runs))
    costs, found = told.costs[comparable(told.costs.index.to_series())], alike(found)
    if costs.size and np.isfinite(costs.to_numpy(float)).any():
        yield "profile", profiles.profile(costs)
    for title, runs in found.runs.groupby("title"):
        rows, pictures = (frame[frame.title == title] for frame in (found.curves, found.pictures))
        floors = found.floors[found.floors.title == title]
        rows = rows[rows.iterate != "ema"]
        if rows.empty:
            continue
        metrics = panels(found.metrics[found.metrics.title == title])
        metrics = metrics[metrics.name.isin(rows.metric.unique())]
        yield f"{title}-curves", figures.curves(rows, runs, floors, metrics, axis)
        if "value" in runs:
            yield f"{title}-tradeoff", figures.tradeoff(runs)
        if {"x", "y"} <= set(rows.metric):
            yield f"{title}-phase", figures.phase(rows, runs)
        yield from _got(str(title), runs, told)
        truths = truths_of(found, title)
        for name, group in pictures.groupby("name"):
            yield f"{title}-{name}-training", grids.training_grid(group, runs, truths)
            yield f"{title}-{name}-seeds", grids.seed_grid(group, runs, truths)


def alike(found: Tables) -> Tables:
    """The tables with no other runs than curves and pictures show: three rows of every optimizer are too many lines."""
    runs = found.runs[comparable(found.runs.label)]
    curves, pictures = (frame[frame.run_id.isin(runs.run_id)] for frame in (found.curves, found.pictures))
    return replace(found, runs=runs, curves=curves, pictures=pictures)


def _got(title: str, runs: pd.DataFrame, told: Compared) -> Iterator[tuple[str, Figure]]:
    """What it takes to reach a problem's target, and what several settings come to."""
    spent = told.spent[(told.spent.title == title) & told.spent.run_id.isin(runs.run_id)]
    if np.isfinite(spent.cost).any():
        aim = told.aims[title][0]
        head = f"{runs.headline.iloc[0]} {'≥' if runs.better.iloc[0] == 'higher' else '≤'} "
        yield (
            f"{title}-reached",
            profiles.reached(spent, head + f"{aim if runs.better.iloc[0] == 'higher' else -aim:.3g}"),
        )
    if title in told.scores and (tried := profiles.tried(told.scores, title)):
        yield f"{title}-best-of", profiles.best_of(tried, runs)


def moving(found: Tables) -> Iterator[tuple[str, bytes]]:
    """Training as moving pictures, with their names: of a problem's samples, or of what it shows instead."""
    found = alike(found)
    for title, runs in found.runs.groupby("title"):
        pictures = found.pictures[found.pictures.title == title]
        if pictures.empty:
            continue
        name = "samples" if (pictures.name == "samples").any() else pictures.name.min()
        data = animation(pictures[pictures.name == name], runs, truths_of(found, title))
        if data is not None:
            yield f"{title}-{name}", data


def truths_of(found: Tables, title: object) -> grids.Truths:
    """A problem's pictures of real data."""
    truths = found.truths[found.truths.title == title]
    return dict(zip(truths.name, truths.path, strict=True))


def panels(metrics: pd.DataFrame) -> pd.DataFrame:
    """The metrics that a problem's curves show: the headline, how much of the data is covered, the norm of F."""
    leading = metrics[metrics.headline]
    coverage = metrics[metrics.coverage & ~metrics.headline]
    norm = pd.DataFrame([{"name": "field_norm", "unit": "", "low": 0.0, "high": math.inf}])
    return pd.concat([leading, coverage.iloc[-1:], norm], ignore_index=True)
