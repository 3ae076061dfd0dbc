"""The pages of the committed results, a suite each: what may be concluded, the medians, the figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.reporting import comparisons, page, sheets
from benchmarks.reporting.comparisons import Versus
from benchmarks.reporting.words import words
from generate import docstrings, records, rst
from generate.problems import linked

HEADS = ("held", "on target", "last − best", "detour")


def write(home: Path) -> None:
    """Write all pages into a folder."""
    for path in records.suites():
        rst.write(home / f"{path.name}.rst", *_suite(path.name))


def _suite(suite: str) -> Iterator[str]:
    runs, summary = records.runs(suite), records.summary(suite)
    found = comparisons.scores(runs)
    told = comparisons.by_problem(found, comparisons.baseline(runs))
    yield rst.heading(f"Results: {suite}")
    yield _intro(runs)
    yield from (f"- {docstrings.prose(sentence)}" for sentence in sheets.powers(told))
    yield ""
    both = [name for name in page.TOGETHER if (records.HOME / suite / "figures" / f"{name}.png").is_file()]
    yield from (_figure(suite, name, *page.about_all(name, suite)) for name in both)
    for title, rows in summary.groupby("title", sort=False):
        yield from _problem(suite, str(title), rows, [one for one in told if one.problems == (title,)])


def _intro(runs: pd.DataFrame) -> str:
    """What was played, and how the settings came about."""
    seeds = sorted({int(count) for count in runs.groupby(["title", "label"]).seed.nunique()})
    revisions = ", ".join(f"``{one}``" for one in sorted(set(runs.commit)))
    each = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    diverged, torch = int((runs.status == "diverged").sum()), ", ".join(sorted(set(runs.torch)))
    said = (
        f"{len(runs):,} runs: {runs.label.nunique()} optimizers on {runs.title.nunique()} problems, {each} seeds each; "
        f"{diverged} diverged. {comparisons.tuning(runs.label)} Nothing is concluded from fewer than "
        f"{comparisons.LEAST} seeds. PyTorch {torch}; played by revision "
    )
    return f"{docstrings.prose(said)}{revisions}.\n"


def _problem(suite: str, title: str, rows: pd.DataFrame, told: list[Versus]) -> Iterator[str]:
    first = rows.iloc[0]
    runs = records.runs(suite)
    mine = runs[runs.title == title]
    name, unit = str(mine.problem.iloc[0]), words(str(first.headline), first.better)
    yield rst.heading(title, 1)
    led = docstrings.prose(f"{unit}, {unit.direction}; {first.budget:,} steps")
    yield f"The problem: {linked(name)}. Led by {led}.\n"
    base = comparisons.baseline(runs)
    cells = [_row(row, mine[mine.label == row["label"]], told, base) for row in rows.to_dict("records")]
    yield rst.table(("optimizer", unit.name, "verdict", f"P(beats {base})", *HEADS), cells)
    figures = figures_of(suite, title, [str(other) for other in runs.title.unique()])
    yield from (_figure(suite, path.stem, *page.about(kind, rows)) for kind, path in figures.items())


def _row(row: dict[str, Any], runs: pd.DataFrame, told: list[Versus], base: str) -> list[str]:
    label = str(row["label"])
    one = next((each for each in told if each.label == label), None)
    lost = "".join(f"; {row[how]} {how}" for how in ("diverged", "flagged") if row[how])
    verdict, better, p = (cell.text for cell in sheets.chance(one, label == comparisons.against(label, base)))
    cells = (
        sheets.numeric(row["median"], row["low"], row["high"], row["interval"]).text,
        verdict,
        better if one is None else f"{better}, p {p}",
        sheets.survived(runs).text + lost,
        f"{row['on_target']} of {row['seeds']}",
        sheets.numeric(row["last_minus_best"]).text,
        sheets.numeric(row["path_ratio"]).text,
    )
    return [f"``{label}``", *map(docstrings.prose, cells)]


def figures_of(suite: str, title: str, titles: list[str]) -> dict[str, Path]:
    """A problem's figures by kind, those that lead first."""
    slug = re.sub(r"[^\w.+-]+", "-", title)
    others = [re.sub(r"[^\w.+-]+", "-", other) for other in titles if len(other) > len(title)]
    paths = sorted((records.HOME / suite / "figures").glob(f"{slug}-*.png"))
    mine = [path for path in paths if not any(path.stem.startswith(f"{other}-") for other in others)]
    kinds = {path.stem.removeprefix(f"{slug}-"): path for path in mine}
    leading = [kind for kind in page.LEADING if kind in kinds]
    return {kind: kinds[kind] for kind in dict.fromkeys([*leading, *kinds])}


def _figure(suite: str, name: str, alt: str, caption: str) -> str:
    source = f"../../../results/{suite}/figures/{name}.png"
    lines = [f".. figure:: {source}", f"   :alt: {alt}", "   :loading: lazy", "", f"   {docstrings.prose(caption)}", ""]
    return "\n".join(lines)
