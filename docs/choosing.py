"""The page `Which optimizer?`, from the tables in `results/`: `python docs/choosing.py` writes it, tests compare it."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import pandas as pd  # noqa: E402 - after the paths
from generate import records  # noqa: E402

from benchmarks.reporting import comparisons, sheets  # noqa: E402
from benchmarks.reporting.comparisons import LEAST, Versus  # noqa: E402
from benchmarks.reporting.superiority import ENOUGH, detectable  # noqa: E402
from benchmarks.reporting.words import words  # noqa: E402

PAGE = HERE / "how-to-choose.md"
MARK = "<!-- from here on written by docs/choosing.py -->\n"
KINDS = ("better", "worse", "too small to claim", "no difference found", "too few seeds")

TUNED = ("screen", "screen-held-out")
"""The suites whose optimizers had the same search; no default and no space of it was chosen by the second one's."""

ENDS = {"budget": "not yet", "diverged": "diverged", "undefined": "not defined there"}


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", r"\|") for cell in line) + " |" for line in lines) + "\n"


@cache
def told(suite: str) -> list[Versus]:
    """Every label of a suite against the baseline on every problem."""
    runs = records.runs(suite)
    return comparisons.by_problem(comparisons.scores(runs), comparisons.baseline(runs), comparisons.reached(runs))


def kind(one: Versus, comparisons: int) -> str:
    """What may be said of one of so many comparisons, one of `KINDS`; the last where nothing could have been found."""
    if math.isnan(detectable(one.seeds, len(one.problems), comparisons)):
        return KINDS[4]
    return {1: KINDS[0], -1: KINDS[1]}.get(one.claim, KINDS[2] if one.small else KINDS[3])


def counted() -> str:
    """A row an optimizer: on how many problems of all untuned suites what may be said of it."""
    each = [told(path.name) for path in records.suites() if path.name not in TUNED]
    found = pd.DataFrame([(one.label, kind(one, len(family))) for family in each for one in family])
    counts = pd.crosstab(found[0], found[1]).reindex(columns=list(KINDS), fill_value=0)
    counts["told"] = counts[list(KINDS[:4])].sum(axis=1)
    rows = counts.sort_values(["told", "better"], ascending=False, kind="stable")[list(KINDS)]
    return table(
        ("optimizer", *KINDS), ((f"`{label}`", *row) for label, row in zip(rows.index, rows.values, strict=True))
    )


def survived() -> str:
    """A row an optimizer: on how many problems it is better and worse than alternating play, untuned and tuned."""
    main, held_out = TUNED
    families = {name: told(name) for name in TUNED}
    counts = {name: Counter((one.label, kind(one, len(each))) for one in each) for name, each in families.items()}
    labels = dict.fromkeys(records.runs(main).label)
    rows = []
    for plain in (label for label in labels if f"{label} tuned" in labels and label != "alternating"):
        ways = [(main, plain), (main, f"{plain} tuned"), (main, f"{plain} one-for-all"), (held_out, f"{plain} tuned")]
        said = [[counts[name][label, word] for word in KINDS[:2]] for name, label in ways]
        rows.append((-said[1][0], said[1][1], f"`{plain}`", *(f"{better} / {worse}" for better, worse in said)))
    unseen = f"tuned, on the {records.runs(held_out).title.nunique()} held out"
    head = ("optimizer", "at the recipe's", "tuned by problem", "one setting for all", unseen)
    return table(head, (row[2:] for row in sorted(rows)))


def silent(name: str) -> bool:
    """Whether no comparison of a suite could have found anything."""
    each = told(name)
    return {kind(one, len(each)) for one in each} <= {KINDS[4]}


