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
from benchmarks.reporting.looks import place
from benchmarks.statistics import interval

FINAL, EMA = "final/", "ema/"
"""Prefixes of the columns of `runs` with the last metrics of the optimizer's answer, and of the players' average."""
STABILITY = ("last_minus_best", "path_ratio", "update_cosine", "gradient_ratio")
RITZ = ("ritz_turning", "ritz_repelling", "ritz_radius")
"""Columns of stability that are there where they were asked for."""
UNTOLD = ("planned", "sizes_id", "configuration_id", "references", "wall_s", "peak_mib", "peak_device_mib")
"""Columns of `runs` that say nothing of a run's outcome, and differ each time: they are not in runs.csv."""
UNSHOWN = ("final", "ema", "stability", "traceback", "kept")
"""What a status says that becomes no column of its own."""
COUNTS = ("step", "samples", "grad_evals", "hvp_evals")
FLOATS = ("units", "train_time_s", "value")
WRITTEN = "%.6g"
"""How numbers stand in tables in text."""


@dataclass(frozen=True)
class Tables:
    """What a suite's folder says.

    Args:
        runs: one row a run.
        curves: one row a run, evaluation, iterate and metric.
        metrics: one row a problem and metric: which way is better, its unit, range and target.
        floors: one row a problem, metric and reference, with how it scores.
        pictures: one row a picture, with its path; without one if it is damaged.
        truths: one row a problem and picture of its real data, with its path in the same way.
        notes: what was left out and why, a sentence each.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    metrics: pd.DataFrame
    floors: pd.DataFrame
    pictures: pd.DataFrame
    truths: pd.DataFrame
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
    runs = current(runs)
    runs["place"] = [place(label) for label in runs.label]
    runs = runs.sort_values(["title", "place", "seed"], ignore_index=True).drop(columns="place")
    floors = _floors(runs)
    heads = floors[floors.metric == floors.title.map(runs.groupby("title").headline.first())]
    said = heads.assign(text=[f"{name} {value:.4g}" for name, value in zip(heads.reference, heads.value, strict=True)])
    references = {title: ", ".join(group.text) for title, group in said.groupby("title")}
    runs["references"] = [references.get(title, "") for title in runs.title]
    curves, taken, truths = _curves(runs, notes), _pictures(runs, notes), _truths(runs, notes)
    kept = runs.drop(columns=["floors", "curve", "metrics"])
    return Tables(kept, curves, _metrics(runs), floors, taken, truths, tuple(notes))


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
    (headline,) = (metric for metric in cell["metrics"] if metric["headline"])
    names = ("run_id", "title", "params", "preset", "metrics")
    return {
        **{name: cell[name] for name in (*names, "planned", "sizes_id", "configuration_id")},
        **{
            "headline": headline["name"],
            "better": headline["better"],
            "problem": identity["problem"],
            "version": identity["version"],
            "data": identity["data"],
            "seed": seed,
            "budget": identity["sizes"]["steps"],
        },
        **{"optimizer": optimizer, "label": f"{optimizer} {params}" if params else optimizer},
        **{"floors": [], "curve": None},
        **{name: value for name, value in status.items() if name not in UNSHOWN},
        **status.get("stability", {}),
        **{FINAL + name: value for name, value in status.get("final", {}).items()},
        **{EMA + name: value for name, value in status.get("ema", {}).items()},
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
    run, words = array("i"), {"split": _Words(), "iterate": _Words(), "metric": _Words()}
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
    return curves[[*record.COLUMNS, "title", "label", "status"]]


def _rows(folder: Folder, stamp: Sequence[int] | None, notes: list[str]) -> Iterator[record.Row]:
    try:
        for row in record.rows_of(folder.curve, stamp):
            if row["run_id"] != folder.path.name:
                raise DamagedError(f"{folder.curve} is a copy of that of {row['run_id']}")
            yield row
    except DamagedError as error:
        notes.append(f"{error}: what lies there is left out.")


def _metrics(runs: pd.DataFrame) -> pd.DataFrame:
    """What the problems declare, each as it did last."""
    rows = []
    for title, metrics in runs.groupby("title").metrics:
        for metric in metrics.iloc[-1]:
            low, high = metric.pop("range")
            rows.append({"title": title, **metric, "low": low, "high": high})
    return pd.DataFrame(rows)


def _floors(runs: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for title, floors in runs.groupby("title").floors:
        rows += [(title, *row) for row in next((one for one in floors if one), [])]
    names = ["title", "metric", "reference", "value", "low", "high"]
    return pd.DataFrame(rows, columns=names).astype({"value": float, "low": float, "high": float})


def _pictures(runs: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    rows = [
        (run.run_id, run.title, run.label, run.seed, *found)
        for run in runs.itertuples()
        for found in _in(Path(str(run.folder)) / "samples", notes)
    ]
    return pd.DataFrame(rows, columns=["run_id", "title", "label", "seed", "name", "step", "path"])


def _truths(runs: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    rows = [
        (one.title, name, path)
        for one in runs.drop_duplicates("title").itertuples()
        for name, _, path in _in(Path(str(one.folder)).parent / "floors" / f"{one.problem}-{one.sizes_id}", notes)
    ]
    return pd.DataFrame(rows, columns=["title", "name", "path"])


def _in(folder: Path, notes: list[str]) -> Iterator[tuple[str, int, str | None]]:
    """Name, step and path of the pictures in a folder."""
    for path in sorted(folder.glob("[!.]*")):
        if (told := pictures.told(path)) is None or not path.is_file():
            notes.append(f"{path} is no picture of ours: left out.")
        else:
            yield *told, _whole(path, notes)


def _whole(path: Path, notes: list[str]) -> str | None:
    try:
        record.read_sealed(path)
    except (OSError, DamagedError) as error:
        notes.append(f"{error}: it is shown as damaged.")
        return None
    return str(path)


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a problem and optimizer: how many seeds, how many lost, and medians over them.

    A seed that diverged or is flagged (collapsed, say) counts as the worst value there is in the headline; one that
    diverged is left out of the other metrics, and seeds that failed (timeout, oom, error, interrupted) of both.
    """
    groups = runs.groupby(["title", "label"], sort=False)
    table = pd.DataFrame([_summarise(group) for _, group in groups])
    final = sorted(name for name in runs.columns if name.startswith((FINAL, EMA)))
    medians = groups[final].median().reset_index(drop=True)
    return pd.concat([table, medians], axis=1)


