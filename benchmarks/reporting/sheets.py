"""The tables that readers see, as rows of texts with what they are sorted by. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmarks import record
from benchmarks.reporting import statistics, superiority, tables
from benchmarks.reporting.comparisons import Compared, Versus, against
from benchmarks.reporting.statistics import LEAST
from benchmarks.reporting.words import words
from benchmarks.statistics import number, ranged

MARKS = {1: "better", -1: "worse", 0: ""}
SAID = {1: "better", -1: "worse", 0: "no difference found"}
SMALL = "a difference too small to claim"
LEVEL = "both at target: compare the gradients to it"
CONTROL = "(one player: a control)"
FEW = f"too few seeds (fewer than {LEAST})"


@dataclass(frozen=True)
class Column:
    """A column of a sheet.

    Args:
        name: its heading.
        about: what it holds, in a sentence; a tooltip.
        text: whether it holds words, which are sorted by the alphabet.
    """

    name: str
    about: str = ""
    text: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell of a sheet.

    Args:
        text: what is read.
        key: what it is sorted by; a nan goes last.
        mark: a class of its look: better, worse, or none.
        link: an id on the page.
    """

    text: str
    key: float | str
    mark: str = ""
    link: str = ""

    @property
    def order(self) -> str:
        """What a script sorts by: empty of what is not known."""
        return "" if isinstance(self.key, float) and math.isnan(self.key) else str(self.key)


NONE = Cell("–", math.nan)


@dataclass(frozen=True)
class Sheet:
    """A table with its caption."""

    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


def text(value: object, link: str = "") -> Cell:
    """A cell of words."""
    return Cell(str(value), str(value).lower(), link=link)


def numeric(value: float, low: float = math.nan, high: float = math.nan, kind: str = "95 %") -> Cell:
    """A cell of a number and its interval."""
    return Cell(ranged(float(value), float(low), float(high), kind), float(value))


def share(count: int, of: int) -> Cell:
    """How many of the runs, and Wilson's interval of the share where there are enough of them."""
    if not of:
        return NONE
    found = statistics.survival(count, of)
    ends = f" [{found.low:.0%}, {found.high:.0%}]" if found.low == found.low else ""
    return Cell(f"{count} of {of}{ends}", found.value)


def survived(runs: pd.DataFrame) -> Cell:
    """How many of the runs that were played to their end held."""
    return share(tables.held(runs), played(runs))


def played(runs: pd.DataFrame) -> int:
    """How many of the runs were played to their end."""
    return int(runs.status.isin(record.PLAYED).sum())


def verdict(one: Versus | None) -> Cell:
    """What may be said of a comparison."""
    if one is None:
        return NONE
    if one.seeds < LEAST:
        return text(FEW)
    said = LEVEL if one.level else SMALL if one.small else SAID[one.claim]
    return Cell(said, said, MARKS[one.claim])


def chance(one: Versus | None, base: bool) -> tuple[Cell, Cell, Cell]:
    """What may be said, P(beats the baseline), and the corrected p-value."""
    if one is None:
        return text("the baseline") if base else NONE, NONE, NONE
    return verdict(one), numeric(one.better, one.low, one.high), Cell(tiny(one.p), one.p)


def tiny(p: float) -> str:
    """A p-value.

    >>> tiny(0.0321), tiny(1e-7), tiny(1.0)
    ('0.032', '< 0.001', '1')
    """
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


VERSUS = (
    Column("verdict", "better or worse takes an interval beyond 1/2, P of at least 3/4, and p of at most .05", True),
    Column(
        "P(beats baseline)", "the probability that one of its runs beats one of the baseline's; ties count one half"
    ),
    Column("p", "after Holm's correction for all comparisons of this kind on the page"),
)


