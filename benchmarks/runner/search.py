"""A search: plans the trials of every optimizer on every problem, plays them, and writes down how they did."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from benchmarks import optimizers, problems, record
from benchmarks.command import say
from benchmarks.data import TUNING
from benchmarks.problems import Found
from benchmarks.runner import plan, session, spec, tuning
from benchmarks.runner.options import Options
from benchmarks.runner.plan import Cell
from benchmarks.runner.session import Session
from benchmarks.runner.spec import Spec
from benchmarks.runner.tuning import Point, Trial
from benchmarks.suites import SECONDS

OFTEN = 0.2  # of the problems with the best point at an end of an axis, from which that is too short


@dataclass(frozen=True)
class Search:
    """One suite's.

    Args:
        options: what was asked for.
        suite: its name.
        found: its problems.
        device: where to compute.
        sizes: how long and large runs are.
        trials: the points.
        keep: how many of an optimizer's trials on a problem are played on all seeds.
    """

    options: Options
    suite: str
    found: dict[str, Found]
    device: str
    sizes: plan.Sizes
    trials: Sequence[Point | None]
    keep: int

    @cached_property
    def asked(self) -> list[Spec]:
        """The optimizers asked for, none for every problem's own."""
        return [one for text in self.options.optimizer for one in spec.parse(text)]

    @property
    def home(self) -> str:
        """What the folder is called that the trials lie in."""
        return self.suite + TUNING

    def specs(self, kind: Found) -> list[Spec]:
        """The optimizers of a problem, untuned."""
        return self.asked or plan.own(kind.kind)

    def cell(self, item: Found, one: Spec, seed: int) -> Cell:
        """One trial on one seed, on the images that are for choices."""
        (cell,) = plan.cells([item], [one], [seed], self.sizes)
        return cell if cell.data is None else replace(cell, data=cell.data + TUNING)

    def planned(self, item: Found) -> dict[Spec, list[Spec]]:
        """Every optimizer at every point."""
        data = self.sizes.of(item.kind)[0]
        item.kind.prepare(data, self.options.data_root, self.options.download)
        count = plan.players(item.kind, data) or 1
        return {
            one: [tuning.at(one, item.kind.recipe, count, point) for point in self.trials] for one in self.specs(item)
        }

    def play(self, cells: Sequence[Cell]) -> None:
        """Play cells; those that are done stay."""
        once = list({cell.run_id: cell for cell in cells}.values())
        Session(self.options, self.home, self.device, self.found, once, pictures=False).play()

    def run(self) -> pd.DataFrame:
        """All of it: a row a trial."""
        plans = {name: self.planned(item) for name, item in self.found.items()}
        first, *more = self.options.seeds
        everything = [
            (self.found[name], one) for name, plan in plans.items() for specs in plan.values() for one in specs
        ]
        self.play([self.cell(item, one, first) for item, one in everything])
        if more:
            kept = [
                (self.found[name], specs[trial.index])
                for name, plan in plans.items()
                for specs in plan.values()
                for trial in self.kept(self.found[name], specs, [first])
            ]
            self.play([self.cell(item, one, seed) for seed in more for item, one in kept])
        return pd.DataFrame(row for name, plan in plans.items() for row in self.rows(self.found[name], plan))

    def told(self) -> str:
        """What it takes: runs, and where that is known minutes."""
        each, (_, *more) = sum(len(self.specs(item)) for item in self.found.values()), self.options.seeds
        first, kept = each * len(self.trials), each * min(self.keep + 1, len(self.trials)) * len(more)
        minutes = (first + kept) * SECONDS / 60
        known = f", about {minutes:.0f} min of one core where that was measured" if self.sizes.screened else ""
        return (
            f"{self.suite}: {len(self.found)} problems under {each / len(self.found):g} optimizers, "
            f"{first} runs on one seed and at most {kept} on {len(more)} more{known}"
        )

    def kept(self, item: Found, specs: Sequence[Spec], seeds: Sequence[int]) -> list[Trial]:
        """The trials that go on to all seeds: the best ones, and the recipe."""
        trials = self.results(item, specs, seeds)
        best = tuning.best(trials, self.keep)
        return [*best, *(trials[0],) * (trials[0] not in best)]

    def results(self, item: Found, specs: Sequence[Spec], seeds: Sequence[int]) -> list[Trial]:
        """How the trials of one optimizer did on these seeds."""
        cells = [[self.cell(item, one, seed) for seed in seeds] for one in specs]
        scores = [tuple(self.score(cell) for cell in row) for row in cells]
        return [Trial(index, *each) for index, each in enumerate(zip(specs, scores, strict=True))]

    def score(self, cell: Cell) -> float:
        """Of a cell that has been played."""
        folder = record.Folder(self.options.results / self.home / "cells" / cell.run_id)
        told, status = record.read_json(folder.cell), record.read_json(folder.status)
        leading = [metric for metric in (told or {"metrics": []})["metrics"] if metric["headline"]]
        return tuning.score(status or {}, leading[0]) if leading else math.inf

    def rows(self, item: Found, plan: Mapping[Spec, Sequence[Spec]]) -> Iterator[dict[str, object]]:
        """A row a trial: where it lies, how it did, and whether it is what its optimizer is played with."""
        for one, specs in plan.items():
            seeds = self.options.seeds
            entered = {trial.index for trial in self.kept(item, specs, seeds[:1])} if len(seeds) > 1 else set()
            trials = [
                self.results(item, [each], seeds if index in entered else seeds[:1])[0]
                for index, each in enumerate(specs)
            ]
            trials = [replace(trial, index=index) for index, trial in enumerate(trials)]
            final = [trial for trial in trials if trial.index in entered] or trials
            (chosen,) = tuning.best(final)
            axis = tuning.own(one, item.kind.recipe)
            for trial, point in zip(trials, self.trials, strict=True):
                yield {
                    "problem": item.kind.name,
                    "data": self.sizes.of(item.kind)[0],
                    "preset": "screen" if self.sizes.screened else self.sizes.preset,
                    "optimizer": str(one),
                    "trial": trial.index,
                    **(point._asdict() if point else dict.fromkeys(Point._fields)),
                    "parameter": axis.name if axis else "",
                    "spec": str(trial.spec),
                    "seeds": len(trial.scores),
                    "first": trial.scores[0],
                    "score": trial.score,
                    "chosen": trial.index == chosen.index,
                    "edge": " ".join(point.edges) if point and trial.index == chosen.index else "",
                }


