"""One command from plan to figures: what is to be played, who prepares it, who plays it, who reports it."""

from __future__ import annotations

import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks import data as sets
from benchmarks import imports, locks, optimizers, problems, record
from benchmarks.command import say, short
from benchmarks.data import folders
from benchmarks.data.folders import DataError
from benchmarks.problem import Problem
from benchmarks.problems import Found
from benchmarks.record import Folder, UsageError
from benchmarks.runner import plan, setup, spec, terminal, tuning
from benchmarks.runner.engines import processes, rays
from benchmarks.runner.options import Options
from benchmarks.runner.plan import Cell
from benchmarks.runner.task import Task, Tell
from benchmarks.suites import SUITES

CUSTOM = "custom"
"""The results folder of problems that were named without a suite."""
LONGEST = 200  # characters of a name below the results folder


def plan_all(options: Options) -> list[Session]:
    """The plan of every suite asked for. Writes nothing.

    Raises:
        UsageError: something that was asked for does not exist, or a results folder is of another version.
    """
    for suite in options.suite or (CUSTOM,):
        _check_results(options.results, options.results / suite / "cells")
    device = device_of(options.device, options.engine == "ray")
    found = problems.discover(options.imports)
    optimizers.register(options.imports)
    specs = [one for text in options.optimizer for one in spec.parse(text)]
    sizes = sizes_of(options, device, found)
    suites = chosen(options, found)
    tuned = _tuned(options)
    cells = {suite: plan.cells(some.values(), specs, options.seeds, sizes, tuned) for suite, some in suites.items()}
    _check_plan(options, [cell for some in cells.values() for cell in some], found)
    part, parts = options.shard
    mine = {suite: own for suite, some in cells.items() if (own := some[part - 1 :: parts])}
    out = [Session(options, suite, device, suites[suite], own) for suite, own in mine.items()]
    for one in out:
        record.check_schema(one.home)
    return out


def sizes_of(options: Options, device: str, found: dict[str, Found]) -> plan.Sizes:
    """How long and large runs are."""
    preset = options.preset if options.preset != "auto" else "gpu" if device.startswith("cuda") else "cpu"
    kind, screened = torch.device(device).type, preset == "screen"
    preset = "cpu" if screened else preset
    return plan.Sizes(preset, _data(options, found), options.steps, kind, options.threads, screened)


def _tuned(options: Options) -> plan.Tuned:
    """What a search has chosen, if its file is named."""
    return {} if options.tuned is None else tuning.choices(Path(options.tuned))


def _check_plan(options: Options, cells: Sequence[Cell], found: dict[str, Found]) -> None:
    """Refuse options that change nothing in this plan, and a plan that holds nothing."""
    if not cells and options.data is None:
        raise UsageError(f"--import {', '.join(options.imports)} holds no problem: name one with -p.")
    if not cells:
        raise UsageError(f"--data {options.data}: none of the problems can be played on it; choose others with -p.")
    if options.data is not None and not any(found[cell.problem].kind.datasets for cell in cells):
        raise UsageError(f"--data {options.data}: none of the problems takes data; leave it out.")
    if options.tuned is not None and not any(cell.row for cell in cells):
        raise UsageError(f"--tuned {options.tuned} knows none of these problems with these optimizers: leave it out.")
    if options.force is not None and not any(plan.matches(cell, options.force) for cell in cells):
        raise UsageError(f"--force {options.force!r} matches no run of this plan, such as {cells[0].run_id}.")


def _check_results(given: Path, path: Path) -> None:
    """Refuse a results folder in which `path` cannot be made or written into. Touches nothing."""
    try:
        there = next(one for one in (path, *path.absolute().parents) if os.path.lexists(one))
        if not there.is_dir():
            what = "a link to nothing" if there.is_symlink() and not there.exists() else "no folder"
            raise UsageError(f"--results {given}: {there} is {what}; name a folder, or one that can be made.")
        if not os.access(there, os.W_OK | os.X_OK):
            raise UsageError(f"--results {given}: {there} cannot be written into; name another folder.")
        os.stat(path.joinpath(*["0" * LONGEST] * 3))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"--results {short(str(given))}: {error.strerror}; name another folder.") from error