def front(found: tables.Tables, told: Compared, summary: pd.DataFrame, links: Mapping[str, str]) -> Sheet:
    """A row a problem: who has the best median there, and what may be concluded from it."""
    rows = []
    for title, group in summary.groupby("title", sort=False):
        first, best = group.iloc[0], leader(group)
        declared = found.metrics[(found.metrics.title == title) & (found.metrics.name == first.headline)]
        who = NONE if best is None else text(best.label)
        runs = found.runs[(found.runs.title == title) & (found.runs.label == (None if best is None else best.label))]
        rows.append(
            (
                text(f"{title!s} {CONTROL}" if title in told.controls else title, links[str(title)]),
                text(words(str(first.headline), first.better, declared.unit.iloc[0])),
                who,
                NONE if best is None else numeric(best["median"], best.low, best.high, best.interval),
                survived(runs),
                conclusion(str(title), told),
            )
        )
    columns = (
        Column("problem", text=True),
        Column("measured by", "the metric that leads; ↓ lower is better, ↑ higher", True),
        Column("best median", "the optimizer with the best median: not yet one that is better than others", True),
        Column("its median", "at the end of training; [95 % interval], or (least to greatest) of fewer than six seeds"),
        Column("its runs that held", "neither diverged nor flagged; [95 % interval] of the share"),
        Column(f"compared with {told.base}", "which optimizers may be called better or worse", True),
    )
    return Sheet("answers", "Which optimizer for which problem, and how sure that is", columns, tuple(rows))


def leader(summary: pd.DataFrame) -> Any:
    """The row with the best median of one problem; None where none is finite."""
    known = summary[summary["median"].abs() < math.inf]
    ordered = known.sort_values("median", ascending=bool((known.better != "higher").all()), kind="stable")
    return None if known.empty else ordered.iloc[0]


def conclusion(title: str, told: Compared) -> Cell:
    """What the comparisons with the baseline on a problem come to."""
    mine = [one for one in told.by_problem if one.problems == (title,)]
    if not mine:
        return text("nothing to compare")
    if max(one.seeds for one in mine) < LEAST:
        return text(FEW)
    parts = [
        f"{SAID[claim]}: {', '.join(f'{one.label} (P {number(one.better)})' for one in mine if one.claim == claim)}"
        for claim in (1, -1)
        if any(one.claim == claim for one in mine)
    ]
    parts += [f"{SMALL}: {', '.join(one.label for one in mine if one.small)}"] if any(one.small for one in mine) else []
    level = [one.label for one in mine if one.level]
    parts += [f"at target, as {told.base} is: {', '.join(level)}"] if level else []
    said = "; ".join(parts) or SAID[0]
    claims = {one.claim for one in mine}
    return Cell(said, said, MARKS[1 if 1 in claims else min(claims)])


def together(found: tables.Tables, told: Compared) -> Sheet:
    """A row an optimizer: over all problems."""
    seen = {one.label: one for one in told.overall}
    scored = {str(row["label"]): row for row in told.aggregates.table.to_dict("records")}
    costs = told.costs.to_numpy(float)
    areas = dict(zip(told.costs.index, statistics.profile_score(costs), strict=True)) if costs.size else {}
    rows = []
    for label, group in found.runs.groupby("label", sort=False):
        beats = chance(seen.get(str(label)), label == against(str(label), told.base))
        held = Cell(f"{tables.held(group)} of {played(group)}", tables.held(group) / max(1, played(group)))
        rows.append((text(label), *beats, *_scored(scored.get(str(label))), numeric(areas.get(label, math.nan)), held))
    columns = (
        Column("optimizer", text=True),
        *VERSUS,
        Column("score ↑", "interquartile mean of normalised scores: 0 as before training, 1 as the best median"),
        Column("for other problems", "95 % interval of the score where problems are resampled too"),
        Column("leads", "how often it has the best score when seeds are resampled"),
        Column("profile (B) ↑", "area under its profile of gradients to target, up to four times the least"),
        Column("runs that held", "neither diverged nor flagged"),
    )
    return Sheet("overall", f"Every optimizer over all problems; {told.base} is the baseline", columns, tuple(rows))


def _scored(row: Mapping[Any, Any] | None) -> tuple[Cell, Cell, Cell]:
    """The score, its interval for other problems, and how often it is the best."""
    if row is None:
        return NONE, NONE, NONE
    low, high, first = row["low_others"], row["high_others"], row["first"]
    others = NONE if math.isnan(low) else Cell(f"[{number(low)}, {number(high)}]", low)
    leads = NONE if math.isnan(first) else Cell(f"{first:.0%}", first)
    return numeric(row["iqm"], row["low"], row["high"]), others, leads


