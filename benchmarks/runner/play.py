"""One run: the optimizer steps on the problem, is evaluated, recorded and checkpointed."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

import minimax as mm
from benchmarks import exchange, pictures, problems, record, tensors
from benchmarks.problem import Floor, View
from benchmarks.quality import stability
from benchmarks.runner import verdict
from benchmarks.runner.plan import digest
from benchmarks.runner.task import Event, Stop, Task, Tell
from benchmarks.trained import refill, shown
from minimax.playing import magnitude
from minimax.rules import now

JUDGEMENTS = 100  # how often, at most, a run is asked whether it has diverged
RITZ = 10  # values at most
OLD = "checkpoint.pt"  # a checkpoint as earlier versions pickled it, which nothing reads any more
PROGRESS = 1.0  # seconds after which a run says how far it is


class Unplayable(Exception):
    """A problem cannot be played by this method; says why."""


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
        for name in self.cell.setup.names:
            if name in self.problem.skips:
                raise Unplayable(f"{name}: {self.problem.skips[name]}")
        self.references = self.floors()
        self.metrics = {metric.name: metric for metric in self.problem.metrics}
        self.modules = self.problem.players(self.cell.seed)
        self.game, self.players = self.problem.game().functional(self.modules)
        self.start = magnitude(self.players)
        self.memory = self.problem.memory(self.cell.seed)
        self.batch: Any = None
        self.info: mm.optimizer.Info | None = None
        self.drawn = 0
        self.step, self.cost, self.seconds = 0, mm.Cost(), 0.0
        self.path = stability.Path.start(pytree.tree_leaves(self.players))
        self.rate = exchange.measure(self.game, self.players, self.draw(0))
        self.steps = self.count_steps()
        self.optimizer = self.cell.setup.build(self.steps)
        self.state = self.optimizer.init(self.game, self.players)
        self.answer = "last" if self.optimizer.average(self.state) is None else "average"
        self.ema = self.average()
        self.saved, self.saving, self.told = time.monotonic(), 0.0, time.monotonic()
        offset = self.resume()
        self.curve = record.Curve(task.folder.curve, offset)

    def count_steps(self) -> int:
        """How many steps the budget pays for: one is tried on the first batch, and thrown away.

        Raises:
            Unplayable: the method cannot play this game.
        """
        probe = self.cell.setup.build(1)
        try:
            state = probe.init(self.game, self.players)
            drawn = [self.draw(k) for k in range(probe.draws)]
            _, _, info = probe.step(self.game, self.players, state, drawn[0] if probe.draws == 1 else drawn)
        except mm.GameError as error:  # of the method, as the game itself has been played when the rate was measured
            raise Unplayable(str(error)) from error
        return max(1, int(self.cell.sizes.steps * len(self.modules) // self.rate.units(info.cost)))

    def draw(self, k: int) -> Any:
        """The k-th batch."""
        self.batch = self.problem.batch(self.cell.seed, k, self.memory)
        self.drawn += self.problem.samples_in(self.batch)
        return self.batch

    # ------------------------------------------------------------------------------------------------------- the loop

    def play(self) -> dict[str, Any]:
        """Play on to the end of the budget, or to what ends the run before; returns what `status.json` says."""
        self.begin()
        stream = mm.iterate(self.game, self.players, self.optimizer, self.draw, state=self.state)
        while self.step < self.steps:
            self.take(stream)
            if ended := self.judged() or self.paused():
                return ended
        return self.finished()

    def begin(self) -> None:
        """Say so, and evaluate the players that a run starts from."""
        self.say("start")
        if self.step == 0:
            self.evaluate()

    @cached_property
    def marks(self) -> set[int]:
        """The steps after which it is evaluated."""
        count = self.cell.sizes.evaluations
        return {round(k * self.steps / count) for k in range(1, count)} | {self.steps}

    @property
    def due(self) -> bool:
        """Whether it is asked now whether it has diverged."""
        return self.step in self.marks or self.step % max(1, self.steps // JUDGEMENTS) == 0

    def judged(self) -> dict[str, Any] | None:
        """How it ended, if it has diverged; evaluates it where that is due."""
        if self.due and (why := self.diverged()):
            self.append({})
            return self.ended("diverged", why) | {"kept": self.keep()}
        if self.step in self.marks:
            self.evaluate()
        return None

    def paused(self) -> dict[str, Any] | None:
        """How it ended, if it has to stop here; writes a checkpoint now and then."""
        self.progress()
        if ended := self.cut():
            self.save()
            return ended
        if time.monotonic() - self.saved > max(self.task.pause, 20 * self.saving):
            self.save()
        return None

    def progress(self) -> None:
        """Say how far it is, now and then."""
        if time.monotonic() - self.told > PROGRESS:
            self.say("progress")

    def cut(self) -> dict[str, Any] | None:
        """How it ended, if it was stopped or its time is over."""
        if self.stop:
            return self.ended("interrupted", f"stopped at step {self.step} of {self.steps}")
        if time.monotonic() > self.deadline and self.step < self.steps:
            return self.ended("timeout", f"{self.task.timeout:g} s were over at step {self.step} of {self.steps}")
        return None

    def finished(self) -> dict[str, Any]:
        """How it ended, having spent its budget."""
        return self.ended(*verdict.outcome(self.problem, self.rows(), self.answer)) | {"kept": self.keep()}

    def take(self, stream: Any) -> None:
        """One step, on the clock."""
        base, began, self.drawn = self.cost, time.perf_counter(), 0
        it = next(stream)
        self.players, self.state, self.info, self.step = it.players, it.state, it.info, it.step
        if self.memory is not None:
            self.memory = self.problem.remember(self.memory, shown(self.modules, self.players), self.batch)
        if self.problem.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - began
        self.cost = base + it.info.cost._replace(samples=self.drawn)
        if self.ema is not None:
            self.ema.update(self.players, torch.tensor(self.step - 1))
        self.path = self.path.add(pytree.tree_leaves(self.players))

    def diverged(self) -> str | None:
        """Why the run is over, if it is."""
        assert self.info is not None
        status = mm.Limits().judge(mm.Iterate(self.step, self.players, self.state, self.info, self.cost), self.start)
        return status.reason if status is not None and status.kind == "diverged" else None

    # ------------------------------------------------------------------------------------------------------ recording

    def iterates(self) -> dict[str, Any]:
        """What is evaluated, by name: what the optimizer answers with, and at the end the average of the recipe."""
        answer = {self.answer: self.optimizer.answer(self.players, self.state)}
        return answer if self.ema is None or self.step < self.steps else {**answer, "ema": self.ema.players}

    def evaluate(self) -> None:
        """Score the players, record, take pictures of the optimizer's answer."""
        scores = {}
        for iterate, players in reversed(self.iterates().items()):  # the answer comes last, and stays in the modules
            view = View(shown(self.modules, players), self.memory, self.cell.seed)
            scores[iterate] = self.checked(self.problem.evaluate(view))
        for name, picture in self.problem.pictures(view).items() if self.task.pictures else ():
            pictures.write(self.task.folder.samples, name, self.step, picture)
        self.append(scores)
        names = self.problem.headline.name, verdict.covering(self.problem)
        value, covered = (scores[iterate].get(name, math.nan) for name in names)
        self.say("evaluation", value=value, covered=covered)

    def checked(self, scores: dict[str, float]) -> dict[str, float]:
        """The scores, if the problem declares them all."""
        if unknown := sorted(scores.keys() - self.metrics.keys()):
            raise ValueError(f"{self.problem.name} yields {', '.join(unknown)} without declaring it in its metrics.")
        return scores

    def append(self, scores: Mapping[str, Mapping[str, float]]) -> None:
        """Append the rows of this step: what was evaluated, and what training saw."""
        seen: dict[str, Any] = {f"player_norm_{i}": magnitude((player,)) for i, player in enumerate(self.players)}
        if self.info is not None:
            seen |= {f"loss_{i}": loss for i, loss in enumerate(self.info.losses)}
            seen |= {f"gradient_norm_{i}": norm for i, norm in enumerate(self.info.norms)}
            seen |= {"field_norm": self.info.norm, **self.path.read()}
        if self.task.ritz:
            seen |= self.ritz()
        same = {
            **{"run_id": self.cell.run_id, "problem": self.cell.problem, "data": self.cell.data},
            **{"optimizer": self.cell.setup.optimizer, "params": self.cell.label, "seed": self.cell.seed},
            **{"step": self.step, "samples": self.cost.samples, "train_time_s": self.seconds},
            **{"grad_evals": self.cost.gradients, "hvp_evals": self.cost.hvps, "units": self.rate.units(self.cost)},
        }
        seen_by = [("eval", iterate, found) for iterate, found in scores.items()] + [("train", "last", seen)]
        self.curve.append(
            [
                {**same, "split": split, "iterate": iterate, "metric": name, "value": float(value)}
                for split, iterate, found in seen_by
                for name, value in found.items()
            ]
        )

    def ritz(self) -> dict[str, float]:
        """Of the largest Ritz values of the game's Jacobian, the shares that turn, |Im| > |Re|, and repel, Re < 0.

        On the run's first batch. It is off the clock, and changes nothing of the run.
        """
        batch, spent = self.problem.batch(self.cell.seed, 0, self.memory), self.task.ritz
        found = mm.diagnostics.spectrum(self.game, self.players, batch, k=min(RITZ, spent), products=spent).eigenvalues
        turns, repels = found.imag.abs() > found.real.abs(), found.real < 0
        return {
            "ritz_turning": float(turns.double().mean()),
            "ritz_repelling": float(repels.double().mean()),
            "ritz_radius": float(found.abs().max()),
        }

    def say(self, kind: str, text: str = "", value: float = math.nan, covered: float = math.nan) -> None:
        """Tell the parent."""
        self.told = time.monotonic()
        self.tell(Event(self.cell.run_id, kind, text, self.step, self.steps, value, covered))

    def note(self, text: str) -> None:
        """Say something in the log and on the terminal."""
        print(text)
        self.say("note", text)

    def floors(self) -> list[Floor]:
        """The problem's reference values and pictures of its data, made once for all its cells."""
        name = f"{self.cell.problem}-{digest(self.cell.setting)}"
        home = self.task.folder.path.parent / "floors"
        path = home / f"{name}.json"
        found = record.read_json(path)
        if found is None or not (home / name).is_dir():
            for what, truth in self.problem.truths().items():
                pictures.write(home / name, what, 0, truth)
        if found is None:
            found = {"title": self.cell.title, "floors": list(self.problem.floors())}
            record.write_json(path, found)
        return [Floor(*row) for row in found["floors"]]

    def average(self) -> mm.EMA | None:
        """The moving average of the players, if the recipe asks for one."""
        half = self.cell.setup.ema
        return None if half is None else mm.EMA(self.players, decay=lambda step: 0.5 ** (1 / now(half, step)))

    # ---------------------------------------------------------------------------------------------------- checkpoints

    def save(self) -> None:
        """Write a checkpoint: tensors in plain containers."""
        began = time.monotonic()
        saved = {
            "run_id": self.cell.run_id,
            "device": self.problem.device.type,
            **{"players": self.players, "state": self.state, "buffers": self.buffers(), "memory": self.memory},
            **{"step": self.step, "cost": tuple(self.cost), "seconds": self.seconds, "curve": self.curve.stamp},
            **{"path": vars(self.path), "random": torch.get_rng_state()},
            "ema": None if self.ema is None else self.ema.players,
        }
        record.write_sealed(self.task.folder.checkpoint, tensors.dumped(saved))
        self.saved, self.saving = time.monotonic(), time.monotonic() - began

    def buffers(self) -> list[dict[str, torch.Tensor]]:
        """The buffers of every module among the players."""
        return [dict(m.named_buffers()) if isinstance(m, nn.Module) else {} for m in self.modules]

    def keep(self) -> tuple[int, int]:
        """Write the players as they ended; returns how many bytes, and their checksum."""
        names = {"run_id": self.cell.run_id, "step": self.step}
        data = tensors.dumped({**names, "last": self.players, **self.iterates(), "buffers": self.buffers()})
        record.write_atomic(self.task.folder.players, data)
        return record.stamp_of(data)

    def resume(self) -> int:
        """Go on from the checkpoint if there is a good one; returns how many bytes of the curve it covers."""
        folder = self.task.folder
        if (old := folder.checkpoint.with_name(OLD)).exists():
            old.unlink()
            self.note(f"{OLD} was left by an earlier version, which wrote checkpoints in another way: starts at step 0")
        if not folder.checkpoint.exists():
            return 0
        try:
            saved = tensors.loaded(record.read_sealed(folder.checkpoint), self.problem.device)
            if (saved["run_id"], saved["device"]) != (self.cell.run_id, self.problem.device.type):
                raise ValueError("it comes from another cell or device")
            if not record.holds(folder.curve, saved["curve"]):
                raise ValueError("the rows it covers are damaged")
            self.restore(saved)
        except Exception as error:  # what somebody else has sealed may raise anything
            self.note(f"the checkpoint cannot be used ({type(error).__name__}: {error}): starts again at step 0")
            return 0
        self.note(f"goes on at step {self.step} of {self.steps}")
        return int(saved["curve"][0])

    def restore(self, saved: dict[str, Any]) -> None:
        """Take over what a checkpoint holds."""
        cost, path = mm.Cost(*saved["cost"]), stability.Path(**saved["path"])
        refill(self.modules, saved["buffers"])
        torch.set_rng_state(saved["random"])
        self.players, self.state, self.memory = saved["players"], saved["state"], saved["memory"]
        if self.ema is not None:
            self.ema.load(saved["ema"])
        self.step, self.cost, self.seconds, self.path = saved["step"], cost, saved["seconds"], path

    def ended(self, status: str, reason: str) -> dict[str, Any]:
        """What `status.json` says of a run that came so far."""
        return {
            **{"status": status, "reason": reason, "step": self.step, "steps": self.steps},
            **{"grad_evals": self.cost.gradients, "hvp_evals": self.cost.hvps, "samples": self.cost.samples},
            **{"units": self.rate.units(self.cost), "product_cost": self.rate.product, "train_time_s": self.seconds},
            **{"curve": self.curve.stamp, "floors": self.references},
            **verdict.describe(self.problem, self.rows(), self.answer, self.path, status == "diverged"),
        }

    def rows(self) -> list[record.Row]:
        """All that is recorded so far."""
        return list(record.rows_of(self.task.folder.curve, self.curve.stamp))
