"""The pages of the benchmark's problems and suites, from their code and the floors on record."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pandas as pd

from benchmarks import problems
from benchmarks.data.store import DataError
from benchmarks.problem import Metric, Problem, Recipe
from benchmarks.quality import features
from benchmarks.reporting.words import words
from benchmarks.runner.catalogue import summary
from benchmarks.statistics import number
from benchmarks.suites import OPTIMIZERS, SUITES
from generate import docstrings, records, rst
from generate.public import links

KINDS = {
    "games": "Games in closed form",
    "stability": "Where plain play fails",
    "mixtures": "Mixtures in the plane, stacked digits",
    "gans": "Generative adversarial networks",
    "conditional": "Conditional GANs",
    "translation": "Image to image",
    "hybrids": "Adversarial autoencoders and other hybrids",
    "vaes": "Variational autoencoders",
    "adversarial": "Adversarial learning: robust, fair, domain-invariant",
    "bilevel": "Bilevel problems",
}
"""The folders of `benchmarks/problems`, in the order of the site."""
SPECTRUM = 4  # eigenvalues that are written out


def kinds() -> dict[str, list[type[Problem]]]:
    """All problems by folder.

    Raises:
        ValueError: a folder that has no page.
    """
    found: dict[str, list[type[Problem]]] = {name: [] for name in KINDS}
    for _, one in sorted(problems.discover().items()):
        folder = one.source.split(".")[-2]
        if folder not in found:
            raise ValueError(f"benchmarks/problems/{folder} has no page: name it in KINDS of {__file__}.")
        found[folder].append(one.kind)
    return found


def write(home: Path) -> None:
    """Write all pages into a folder."""
    floors = records.floors()
    with untrained():
        for folder, each in kinds().items():
            listed = [(linked(kind), docstrings.prose(summary(kind).rstrip(":"))) for kind in each]
            sections = [_section(kind, floors) for kind in each]
            title = rst.heading(KINDS[folder])
            rst.write(home / f"{folder}.rst", title, rst.table(("problem", "what it is"), listed), *sections)
    rst.write(home / "index.rst", *_index())


@contextmanager
def untrained() -> Iterator[None]:
    """Feature networks as they are built, in a cache of their own: pages tell what scores are called, no values."""
    scratch, quick = TemporaryDirectory(), patch.object(features, "train", features._build)
    with scratch as folder, patch.dict(os.environ, MINIMAX_CACHE=folder), quick:
        yield


def built(kind: type[Problem]) -> Problem:
    """A problem, its data prepared if it asks for any."""
    problem = kind()
    try:
        assert problem.metrics and problem.game()
        return problem
    except DataError:
        kind.prepare(problem.data, root=None, download=False)
        return kind()


def linked(kind: type[Problem] | str) -> str:
    """A link to a problem."""
    name = kind if isinstance(kind, str) else kind.name
    return f":ref:`{name} <problem-{name}>`"


def _index() -> Iterator[str]:
    each = kinds()
    yield rst.heading("Problems and suites")
    yield docstrings.prose(
        f"{sum(map(len, each.values()))} problems. A suite is a list of names: `python -m benchmarks.run --suite NAME` "
        "plays it, `-p NAME` plays single problems. Where neither the problem nor `-o` says otherwise, it is played by "
        + ", ".join(f"`{name}`" for name in OPTIMIZERS)
        + "."
    )
    yield ""
    yield rst.table(("suite", "problems"), ((f"``{suite}``", ", ".join(map(linked, of(suite)))) for suite in SUITES))
    yield rst.toctree(each, "hidden")


def of(suite: str) -> list[str]:
    """The names of a suite's problems, its patterns written out."""
    known = [kind.name for each in kinds().values() for kind in each]
    return [name for pattern in SUITES[suite] for name in known if fnmatchcase(name, pattern)]