def _data(options: Options, found: dict[str, Found]) -> str | None:
    """The data set asked for; a folder of images by the name of its content."""
    root = os.path.expanduser(options.data_root or ".")
    if not (options.download or os.path.isdir(root)):
        raise UsageError(f"--data-root {options.data_root} is no folder: name one, or fetch the data with --download.")
    if options.data is None:
        return None
    if options.data.startswith("folder:"):
        try:
            return folders.name(folders.located(options.data))
        except DataError as error:
            raise UsageError(str(error)) from error
    known = {data for item in found.values() for data in item.kind.datasets}
    spec.choose("data set", sets.base(options.data), known | {"folder:PATH"})
    return options.data


def chosen(options: Options, found: dict[str, Found]) -> dict[str, dict[str, Found]]:
    """The problems asked for, by their suites; a suite that has none of them is left out."""
    if not options.suite:
        own = set(map(imports.located, options.imports))
        names = [name for name, item in found.items() if item.source in own]
        return {CUSTOM: plan.choose(found, options.problem or names)}
    suites = {suite: plan.choose(found, SUITES[suite]) for suite in options.suite}
    if not options.problem:
        return suites
    members = {name: item for suite in suites.values() for name, item in suite.items()}
    asked = plan.choose(members, options.problem, f"problem of --suite {', '.join(suites)}")
    kept = {suite: {name: asked[name] for name in asked if name in has} for suite, has in suites.items()}
    return {suite: chosen for suite, chosen in kept.items() if chosen}


def device_of(name: str | None, elsewhere: bool = False) -> str:
    """The device asked for, if it can be played on: the CPU, or a CUDA device; elsewhere there may be others."""
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    match = re.fullmatch(r"cpu|cuda(?::(\d{1,3}))?", name, re.ASCII)
    if match is None:
        raise UsageError(f"--device {name!r} is no device to play on: choose cpu, cuda, or cuda:1 and the like.")
    if name.startswith("cuda") and not elsewhere and int(match[1] or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"--device {name}: torch finds {torch.cuda.device_count()} CUDA devices here; choose cpu, say."
        )
    return name


