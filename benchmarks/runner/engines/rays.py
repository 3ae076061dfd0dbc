"""The engine for clusters: every cell is a task of Ray, and its node plays it by the engine of processes."""

from __future__ import annotations

import os
import pickle
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import locks, record
from benchmarks.record import Folder, UsageError
from benchmarks.runner.engines import processes
from benchmarks.writing import TEMPORARY, machine

if TYPE_CHECKING:
    from benchmarks.runner.task import Event, Task

RETRIES = 5
"""How many losses of a node a cell survives."""
SHIPPED = ("benchmarks", "minimax")
"""The code that goes to the nodes; what it needs (torch and the rest) has to be installed there."""

Files = dict[str, bytes]


def play(tasks: Sequence[Task], jobs: int | None, listen: Callable[[Event], None], address: str | None = None) -> None:
    """Play all tasks on a cluster, and pass on how they end.

    A cell takes its threads' CPUs, and one GPU where it plays on CUDA. One whose node is lost is played by another.
    Where a node sees the results folder, it writes into that, and goes on from checkpoints there. Where it does not,
    what the cell has written comes back at its end through Ray's object store.

    Args:
        tasks: what to play, each by itself; a user's own files have to lie at the same path on every node.
        jobs: cells at a time; as many as the cluster has room for if None.
        listen: told how every task ended; what happens on the way is told at the end.
        address: of the cluster, or auto for the one that runs here; None for a new one on this machine.

    Raises:
        UsageError: Ray is not installed, no cluster answers, or it has no node that could play a task.
        KeyboardInterrupt: it was interrupted; all nodes were told to stop.
    """
    from benchmarks.runner.task import Event

    if not tasks:
        return
    with _connected(address) as ray, _mark(tasks[0].folder.path.parent) as mark:
        _check(ray.nodes(), tasks)
        waiting, running = [alone for task in reversed(tasks) for alone in reversed(task.each)], dict[Any, "Task"]()
        try:
            while waiting or running:
                while waiting and (jobs is None or len(running) < jobs):
                    task = waiting.pop()
                    running[_submit(ray, task, mark)] = task
                ended, _ = ray.wait(list(running), timeout=1.0)
                for reference in ended:
                    task = running.pop(reference)
                    try:
                        events, files = ray.get(reference)
                        if files is not None:
                            _take(task.folder, files)
                    except (ray.exceptions.RayError, OSError, record.RecordError) as error:
                        why = f"{type(error).__name__}: {' '.join(str(getattr(error, 'cause', error)).split())}"
                        events = [Event(task.cell.run_id, "error", why)]
                    for event in events:
                        listen(Event(*event))
        except KeyboardInterrupt:
            for reference in running:
                ray.cancel(reference)
            if running:
                ray.wait(list(running), num_returns=len(running), timeout=processes.GRACE)
            raise


def _submit(ray: Any, task: Task, mark: str) -> Any:
    """Hand one cell to the cluster; returns the reference of what it will tell."""
    cuda = task.device.startswith("cuda")
    folder = Folder(task.folder.path.resolve())
    task = replace(task, folder=folder, device="cuda" if cuda else task.device)  # a node has its own numbers
    how = {"num_cpus": task.cell.threads, "num_gpus": int(cuda), "max_retries": RETRIES}
    files = tuple(file for file in (*task.imports, task.cell.source) if file.endswith(".py"))
    return ray.remote(_played).options(**how).remote(files, pickle.dumps(task), _content(folder.path), mark)


def _played(files: Sequence[str], data: bytes, content: Files, mark: str) -> tuple[list[tuple], Files | None]:
    """On a node: play a cell; returns what was told, and what was written if the command's machine does not see it.

    Args:
        files: a user's own.
        data: the pickled task.
        content: what its folder holds where the command was given.
        mark: a file that is there if the node sees that folder.
    """
    import torch

    from benchmarks import imports, problems

    torch.set_num_threads(1)  # as for all that is prepared
    for file in files:
        imports.module(imports.located(file))
    task: Task = pickle.loads(data)
    problems.load(task.cell.source, task.cell.problem).prepare(task.cell.data, None, False)
    events: list[tuple] = []
    with tempfile.TemporaryDirectory() as scratch:
        here = task
        if not Path(mark).exists():
            here = replace(task, folder=Folder(Path(scratch, "cells", task.folder.path.name)))
            _write(here.folder.path, content)
        imported = (*processes.PRELOAD, "ray")  # which the workers import as their parent has
        processes.play([here], 1, lambda event: events.append(tuple(event)), imported)
        cells = Path(scratch, "cells")
        return [event for event in events if event[1] != "progress"], _content(cells) if here is not task else None


def _content(folder: Path) -> Files:
    """The files of a folder and of those below it, by their paths from it."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in locks.LOCKS)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found if path.suffix != TEMPORARY}


def _write(folder: Path, content: Files) -> None:
    for name, data in content.items():
        record.write_atomic(folder / name, data)


def _take(folder: Folder, content: Files) -> None:
    """Put the files of a cell that was played elsewhere where they belong, its status last."""
    cells, own = folder.path.parent, f"{folder.path.name}/"
    with locks.locked(folder):
        status = content.pop(own + folder.status.name, None)
        for path in (folder.status, folder.checkpoint):
            path.unlink(missing_ok=True)
        common = {name for name in content if not name.startswith(own) and (cells / name).exists()}
        _write(cells, {name: data for name, data in content.items() if name not in common})
        if status is not None:
            record.write_atomic(folder.status, status)


@contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """Ray, connected to a cluster that has this code."""
    try:
        import ray
    except ImportError as error:
        raise UsageError("--engine ray needs Ray: pip install 'minimax-games[ray]'.") from error
    root = Path(__file__).parents[3]
    names = {name: os.environ[name] for name in ("MINIMAX_CACHE",) if name in os.environ}
    runtime = {"py_modules": [str(root / name) for name in SHIPPED], "env_vars": names}
    try:
        ray.init(address=address or "local", runtime_env=runtime, log_to_driver=False, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"--address {address}: no cluster answers there ({' '.join(str(error).split())}); start one by `ray start "
            "--head`, or leave --address out for one on this machine."
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _mark(cells: Path) -> Iterator[str]:
    """The path of a file by which a node tells whether it sees a folder."""
    path = cells.resolve() / f".ray.{machine()}-{secrets.token_hex(8)}{TEMPORARY}"
    record.write_atomic(path, b"")
    try:
        yield str(path)
    finally:
        path.unlink(missing_ok=True)


def _check(nodes: Sequence[dict[str, Any]], tasks: Sequence[Task]) -> None:
    """Refuse tasks that no node has room for: they would wait for ever."""
    rooms = [node["Resources"] for node in nodes if node["Alive"]]
    threads, cuda = max(task.cell.threads for task in tasks), tasks[0].device.startswith("cuda")
    if cuda and not any(room.get("GPU", 0) for room in rooms):
        raise UsageError("--engine ray --device cuda: no node of the cluster has a GPU; choose --device cpu.")
    if threads > (most := max((room.get("CPU", 0) for room in rooms), default=0)):
        raise UsageError(f"--threads {threads}: no node of the cluster has more than {most:g} CPUs; ask for fewer.")