def suite(name: str) -> Iterator[str]:
    """What may be said of a suite that is not silent."""
    runs, summary, each = records.runs(name), records.summary(name), told(name)
    summary = summary[comparisons.comparable(summary.label)]
    base = comparisons.baseline(runs)
    yield f"### {name}\n"
    yield f"{comparisons.tuning(runs.label)} {' '.join(map(_sentence, sheets.powers(each)))}\n"
    said = {one: kind(one, len(each)) for one in each}
    rows = []
    for title, group in summary.groupby("title", sort=False):
        first, best = group.iloc[0], sheets.leader(group)
        mine = {
            one.label: (one, said[one]) for one in each if one.problems == (title,) and one.label in set(group.label)
        }
        measured = str(words(str(first.headline), first.better))
        leads = "–" if best is None else f"`{best.label}` {sheets.numeric(best['median']).text}"
        rows.append((title, measured, leads, _said(mine)))
    yield table(("problem", "measured by", "best median, which is no claim", f"compared with `{base}`"), rows)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _said(each: Mapping[str, tuple[Versus, str]]) -> str:
    """What is said of the comparisons on a problem, by label."""
    if not each:
        return "nothing to compare"
    parts = []
    for word in (*KINDS[:3], KINDS[4]):
        named = [f"`{label}` (P {one.better:.2f})" for label, (one, said) in each.items() if said == word]
        parts += [f"**{word}:** {', '.join(named)}"] if named else []
    return "; ".join(parts) or KINDS[3]


def closed_form() -> str:
    """A row an optimizer: how it ended on the closed-form games, and how often nobody needed fewer gradients."""
    rates = pd.read_csv(records.HOME / "games" / "rates.csv")
    done = rates[rates.ended == "converged"]
    least = done.groupby("game").gradients.min()
    fewest = done[done.gradients == done.game.map(least)].groupby("optimizer").size()
    ends = pd.crosstab(rates.optimizer, rates.ended).reindex(columns=["converged", *ENDS], fill_value=0)
    ends["fewest"] = fewest.reindex(ends.index, fill_value=0)
    ends = ends.sort_values(["converged", "fewest"], ascending=False, kind="stable")
    head = ("optimizer", f"converged, of {rates.game.nunique()}", *ENDS.values(), "with the fewest gradients")
    return table(head, ((f"`{name}`", *row) for name, row in zip(ends.index, ends.values, strict=True)))


def made() -> str:
    """What of the page is made from tables."""
    names = [path.name for path in records.suites()]
    suites = "\n".join(line for name in names if not silent(name) for line in suite(name))
    mute = "".join(
        f"* [{name}](benchmark/results/{name}.rst): {' '.join(sheets.powers(told(name))) or 'one optimizer alone.'}\n"
        for name in names
        if silent(name)
    )
    return f"""
## What the tables show

Each comparison asks for `P`, the probability that a run of one optimizer beats a run of the baseline on the same
problem. One is called *better* where three things hold: the 95 % interval of `P` lies above ½, `P` is at least
{ENOUGH:g}, and the p-value is at most .05 after Holm's correction for all comparisons of the suite. Nothing is
concluded from fewer than {LEAST} seeds, nor where so many comparisons of so few seeds could have found nothing, however
large (*too few seeds*). *No difference found* is no proof that there is none.

### What survives tuning

Ten methods on twelve problems, ten seeds. Each had the same search on other seeds: the recipe and eleven more points of
its rate, the ratio of rates and its own parameter, the best of them tried again. A row says on how many problems it is
*better / worse* than alternating play in the same position: both at the recipe's settings, both tuned problem by
problem, both at the one setting that did best over all of them. All that was tried and chosen is in
`results/screen/tuning.csv`.

{survived()}
### Untuned

On how many problems each optimizer may be called what, compared with alternating play, all other suites together:

{counted()}
**Untuned tables are no ranking.** Unless its label says otherwise, an optimizer played at the learning rate of the
problem's recipe, which nobody chose for it: a row says how a method does at that rate, not how well it can do.

{suites}
### Suites that say nothing yet

Too few seeds to call any optimizer better than another; their pages hold medians and figures.

{mute}
## Closed-form games

One start, one untuned step size a game (h = 1/(4L), and 0.1 where L is zero), a thousand steps, to a residual of 1e-6.
These runs are exact and have no seeds, so that there is nothing to test; they say what happens on these games with that
step. Theory predicts the rate of most of them, and [the results](benchmark/results.md) hold both.

{closed_form()}"""


def written(page: str) -> str:
    """The page with what is made in its place."""
    return page.partition(MARK)[0] + MARK + made()


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
