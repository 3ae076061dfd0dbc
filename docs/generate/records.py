"""The committed tables of `results/`, one folder a suite."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

HOME = Path(__file__).parents[2] / "results"


def suites() -> list[Path]:
    """The folders that hold tables, by name."""
    return sorted(path.parent for path in HOME.glob("*/runs.csv"))


@cache
def runs(suite: str) -> pd.DataFrame:
    """A suite's runs."""
    return pd.read_csv(HOME / suite / "runs.csv")


@cache
def summary(suite: str) -> pd.DataFrame:
    """A suite's medians, a row a problem and optimizer."""
    return pd.read_csv(HOME / suite / "summary.csv")


@cache
def floors() -> pd.DataFrame:
    """What scores are read against, of all suites; what two suites measured is told once."""
    tables = [pd.read_csv(path / "floors.csv") for path in suites()]
    return pd.concat(tables, ignore_index=True).drop_duplicates(["title", "metric", "reference"])


def suites_of(problem: str) -> list[str]:
    """The suites whose tables hold runs of a problem."""
    return [path.name for path in suites() if problem in set(runs(path.name).problem)]
