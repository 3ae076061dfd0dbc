"""The process of a cell: what it prints goes to the cell's log, what it says to the parent, with whom it ends."""

from __future__ import annotations

import faulthandler
import math
import os
import pickle
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from threading import Thread

import torch

from benchmarks import imports
from benchmarks.runner.task import Event, Stop, Task
from benchmarks.runner.worker import perform_all


def follow(stop: Stop, grace: float) -> None:
    """Stop when the parent ends, and should this process hang then, end it: nobody else would, and it holds the cell.

    Args:
        stop: asked to.
        grace: seconds to do so.
    """
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        stop.ask()
        time.sleep(grace)
        os._exit(1)


def main(
    files: Sequence[str], data: bytes, connection: Connection, grace: float, environment: Mapping[str, str]
) -> None:
    """The process: its output goes to the cell's log, its events to the parent.

    Args:
        files: a user's own, which the task may hold objects of.
        data: the pickled task.
        connection: where events go.
        grace: seconds to stop in when the parent is gone.
        environment: of the command, as that of the server that forks is the one in which it was started.
    """
    os.environ.clear()
    os.environ.update(environment)
    for file in files:
        imports.module(file)
    task: Task = pickle.loads(data)
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop.ask)
    Thread(target=follow, args=(stop, grace), daemon=True).start()
    task.folder.path.mkdir(parents=True, exist_ok=True)
    with task.folder.log.open("a", buffering=1) as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    for other in task.others:
        other.folder.path.mkdir(parents=True, exist_ok=True)
        with other.folder.log.open("a") as log:
            print(f"played with {task.cell.run_id}, whose log tells of it", file=log)
    if math.isfinite(task.limit):  # the log is to say where it hangs, should it; faulthandler knows no century
        faulthandler.dump_traceback_later(min(task.limit, 1e8) + 1)
    torch.set_num_threads(task.cell.threads)

    def tell(event: Event) -> None:
        try:
            connection.send(event)
        except OSError:  # the parent is gone: stop at the next step
            stop.ask()

    perform_all(task, tell, stop)