def _section(kind: type[Problem], floors: pd.DataFrame) -> str:
    """What is told of one problem."""
    problem = built(kind)
    text = inspect.cleandoc(kind.__doc__ or "")
    about, _, _ = text.partition("Source: ")
    facts = [
        ("Source", docstrings.prose(source(kind))),
        (
            "Data",
            ", ".join(kind.datasets) + (" or your own folder of images" if kind.datasets and kind.folders else ""),
        ),
        ("Played with", recipe(kind.recipe)),
        ("Played by", ", ".join(f"``{name}``" for name in kind.optimizers)),
        ("Not by", "; ".join(f"``{name}``: {docstrings.prose(why)}" for name, why in kind.skips.items())),
        ("Left out of the gradients", docstrings.prose(kind.leaves_out)),
        ("Version", str(kind.version)),
        ("Results", ", ".join(f":doc:`/benchmark/results/{suite}`" for suite in records.suites_of(kind.name))),
    ]
    return "\n".join(
        [
            f".. _problem-{kind.name}:\n",
            rst.heading(kind.name, 1),
            docstrings.prose(about),
            "",
            *_losses(problem),
            rst.fields(facts),
            _metrics(problem, floors),
            _presets(kind),
        ]
    )


def source(kind: type[Problem]) -> str:
    """Where a problem is from: as it says itself, or what it derives from, or its file."""
    texts = [vars(base).get("__doc__") or "" for base in kind.__mro__] + [sys.modules[kind.__module__].__doc__ or ""]
    found = next((inspect.cleandoc(text).partition("Source: ")[2] for text in texts if "Source: " in text), "")
    return " ".join(found.partition("\n\n")[0].split())


def _losses(problem: Problem) -> Iterator[str]:
    """The players' losses as formulas, where they are told of; for a game in closed form its facts."""
    if hasattr(problem, "form"):
        closed = problem.closed  # type: ignore[attr-defined]
        found = re.search(r"\bgames\.(\w+)\(", inspect.getsource(problem.form))
        game = links().get(f"minimax.games.{found[1]}") if found else None
        named = [("Game", f":py:obj:`{game}`")] if game else []
        values = [f"{complex(value):.3g}".replace("j", "i") for value in closed.eigenvalues]
        spectrum = ", ".join(values[:SPECTRUM]) + (", …" if len(values) > SPECTRUM else "")
        facts = [*named, ("Eigenvalues of DF at the equilibrium", spectrum), ("Lipschitz", number(closed.lipschitz))]
        yield rst.fields(facts)
        return
    told = [" ".join(inspect.getdoc(loss).split()) for loss in problem.game().functions if inspect.getdoc(loss)]
    if told:
        yield "The losses, a player each:\n"
        yield from (f"{k}. {docstrings.prose(text)}" for k, text in enumerate(told, 1))
        yield ""


def recipe(made: Recipe) -> str:
    """A recipe in words."""
    rules = made.rule if isinstance(made.rule, tuple) else (made.rule,)
    parts = ["; ".join(f"``{rule}``" for rule in rules)]
    parts += [f"moves a step {made.steps}"] if made.steps != 1 else []
    parts += [f"in the order {made.order}"] if made.order else []
    parts += [f"rates times {made.factors} where players move once a step"] if made.factors else []
    parts += ["rates fall linearly to 0"] if made.decay else []
    parts += [f"gradients clipped to {made.clip:g}"] if made.clip else []
    parts += [f"average with half-life {made.ema:g}"] if isinstance(made.ema, (int, float)) else []
    return ", ".join(parts)


def _metrics(problem: Problem, floors: pd.DataFrame) -> str:
    mine = floors[floors.title == problem.title]
    rows = [_metric(metric, mine[mine.metric == metric.name]) for metric in problem.metrics]
    return rst.table(("metric", "what it is", "target", "fails", "read against"), rows)


def _metric(metric: Metric, floors: pd.DataFrame) -> tuple[str, ...]:
    gate = "" if metric.gate is None else f"{'<' if metric.better == 'higher' else '>'} {metric.gate:g}: {metric.flag}"
    told: Mapping[str, float] = dict(zip(floors.reference, floors.value, strict=True))
    against = "; ".join(f"{what} {number(value)}" for what, value in told.items())
    name = f"**{metric.name}**" if metric.headline else metric.name
    about = docstrings.prose(str(words(metric.name, metric.better, metric.unit)))
    return name.replace("_", r"\_"), about, metric.aim, gate, docstrings.prose(against)


def _presets(kind: type[Problem]) -> str:
    rows = []
    for name, preset in kind.presets.items():
        options = ", ".join(f"{option} {value}" for option, value in preset.options.items())
        sizes = (preset.steps, preset.batch, preset.evaluations, preset.samples)
        rows.append((f"``{name}``", *map(str, sizes), docstrings.prose(options)))
    return rst.table(("preset", "steps", "batch", "evaluations", "samples", "sizes"), rows)
