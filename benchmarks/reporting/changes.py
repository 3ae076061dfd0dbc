"""What changed from one results folder to another, and whether it is noise. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.record import RecordError
from benchmarks.reporting import sheets, tables
from benchmarks.reporting.comparisons import Versus, scores, settled, versus
from benchmarks.reporting.statistics import LEAST
from benchmarks.reporting.words import words
from benchmarks.statistics import number, ranged

NEEDED = ("title", "label", "seed", "status", "headline", "better", "value", "version", "budget")
"""Columns of runs.csv without which nothing is compared."""
SAME = ("version", "budget", "headline", "better")
"""What has to be the same of a problem in both folders: other numbers are no change of an optimizer."""
COLUMNS = ("problem", "optimizer", "measured by", "seeds", "lost", "median", "P(second beats first)", "p", "verdict")


class Changes(NamedTuple):
    """Two folders side by side.

    Args:
        rows: one a problem and optimizer that both have, in words, as `COLUMNS` name them.
        powers: what comparisons of so many seeds can find.
        notes: what was not compared, and why.
    """

    rows: list[tuple[str, ...]]
    powers: list[str]
    notes: list[str]


def read(home: Path) -> pd.DataFrame:
    """The runs of a results folder: of its cells, or where it has none of the runs.csv that was made from them.

    Raises:
        RecordError: it has neither, or other columns.
    """
    if (home / "cells").is_dir():
        return tables.load(home).runs
    path = home / "runs.csv"
    try:
        runs = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={"flags": str})
    except (FileNotFoundError, NotADirectoryError):
        raise RecordError(f"{home} holds neither cells nor runs.csv: name the folder of a suite's results.") from None
    except (ValueError, OSError) as error:  # pandas' errors of parsing are values
        raise RecordError(f"{path} cannot be read ({error}): make it again with benchmarks.report.") from error
    if missing := [name for name in NEEDED if name not in runs]:
        raise RecordError(f"{path} has no column {', '.join(missing)}: make it again with benchmarks.report.")
    if "collapsed" in runs and "flags" not in runs:  # as it was called at first
        runs["flags"] = runs.collapsed.map(lambda wrong: "collapsed" if wrong is True else "")
    return runs


def between(first: pd.DataFrame, second: pd.DataFrame) -> Changes:
    """Compare every optimizer with itself, problem by problem: unpaired, corrected for all of them together.

    Args:
        first: the runs of one folder.
        second: those of the other.
    """
    notes = list(_unlike(first, second))
    unlike = {title for title in set(first.title) & set(second.title) if _differences(first, second, str(title))}
    one, two = (
        {title: each for title, each in scores(runs).items() if title not in unlike} for runs in (first, second)
    )
    keys = [(title, label) for title, each in one.items() for label in each if label in two.get(title, {})]
    pairs = [(two[title][label], one[title][label]) for title, label in keys]
    reached = [all(_of(runs, *key).status.eq("target").all() for runs in (first, second)) for key in keys]
    least = [float(min(map(np.min, pair))) if done else math.inf for pair, done in zip(pairs, reached, strict=True)]
    level = [settled(pair, aim) for pair, aim in zip(pairs, least, strict=True)]
    told = versus([(label, [title], [new], [old]) for (title, label), (new, old) in zip(keys, level, strict=True)])
    rows = [
        _row(_of(first, title, label), _of(second, title, label), found)
        for (title, label), found in zip(keys, told, strict=True)
    ]
    return Changes(rows, sheets.powers(told), notes)


def _of(runs: pd.DataFrame, title: str, label: str) -> pd.DataFrame:
    return runs[(runs.title == title) & (runs.label == label)]


def _unlike(first: pd.DataFrame, second: pd.DataFrame) -> Iterator[str]:
    """What cannot be compared, a sentence each."""
    keys = [dict.fromkeys(zip(runs.title, runs.label, strict=True)) for runs in (first, second)]
    for mine, other, where in ((*keys, "first"), (*reversed(keys), "second")):
        alone = [key for key in mine if key not in other]
        for title in dict.fromkeys(title for title, _ in alone):
            yield f"{title}: only in the {where}: {', '.join(label for its, label in alone if its == title)}"
    for title in dict.fromkeys(title for title, _ in keys[0]):
        if found := _differences(first, second, str(title)):
            yield f"{title}: not compared, as it is another game ({'; '.join(found)})"


def _differences(first: pd.DataFrame, second: pd.DataFrame, title: str) -> list[str]:
    """In what a problem differs between two folders."""
    one, two = (runs[runs.title == title] for runs in (first, second))
    if one.empty or two.empty:
        return []
    pairs = [(name, set(one[name]), set(two[name])) for name in SAME]
    return [f"{name} {_listed(mine)} and {_listed(other)}" for name, mine, other in pairs if mine != other]


def _listed(values: set) -> str:
    return ", ".join(sorted(map(str, values)))


def _row(first: pd.DataFrame, second: pd.DataFrame, found: Versus) -> tuple[str, ...]:
    """What is said of one optimizer on one problem."""
    one, two = (tables.headline(runs).dropna() for runs in (first, second))
    verdict = sheets.verdict(found).text
    if _values(first).equals(_values(second)):
        verdict = "the same numbers"
    known = first.iloc[0]
    return (
        *(str(known.title), str(known.label), str(words(str(known.headline), known.better))),
        f"{len(one)} → {len(two)}",
        f"{_lost(first)} → {_lost(second)}",
        f"{number(float(one.median()))} → {number(float(two.median()))}",
        ranged(found.better, found.low, found.high),
        sheets.tiny(found.p),
        verdict,
    )


def _values(runs: pd.DataFrame) -> pd.Series:
    """The headlines by seed, to the digits that a table on disk keeps."""
    known = tables.headline(runs).set_axis(runs.seed.to_numpy()).dropna().sort_index()
    return known.map(tables.as_written)


def _lost(runs: pd.DataFrame) -> int:
    return sheets.played(runs) - tables.held(runs)


def lines(found: Changes) -> Iterator[str]:
    """All of it as text, in columns."""
    if found.rows:
        yield from _aligned([COLUMNS, *found.rows])
        yield ""
        yield (
            f"{len(found.rows)} comparisons, each of all seeds with all seeds (unpaired); p is of an exact permutation "
            "test, after Holm's correction; lost runs count as the worst."
        )
        yield (
            "better and worse take an interval beyond 1/2, P of at least 3/4 (or at most 1/4), and p of at most .05; "
            f"nothing is concluded from fewer than {LEAST} seeds."
        )
        yield from found.powers
    else:
        yield "no optimizer was played on the same problem in both"
    yield from found.notes


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
