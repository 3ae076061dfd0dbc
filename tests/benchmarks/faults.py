"""A sweep of two cells of which the n-th write fails, for every n; then the same command again, and what it tells.

    python tests/benchmarks/faults.py kill/1/1/nothing    # SIGKILL at the n-th write, for every n from 1 on
    python tests/benchmarks/faults.py once/1/1/nothing    # no space for the n-th write
    python tests/benchmarks/faults.py full/2/7/nothing    # no space from the n-th write on, for every seventh n
    python tests/benchmarks/faults.py kill/1/1/cut        # the code without what cuts rows behind a checkpoint

A write is whatever changes a results folder: opening a file for writing, a part of its content, fsync, mkdir, rename,
remove, truncate. Python's audit events tell of them all, so none is left out that somebody adds. A write of content
fails half way. Every attempt is a fork of this process, which has imported everything by then.
"""

import csv
import errno
import io
import json
import os
import shutil
import signal
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import pandas  # noqa: F401
import pyarrow.parquet  # noqa: F401
import torch

from benchmarks import locks, record, run
from benchmarks.reporting import suite, tables
from benchmarks.runner import play, session, worker
from benchmarks.runner.engines import processes
from benchmarks.runner.task import Stop

TINY = str(Path(__file__).with_name("tiny.py"))
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
SMALL = ("os.rename", "os.remove", "os.rmdir", "os.truncate", "os.utime")
"""What needs no space on the disk."""


class Fault:
    """Lets the n-th write below a folder fail.

    Args:
        root: the folder.
        kind: kill, once, full, or none to count alone.
        n: from 1.
    """

    def __init__(self, root, kind, n):
        self.root, self.kind, self.n, self.count, self.seen = str(root), kind, n, 0, []
        self.open, io.open = io.open, self.opened
        os.fsync = lambda _: self.point("fsync")
        sys.addaudithook(self.heard)

    def heard(self, event, args):
        if event == "open":
            path, _, flags = args
            if isinstance(path, str | bytes | os.PathLike) and flags & WRITING and self.mine(path):
                self.point("open")
        elif (event in SMALL or event == "os.mkdir") and (isinstance(args[0], int) or self.mine(args[0])):
            self.point(event)

    def mine(self, path):
        return os.fsdecode(path).startswith(self.root)

    def point(self, what, before=lambda: None):
        if self.kind != "kill" and what in SMALL:
            return
        self.count += 1
        self.seen.append(what)
        if self.count == self.n or (self.kind == "full" and self.count > self.n):
            before()
            if self.kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.ENOSPC, "No space left on device", self.root)

    def opened(self, path, mode="r", *more, **how):
        file = self.open(path, mode, *more, **how)
        changes = isinstance(path, str | os.PathLike) and set(mode) & set("wax+") and self.mine(path)
        return Torn(file, self) if changes else file