@dataclass
class Session:
    """One suite under one command.

    Args:
        options: what was asked for.
        suite: its name.
        device: where to compute.
        found: its problems.
        cells: its plan.
        pictures: whether runs take some.
    """

    options: Options
    suite: str
    device: str
    found: dict[str, Found]
    cells: list[Cell]
    pictures: bool = True
    where: dict[str, Folder] = field(init=False)

    def __post_init__(self) -> None:
        self.where = {cell.run_id: Folder(self.home / "cells" / cell.run_id) for cell in self.cells}

    @property
    def home(self) -> Path:
        """The results folder of the suite."""
        return self.options.results / self.suite

    @property
    def jobs(self) -> int:
        """Cells at a time."""
        cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
        return self.options.jobs or (1 if self.device.startswith("cuda") else max(1, cores // self.options.threads))

    def engine(self, tasks: Sequence[Task], listen: Tell) -> None:
        """Play tasks by the engine that was asked for."""
        if self.options.engine == "ray":
            rays.play(tasks, self.options.jobs, listen, self.options.address)
        else:
            processes.play(tasks, self.jobs, listen)

    @property
    def final(self) -> frozenset[str]:
        """The statuses that leave nothing to play."""
        return record.PLAYED | {"skipped"} | (set() if self.options.retry else record.FAILED)

    def todo(self) -> list[Cell]:
        """The cells that are left to play."""
        return [cell for cell in self.cells if self.forced(cell) or self.status(cell) not in self.final]

    def forced(self, cell: Cell) -> bool:
        """Whether a cell starts anew whatever there is."""
        return self.options.force is not None and plan.matches(cell, self.options.force)

    def status(self, cell: Cell) -> str:
        """How a cell stands on disk."""
        return record.status_of(self.where[cell.run_id])

    def failed(self, cell: Cell) -> bool:
        """Whether a cell has no result, unless another command is seeing to that."""
        elsewhere = locks.Watch().busy(self.where[cell.run_id])  # asked first: what has ended since has its status
        return not elsewhere and self.status(cell) in {"error", "oom", "interrupted", "new"}

    def preview(self) -> None:
        """Print the plan, its size, and how long it may take, judged by what is done."""
        todo = {cell.run_id for cell in self.todo()}
        walls: dict[str, list[float]] = {}
        for cell in self.cells:
            say(f"{'to do' if cell.run_id in todo else 'done':6} {cell.run_id:50} {cell.title:20} {cell.shown}")
            wall = (record.read_json(self.where[cell.run_id].status) or {}).get("wall_s")
            if wall is not None and cell.run_id not in todo:
                walls.setdefault(cell.problem, []).append(wall)
        known = [median(walls[cell.problem]) for cell in self.cells if cell.run_id in todo and cell.problem in walls]
        estimate = f"about {terminal.clock(sum(known) / self.jobs)}" if known else "no estimate"
        if fresh := len(todo) - len(known):
            estimate += f", {fresh} of them of problems that have not run here yet"
        done = len(self.cells) - len(todo)
        say(f"{self.suite}: {len(self.cells)} cells, {done} done, {len(todo)} to do ({estimate})")

    def play(self) -> bool:
        """Play what is left; returns whether anything is written."""
        torch.set_num_threads(1)  # what is prepared here is read by all cells, and sums depend on the number of threads
        record.check_schema(self.home)
        todo = self.todo()
        with terminal.screen(self.board(todo), self.again) as shown:
            shown.say(f"{self.suite}: {len(self.cells)} cells, {len(todo)} to do")
            ready = self.prepare(todo, shown)
            if not ready and len(todo) == len(self.cells):
                return False  # nothing could be prepared
            self.make_home()
            self.announce(ready)
            shown.board.headlines |= self.headlines()
            self.engine(self.tasks(ready), shown.hear)
        return True

    @property
    def lacking(self) -> bool:
        """Whether a cell has no result that should have one."""
        return any(self.failed(cell) for cell in self.cells)

    def make_home(self) -> None:
        """Make the suite's folder.

        Raises:
            UsageError: it cannot be made.
        """
        try:
            record.check_schema(self.home, create=True)
        except OSError as error:
            if record.full_disk(error):
                raise
            raise UsageError(f"--results {self.options.results}: {error.strerror}; name another folder.") from error

    def board(self, todo: Sequence[Cell]) -> terminal.Board:
        """How the cells stand before anything is played."""
        states = {}
        for cell in self.cells:
            status = {} if cell in todo else record.read_json(self.where[cell.run_id].status) or {}
            names = ("status", "step", "steps", "value", "covered", "flags")
            states[cell.run_id] = terminal.State(**{name: status[name] for name in names if name in status})
        return terminal.Board(self.cells, self.headlines(), states)

    def headlines(self) -> dict[str, terminal.Headline]:
        """What rows show, by problem, of what is announced already: a problem may need its data to tell."""
        found: dict[str, terminal.Headline] = {}
        for cell in self.cells:
            told = record.read_json(self.where[cell.run_id].cell) or {"metrics": []}
            leading = [metric for metric in told["metrics"] if metric["headline"]]
            covering = [metric["name"] for metric in told["metrics"] if metric["coverage"] and not metric["headline"]]
            if leading:
                worst = -math.inf if leading[0]["better"] == "higher" else math.inf
                found[cell.problem] = terminal.Headline(leading[0]["name"], (covering or [""])[-1], worst)
        return found

    def prepare(self, todo: Sequence[Cell], shown: terminal.Plain) -> list[Cell]:
        """Let the problems fetch and cache what workers load; returns the cells whose problem could."""
        fine: dict[tuple[str, str | None], bool] = {}
        first = {(cell.problem, cell.data): cell for cell in reversed(todo)}
        for count, (key, cell) in enumerate(reversed(first.items()), start=1):
            kind = self.found[cell.problem].kind
            if kind.prepare.__func__ is not Problem.prepare.__func__:  # type: ignore[attr-defined]
                shown.say(f"preparing {cell.title} ({count} of {len(first)})")
            try:
                if str(cell.data).startswith(folders.PREFIX) and cell.data != self.decoded:
                    raise DataError(f"--data {self.options.data} has changed just now; run the same command again.")
                kind.prepare(cell.data, self.options.data_root, self.options.download)
                fine[key] = True
            except Exception as error:  # one problem's missing data do not keep the others from being played
                fine[key] = False
                what = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
                shown.say(f"{cell.title} cannot be prepared: {what}")
        ready = [cell for cell in todo if fine[cell.problem, cell.data]]
        for cell in {(cell.problem, cell.spec): cell for cell in ready}.values():  # now the players can be counted
            (given,), players = spec.parse(cell.spec), partial(plan.players, self.found[cell.problem].kind, cell.data)
            setup.check(given, cell.sizes.steps, players)
        return ready

    @cached_property
    def decoded(self) -> str:
        """The name of what the user's folder of images holds, which then lies decoded in the cache."""
        return sets.prepare(str(self.options.data)).stem

    def announce(self, ready: Sequence[Cell]) -> None:
        """Write down what every cell is."""
        number, going = record.planned(self.home) + 1, {cell.run_id for cell in ready}
        for cell in self.cells:
            path = self.where[cell.run_id].cell
            if cell.run_id in going:
                record.write_json(path, plan.describe(cell, self.found[cell.problem].kind, number))
            elif told := record.read_json(path):
                record.write_json(path, {**told, "planned": number})
                record.lighten(self.where[cell.run_id])
                locks.tidy(self.where[cell.run_id])

    def tasks(self, ready: Sequence[Cell]) -> list[Task]:
        """What the workers are told."""
        how: dict[str, Any] = {"device": self.device, "timeout": self.options.timeout, "commit": _commit()}
        how |= {"ritz": self.options.ritz, "pictures": self.pictures}
        how |= {"final": self.final, "imports": tuple(map(imports.located, self.options.imports))}
        alone = [Task(cell, self.where[cell.run_id], anew=self.forced(cell), **how) for cell in ready]
        return alone if self.options.together == 1 else grouped(alone, self.options.together)

    def again(self, cell: Cell) -> str:
        """The command that plays one cell alone, from the start."""
        if self.suite not in (CUSTOM, *SUITES):  # a search's, whose runs no other command plays
            return f"the same command with --force {cell.run_id}"
        asked = self.options
        specs = list(asked.optimizer) if cell.row else [cell.spec]
        words = ["python", "-m", "benchmarks.run", "-p", cell.problem, "--seeds", str(cell.seed)]
        words += [word for one in specs for word in ("-o", one)]
        words += ["--suite", self.suite] if self.suite != CUSTOM else []
        preset = asked.preset if asked.preset == "screen" else cell.preset
        words += ["--preset", preset, "--device", self.device, "--threads", str(cell.threads)]
        words += ["--force", cell.run_id, "--results", str(asked.results)]
        words += [word for file in asked.imports for word in ("--import", file)]
        tuned = asked.tuned if cell.row else None
        named = {"--tuned": tuned, "--data": asked.data, "--data-root": asked.data_root, "--steps": asked.steps}
        for name, value in named.items():
            words += [name, str(value)] if value is not None else []
        return shlex.join(words)


def grouped(tasks: Sequence[Task], most: int) -> list[Task]:
    """The tasks with those to play as one ensemble put together, evenly, at most so many; in the order of the first."""
    kin: dict[str, list[Task]] = {}
    for task in tasks:
        kin.setdefault(task.cell.kin, []).append(task)
    parts = [some[k :: -(-len(some) // most)] for some in kin.values() for k in range(-(-len(some) // most))]
    return [replace(first, others=tuple(others)) for first, *others in parts]


def _commit() -> str | None:
    """The revision of this checkout, if it is one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
