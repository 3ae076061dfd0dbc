"""The process of a cell: what it prints goes to the cell's log, what it says to the parent, with whom it ends."""

from __future__ import annotations

import faulthandler
import math
import os
import signal
import sys
import time
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from threading import Thread

import torch

from benchmarks.runner.engines.processes import GRACE
from benchmarks.runner.task import Event, Stop, Task
from benchmarks.runner.worker import perform


def follow(stop: Stop) -> None:
    """Stop when the parent ends, and should this process hang, end it: nobody else would, and it holds the cell."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        stop.ask()
        time.sleep(GRACE)
        os._exit(1)


def main(task: Task, connection: Connection) -> None:
    """The process: its output goes to the cell's log, its events to the parent."""
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop.ask)
    Thread(target=follow, args=(stop,), daemon=True).start()
    task.folder.path.mkdir(parents=True, exist_ok=True)
    with task.folder.log.open("a", buffering=1) as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if math.isfinite(task.timeout):  # the log is to say where it hangs, should it; faulthandler knows no century
        faulthandler.dump_traceback_later(min(task.timeout, 1e8) + 1)
    torch.set_num_threads(task.cell.threads)

    def tell(event: Event) -> None:
        try:
            connection.send(event)
        except OSError:  # the parent is gone: stop at the next step
            stop.ask()

    perform(task, tell, stop)
