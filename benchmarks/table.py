"""Folders in, tables out: a pure function of what the cells have written. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import record
from benchmarks.record import Folder, RecordError

FINAL = "final/"
"""The prefix of the columns of `runs` that hold the metrics at the last iterate."""
STABILITY = ("last_minus_best", "path_ratio", "update_cosine", "gradient_ratio")
BOOTSTRAP = 5  # seeds from which on an interval is bootstrapped; with fewer it is the range
RESAMPLES = 2000


@dataclass(frozen=True)
class Tables:
    """What a suite's folder says.

    Args:
        runs: one row a run.
        curves: one row a run, evaluation and metric.
        floors: one row a problem and reference value.
        pictures: one row a picture, with its path.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    floors: pd.DataFrame
    pictures: pd.DataFrame


def load(home: Path) -> Tables:
    """Read the cells of a suite, each problem at the sizes that were planned last.

    Args:
        home: results/<suite>.

    Raises:
        RecordError: there are no cells, or another version has written them.
    """
    record.check_schema(home)
    folders = [Folder(path.parent) for path in sorted((home / "cells").glob("*/cell.json"))]
    runs = pd.DataFrame([row for folder in folders if (row := _run(folder)) is not None])
    if runs.empty:
        raise RecordError(f"{home} holds no cells: run the suite first.")
    runs = current(runs).sort_values(["title", "label", "seed"], ignore_index=True)
    floors = _floors(home / "cells" / "floors", runs)
    heads = floors[floors.metric == floors.title.map(runs.groupby("title").headline.first())]
    said = heads.assign(text=[f"{what} {value:.4g}" for what, value in zip(heads.what, heads.value, strict=True)])
    references = {title: ", ".join(group.text) for title, group in said.groupby("title")}
    runs["references"] = [references.get(title, "") for title in runs.title]
    return Tables(runs, _curves(runs), floors, _pictures(runs))


def current(runs: pd.DataFrame) -> pd.DataFrame:
    """Leave out what was superseded: keep each problem's sizes and each optimizer's setup that were planned last."""
    runs = runs.sort_values("planned", kind="stable")
    runs = runs[runs.sizes_id == runs.groupby("title").sizes_id.transform("last")]
    return runs[runs.configuration_id == runs.groupby(["title", "label"]).configuration_id.transform("last")]


def _run(folder: Folder) -> dict[str, Any] | None:
    cell = record.read_json(folder.cell)
    if cell is None:
        return None
    status = record.read_json(folder.status) or {"status": "interrupted", "reason": "it has not ended"}
    identity, optimizer = cell["identity"], cell["identity"]["optimizer"]["optimizer"]
    (seed,) = identity["seeds"]
    params = cell["params"]
    names = ("run_id", "title", "params", "preset", "headline", "higher_is_better")
    return {
        **{name: cell[name] for name in (*names, "planned", "sizes_id", "configuration_id")},
        **{
            "problem": identity["problem"],
            "data": identity["data"],
            "seed": seed,
            "budget": identity["sizes"]["steps"],
        },
        **{"optimizer": optimizer, "label": f"{optimizer} {params}" if params else optimizer},
        **{name: value for name, value in status.items() if name not in ("final", "stability", "traceback")},
        **status.get("stability", {}),
        **{FINAL + name: value for name, value in status.get("final", {}).items()},
        "folder": str(folder.path),
    }


def _curves(runs: pd.DataFrame) -> pd.DataFrame:
    rows = [row for path in runs.folder for row in record.read_rows(Folder(Path(path)).curve)[0]]
    curves = pd.DataFrame(rows, columns=list(record.COLUMNS))
    curves = curves.merge(runs[["run_id", "title", "label", "status"]], on="run_id")
    norms = curves[curves.metric.str.startswith("player_norm_")]
    players = curves.run_id.map(norms.groupby("run_id").metric.nunique()).fillna(1)
    curves["gradients"] = (curves.grad_evals + 2 * players * curves.hvp_evals).astype(int)
    return curves


