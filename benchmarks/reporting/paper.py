"""What a paper takes: figures as PDF, and a LaTeX table in which every number has its seeds and its interval."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks import record
from benchmarks.reporting.comparisons import Compared, tuning
from benchmarks.reporting.figures import style
from benchmarks.reporting.words import words
from benchmarks.statistics import number, ranged

FOLDER = "paper"
MARKS = {1: "+", -1: "−", 0: ""}
SYMBOLS = {"∞": r"$\infty$", "−": "$-$", "–": "--", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "ρ": r"$\rho$"}
"""What LaTeX has no letter for."""
HEADINGS = ("Problem", "Optimizer", "Seeds", "Lost", "Median", "95 % interval", "P(beats baseline)")
ABOUT = (
    "Medians over seeds of the metric that leads, at the last iterate; a lost run (diverged or flagged) counts as the "
    "worst. Brackets hold 95 % intervals; round ones, of fewer than six seeds, the least and the greatest. P(beats "
    "baseline) is the probability that a run beats one of {base}; + and − mark what is better or worse: an interval "
    "beyond 1/2, P at least 3/4 (at most 1/4), and p at most .05 in an exact permutation test with Holm's correction "
    "for {count} comparisons. {tuning}"
)


def save(figure: Figure, path: Path) -> None:
    """Write a figure that has been laid out as PDF, its letters as TrueType, the same at every writing.

    Raises:
        OSError: the disk is full, say.
    """
    data = BytesIO()
    with style(), mpl.rc_context({"pdf.fonttype": 42}):
        figure.savefig(data, format="pdf", metadata={"CreationDate": None})
    record.write_atomic(path, data.getvalue())


def table(suite: str, told: Compared, summary: pd.DataFrame) -> str:
    """The LaTeX table of a suite, for the packages booktabs and longtable; one row a problem and optimizer.

    Args:
        suite: its name.
        told: how its optimizers compare.
        summary: a row a problem and optimizer.
    """
    seen = {(one.problems[0], one.label): one for one in told.by_problem}
    rows, before = [], None
    for row in summary.to_dict("records"):
        one, kind = seen.get((row["title"], row["label"])), words(row["headline"], row["better"])
        ends = f"{number(row['low'])}, {number(row['high'])}"
        lost = np.isneginf(told.scores.get(row["title"], {}).get(row["label"], np.empty(0))).sum()
        rows.append(
            (
                f"{row['title']} ({kind})" if row["title"] != before else "",
                row["label"],
                row["seeds"],
                int(lost),
                number(row["median"]),
                {"95 %": f"[{ends}]", "min to max": f"({ends})"}.get(row["interval"], "–"),
                "–" if one is None else f"{ranged(one.better, one.low, one.high)} {MARKS[one.claim]}".strip(),
            )
        )
        before = row["title"]
    frame = pd.DataFrame(rows, columns=HEADINGS)
    about = ABOUT.format(base=told.base, count=len(told.by_problem), tuning=tuning(summary.label))
    how: Any = {"index": False, "escape": True, "longtable": True, "column_format": "llrrrll"}
    text = frame.to_latex(caption=_escaped(f"Suite {suite}. {about}"), label=f"tab:{_key(suite)}", **how)
    return _symbols(re.sub(r"\\caption\[\]\{.*\}", r"\\caption[]{(continued)}", text))


def _key(name: str) -> str:
    """A name as a label takes it."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")


def _escaped(text: str) -> str:
    """A text as LaTeX reads it."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {letter: f"\\{letter}" for letter in "&%$#_{}"}
    return "".join(special.get(letter, letter) for letter in text)


def _symbols(text: str) -> str:
    """Signs as LaTeX has them, and a minus before a number no hyphen."""
    text = re.sub(r"(?<=[ =(\[])-(?=[\d.])", "−", text)
    return "".join(SYMBOLS.get(letter, letter) for letter in text)
