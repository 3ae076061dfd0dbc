"""One command from plan to figures: what is to be played, who prepares it, who plays it, who reports it."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks import engine, plan, problems, record, report, spec, terminal
from benchmarks.data import DataError
from benchmarks.options import Options
from benchmarks.plan import Cell
from benchmarks.problem import Problem
from benchmarks.problems import Found
from benchmarks.record import Folder, UsageError
from benchmarks.suites import OPTIMIZERS, SUITES
from benchmarks.worker import Task

CUSTOM = "custom"
"""The results folder of problems that were named without a suite."""


def plan_all(options: Options) -> list[Session]:
    """The plan of every suite asked for. Writes nothing.

    Raises:
        UsageError: something that was asked for does not exist, or a results folder is of another version.
    """
    found = problems.discover(options.imports)
    specs = [one for text in options.optimizer or OPTIMIZERS for one in spec.parse(text)]
    if options.data is not None and not options.data.startswith("folder:"):
        spec.choose("data set", options.data, {data for item in found.values() for data in item.kind.datasets})
    device = _device(options.device)
    preset = options.preset if options.preset != "auto" else "gpu" if device.startswith("cuda") else "cpu"
    out = []
    for suite in options.suite or (CUSTOM,):
        chosen = _chosen(options, suite, found)
        sizes = plan.Sizes(preset, options.data, options.steps)
        cells = plan.cells(chosen.values(), specs, options.seeds, sizes)
        out.append(Session(options, suite, device, chosen, cells))
        record.check_schema(out[-1].home)
    return out


def _chosen(options: Options, suite: str, found: dict[str, Found]) -> dict[str, Found]:
    if suite != CUSTOM:
        members = plan.choose(found, SUITES[suite])
        return plan.choose(members, options.problem) if options.problem else members
    own = {str(Path(file).resolve()) for file in options.imports}
    return plan.choose(found, options.problem or [name for name, item in found.items() if item.source in own])


def _device(name: str | None) -> str:
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name} is no device: {str(error).splitlines()[0]}") from error
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"--device {name} cannot be used: torch finds no CUDA device here.")
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
    """

    options: Options
    suite: str
    device: str
    found: dict[str, Found]
    cells: list[Cell]
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
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.options.jobs or (1 if self.device.startswith("cuda") else cores)

    def todo(self) -> list[Cell]:
        """The cells that are left to play."""
        final = record.PLAYED if self.options.retry else record.PLAYED | record.FAILED
        return [cell for cell in self.cells if self.forced(cell) or self.status(cell) not in final]

    def forced(self, cell: Cell) -> bool:
        """Whether a cell starts anew whatever there is."""
        return self.options.force is not None and plan.matches(cell, self.options.force)

    def status(self, cell: Cell) -> str:
        """How a cell stands on disk."""
        return record.status_of(self.where[cell.run_id])

    def preview(self) -> None:
        """Print the plan, its size, and how long it may take, judged by what is done."""
        todo = {cell.run_id for cell in self.todo()}
        walls: dict[str, list[float]] = {}
        for cell in self.cells:
            print(f"{'to do' if cell.run_id in todo else 'done':6} {cell.run_id:50} {cell.title:20} {cell.spec}")
            wall = (record.read_json(self.where[cell.run_id].status) or {}).get("wall_s")
            if wall is not None and cell.run_id not in todo:
                walls.setdefault(cell.problem, []).append(wall)
        known = [median(walls[cell.problem]) for cell in self.cells if cell.run_id in todo and cell.problem in walls]
        estimate = f"about {terminal.clock(sum(known) / self.jobs)}" if known else "no estimate"
        if fresh := len(todo) - len(known):
            estimate += f", {fresh} of them of problems that have not run here yet"
        done = len(self.cells) - len(todo)
        print(f"{self.suite}: {len(self.cells)} cells, {done} done, {len(todo)} to do ({estimate})")

    def play(self) -> int:
        """Play what is left, then write tables and figures; returns the exit status."""
        record.check_schema(self.home)
        todo = self.todo()
        with terminal.screen(self.board(todo), self.again) as shown:
            shown.say(f"{self.suite}: {len(self.cells)} cells, {len(todo)} to do")
            ready = self.prepare(todo, shown)
            if not ready and len(todo) == len(self.cells):
                return 1  # nothing could be prepared, and nothing is written
            record.check_schema(self.home, create=True)
            self.announce(ready)
            engine.play(self.tasks(ready), self.jobs, shown.hear)
        written = report.write(self.home, self.options.axis)
        print(f"{len(written)} tables and figures in {self.home}")
        return int(any(self.status(cell) in {"error", "oom", "interrupted", "new"} for cell in self.cells))

    def board(self, todo: Sequence[Cell]) -> terminal.Board:
        """How the cells stand before anything is played."""
        states = {}
        for cell in self.cells:
            status = {} if cell in todo else record.read_json(self.where[cell.run_id].status) or {}
            names = ("status", "step", "steps", "value", "collapsed")
            states[cell.run_id] = terminal.State(**{name: status[name] for name in names if name in status})
        return terminal.Board(self.cells, {name: item.kind.headline for name, item in self.found.items()}, states)

    def prepare(self, todo: Sequence[Cell], shown: terminal.Plain) -> list[Cell]:
        """Let the problems fetch and cache what workers load; returns the cells whose problem could."""
        fine: dict[tuple[str, str | None], bool] = {}
        for cell in todo:
            if (key := (cell.problem, cell.data)) in fine:
                continue
            kind = self.found[cell.problem].kind
            if kind.prepare.__func__ is not Problem.prepare.__func__:  # type: ignore[attr-defined]
                shown.say(f"preparing {cell.title}")
            try:
                kind.prepare(cell.data, self.options.data_root, self.options.download)
                fine[key] = True
            except Exception as error:  # one problem's missing data do not keep the others from being played
                fine[key] = False
                what = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
                shown.say(f"{cell.title} cannot be prepared: {what}")
        return [cell for cell in todo if fine[cell.problem, cell.data]]

    def announce(self, ready: Sequence[Cell]) -> None:
        """Make way for what is played, and write down what every cell is."""
        number, going = record.planned(self.home) + 1, {cell.run_id for cell in ready}
        for cell in self.cells:
            if cell.run_id in going:
                plan.reset(self.where[cell.run_id], self.forced(cell))
            if cell.run_id in going or self.where[cell.run_id].cell.exists():
                record.write_json(
                    self.where[cell.run_id].cell, plan.describe(cell, self.found[cell.problem].kind, number)
                )

    def tasks(self, ready: Sequence[Cell]) -> list[Task]:
        """What the workers are told."""
        how: dict[str, Any] = {"device": self.device, "timeout": self.options.timeout, "commit": _commit()}
        threads = 1 if self.jobs > 1 else 2
        return [Task(cell, self.where[cell.run_id], threads=threads, **how) for cell in ready]

    def again(self, cell: Cell) -> str:
        """The command that plays one cell alone, from the start."""
        asked = self.options
        words = ["python", "-m", "benchmarks.run", "-p", cell.problem, "-o", cell.spec, "--seeds", str(cell.seed)]
        words += ["--suite", self.suite] if self.suite != CUSTOM else []
        words += [
            "--preset",
            cell.preset,
            "--device",
            self.device,
            "--force",
            cell.run_id,
            "--results",
            str(asked.results),
        ]
        words += [word for file in asked.imports for word in ("--import", file)]
        for name, value in (("--data", asked.data), ("--data-root", asked.data_root), ("--steps", asked.steps)):
            words += [name, str(value)] if value is not None else []
        return shlex.join(words)


def _commit() -> str | None:
    """The revision of this checkout, if it is one."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