def _floors(folder: Path, runs: pd.DataFrame) -> pd.DataFrame:
    rows = []
    sizes = set(zip(runs.title, runs.sizes_id, strict=True))
    metrics = [name[len(FINAL) :] for name in runs.columns if name.startswith(FINAL)]
    for path in sorted(folder.glob("*.json")):
        found = record.read_json(path) or {"title": None, "sizes_id": None}
        if (found["title"], found["sizes_id"]) in sizes:
            for name, value in found["floors"].items():
                # A metric's own name may hold a slash; what is left behind it names the reference.
                metric = max((one for one in metrics if f"{name}/".startswith(f"{one}/")), key=len, default=name)
                rows.append((found["title"], metric, name[len(metric) + 1 :] or "reference", value))
    return pd.DataFrame(rows, columns=["title", "metric", "what", "value"])


def _pictures(runs: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for run in runs.itertuples():
        for path in sorted((Path(str(run.folder)) / "samples").glob("[!.]*")):
            name, _, step = path.stem.rpartition("-")
            rows.append((run.run_id, run.title, run.label, run.seed, name, int(step), str(path)))
    return pd.DataFrame(rows, columns=["run_id", "title", "label", "seed", "name", "step", "path"])


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a problem and optimizer: how many seeds, how many lost, and medians over them.

    A seed that diverged counts as the worst value there is in the headline, and is left out of the other metrics; seeds
    that failed (timeout, oom, error, interrupted) count in neither.
    """
    groups = runs.groupby(["title", "label"], sort=True)
    table = pd.DataFrame([_summarise(group) for _, group in groups])
    final = sorted(name for name in runs.columns if name.startswith(FINAL))
    medians = groups[final].median().reset_index(drop=True)
    return pd.concat([table, medians], axis=1)


def _summarise(group: pd.DataFrame) -> dict[str, Any]:
    first = group.iloc[0]
    played = group[group.status.isin(record.PLAYED)]
    median, low, high, kind = interval(headline(played).to_numpy())
    return {
        **{name: first[name] for name in ("title", "label", "preset", "budget")},
        "seeds": len(group),
        "diverged": int((group.status == "diverged").sum()),
        "collapsed": int(group["collapsed"].eq(True).sum()) if "collapsed" in group else 0,
        "failed": len(group) - len(played),
        "on_target": int((group.status == "target").sum()),
        **{name: first[name] for name in ("headline", "higher_is_better")},
        **{"median": median, "low": low, "high": high, "interval": kind},
        "references": first["references"],
        **{
            name: played[name].dropna().median() if name in played else np.nan
            for name in (*STABILITY, "units", "train_time_s")
        },
    }


def headline(runs: pd.DataFrame) -> pd.Series:
    """The headline of every run at its last iterate, the worst there is for one that diverged."""
    if "value" not in runs:
        return pd.Series(np.nan, index=runs.index)
    worst = np.where(runs.higher_is_better.astype(bool), -np.inf, np.inf)
    return runs.value.astype(float).where(runs.status != "diverged", pd.Series(worst, index=runs.index))


def interval(values: Sequence[float] | np.ndarray) -> tuple[float, float, float, str]:
    """The median over seeds, an interval around it, and what kind of interval that is.

    From five seeds on it is the 95 % bootstrap interval of the median, with fewer the range of the seeds.

    >>> interval([1.0, 3.0, 2.0])
    (2.0, 1.0, 3.0, 'range')
    """
    values = np.sort(np.asarray(values, dtype=float))
    values = values[~np.isnan(values)]
    if not len(values):
        return np.nan, np.nan, np.nan, "none"
    if len(values) < BOOTSTRAP:
        return float(np.median(values)), float(values[0]), float(values[-1]), "range"
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values)))
    medians = np.sort(np.median(drawn, axis=1))
    low, high = medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES) - 1]
    return float(np.median(values)), float(low), float(high), "bootstrap 95%"


def write(home: Path, tables: Tables) -> list[Path]:
    """Write runs.parquet, curves.parquet and summary.csv; returns their paths."""
    home.mkdir(parents=True, exist_ok=True)
    paths = [home / "runs.parquet", home / "curves.parquet", home / "summary.csv"]
    tables.runs.drop(columns="folder").to_parquet(paths[0], index=False)
    tables.curves.to_parquet(paths[1], index=False)
    record.write_atomic(paths[2], summary(tables.runs).to_csv(index=False, float_format="%.6g").encode())
    return paths
