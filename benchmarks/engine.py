"""The engine: one process a cell, a few at a time, forked from a server that has torch loaded and CUDA untouched."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from multiprocessing.context import ForkServerProcess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.worker import Event, Task

PRELOAD = ["torch", "benchmarks.worker"]
GRACE = 30.0  # seconds after which a worker that does not stop by itself is killed


def warm_up() -> None:
    """Start the server now, so that it imports torch while the caller is still planning."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOAD)
    forkserver.ensure_running()


@dataclass
class _Running:
    task: Task
    process: ForkServerProcess
    began: float
    ended: bool = False


def play(tasks: Sequence[Task], jobs: int, listen: Callable[[Event], None]) -> None:
    """Play all tasks, `jobs` at a time, and pass on what they say.

    Every task ends in an event of its status; a process that dies without a word is reported as an `error`.

    Raises:
        KeyboardInterrupt: it was interrupted; all workers have stopped, and have written checkpoints if they could.
    """
    waiting, running = deque(tasks), dict[connection.Connection, _Running]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                _start(waiting.popleft(), running)
            _hear(running, listen)
    except KeyboardInterrupt:
        _stop(running, listen)
        raise


def _start(task: Task, running: dict[connection.Connection, _Running]) -> None:
    from benchmarks import worker

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=worker.main, args=(task, sender), name=task.cell.run_id)
    process.start()
    sender.close()  # the worker has the only one left, so its end is the end of the pipe
    running[receiver] = _Running(task, process, time.monotonic())


def _hear(running: dict[connection.Connection, _Running], listen: Callable[[Event], None]) -> None:
    from benchmarks.record import STATUSES
    from benchmarks.worker import Event

    for receiver in connection.wait(list(running), timeout=1.0):
        assert isinstance(receiver, connection.Connection)
        one = running[receiver]
        try:
            event = receiver.recv()
            one.ended = one.ended or event.kind in STATUSES
        except (EOFError, OSError):
            one.process.join()
            receiver.close()
            del running[receiver]
            if one.ended:
                continue
            event = Event(one.task.cell.run_id, "error", _death(one.process.exitcode))
        listen(event)
    for one in running.values():
        if time.monotonic() - one.began > one.task.timeout + GRACE:
            one.process.kill()


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"the process was ended by {name}{hint}; the same command goes on from its checkpoint"
    return f"the process ended with exit status {code} and no word; its log may say why"


def _stop(running: dict[connection.Connection, _Running], listen: Callable[[Event], None]) -> None:
    deadline = time.monotonic() + GRACE
    for one in running.values():
        one.process.terminate()
    try:
        while running and time.monotonic() < deadline:
            _hear(running, listen)
    finally:  # out of patience, or interrupted again
        for one in running.values():
            one.process.kill()