def problem(title: str, found: tables.Tables, told: Compared, summary: pd.DataFrame, id: str) -> Sheet:
    """A row an optimizer: on one problem."""
    mine = summary[summary.title == title]
    seen = {one.label: one for one in told.by_problem if one.problems == (title,)}
    rows = []
    for row in mine.to_dict("records"):
        label = row["label"]
        runs, spent = (frame[(frame.title == title) & (frame.label == label)] for frame in (found.runs, told.spent))
        lost = [f"{row['diverged']} diverged"] if row["diverged"] else []
        lost += [row["flags"]] if row["flags"] else []
        rows.append(
            (
                text(label),
                numeric(row["median"], row["low"], row["high"], row["interval"])
                if row["skipped"] < row["seeds"]
                else Cell("skipped", math.nan),
                *chance(seen.get(label), label == against(str(label), told.base)),
                survived(runs),
                text("; ".join(lost) or "–"),
                share(int((spent.cost < math.inf).sum()), len(spent)),
                numeric(statistics.median_time(spent.cost)),
                *(numeric(row[name]) for name in ("last_minus_best", "path_ratio", "train_time_s")),
            )
        )
    return Sheet(id, f"{title}: every optimizer", (*_headings(mine), *SIDES), tuple(rows))


SIDES = (
    Column("last − best ↓", "how far the median run ended behind its own best"),
    Column("detour ↓", "length of the players' path over how far they came"),
    Column("seconds ↓", "of training, the median"),
)


def _headings(summary: pd.DataFrame) -> tuple[Column, ...]:
    first = summary.iloc[0]
    told = words(str(first.headline), first.better)
    return (
        Column("optimizer", text=True),
        Column(f"{told.name} {told.arrow}".strip(), f"median at the end of training; {told.direction}"),
        *VERSUS,
        Column("held", "runs that neither diverged nor are flagged, and the 95 % interval of the share"),
        Column("lost", "why the others count as the worst", True),
        Column("on target", "runs that reach the target and hold it to the end"),
        Column("gradients to target ↓", "the median over seeds; ∞ where half of them or more miss it"),
    )


def metrics(title: str, found: tables.Tables, summary: pd.DataFrame, id: str) -> Sheet | None:
    """A row an optimizer: medians of all other metrics, of the last iterate and where there is one of the average."""
    mine = summary[summary.title == title]
    known = found.metrics[(found.metrics.title == title) & ~found.metrics.headline.astype(bool)]
    columns, names = [Column("optimizer", text=True)], []
    for prefix, what in ((tables.FINAL, ""), (tables.EMA, "average: ")):
        for one in known.itertuples():
            name = f"{prefix}{one.name}"
            if name in mine and mine[name].notna().any():
                told = words(str(one.name), one.better, one.unit)
                columns.append(
                    Column(f"{what}{told}", f"the metric {one.name}; {told.direction or 'neither way is better'}")
                )
                names.append(name)
    if not names:
        return None
    rows = [(text(row["label"]), *(numeric(row[name]) for name in names)) for row in mine.to_dict("records")]
    return Sheet(id, f"{title}: other metrics, medians over seeds", tuple(columns), tuple(rows))


def powers(found: Iterable[Versus]) -> list[str]:
    """What comparisons of so many seeds can find, in sentences."""
    each = list(found)
    sizes = sorted({(one.seeds, len(one.problems)) for one in each})
    return [_power(seeds, problems, len(each)) for seeds, problems in sizes]


def _power(seeds: int, problems: int, comparisons: int) -> str:
    where = f"{seeds} seeds a problem" if problems == 1 else f"{seeds} seeds on {problems} problems"
    if seeds < LEAST:
        return f"{where}: nothing is concluded from fewer than {LEAST} seeds."
    least = superiority.detectable(seeds, problems, comparisons)
    if math.isnan(least):
        return (
            f"{where}, {comparisons} comparisons: no difference could be found, however large; more seeds are needed."
        )
    return f"{where}, {comparisons} comparisons: who wins {least:.0%} of the time is found in four cases of five."