def _summarise(group: pd.DataFrame) -> dict[str, Any]:
    first = group.iloc[0]
    played = group[group.status.isin(record.PLAYED)]
    median, low, high, kind = interval(headline(played))
    return {
        **{name: first[name] for name in ("title", "label", "preset", "budget")},
        "seeds": len(group),
        "diverged": int((group.status == "diverged").sum()),
        "flagged": int(is_flagged(group).sum()),
        "flags": "; ".join(f"{count} {flag}" for flag, count in counted(group).items()),
        "failed": len(group) - len(played) - int((group.status == "skipped").sum()),
        "skipped": int((group.status == "skipped").sum()),
        "on_target": int((group.status == "target").sum()),
        **{name: first[name] for name in ("headline", "better")},
        **{"median": median, "low": low, "high": high, "interval": kind},
        "references": first["references"],
        **{
            name: played[name].dropna().median() if name in played else np.nan
            for name in (*STABILITY, *(name for name in RITZ if name in group), "units", "product_cost", "train_time_s")
        },
    }


def is_flagged(runs: pd.DataFrame) -> pd.Series:
    """Whether each run fails whatever its headline says."""
    return runs["flags"].notna() & runs["flags"].ne("") if "flags" in runs else pd.Series(False, index=runs.index)


def held(runs: pd.DataFrame) -> int:
    """How many of the runs ended, neither diverged nor flagged."""
    return int((runs.status.isin(record.PLAYED - {"diverged"}) & ~is_flagged(runs)).sum())


def counted(runs: pd.DataFrame) -> dict[str, int]:
    """How many of the runs have each flag."""
    if not is_flagged(runs).any():
        return {}
    words = runs["flags"][is_flagged(runs)].str.split(", ").explode()
    return {str(flag): int(count) for flag, count in words.value_counts().sort_index().items()}


def headline(runs: pd.DataFrame) -> pd.Series:
    """The headline of every run at its last iterate, the worst there is for one that diverged or is flagged."""
    if "value" not in runs:
        return pd.Series(np.nan, index=runs.index)
    worst = np.where(runs.better == "higher", -np.inf, np.inf)
    failed = runs.status.eq("diverged") | is_flagged(runs)
    return runs.value.astype(float).mask(failed, pd.Series(worst, index=runs.index))


def as_written(value: float) -> float:
    """A number with the digits that tables in text have.

    >>> as_written(1.99999964)
    2.0
    """
    return float(WRITTEN % value)


def write(home: Path, tables: Tables) -> list[Path]:
    """Write all tables; returns their paths.

    `summary.csv` (a row a problem and optimizer), `runs.csv` (a row a run) and `floors.csv` are made to be read, kept
    and compared; `runs.parquet` and `curves.parquet` hold all digits and all rows.
    """
    home.mkdir(parents=True, exist_ok=True)
    runs = tables.runs.drop(columns="folder")
    told = runs.drop(columns=[name for name in UNTOLD if name in runs])
    texts = {"summary": summary(tables.runs), "runs": told, "floors": tables.floors}
    files = {f"{name}.csv": frame.to_csv(index=False, float_format=WRITTEN).encode() for name, frame in texts.items()}
    files |= {"runs.parquet": runs.to_parquet(index=False), "curves.parquet": tables.curves.to_parquet(index=False)}
    for name, data in files.items():
        record.write_atomic(home / name, data)
    return [home / name for name in files]
