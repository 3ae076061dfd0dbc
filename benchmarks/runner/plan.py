"""The plan: which cells a command stands for, what identifies each of them, and how they stand on disk."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, TypeAlias

from benchmarks import record
from benchmarks.data import base, folders
from benchmarks.locks import LOCKS
from benchmarks.problem import Preset, Problem
from benchmarks.problems import Found
from benchmarks.record import Folder, UsageError
from benchmarks.runner import setup, spec
from benchmarks.runner.setup import Setup
from benchmarks.runner.spec import Spec
from benchmarks.suites import LOOKS, OPTIMIZERS, SCREEN

Tuned: TypeAlias = Mapping[tuple[str, str], Mapping[str, Spec]]
"""By problem and optimizer, as it is spelled untuned: rows of tables, and the optimizer of each."""


@dataclass(frozen=True)
class Cell:
    """One run: a problem of a certain size, an optimizer with all its parameters, and seeds.

    Args:
        problem: its name.
        data: its data set, or None.
        preset: the preset that `sizes` came from.
        sizes: how long and how large.
        setup: the optimizer.
        params: the optimizer's parameters that were given, as a spec spells them; a label, as `setup` holds them all.
        seeds: one seed, today.
        source: where `benchmarks.problems.load` finds the problem.
        device: cpu or cuda; the two draw other random numbers.
        threads: torch's threads; they decide the order of sums, hence the last bits, and those move a GAN's score.
        version: the problem's.
        row: what tables call the parameters instead, such as tuned: then the cell is played for that row alone.
    """

    problem: str
    data: str | None
    preset: str
    sizes: Preset
    setup: Setup
    params: str
    seeds: tuple[int, ...]
    source: str
    device: str = "cpu"
    threads: int = 1
    version: int = 1
    row: str = ""

    @property
    def seed(self) -> int:
        """The seed of a cell that has one."""
        (seed,) = self.seeds
        return seed

    @property
    def title(self) -> str:
        """problem/data."""
        return self.problem if self.data is None else f"{self.problem}/{self.data}"

    @property
    def spec(self) -> str:
        """The optimizer as `--optimizer` spells it."""
        return f"{self.setup.optimizer}[{self.params}]" if self.params else self.setup.optimizer

    @property
    def label(self) -> str:
        """What tables say behind the optimizer's name."""
        return self.row or self.params

    @property
    def shown(self) -> str:
        """What the terminal calls the row."""
        return f"{self.setup.optimizer} {self.row}" if self.row else self.spec

    @property
    def identity(self) -> dict[str, Any]:
        """All that changes the numbers, and nothing else; which code and which torch played it stands in its row."""
        row = {"row": self.row} if self.row else {}
        return row | {
            "schema": record.SCHEMA,
            "problem": self.problem,
            "version": self.version,
            "data": self.data,
            "sizes": {**vars(self.sizes), "options": dict(self.sizes.options)},
            "optimizer": self.setup.identity,
            "seeds": self.seeds,
            "device": self.device,
            "threads": self.threads,
        }

    @property
    def kin(self) -> str:
        """The same for cells that one ensemble may play: what differs are seeds, broken numbers, or rows of tables."""
        alike = {name: value for name, value in self.identity.items() if name not in ("seeds", "row")}
        return digest({**alike, "optimizer": self.setup.shape})

    @property
    def setting(self) -> dict[str, Any]:
        """What the cells of a problem have in common: its identity, less the optimizer and the seeds."""
        return {name: value for name, value in self.identity.items() if name not in ("optimizer", "seeds", "row")}

    @cached_property
    def run_id(self) -> str:
        """Readable, and unique by the hash of the identity."""
        parts = [
            self.problem,
            self.data,
            self.setup.optimizer,
            f"s{'+'.join(map(str, self.seeds))}",
            digest(self.identity),
        ]
        return "-".join(re.sub(r"[^\w.+-]+", "_", part) for part in parts if part)

    def problem_of(self, kind: type[Problem], device: str) -> Problem:
        """The problem, at the sizes of this cell."""
        problem = kind(self.preset, self.data, device)
        problem.preset = self.sizes
        return problem


