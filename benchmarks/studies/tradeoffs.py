"""One score against another over the problems of a results folder: rate against distortion, accuracy against leakage.

    python -m benchmarks.studies.tradeoffs results/vaes kl reconstruction -p 'beta-vae*' -o rate-distortion

A point is a problem under one optimizer: its median over the seeds, with a line from the least to the greatest.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from benchmarks.command import Parser, filled, say, settle, status
from benchmarks.record import UsageError
from benchmarks.reporting.figures import headed, save, styled
from benchmarks.reporting.words import words

FINAL = "final/"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    settle()
    parser = Parser("benchmarks.studies.tradeoffs", description=str(__doc__).split("\n")[0])
    parser.add_argument("folder", type=Path, help="results/<suite>")
    parser.add_argument("x", type=filled, help="a metric")
    parser.add_argument("y", type=filled, help="another one")
    parser.add_argument("-p", "--problem", action="append", metavar="GLOB", help="which problems (all that have both)")
    parser.add_argument("-o", "--out", type=filled, required=True, help="name of the figure, in the folder's figures/")
    options = argparse.Namespace(**parser.read(arguments))
    return status(lambda: write(options.folder, options.x, options.y, options.problem or ["*"], options.out))


def write(folder: Path, x: str, y: str, problems: Sequence[str], out: str) -> int:
    """Draw the figure from runs.csv."""
    path = folder / "runs.csv"
    if not path.is_file():
        raise UsageError(f"{folder} holds no runs.csv: name a folder of results, or play the suite first.")
    found = chosen(pd.read_csv(path, low_memory=False), x, y, problems)
    for written in save(against(found, x, y), folder / "figures" / out):
        say(written)
    return 0


def chosen(runs: pd.DataFrame, x: str, y: str, problems: Sequence[str]) -> pd.DataFrame:
    """The runs that ended with both scores.

    Raises:
        UsageError: there are none.
    """
    if missing := [name for name in (x, y) if FINAL + name not in runs]:
        known = sorted(name.removeprefix(FINAL) for name in map(str, runs) if name.startswith(FINAL))
        raise UsageError(f"no run has the metric {missing[0]}: take one of {', '.join(known)}.")
    wanted = runs.problem.map(lambda name: any(fnmatchcase(name, pattern) for pattern in problems))
    found = runs[wanted].dropna(subset=[FINAL + x, FINAL + y])
    if found.empty:
        raise UsageError(f"no run of {', '.join(problems)} ended with {x} and {y}: see summary.csv for what there is.")
    return found


@styled
def against(runs: pd.DataFrame, x: str, y: str) -> Figure:
    """The points, named by their problems, and by optimizers where there are several."""
    several = runs.label.nunique() > 1
    names = runs.title + (", " + runs.label if several else "")
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    panel = figure.subplots()
    palette = sns.color_palette("colorblind", names.nunique())
    for (name, group), colour in zip(runs.groupby(names, sort=False), palette, strict=True):
        a, b = group[FINAL + x].astype(float), group[FINAL + y].astype(float)
        panel.plot([a.min(), a.max()], [b.median()] * 2, color=colour, lw=1)
        panel.plot([a.median()] * 2, [b.min(), b.max()], color=colour, lw=1)
        panel.scatter(a.median(), b.median(), color=colour, s=45, edgecolors="white", label=name, zorder=3)
    panel.set(xlabel=str(words(x)), ylabel=str(words(y)))
    panel.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    counts = runs.groupby(names).size()
    seeds = "–".join(map(str, sorted({counts.min(), counts.max()})))
    headed(figure, f"median over {seeds} seeds, lines from the least to the greatest")
    return figure


if __name__ == "__main__":
    sys.exit(main())
