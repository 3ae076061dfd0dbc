"""Folders in, tables out: a pure function of what the cells have written. Needs no torch."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import pictures, record
from benchmarks.record import DamagedError, Folder, RecordError

FINAL = "final/"
"""The prefix of the columns of `runs` that hold the metrics at the last iterate."""
STABILITY = ("last_minus_best", "path_ratio", "update_cosine", "gradient_ratio")
BOOTSTRAP = 6
"""Seeds from which on an interval is bootstrapped; the outer quantiles with fewer are the least and greatest value."""
RESAMPLES = 2000
COUNTS = ("step", "samples", "grad_evals", "hvp_evals")
FLOATS = ("train_time_s", "value")


@dataclass(frozen=True)
class Tables:
    """What a suite's folder says.

    Args:
        runs: one row a run.
        curves: one row a run, evaluation and metric.
        floors: one row a problem and reference value.
        pictures: one row a picture, with its path; without one if it is damaged.
        notes: what was left out and why, a sentence each.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    floors: pd.DataFrame
    pictures: pd.DataFrame
    notes: tuple[str, ...]


def load(home: Path) -> Tables:
    """Read the cells of a suite, each problem at the sizes that were planned last.

    What is damaged is left out, and said in the notes.

    Args:
        home: results/<suite>.

    Raises:
        RecordError: there are no cells, or another version has written them.
    """
    record.check_schema(home)
    notes: list[str] = []
    runs = pd.DataFrame(_runs(home / "cells", notes))
    if runs.empty:
        raise RecordError(". ".join([f"{home} holds no cells: run the suite first", *notes]))
    runs = current(runs).sort_values(["title", "label", "seed"], ignore_index=True)
    floors = _floors(runs)
    heads = floors[floors.metric == floors.title.map(runs.groupby("title").headline.first())]
    said = heads.assign(text=[f"{what} {value:.4g}" for what, value in zip(heads.what, heads.value, strict=True)])
    references = {title: ", ".join(group.text) for title, group in said.groupby("title")}
    runs["references"] = [references.get(title, "") for title in runs.title]
    curves, taken = _curves(runs, notes), _pictures(runs, notes)
    return Tables(runs.drop(columns=["floors", "curve"]), curves, floors, taken, tuple(notes))


def current(runs: pd.DataFrame) -> pd.DataFrame:
    """Leave out what was superseded: keep each problem's sizes and each optimizer's setup that were planned last."""
    runs = runs.sort_values("planned", kind="stable")
    runs = runs[runs.sizes_id == runs.groupby("title").sizes_id.transform("last")]
    return runs[runs.configuration_id == runs.groupby(["title", "label"]).configuration_id.transform("last")]


def _runs(cells: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    for path in sorted(path for path in cells.glob("*") if path.is_dir()):
        folder = Folder(path)
        if why := record.damage(folder):
            notes.append(f"{why}: the cell is left out, and the command that played it plays it again.")
        elif folder.cell.exists():
            yield _run(folder)


def _run(folder: Folder) -> dict[str, Any]:
    cell = record.read_json(folder.cell)
    assert cell is not None
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
        **{"floors": {}, "curve": None},
        **{name: value for name, value in status.items() if name not in ("final", "stability", "traceback")},
        **status.get("stability", {}),
        **{FINAL + name: value for name, value in status.get("final", {}).items()},
        "folder": str(folder.path),
    }


class _Words:
    """A column of few different words, each held once."""

    def __init__(self) -> None:
        self.codes, self.known = array("i"), dict[str, int]()

    def add(self, word: str) -> None:
        self.codes.append(self.known.setdefault(word, len(self.known)))

    def column(self) -> pd.Categorical[str]:
        return pd.Categorical.from_codes(np.asarray(self.codes, dtype=np.int32), pd.Index(self.known))


