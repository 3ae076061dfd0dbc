"""One page that shows a suite to a stranger: answers first, what they rest on below, and no request to anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd

from benchmarks.reporting import images, sheets, tables
from benchmarks.reporting.comparisons import Compared, Versus, tuning
from benchmarks.reporting.statistics import LEAST
from benchmarks.reporting.words import words
from benchmarks.statistics import number

LIMIT = 5_000_000
"""Bytes of a page, at most."""
FILE = "report.html"
TEMPLATE = "report.html.j2"
TEMPLATES = Path(__file__).with_name("page")
TOGETHER = ("profile", "overview")
LEADING = ("curves", "phase", "samples-training", "tradeoff", "reached", "best-of")
"""What a problem shows first; all other pictures come behind."""


class Picture(NamedTuple):
    """A figure on the page.

    Args:
        uri: all of it.
        alt: what it shows, for those who cannot see it.
        caption: what it shows, for those who can.
        lines: whether it is drawn in lines, whose colours turn with the page's.
        wide: whether it takes all of the page's width.
    """

    uri: str
    alt: str
    caption: str
    lines: bool
    wide: bool


def render(
    suite: str, found: tables.Tables, told: Compared, summary: pd.DataFrame, figures: Mapping[str, Sequence[Path]]
) -> str:
    """The page of a suite.

    Args:
        suite: its name.
        found: its tables.
        told: how its optimizers compare.
        summary: a row a problem and optimizer.
        figures: the files of each figure, by its name: `overview`, `profile`, or a problem's title and a kind.
    """
    titles = [str(title) for title in summary.title.unique()]
    links = {title: f"problem-{k}" for k, title in enumerate(titles, 1)}
    problems = [_section(title, link, found, told, summary) for title, link in links.items()]
    context = {
        "suite": suite,
        "intro": _intro(found),
        "answers": list(answers(found, told)),
        "front": sheets.front(found, told, summary, links),
        "aggregated": _aggregated(told),
        "overall": sheets.together(found, told),
        "powers": sheets.powers(told.by_problem) + sheets.powers(told.overall),
        "provenance": _provenance(found),
        "notes": [*found.notes, *(f"{title}: no score, {why}" for title, why in told.aggregates.left_out.items())],
    }

    def filled(uris: Mapping[str, str]) -> str:
        together = [_picture(name, uris[name], *about_all(name, suite)) for name in TOGETHER if name in uris]
        each = [{**one, "pictures": list(_pictures(one["title"], uris, summary))} for one in problems]
        return _template().render(**context, pictures=together, problems=each)

    ordered = {name: figures[name] for name in _ordered(titles, figures)}
    bare = len(filled(dict.fromkeys(ordered, "")).encode())
    return filled(images.embedded(ordered, LIMIT - bare))


def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(TEMPLATES)
    strict: Any = {"autoescape": True, "undefined": jinja2.StrictUndefined}
    return jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, **strict).get_template(TEMPLATE)


def _section(title: str, link: str, found: tables.Tables, told: Compared, summary: pd.DataFrame) -> dict[str, Any]:
    """What is said of one problem."""
    rows = summary[summary.title == title]
    first = rows.iloc[0]
    known = words(str(first.headline), first.better, _unit(found, title, str(first.headline)))
    about = f"Led by {known.name}" + (f" in {known.unit}" if known.unit else "") + f"; {known.direction}."
    if title in told.aims:
        aim, source = told.aims[title]
        about += f" Target: {number(aim if first.better == 'higher' else -aim)}, {source}."
    if title in told.controls:
        about += f" {CONTROL}"
    about += f" Every optimizer has {first.budget:,} steps of one gradient a player, or as many gradients in fewer."
    return {
        "id": link,
        "title": title,
        "about": about,
        "references": _references(found, title, str(first.headline)),
        "sheet": sheets.problem(title, found, told, summary, f"{link}-optimizers"),
        "metrics": sheets.metrics(title, found, summary, f"{link}-metrics"),
    }


def _references(found: tables.Tables, title: str, metric: str) -> str:
    """What the headline is read against."""
    mine = found.floors[(found.floors.title == title) & (found.floors.metric == metric)]
    return "; ".join(f"{row.reference}: {number(float(str(row.value)))}" for row in mine.itertuples())


def _unit(found: tables.Tables, title: str, metric: str) -> str:
    return str(found.metrics[(found.metrics.title == title) & (found.metrics.name == metric)].unit.iloc[0])


def _intro(found: tables.Tables) -> str:
    runs = found.runs
    seeds = sorted({int(count) for count in runs.groupby(["title", "label"]).seed.nunique()})
    each = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    lost, flagged = int((runs.status == "diverged").sum()), int(tables.is_flagged(runs).sum())
    failed = int(runs.status.isin(["timeout", "oom", "error", "interrupted"]).sum())
    told = [f"{lost} diverged", f"{flagged} flagged", *([f"{failed} failed or unfinished"] if failed else [])]
    return (
        f"{runs.label.nunique()} optimizers on {runs.title.nunique()} problems, {each} seeds each: {len(runs):,} runs, "
        f"of which {', '.join(told)}. All optimizers of a problem spend as many gradients from the same starts."
    )


def answers(found: tables.Tables, told: Compared) -> Iterator[str]:
    """What a stranger should know after a minute, a sentence each."""
    yield tuning(found.runs.label)
    sure = [one for one in told.by_problem if one.seeds >= LEAST]
    if not sure:
        yield (
            f"There are fewer than {LEAST} seeds, from which nothing is concluded: medians and ranges are shown, "
            "and no optimizer is called better than another."
        )
        return
    yield f"Over all problems, by the share of runs of {told.base} that its runs beat: {_claims(told.overall)}."
    problems = list(dict.fromkeys(one.problems[0] for one in sure))
    differ = {
        title: [one for one in sure if one.problems == (title,) and (one.claim or one.small)] for title in problems
    }
    for title, found_there in differ.items():
        if found_there:
            yield f"On {title}, compared with {told.base}: {_claims(found_there)}."
    if same := [title for title, found_there in differ.items() if not found_there]:
        yield f"No difference found on {len(same)} of {len(problems)} problems: {', '.join(same)}."
    if alone := sorted(told.controls):
        yield f"Of these, {', '.join(alone)} {'has' if len(alone) == 1 else 'have'} one player. {CONTROL}"


def _claims(found: Sequence[Versus]) -> str:
    """What is claimed, in words."""
    if not found or max(one.seeds for one in found) < LEAST:
        return f"{sheets.FEW} on one of them" if found else "nothing to compare"
    parts = []
    for claim in (1, -1):
        named = [f"{one.label} (wins {one.better:.0%})" for one in found if one.claim == claim]
        parts += [f"{', '.join(named)} {'is' if len(named) == 1 else 'are'} {sheets.SAID[claim]}"] if named else []
    if small := [one.label for one in found if one.small]:
        parts.append(f"{sheets.SMALL}: {', '.join(small)}")
    return "; ".join(parts) or sheets.SAID[0]


def _aggregated(told: Compared) -> str:
    count = len(told.aggregates.problems)
    if not count:
        return "No problem was played by all optimizers and learnt by one, so there is no score over problems."
    return (
        f"The score is over {count} {'problem' if count == 1 else 'problems'}, the profile over {told.costs.shape[1]}, "
        "and P over all that an optimizer and the baseline were both played on. Each problem counts the same."
    )


def _provenance(found: tables.Tables) -> str:
    runs, parts = found.runs, []
    for name, what in (("commit", "revision"), ("torch", "PyTorch"), ("python", "Python"), ("device", "played on")):
        if name in runs and (known := sorted({str(value) for value in runs[name].dropna()})):
            parts.append(f"{what} {', '.join(known)}")
    return "; ".join([*parts, f"presets {', '.join(sorted(set(runs.preset)))}"]) + "."


def _ordered(titles: Sequence[str], figures: Mapping[str, Sequence[Path]]) -> list[str]:
    """The names of figures: of all problems what comes first in each, then what comes second."""
    first = [name for name in TOGETHER if name in figures]
    leading = [f"{title}-{kind}" for kind in LEADING for title in titles]
    known = dict.fromkeys([*first, *(name for name in leading if name in figures), *figures])
    return list(known)


def _pictures(title: str, uris: Mapping[str, str], summary: pd.DataFrame) -> Iterator[Picture]:
    """The figures of a problem."""
    others = [other for other in summary.title.unique() if len(other) > len(title)]
    for name, uri in uris.items():
        if name.startswith(f"{title}-") and not any(name.startswith(f"{other}-") for other in others):
            yield _picture(name, uri, *about(name.removeprefix(f"{title}-"), summary[summary.title == title]))


def _picture(name: str, uri: str, alt: str, caption: str) -> Picture:
    return Picture(uri, alt, caption, lines=not name.endswith(images.RASTERS), wide=name == TOGETHER[-1])


def about_all(name: str, suite: str) -> tuple[str, str]:
    """The alternative text and the caption of a figure of all problems."""
    if name == "profile":
        return (
            f"Performance profiles of the optimizers of {suite}; the column profile (B) of the table holds the areas.",
            "Which share of the problems each optimizer solves within τ times the gradients of the fastest.",
        )
    return (
        f"Heat map of {suite}: problems in rows, optimizers in columns, the median headline in each cell.",
        "Colour is the rank by the median, not a finding: ranks differ where nothing else does.",
    )


CONTROL = (
    "With one player there is no game: this is a negative control, where who wins does so by the size of the steps, "
    "not as a method for games."
)
KINDS = {
    "curves": "Over the budget: the median of the seeds in a thick line, a band between quartiles, each in a thin one.",
    "tradeoff": "Quality against stability: small dots are seeds, large ones their medians.",
    "phase": "Paths of the two players: from ○ to ●, ✗ where one diverged.",
    "reached": "The share of seeds that are on target, and stay there.",
    "best-of": "What the best of so many settings comes to: where curves cross, the order depends on that budget.",
}


def about(kind: str, summary: pd.DataFrame) -> tuple[str, str]:
    """What a figure of a problem shows, for those who cannot see it and for those who can."""
    first = summary.iloc[0]
    finals = "; ".join(f"{row.label} {number(row['median'])}" for _, row in summary.iterrows())
    if kind in KINDS:
        caption = KINDS[kind]
        return f"{first.title}. {caption} Final medians of {words(str(first.headline)).name}: {finals}.", caption
    name, _, how = kind.rpartition("-")
    caption = {
        "training": f"{name.capitalize()} over training, each optimizer's median seed; real data in the last column.",
        "seeds": f"Last {name} of the best, the median and the worst seed; real data in the last column.",
    }.get(how, kind)
    return f"{first.title}. {caption} Medians of {words(str(first.headline)).name}: {finals}.", caption
