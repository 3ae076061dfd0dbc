"""The engine: one process a cell, a few at a time, forked from a server that has torch loaded and CUDA untouched."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection, forkserver
from multiprocessing.context import ForkServerProcess
from typing import TYPE_CHECKING

from benchmarks import locks, record

if TYPE_CHECKING:
    from benchmarks.runner.task import Event, Task

# dynamo takes 2 s when a run counts operations, and the scores of images bring scipy, half a second.
PRELOAD = ("torch", "torch._dynamo", "benchmarks.quality.image_scores", "benchmarks.runner.process")
GRACE = 30.0  # seconds after which a worker that does not stop by itself is killed


def warm_up() -> None:
    """Start the server now, so that it imports torch while the caller is still planning."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(PRELOAD))
    forkserver.ensure_running()


def play(tasks: Sequence[Task], jobs: int, listen: Callable[[Event], None], preload: Sequence[str] = PRELOAD) -> None:
    """Play all tasks, `jobs` at a time, and pass on what they say.

    Every task ends in an event of its status. A process that dies without a word is reported as an `error`; one that
    hangs past its time is killed, and that is written down, as a `timeout`. Where it played several cells, those that
    have not ended are played again, alone. A cell that another command is playing is left to it, and taken up, or over,
    when that one is done.

    Args:
        tasks: what to play.
        jobs: cells at a time.
        listen: told all of it.
        preload: what the server imports, once for all workers.

    Raises:
        KeyboardInterrupt: it was interrupted; all workers have stopped, and have written checkpoints if they could.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(preload))
    pool = _Pool(list(tasks), jobs, listen)
    try:
        while pool.waiting or pool.running:
            pool.fill()
            pool.hear()
    except KeyboardInterrupt:
        pool.stop()
        raise


@dataclass
class _Running:
    task: Task
    process: ForkServerProcess
    began: float
    ended: set[str] = field(default_factory=set)
    overdue: bool = False
    step: int = 0
    steps: int = 0

    @property
    def left(self) -> list[Task]:
        """The tasks whose ends it has not told."""
        return [task for task in self.task.each if task.cell.run_id not in self.ended]


@dataclass
class _Pool:
    """The tasks that wait, in their order, and those that are played.

    Args:
        left: run ids of which was said that another command plays them.
        watch: looks after the cells of other commands.
    """

    waiting: list[Task]
    jobs: int
    listen: Callable[[Event], None]
    running: dict[connection.Connection, _Running] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    watch: locks.Watch = field(default_factory=locks.Watch)

    def fill(self) -> None:
        """Start what is free while there is room."""
        for task in list(self.waiting):
            if len(self.running) >= self.jobs:
                return
            busy = [one for one in task.each if self.watch.busy(one.folder)]
            for one in busy:
                self.leave(one)
            if not busy:
                self.waiting.remove(task)
                self.start(task)
            elif task.others:  # those that are free do not wait for the others
                self.waiting.remove(task)
                self.waiting.extend(task.each)

    def leave(self, task: Task) -> None:
        """Say, once, that another command has this cell."""
        from benchmarks.runner.task import Event

        name = task.cell.run_id
        if name not in self.left:
            self.left.add(name)
            who = f"another command is playing it ({locks.holder(task.folder)})"
            self.listen(Event(name, "note", f"{who}; waits for that one to end"))

    def start(self, task: Task) -> None:
        """Fork the worker of a task."""
        from benchmarks.runner.process import main

        context = multiprocessing.get_context("forkserver")
        receiver, sender = context.Pipe(duplex=False)
        files = tuple(file for file in (*task.imports, task.cell.source) if file.endswith(".py"))
        args = (files, pickle.dumps(task), sender, GRACE, dict(os.environ))
        process = context.Process(target=main, args=args, name=task.cell.run_id)
        process.start()
        sender.close()  # the worker has the only one left, so its end is the end of the pipe
        self.running[receiver] = _Running(task, process, time.monotonic())

    def hear(self) -> None:
        """Wait for what the workers say, a second at most, and kill those that hang."""
        for receiver in connection.wait(list(self.running), timeout=1.0):
            assert isinstance(receiver, connection.Connection)
            one = self.running[receiver]
            try:
                self.take(one, receiver.recv())
            except (EOFError, OSError):
                one.process.join()
                receiver.close()
                del self.running[receiver]
                if one.task.others:  # whichever of them did it: alone it harms no other
                    self.waiting.extend(one.left)
                elif one.left:
                    self.listen(_death(one))
        for one in self.running.values():
            if not one.overdue and time.monotonic() - one.began > one.task.limit + GRACE:
                one.overdue = True
                one.process.kill()

    def take(self, one: _Running, event: Event) -> None:
        """Pass an event on; a cell that another command has goes back to those that wait."""
        from benchmarks.runner.task import BUSY

        if event.kind == BUSY:
            (task,) = (task for task in one.task.each if task.cell.run_id == event.run_id)
            one.ended.add(event.run_id)
            self.waiting.append(task)
            self.leave(task)
            return
        if event.kind in record.STATUSES:
            one.ended.add(event.run_id)
        one.step, one.steps = event.step or one.step, event.steps or one.steps
        self.listen(event)

    def stop(self) -> None:
        """Let all workers write checkpoints and end."""
        self.waiting.clear()
        deadline = time.monotonic() + GRACE
        for one in self.running.values():
            one.process.terminate()
        try:
            while self.running and time.monotonic() < deadline:
                self.hear()
        finally:  # out of patience, or interrupted again
            for one in self.running.values():
                one.process.kill()


def _death(one: _Running) -> Event:
    """How a process ended that has not said so itself."""
    from benchmarks.runner.task import Event

    name, code = one.task.cell.run_id, one.process.exitcode
    if one.overdue:
        reason = _overdue(one)
        return Event(name, "timeout", reason, one.step, one.steps)
    if code is not None and code < 0:
        ended = signal.Signals(-code).name
        hint = " (out of memory?)" if ended == "SIGKILL" else ""
        reason = f"the process was ended by {ended}{hint}; the same command goes on from its checkpoint"
    else:
        reason = f"the process ended with exit status {code} and no word; its log may say why"
    return Event(name, "error", reason)


def _overdue(one: _Running) -> str:
    """Write down that a cell hung and was killed, so that the next command does not hang again; returns the reason."""
    wall = time.monotonic() - one.began
    reason = (
        f"it hung and was killed {wall:.0f} s after its start, with a timeout of {one.task.timeout:g} s; "
        f"{one.task.folder.log} says where"
    )
    status = {"run_id": one.task.cell.run_id, "status": "timeout", "reason": reason, "step": one.step}
    status |= {"steps": one.steps, "wall_s": wall}
    try:
        with locks.locked(one.task.folder):
            record.write_json(one.task.folder.status, status)
    except (OSError, record.RecordError) as error:  # another command has it already, or the disk is full
        return f"{reason}; this could not be written down: {error}"
    return reason