def search(options: Options, trials: int, keep: int) -> dict[str, Path]:
    """Search on all suites asked for, write `<results>/tuned/<suite>.csv`, and say what it shows.

    Args:
        options: what was asked for.
        trials: how many settings of an optimizer are tried on a problem, the recipe's among them.
        keep: how many of them are played on all seeds, those that are best on the first.

    Returns:
        The tables by suite, none where that was but asked.

    Raises:
        UsageError: something that was asked for does not exist, or cannot be tuned.
    """
    device, known = session.device_of(options.device), problems.discover(options.imports)
    optimizers.register(options.imports)
    sizes = session.sizes_of(options, device, known)
    written = {}
    for suite, found in session.chosen(options, known).items():
        one = Search(options, suite, found, device, sizes, tuning.points(trials), keep)
        say(one.told())
        if options.dry_run:
            continue
        table = one.run()
        path = written[suite] = options.results / "tuned" / f"{suite}.csv"
        record.write_atomic(path, table.to_csv(index=False).encode())
        for line in told(table):
            say(line)
        say(f"{path}: {len(table)} trials; run --suite {suite} --tuned {path} plays what was chosen")
    return written


def told(table: pd.DataFrame) -> Iterator[str]:
    """How often an optimizer's recipe was best, and where the space looks too small for it."""
    for optimizer, group in table[table.chosen].groupby("optimizer", sort=False):
        yield f"{optimizer}: the recipe is best on {int((group.trial == 0).sum())} of {len(group)} problems"
        ends = Counter(axis for edge in group.edge for axis in edge.split())
        for axis, count in ends.items():
            if count > OFTEN * len(group):
                yield f"{optimizer}: best at an end of its axis {axis} on {count} of {len(group)}: it is too short"