def digest(value: Any) -> str:
    """Eight hexadecimal digits of what the value says as JSON."""
    text = json.dumps(value, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else repr(value)


@dataclass(frozen=True)
class Sizes:
    """How long and large all runs of a plan are, and on what they are played.

    Args:
        preset: smoke, cpu or gpu.
        data: the data set of the problems that need one; those that cannot use it are left out. None for their default;
            of a user's folder, what its content is called.
        steps: replaces the preset's number of steps.
        device: cpu or cuda.
        threads: torch's threads, for each run.
        screened: as long as the comparison of `benchmarks.suites.SCREEN` plays the problems that it names.
    """

    preset: str
    data: str | None = None
    steps: int | None = None
    device: str = "cpu"
    threads: int = 1
    screened: bool = False

    def of(self, kind: type[Problem]) -> tuple[str | None, Preset]:
        """A problem's data set and sizes.

        Raises:
            UsageError: a preset that the problem does not have.
        """
        spec.choose(f"preset of {kind.name}", self.preset, kind.presets)
        problem = kind(self.preset, self.data if kind.datasets else None)
        preset = problem.preset
        if self.screened and kind.name in SCREEN:
            preset = replace(preset, evaluations=min(preset.evaluations, LOOKS), **SCREEN[kind.name])
        return problem.data, preset if self.steps is None else replace(preset, steps=self.steps)


def cells(
    found: Iterable[Found], specs: Sequence[Spec], seeds: Sequence[int], sizes: Sizes, tuned: Tuned | None = None
) -> list[Cell]:
    """All cells, in the order in which partial results are of most use: one seed of everything, then the next.

    Args:
        found: the problems.
        specs: the optimizers, every one on every problem; none for every problem's own.
        seeds: the same for all.
        sizes: the budget.
        tuned: what a search has chosen; every optimizer that it knows is played with that too.

    Raises:
        UsageError: a preset that a problem does not have, or parameters that do not fit its recipe.
    """
    rows = [row for item in found if usable(item.kind, sizes.data) for row in _sweep(item, specs, sizes, tuned or {})]
    unique = {cell.run_id: cell for seed in seeds for row in rows for cell in [replace(row, seeds=(seed,))]}
    return list(unique.values())


def usable(kind: type[Problem], data: str | None) -> bool:
    """Whether a problem can use this data set, or needs none."""
    if data is None or not kind.datasets or base(data) in kind.datasets:
        return True
    return kind.folders and data.startswith(folders.PREFIX)


def players(kind: type[Problem], data: str | None) -> int | None:
    """How many players a problem has; None where it cannot tell, as its data are not prepared, say."""
    smallest = min(kind.presets, key=lambda name: kind.presets[name].steps)
    try:
        return len(kind(smallest, data).players(0))
    except Exception:  # what else is wrong with it, its cells will say
        return None


def _sweep(item: Found, specs: Sequence[Spec], sizes: Sizes, tuned: Tuned) -> list[Cell]:
    kind = item.kind
    data, preset = sizes.of(kind)
    out = []
    for row, one in _rows(kind, specs, tuned):
        try:
            resolved = setup.resolve(one, kind.recipe)
            setup.check(one, preset.steps, lambda: players(kind, data))
        except UsageError as error:
            raise UsageError(f"{kind.name}: {error}") from error
        what = Cell(kind.name, data, sizes.preset, preset, resolved, spec.show(dict(one.settings)), (), item.source)
        out.append(replace(what, device=sizes.device, threads=sizes.threads, version=kind.version, row=row))
    return out


def _rows(kind: type[Problem], specs: Sequence[Spec], tuned: Tuned) -> Iterator[tuple[str, Spec]]:
    """The optimizers of a problem, each as it is asked for and in the rows that a search adds."""
    for one in specs or own(kind):
        yield "", one
        for row, chosen in tuned.get((kind.name, str(one)), {}).items():
            yield f"{spec.show(dict(one.settings))} {row}".strip(), chosen


def own(kind: type[Problem]) -> list[Spec]:
    """What a problem is played by where nothing else is asked for."""
    return [one for text in kind.optimizers or OPTIMIZERS for one in spec.parse(text)]


def choose(found: Mapping[str, Found], patterns: Sequence[str], what: str = "problem") -> dict[str, Found]:
    """The problems that match a name or pattern, in the patterns' order.

    Args:
        found: all there are.
        patterns: names, or patterns of them.
        what: they are called where a pattern matches none.

    Raises:
        UsageError: a pattern that matches none.
    """
    chosen: dict[str, Found] = {}
    for pattern in patterns:
        names = [name for name in found if fnmatchcase(name, pattern)]
        for name in names or [spec.choose(what, pattern, found)]:
            chosen[name] = found[name]
    return chosen


def matches(cell: Cell, pattern: str) -> bool:
    """Whether a cell's run id is, or matches, the pattern."""
    return cell.run_id == pattern or fnmatchcase(cell.run_id, pattern)


def reset(folder: Folder, forced: bool) -> None:
    """Make way for playing a cell: a forced or failed one starts anew, one that was stopped or ran out of time goes on.

    Call it with the cell's lock held, or it takes a cell away from the process that plays it.

    Args:
        folder: the cell's.
        forced: start anew in any case.
    """
    if forced or record.status_of(folder) in ("oom", "error"):
        for path in folder.path.iterdir():
            if path == folder.log:
                os.truncate(path, 0)  # this process may be writing it
            elif path.is_dir():
                shutil.rmtree(path)
            elif path.name != folder.cell.name and path.name not in LOCKS:
                path.unlink()
    folder.status.unlink(missing_ok=True)


def describe(cell: Cell, kind: type[Problem], planned: int) -> dict[str, Any]:
    """What `cell.json` says.

    Args:
        cell: the cell.
        kind: its problem.
        planned: the number of the plan that it was last part of; tables show the latest configuration.
    """
    problem = cell.problem_of(kind, "cpu")
    return {
        "run_id": cell.run_id,
        "planned": planned,
        "title": cell.title,
        "params": cell.label,
        "preset": cell.preset,
        "metrics": [vars(metric) for metric in problem.metrics],
        "sizes_id": digest(cell.setting),
        "configuration_id": digest({**cell.identity, "seeds": None}),
        "identity": json.loads(json.dumps(cell.identity, default=_plain)),
    }
