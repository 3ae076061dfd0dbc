"""One cell: locks it, plays it, and writes down how it ended.

A worker knows what comes in a `Task`; what it has to say leaves in its folder and, for the terminal, as `Event`s.
`benchmarks.runner.process` gives it a process of its own.
"""

from __future__ import annotations

import time
import traceback
from typing import Any

from benchmarks import locks, optimizers, record
from benchmarks.runner import plan, verdict
from benchmarks.runner.play import Run, Unplayable
from benchmarks.runner.task import BUSY, Event, Stop, Task, Tell


def perform(task: Task, tell: Tell, stop: Stop) -> str:
    """Play a cell to its end in this process; returns its status, which lies in its folder as well."""
    try:
        with locks.locked(task.folder):
            ended = _standing(task) or _played(task, tell, stop)
    except record.RecordError as error:
        tell(Event(task.cell.run_id, BUSY, str(error)))
        return BUSY
    except OSError as error:
        ended = verdict.failure(error)
    print(f"{ended['status']}: {ended['reason']}")
    shown = {name: ended[name] for name in ("step", "steps", "value", "covered", "flags") if name in ended}
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
    ended |= {
        "run_id": task.cell.run_id,
        "wall_s": time.monotonic() - began,
        **verdict.surroundings(task.device, task.commit),
    }
    record.write_json(task.folder.status, ended)
    record.lighten(task.folder)
    return ended


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
