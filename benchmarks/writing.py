"""The one writer of whole files, and what tells its files from those that a killed one has left."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import socket
import time
import uuid
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, BinaryIO

TEMPORARY = ".tmp"
DAY = 86400.0
UNLOCKABLE = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
"""What a file system without locks answers."""


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that readers find the old one or the new one, never half of it, after a loss of power too.

    Raises:
        OSError: the disk is full, say; the old file is as it was.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{machine()}-{secrets.token_hex(4)}{TEMPORARY}")
    try:
        with _held(temporary) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _settle(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, so that a loss of power leaves all of them or none of what is in them."""
    made = [one for one in (path, *path.parents) if not one.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for one in reversed(made):
        _settle(one.parent)


def _settle(folder: Path) -> None:
    """Have the names in a folder written to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(PermissionError):  # some file systems sync no folders
            os.fsync(handle)
    finally:
        os.close(handle)


def _held(path: Path) -> BinaryIO:
    """A new file under a lock that goes when this process does, so that a sweep tells it from one that was left."""
    while True:
        file = path.open("wb")
        grab(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # a sweep came between


def grab(file: IO[Any], how: int = fcntl.LOCK_EX | fcntl.LOCK_NB) -> bool:
    """Lock an open file for this process, unless another has it; where locks are unknown, nobody else has.

    Args:
        file: open for writing, as NFS asks of those who lock it alone.
        how: as of `fcntl.flock`.
    """
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNLOCKABLE:
            raise
    return True


@cache
def machine() -> str:
    """Eight hexadecimal digits for this machine since it was started: how far a lock of its kernel reaches for sure."""
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        name = f"{socket.gethostname()} {uuid.getnode()}"
    return f"{zlib.crc32(name.encode()):08x}"


def sweep(folder: Path) -> None:
    """Remove what writers that were killed have left behind, in a folder and all below it.

    A lock need not reach to other machines, so what they were writing is left for a day.
    """
    for path in folder.rglob(f".*{TEMPORARY}"):
        with suppress(FileNotFoundError), path.open("r+b") as file:
            foreign = f".{machine()}-" not in path.name
            if grab(file) and not (foreign and time.time() - os.fstat(file.fileno()).st_mtime < DAY):
                path.unlink()
