"""One cell, or several at once: locks them, plays them, and writes down how they ended.

A worker knows what comes in a `Task`; what it has to say leaves in its folder and, for the terminal, as `Event`s.
`benchmarks.runner.process` gives it a process of its own.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks import locks, optimizers, record
from benchmarks.runner import plan, verdict
from benchmarks.runner.group import Apart, Group
from benchmarks.runner.play import Run, Unplayable
from benchmarks.runner.task import BUSY, Event, Stop, Task, Tell


def perform_all(task: Task, tell: Tell, stop: Stop) -> None:
    """Play a task and those that go with it, as one ensemble where they can be, else one after the other."""
    left = _together(task.each, tell, stop) if task.others else [(task, "")]
    for one, why in left:
        perform(one, tell, stop, why)


def _together(tasks: Sequence[Task], tell: Tell, stop: Stop) -> list[tuple[Task, str]]:
    """Play tasks as one ensemble; returns those that are left to be played alone, each with the reason if there is one.

    Left is what another command plays or has played, what goes on from a checkpoint, and what fails: alone it fails by
    itself. An ensemble writes no checkpoints.
    """
    began, ended, failed, why = time.monotonic(), set[str](), dict[str, str](), ""
    with ExitStack() as held:
        free = [task for task in tasks if _free(task, held)]
        try:
            optimizers.register([file for task in free for file in task.imports])
            runs = [run for task in free if (run := _begun(task, tell, stop)) is not None]
            for run, end in Group(runs).play() if len(runs) > 1 else ():
                if isinstance(end, Exception):
                    failed[run.cell.run_id] = _named(end)
                    continue
                seconds = (time.monotonic() - began) / len(runs)
                _written(run.task, end | {"wall_s": seconds, "together": len(runs)})
                _told(run.task, end, tell)
                ended.add(run.cell.run_id)
        except Exception as error:  # of the step they share: not every game and method works under vmap
            why = _named(error)
    left = [task for task in tasks if task.cell.run_id not in ended]
    return [(task, failed.get(task.cell.run_id, why)) for task in left]


def _named(error: Exception) -> str:
    """Why runs are not played together, in one line; the log has more."""
    if isinstance(error, Apart):
        return str(error)
    traceback.print_exception(error)
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def _free(task: Task, held: ExitStack) -> bool:
    """Whether a cell is this process's to play, which then has it locked."""
    try:
        held.enter_context(locks.locked(task.folder))
    except (record.RecordError, OSError):
        return False
    return _standing(task) is None


def _begun(task: Task, tell: Tell, stop: Stop) -> Run | None:
    """The run of a cell that starts at step 0, if it can be played."""
    plan.reset(task.folder, task.anew)
    if task.folder.checkpoint.exists():
        return None
    try:
        return Run(task, tell, stop)
    except Exception:  # alone it says why
        return None


def perform(task: Task, tell: Tell, stop: Stop, apart: str = "") -> str:
    """Play a cell to its end in this process; returns its status, which lies in its folder as well.

    Args:
        task: the cell.
        tell: where events go.
        stop: when true, stop after this step.
        apart: why it is played alone, if it was to be played with others.
    """
    try:
        with locks.locked(task.folder):
            ended = _standing(task) or _played(task, tell, stop, apart)
    except record.RecordError as error:
        tell(Event(task.cell.run_id, BUSY, str(error)))
        return BUSY
    except OSError as error:
        ended = verdict.failure(error)
    _told(task, ended, tell)
    return str(ended["status"])


def _told(task: Task, ended: dict[str, Any], tell: Tell) -> None:
    """Say how a cell ended."""
    print(f"{ended['status']}: {ended['reason']}")
    shown = {name: ended[name] for name in ("step", "steps", "value", "covered", "flags") if name in ended}
    tell(Event(task.cell.run_id, ended["status"], ended["reason"], trace=ended.get("traceback", ""), **shown))


def _standing(task: Task) -> dict[str, Any] | None:
    """How a cell ended that another command has played since this one was planned."""
    if task.anew or record.status_of(task.folder) not in task.final:
        return None
    return record.read_json(task.folder.status)


def _played(task: Task, tell: Tell, stop: Stop, apart: str) -> dict[str, Any]:
    """Play a cell that this process has to itself, and write down how it ended."""
    began = time.monotonic()
    plan.reset(task.folder, task.anew)
    ended = _attempt(task, tell, stop) | ({"apart": apart} if apart else {})
    _written(task, ended | {"wall_s": time.monotonic() - began, "together": 1})
    return ended


def _written(task: Task, ended: dict[str, Any]) -> None:
    """Write down how a cell ended."""
    ended |= {"run_id": task.cell.run_id, **verdict.surroundings(task.device, task.commit)}
    record.write_json(task.folder.status, ended)
    record.lighten(task.folder)


def _attempt(task: Task, tell: Tell, stop: Stop) -> dict[str, Any]:
    run: Run | None = None
    try:
        optimizers.register(task.imports)
        run = Run(task, tell, stop)
        return run.play()
    except Unplayable as reason:
        return {"status": "skipped", "reason": str(reason)}
    except Exception as error:
        traceback.print_exc()
        so_far = {} if run is None else {"step": run.step, "steps": run.steps, "curve": run.curve.stamp}
        return verdict.failure(error) | so_far