class Torn:
    """A file whose writes may fail half way."""

    def __init__(self, file, fault):
        self.file, self.fault = file, fault

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, data):
        def half():
            self.file.write(data[: len(data) // 2])
            self.file.flush()

        self.fault.point("write", half)
        return self.file.write(data)


def inline(tasks, jobs, listen):
    """An engine without processes, which writes checkpoints as often as it can."""
    for task in tasks:
        worker.perform(replace(task, pause=0.0), listen, Stop())


def report(home, axis):
    record.sweep(home)
    return tables.write(home, tables.load(home))


def command(root, *more):
    words = ["--import", TINY, "-p", "tiny", "-o", "optimistic", "--seeds", "100-101", "--preset", "smoke"]
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        status = run.main([*words, "--device", "cpu", "--results", str(root), *more])
    return status, out.getvalue()


def forked(what):
    """What a function returns in a fork of this process, and the signal that ended that, if one did."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            told = what()
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(writer, json.dumps(told).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        told = file.read()
    ended = os.waitpid(pid, 0)[1]
    return (json.loads(told) if told else None), os.WTERMSIG(ended) if os.WIFSIGNALED(ended) else 0


def state(root):
    """All that a folder says, but for times: tables, rows, pictures and players; the names of its other files."""
    home, told = root / "custom", {}
    for name in ("runs.csv", "summary.csv", "floors.csv"):
        with (home / name).open(newline="") as file:
            told[name] = [{key: row[key] for key in row if key != "train_time_s"} for row in csv.DictReader(file)]
    for path in sorted(path for path in home.rglob("*") if path.is_file()):
        name = path.relative_to(home).as_posix()
        if path.name == "curve.jsonl":
            rows, whole = record.read_rows(path)
            told[name] = whole, [{key: row[key] for key in row if key != "train_time_s"} for row in rows]
        else:
            told.setdefault(name, path.read_bytes().hex() if path.suffix in (".png", ".npy", ".safetensors") else "")
    return told


def attempt(where, kind, n, expected, change):
    """What is wrong after the n-th write failed and the command was given again; empty if nothing is."""
    root = Path(tempfile.mkdtemp(dir=where))

    def faulty():
        change()
        Fault(root, kind, n)
        return command(root)

    def again():
        change()
        return command(root, "--retry", "failed")

    told, ended = forked(faulty)
    wrong = []
    if ended != (signal.SIGKILL if kind == "kill" else 0):
        wrong.append(f"ended by signal {ended}")
    if kind != "kill" and not (isinstance(told, list) and told[0] in (0, 1)):
        wrong.append(f"was not caught: {told}")
    told, _ = forked(again)
    if not isinstance(told, list) or told[0] != 0:
        wrong.append(f"the command failed when given again: {told}")
    elif (found := state(root)) != expected:
        names = {name for name in {*found, *expected} if found.get(name) != expected.get(name)}
        wrong.append(f"differs in {sorted(names)}")
    shutil.rmtree(root)
    return wrong


def uncut():
    """Rows behind the checkpoint stay."""
    resume = play.Run.resume
    play.Run.resume = lambda self: resume(self) and self.task.folder.curve.stat().st_size


def content():
    """A cell that has rows counts as played."""
    status_of = record.status_of
    record.status_of = lambda folder: "ok" if status_of(folder) == "interrupted" else status_of(folder)


def eternal():
    """A lease that a killed process has left is believed."""
    locks.machine = lambda: os.urandom(4).hex()


def careless():
    """A worker lets an error of the disk go by, and with it its neighbours."""
    worker.verdict.failure = lambda error: (_ for _ in ()).throw(error)


MUTANTS = {"nothing": lambda: None, "cut": uncut, "resume": content, "leases": eternal, "catch": careless}


def main(jobs):
    """Jobs such as kill/1/7/cut: the kind, the first n, the distance to the next, what is left out of the code."""
    torch.set_num_threads(1)
    processes.play, processes.warm_up, suite.write = inline, lambda: None, report
    session._commit = lambda: None
    locks.TORN = 0.0
    play.Run.saving = property(lambda self: 0.0, lambda self, value: None)
    with tempfile.TemporaryDirectory() as where:
        whole = Path(where, "whole")
        command(whole)  # in this process, so that the forks need import nothing
        expected = state(whole)
        for kind, first, step, without in (job.split("/") for job in jobs):
            root = Path(tempfile.mkdtemp(dir=where))
            told, _ = forked(
                lambda kind=kind, root=root: (fault := Fault(root, kind, sys.maxsize), command(root), fault.seen)[2]
            )
            assert state(root) == expected
            numbers, wrong = range(int(first), len(told) + 1, int(step)), {}
            for n in numbers:
                if found := attempt(where, kind, n, expected, MUTANTS[without]):
                    wrong[n] = told[n - 1], *found
                    if without != "nothing":
                        break
            print(json.dumps({"points": len(told), "tried": len(numbers), "wrong": wrong}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
