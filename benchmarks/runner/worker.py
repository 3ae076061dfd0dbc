"""One cell: plays the optimizer on the problem, evaluates, records, checkpoints, and says how it ended.

A worker imports torch, numpy and the standard library alone. What it knows comes in a `Task`, what it has to say leaves
in its folder and, for the terminal, as `Event`s. `benchmarks.runner.process` gives it a process of its own.
"""

from __future__ import annotations

import io
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils import _pytree as pytree

import minimax as mm
from benchmarks import pictures, problems, record
from benchmarks.quality import stability
from benchmarks.record import Folder
from benchmarks.runner import plan, verdict
from benchmarks.runner.plan import Cell, digest
from minimax.solve import magnitude, write

JUDGEMENTS = 100  # how often, at most, a run is asked whether it has diverged
BUSY = "busy"
"""The kind of an event that says: another process plays this cell, and nothing was touched."""


@dataclass(frozen=True)
class Task:
    """A cell and what changes none of its numbers.

    Args:
        cell: what to play.
        folder: where to record it.
        device: where to compute.
        timeout: seconds for this attempt.
        pause: seconds between checkpoints, at least.
        commit: the revision of this code, if known.
        anew: start from nothing, whatever there is.
        final: the statuses that leave nothing to play.
    """

    cell: Cell
    folder: Folder
    device: str = "cpu"
    timeout: float = float("inf")
    pause: float = 5.0
    commit: str | None = None
    anew: bool = False
    final: frozenset[str] = record.PLAYED


class Event(NamedTuple):
    """What the terminal hears of a cell; `kind` is start, note, evaluation, or at the end its status, or `busy`."""

    run_id: str
    kind: str
    text: str = ""
    step: int = 0
    steps: int = 0
    value: float = float("nan")
    collapsed: bool = False
    trace: str = ""


Tell = Callable[[Event], None]


