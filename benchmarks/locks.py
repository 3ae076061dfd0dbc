"""Who plays a cell: one process, on however many machines see its folder.

On one machine a lock of the kernel decides: it goes when its process does. Such a lock need not reach another machine
(NFS passes it on, many file systems do not), so whoever plays a cell also leaves a lease in it and renews that. Another
machine takes the cell over once the lease has not changed for `LEASE` seconds of its own watch; no clocks are compared.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

from benchmarks.record import Folder, RecordError
from benchmarks.writing import TEMPORARY, grab, machine, make_folder

LEASE = 90.0  # seconds
BEAT = 15.0  # seconds between renewals
TORN = 1.0  # seconds in which a lease that was made is written
LOCKS = frozenset({".lock", ".lease"})
"""The names of the files in a cell that go with who plays it; a cell that starts anew keeps them."""


def _gone() -> None:
    """End this process at once: what it would write now is another's."""
    print("the cell was taken over by another machine, or its folder removed: this process ends", flush=True)
    os._exit(1)


@contextmanager
def locked(folder: Folder, lost: Callable[[], None] = _gone) -> Iterator[None]:
    """Hold a cell for this process; the lock goes when the process does.

    Args:
        folder: the cell's.
        lost: called, in a thread, where another machine has taken the cell over, as this one seemed gone.

    Raises:
        RecordError: another process plays this cell.
    """
    make_folder(folder.path)
    with (folder.path / ".lock").open("a") as file:
        if not grab(file):
            raise RecordError(f"{folder.path} is being played by {holder(folder)}: wait for it, or end it.")
        token, done = _claim(folder), Event()
        Thread(target=_renew, args=(folder, token, done, lost), daemon=True).start()
        try:
            yield
        finally:
            done.set()
            if _read(folder)["token"] == token:
                _lease(folder).unlink(missing_ok=True)


def holder(folder: Folder) -> str:
    """Who plays a cell, in words."""
    lease = _read(folder)
    return f"process {lease['pid']} on {lease['host']}" if lease["pid"] else "another process"


@dataclass
class Watch:
    """Tells which cells are being played, and ends the leases of machines that are gone.

    Args:
        seen: the last state of each lease of another machine, and since when it is that, in seconds.
    """

    seen: dict[Path, tuple[Any, float]] = field(default_factory=dict)

    def busy(self, folder: Folder) -> bool:
        """Whether a process plays this cell now; another machine's does until this watch has seen it idle for long."""
        try:
            with (folder.path / ".lock").open() as file:
                if not grab(file, fcntl.LOCK_SH | fcntl.LOCK_NB):
                    return True
        except OSError:  # no such cell yet, say: its worker will tell what is wrong
            return False
        lease, now = _read(folder), time.monotonic()
        if lease["machine"] in (None, machine()):
            return False
        state = lease["token"], lease["renewed"]
        if self.seen.get(folder.path, (None, now))[0] != state:
            self.seen[folder.path] = state, now
        if now - self.seen[folder.path][1] < LEASE:
            return True
        _end(folder, lease["token"])
        return self.busy(folder)  # one that was claimed in between is another's


def tidy(folder: Folder) -> None:
    """Remove the lease from a cell that has ended, of a process of this machine that was killed before it could."""
    with suppress(OSError), (folder.path / ".lock").open() as file:
        lease = _read(folder)
        if lease["machine"] == machine() and folder.status.exists() and grab(file, fcntl.LOCK_SH | fcntl.LOCK_NB):
            _end(folder, lease["token"])


def _claim(folder: Folder) -> str:
    """Make a lease; that of a process of this machine has run out, as the kernel's lock is ours."""
    token = secrets.token_hex(8)
    mine = {"machine": machine(), "host": socket.gethostname(), "pid": os.getpid(), "token": token}
    while True:
        try:
            with _lease(folder).open("x") as file:
                json.dump(mine, file)
            return token
        except FileExistsError:
            found = _read(folder)
            if found["machine"] is None:
                time.sleep(TORN)
                found = _read(folder)
            if found["machine"] not in (None, machine()):
                raise RecordError(f"{folder.path} is being played by {holder(folder)}: wait for it.") from None
            _end(folder, found["token"])


def _end(folder: Folder, token: str | None) -> None:
    """Remove a lease that has run out, and no other one."""
    aside = folder.path / f".lease.{machine()}-{secrets.token_hex(4)}{TEMPORARY}"
    with suppress(FileNotFoundError):
        _lease(folder).rename(aside)
        if _read(folder, aside)["token"] == token:
            aside.unlink()
        else:
            aside.rename(_lease(folder))


def _renew(folder: Folder, token: str, done: Event, lost: Callable[[], None]) -> None:
    while not done.wait(BEAT):
        with suppress(OSError):  # a server that is away may come back
            if _read(folder)["token"] != token:
                if not done.is_set():
                    lost()
                return
            os.utime(_lease(folder))


def _lease(folder: Folder) -> Path:
    return folder.path / ".lease"


def _read(folder: Folder, path: Path | None = None) -> dict[str, Any]:
    """A lease, and when it was renewed; None for all that is not there, or not yet."""
    found: Any = {}
    renewed = None
    with suppress(FileNotFoundError, ValueError), (path or _lease(folder)).open() as file:  # opened: NFS looks again
        renewed = os.fstat(file.fileno()).st_mtime_ns
        found = json.load(file)
    names = ("machine", "host", "pid", "token")
    return {name: found.get(name) if isinstance(found, dict) else None for name in names} | {"renewed": renewed}