def _curves(runs: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """All rows, in a few bytes each: what a run says of all of its rows is held once."""
    run, words = array("i"), {"split": _Words(), "metric": _Words()}
    numbers = {name: array("q" if name in COUNTS else "d") for name in (*COUNTS, *FLOATS)}
    for code, (folder, stamp) in enumerate(zip(runs.folder, runs.curve, strict=True)):
        for row in _rows(Folder(Path(folder)), stamp, notes):
            run.append(code)
            for name, column in words.items():
                column.add(row[name])
            for name, values in numbers.items():
                values.append(row[name])
    curves = pd.DataFrame({name: np.asarray(values) for name, values in numbers.items()})
    for name, column in words.items():
        curves[name] = column.column()
    same = [name for name in record.COLUMNS if name not in curves] + ["title", "label", "status"]
    for name in same:
        codes, known = pd.factorize(runs[name])
        curves[name] = pd.Categorical.from_codes(codes[np.asarray(run)], known)
    curves = curves[[*record.COLUMNS, "title", "label", "status"]]
    norms = curves[curves.metric.str.startswith("player_norm_")]
    players = curves.run_id.map(norms.groupby("run_id", observed=True).metric.nunique()).astype(float).fillna(1)
    curves["gradients"] = (curves.grad_evals + 2 * players * curves.hvp_evals).astype(int)
    return curves


def _rows(folder: Folder, stamp: Sequence[int] | None, notes: list[str]) -> Iterator[record.Row]:
    try:
        yield from record.rows_of(folder.curve, stamp)
    except DamagedError as error:
        notes.append(f"{error}: what lies there is left out.")


def _floors(runs: pd.DataFrame) -> pd.DataFrame:
    rows = []
    metrics = [name[len(FINAL) :] for name in runs.columns if name.startswith(FINAL)]
    for title, floors in runs.groupby("title").floors:
        for name, value in next((one for one in floors if one), {}).items():
            # A metric's own name may hold a slash; what is left behind it names the reference.
            metric = max((one for one in metrics if f"{name}/".startswith(f"{one}/")), key=len, default=name)
            rows.append((title, metric, name[len(metric) + 1 :] or "reference", value))
    return pd.DataFrame(rows, columns=["title", "metric", "what", "value"])


def _pictures(runs: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    rows = []
    for run in runs.itertuples():
        for path in sorted((Path(str(run.folder)) / "samples").glob("[!.]*")):
            if (told := pictures.told(path)) is None or not path.is_file():
                notes.append(f"{path} is no picture of ours: left out.")
            else:
                rows.append((run.run_id, run.title, run.label, run.seed, *told, _whole(path, notes)))
    return pd.DataFrame(rows, columns=["run_id", "title", "label", "seed", "name", "step", "path"])


def _whole(path: Path, notes: list[str]) -> str | None:
    try:
        record.read_sealed(path)
    except (OSError, DamagedError) as error:
        notes.append(f"{error}: it is shown as damaged.")
        return None
    return str(path)


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

    From six seeds on it is the 95 % bootstrap interval of the median, with fewer the least and the greatest value.

    >>> interval([1.0, 3.0, 2.0])
    (2.0, 1.0, 3.0, 'min to max')
    """
    values = np.sort(np.asarray(values, dtype=float))
    values = values[~np.isnan(values)]
    if not len(values):
        return np.nan, np.nan, np.nan, "none"
    if len(values) < BOOTSTRAP:
        return float(np.median(values)), float(values[0]), float(values[-1]), "min to max"
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, len(values)))
    medians = np.sort(np.median(drawn, axis=1))
    low, high = medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES) - 1]
    return float(np.median(values)), float(low), float(high), "bootstrap 95%"


def write(home: Path, tables: Tables) -> list[Path]:
    """Write runs.parquet, curves.parquet and summary.csv; returns their paths."""
    home.mkdir(parents=True, exist_ok=True)
    paths = [home / "runs.parquet", home / "curves.parquet", home / "summary.csv"]
    record.write_atomic(paths[0], tables.runs.drop(columns="folder").to_parquet(index=False))
    record.write_atomic(paths[1], tables.curves.to_parquet(index=False))
    record.write_atomic(paths[2], summary(tables.runs).to_csv(index=False, float_format="%.6g").encode())
    return paths