class Stop:
    """Whether to stop: a signal came, or the parent is gone."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, *_: Any) -> None:
        """Stop after this step."""
        self.asked = True

    def __bool__(self) -> bool:
        return self.asked


def perform(task: Task, tell: Tell, stop: Stop) -> str:
    """Play a cell to its end in this process; returns its status, which lies in its folder as well."""
    try:
        with record.locked(task.folder):
            ended = _standing(task) or _played(task, tell, stop)
    except record.RecordError as error:
        tell(Event(task.cell.run_id, BUSY, str(error)))
        return BUSY
    except OSError as error:
        ended = verdict.failure(error)
    print(f"{ended['status']}: {ended['reason']}")
    shown = {name: ended[name] for name in ("step", "steps", "value", "collapsed") if name in ended}
    tell(Event(task.cell.run_id, ended["status"], ended["reason"], trace=ended.get("traceback", ""), **shown))
    return str(ended["status"])


def _standing(task: Task) -> dict[str, Any] | None:
    """How a cell ended that another command has played since this one was planned."""
    if task.anew or record.status_of(task.folder) not in task.final:
        return None
    return record.read_json(task.folder.status)


def _played(task: Task, tell: Tell, stop: Stop) -> dict[str, Any]:
    """Play a cell that this process has to itself, and write down how it ended."""
    began = time.monotonic()
    plan.reset(task.folder, task.anew)
    ended = _attempt(task, tell, stop)
    ended |= {"wall_s": time.monotonic() - began, **verdict.surroundings(task.device, task.commit)}
    record.write_json(task.folder.status, ended)
    return ended


def _attempt(task: Task, tell: Tell, stop: Stop) -> dict[str, Any]:
    run: Run | None = None
    try:
        run = Run(task, tell, stop)
        return run.play()
    except Exception as error:
        traceback.print_exc()
        so_far = {} if run is None else {"step": run.step, "steps": run.steps, "curve": run.curve.stamp}
        return verdict.failure(error) | so_far


class Run:
    """A cell under way: where play stands, and all that a checkpoint has to hold.

    Args:
        task: what to play.
        tell: where events go.
        stop: when true, stop after this step.
    """

    def __init__(self, task: Task, tell: Tell, stop: Stop) -> None:
        self.task, self.cell, self.tell, self.stop = task, task.cell, tell, stop
        self.deadline = time.monotonic() + task.timeout
        torch.manual_seed(self.cell.seed)
        self.problem = self.cell.problem_of(problems.load(self.cell.source, self.cell.problem), task.device)
        self.references = self.floors()
        self.modules = self.problem.players(self.cell.seed)
        self.game, self.players = self.problem.game().functional(self.modules)
        self.start = magnitude(self.players)
        self.memory = self.problem.memory(self.cell.seed)
        self.batch: Any = None
        self.state: mm.optimizer.State | None = None
        self.info: mm.optimizer.Info | None = None
        self.step, self.cost, self.seconds = 0, mm.Cost(), 0.0
        self.path = stability.Path.start(pytree.tree_leaves(self.players))
        self.steps = self.count_steps()
        self.optimizer = self.cell.setup.build(self.steps)
        self.saved, self.saving = time.monotonic(), 0.0
        offset = self.resume()
        self.curve = record.Curve(task.folder.curve, offset)

    def count_steps(self) -> int:
        """How many steps the budget pays for: one is tried on the first batch, and thrown away."""
        probe = self.cell.setup.build(1)
        state = probe.init(self.game, self.players)
        drawn = [self.draw(k) for k in range(probe.draws)]
        _, _, info = probe.step(self.game, self.players, state, drawn[0] if probe.draws == 1 else drawn)
        return max(1, self.cell.sizes.steps * len(self.modules) // self.units(info.cost))

    def units(self, cost: mm.Cost) -> int:
        """A cost in gradient evaluations; a Hessian-vector product counts as two of each player's."""
        return cost.gradients + 2 * len(self.modules) * cost.hvps

    def draw(self, k: int) -> Any:
        """The k-th batch."""
        self.batch = self.problem.batch(self.cell.seed, k, self.memory)
        return self.batch

    # ------------------------------------------------------------------------------------------------------- the loop

    def play(self) -> dict[str, Any]:
        """Play on to the end of the budget, or to what ends the run before; returns what `status.json` says."""
        self.say("start")
        if self.step == 0:
            self.evaluate()
        count = self.cell.sizes.evaluations
        marks = {round(k * self.steps / count) for k in range(1, count)} | {self.steps}
        looks = max(1, self.steps // JUDGEMENTS)
        stream = mm.iterate(self.game, self.players, self.optimizer, self.draw, state=self.state)
        while self.step < self.steps:
            self.take(stream)
            if (self.step in marks or self.step % looks == 0) and (why := self.diverged()):
                self.record_training(evaluated={})
                return self.ended("diverged", why)
            if self.step in marks:
                self.evaluate()
            if self.stop:
                self.save()
                return self.ended("interrupted", f"stopped at step {self.step} of {self.steps}")
            if time.monotonic() > self.deadline and self.step < self.steps:
                self.save()
                return self.ended("timeout", f"{self.task.timeout:g} s were over at step {self.step} of {self.steps}")
            if time.monotonic() - self.saved > max(self.task.pause, 20 * self.saving):
                self.save()
        self.save()
        if missed := verdict.missed(self.problem, self.rows()):
            return self.ended("ok", f"misses {missed}")
        return (
            self.ended("target", "all targets met") if self.problem.targets else self.ended("ok", "the budget is spent")
        )

    def take(self, stream: Any) -> None:
        """One step, on the clock."""
        base, began = self.cost, time.perf_counter()
        it = next(stream)
        self.players, self.state, self.info, self.step = it.players, it.state, it.info, it.step
        if self.memory is not None:
            self.memory = self.problem.remember(self.memory, self.current(), self.batch)
        if self.problem.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - began
        self.cost = base + it.info.cost
        self.path = self.path.add(pytree.tree_leaves(self.players))

    def diverged(self) -> str | None:
        """Why the run is over, if it is."""
        assert self.state is not None and self.info is not None
        status = mm.Limits().judge(mm.Iterate(self.step, self.players, self.state, self.info, self.cost), self.start)
        return status.reason if status is not None and status.kind == "diverged" else None

    def current(self) -> tuple[Any, ...]:
        """The players as the problem made them: parameters are written into its modules."""
        for module, player in zip(self.modules, self.players, strict=True):
            if isinstance(module, nn.Module):
                write(module, player)
        pairs = zip(self.modules, self.players, strict=True)
        return tuple(module if isinstance(module, nn.Module) else player for module, player in pairs)

    # ------------------------------------------------------------------------------------------------------ recording

    def evaluate(self) -> None:
        """Score the players, record, take pictures."""
        players = self.current()
        metrics = self.problem.evaluate(players, self.cell.seed)
        for name, picture in self.problem.pictures(players, self.cell.seed).items():
            pictures.write(self.task.folder.samples, name, self.step, picture)
        self.record_training(metrics)
        self.say("evaluation", value=metrics.get(self.problem.headline, float("nan")))

    def record_training(self, evaluated: dict[str, float]) -> None:
        """Append the rows of this step: what was evaluated, and what training saw."""
        seen: dict[str, Any] = {f"player_norm_{i}": magnitude((player,)) for i, player in enumerate(self.players)}
        if self.info is not None:
            seen |= {f"loss_{i}": loss for i, loss in enumerate(self.info.losses)}
            seen |= {f"gradient_norm_{i}": norm for i, norm in enumerate(self.info.norms)}
            seen |= {"field_norm": self.info.norm, **self.path.read()}
        same = {
            **{"run_id": self.cell.run_id, "problem": self.cell.problem, "data": self.cell.data},
            **{"optimizer": self.cell.setup.optimizer, "params": self.cell.params, "seed": self.cell.seed},
            **{"step": self.step, "samples": self.cost.samples, "train_time_s": self.seconds},
            **{"grad_evals": self.cost.gradients, "hvp_evals": self.cost.hvps},
        }
        self.curve.append(
            [
                {**same, "split": split, "metric": name, "value": float(value)}
                for split, metrics in (("eval", evaluated), ("train", seen))
                for name, value in metrics.items()
            ]
        )

    def say(self, kind: str, text: str = "", value: float = float("nan")) -> None:
        """Tell the parent."""
        self.tell(Event(self.cell.run_id, kind, text, self.step, self.steps, value))

    def note(self, text: str) -> None:
        """Say something in the log and on the terminal."""
        print(text)
        self.say("note", text)

    def floors(self) -> dict[str, float]:
        """The problem's reference values, computed once for all its cells."""
        file = f"{self.cell.problem}-{digest(self.cell.setting)}.json"
        path = self.task.folder.path.parent / "floors" / file
        found = record.read_json(path)
        if found is None:
            found = {"title": self.cell.title, "floors": self.problem.floors()}
            record.write_json(path, found)
        floors: dict[str, float] = found["floors"]
        return floors

    # ---------------------------------------------------------------------------------------------------- checkpoints

    def save(self) -> None:
        """Write a checkpoint: tensors in plain containers."""
        began = time.monotonic()
        buffers = [dict(m.named_buffers()) if isinstance(m, nn.Module) else {} for m in self.modules]
        saved = {
            "run_id": self.cell.run_id,
            "device": self.problem.device.type,
            **{"players": self.players, "state": self.state, "buffers": buffers, "memory": self.memory},
            **{"step": self.step, "cost": tuple(self.cost), "seconds": self.seconds, "curve": self.curve.stamp},
            **{"path": vars(self.path), "random": torch.get_rng_state()},
        }
        file = io.BytesIO()
        torch.save(saved, file)
        record.write_sealed(self.task.folder.checkpoint, file.getvalue())
        self.saved, self.saving = time.monotonic(), time.monotonic() - began

    def resume(self) -> int:
        """Go on from the checkpoint if there is a good one; returns how many bytes of the curve it covers."""
        folder = self.task.folder
        if not folder.checkpoint.exists():
            return 0
        try:
            saved = torch.load(io.BytesIO(record.read_sealed(folder.checkpoint)), weights_only=True)
            if (saved["run_id"], saved["device"]) != (self.cell.run_id, self.problem.device.type):
                raise ValueError("it comes from another cell or device")
            if not record.holds(folder.curve, saved["curve"]):
                raise ValueError("the rows it covers are damaged")
            self.restore(saved)
        except Exception as error:  # unpickling what a disk has mangled may raise anything
            self.note(f"the checkpoint cannot be used ({type(error).__name__}: {error}): starts again at step 0")
            return 0
        self.note(f"goes on at step {self.step} of {self.steps}")
        return int(saved["curve"][0])

    def restore(self, saved: dict[str, Any]) -> None:
        """Take over what a checkpoint holds."""
        cost, path = mm.Cost(*saved["cost"]), stability.Path(**saved["path"])
        for module, buffers in zip(self.modules, saved["buffers"], strict=True):
            for name, value in buffers.items():
                module.get_buffer(name).copy_(value)
        torch.set_rng_state(saved["random"])
        self.players, self.state, self.memory = saved["players"], saved["state"], saved["memory"]
        self.step, self.cost, self.seconds, self.path = saved["step"], cost, saved["seconds"], path

    def ended(self, status: str, reason: str) -> dict[str, Any]:
        """What `status.json` says of a run that came so far."""
        return {
            **{"status": status, "reason": reason, "step": self.step, "steps": self.steps},
            **{"grad_evals": self.cost.gradients, "hvp_evals": self.cost.hvps, "samples": self.cost.samples},
            **{"units": self.units(self.cost), "train_time_s": self.seconds},
            **{"curve": self.curve.stamp, "floors": self.references},
            **verdict.describe(self.problem, self.rows(), self.path, status == "diverged"),
        }

    def rows(self) -> list[record.Row]:
        """All that is recorded so far."""
        return list(record.rows_of(self.task.folder.curve, self.curve.stamp))
