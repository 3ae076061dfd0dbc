"""What there is to play: suites, problems with their data and sizes, optimizers and rules with their parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks import optimizers, problems
from benchmarks.problem import Preset, Problem
from benchmarks.runner import plan
from benchmarks.runner.spec import defaults, show
from benchmarks.suites import SEEDS, SUITES
from minimax.rules import BY_RATE as RULES

WIDE = (10, 20)  # letters of what it is, and of its name
BELOW = " " * (sum(WIDE) + 2)  # what stands below a name's first line


def lines(files: Sequence[str]) -> Iterator[str]:
    """Everything that can be asked for, those in a user's files too.

    Args:
        files: as of `--import`.

    Raises:
        UsageError: a file that cannot be imported.
    """
    found = problems.discover(files)
    for suite, names in SUITES.items():
        yield entry("suite", suite, ", ".join(names))
        yield BELOW + runs([item.kind for item in plan.choose(found, names).values()])
    optimizers.register(files)
    for name, item in sorted(found.items()):
        yield entry("problem", name, summary(item.kind))
        yield from map(BELOW.__add__, sizes(item.kind))
    for name, kind in optimizers.KNOWN.items():
        yield entry("optimizer", name, summary(kind))
        yield from (BELOW + text for text in [show(defaults(kind))] if text)
    for name, rule in RULES.items():
        yield entry("rule", name, summary(rule))
        yield BELOW + ";".join(filter(None, ["lr", show(defaults(rule))]))


def entry(what: str, name: str, about: str) -> str:
    """The first line of an entry."""
    return f"{what:{WIDE[0]}} {name:{WIDE[1]}} {about}"


def summary(kind: type) -> str:
    """The first line of a docstring."""
    return next(iter((kind.__doc__ or "").strip().splitlines()), "")


def runs(kinds: Sequence[type[Problem]]) -> str:
    """How many runs a suite makes of its problems where nothing else is asked for."""
    pairs = sum(len(plan.own(kind)) for kind in kinds)
    return f"{pairs * len(SEEDS)} runs: {len(kinds)} problems, each with its optimizers, from {len(SEEDS)} seeds"


def sizes(kind: type[Problem]) -> Iterator[str]:
    """The data sets and presets of a problem, and how it is played where nothing else is asked for."""
    if kind.datasets:
        yield f"data: {', '.join((*kind.datasets, *(('folder:PATH',) if kind.folders else ())))}"
    for name, preset in kind.presets.items():
        yield f"{name}: {size(preset)}"
    if kind.optimizers:
        yield f"played by {', '.join(kind.optimizers)}"
    for optimizer, why in kind.skips.items():
        yield f"not by {optimizer}: {why}"


def size(preset: Preset) -> str:
    """How long a preset plays, and on how much at once."""
    options = "".join(f", {name} {value}" for name, value in preset.options.items())
    return f"{preset.steps} steps of {preset.batch}{options}"
