"""What a cell leaves on disk, and how it is written so that a kill, a crash or a full disk never leaves half a truth.

`cell.json` says what is played, `curve.jsonl` is appended and flushed at every evaluation, `status.json` comes last.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

SCHEMA = 1
"""Version of everything under a results folder, the cells' identities included."""

COLUMNS = (
    *("run_id", "problem", "data", "optimizer", "params", "seed", "step", "samples", "grad_evals", "hvp_evals"),
    *("train_time_s", "split", "metric", "value"),
)
"""The columns of a row of `curve.jsonl`."""

PLAYED = frozenset({"ok", "target", "diverged"})
FAILED = frozenset({"timeout", "oom", "error"})
STATUSES = PLAYED | FAILED | {"interrupted", "skipped"}

Row = dict[str, Any]


class UsageError(ValueError):
    """What was asked for does not exist or makes no sense; one sentence that says which and the way out."""


class RecordError(UsageError):
    """A results folder that cannot be used; the message says why and the way out."""


@dataclass(frozen=True)
class Folder:
    """The files of one cell."""

    path: Path

    @property
    def cell(self) -> Path:
        """What is played: identity and labels."""
        return self.path / "cell.json"

    @property
    def curve(self) -> Path:
        """The rows."""
        return self.path / "curve.jsonl"

    @property
    def status(self) -> Path:
        """How it ended; absent while it has not."""
        return self.path / "status.json"

    @property
    def checkpoint(self) -> Path:
        """Where it goes on from."""
        return self.path / "checkpoint.pt"

    @property
    def log(self) -> Path:
        """What the process printed."""
        return self.path / "log.txt"

    @property
    def samples(self) -> Path:
        """The pictures."""
        return self.path / "samples"


class Curve:
    """The rows of a cell, appended in whole evaluations.

    Args:
        path: the file; it is created.
        offset: bytes to keep, what lies behind them is cut off.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path, self.offset = path, offset
        with path.open("ab") as file:
            file.truncate(offset)

    def append(self, rows: Sequence[Row]) -> None:
        """Write the rows of one evaluation, all or none of them.

        Raises:
            OSError: the disk is full, say.
        """
        data = b"".join(json.dumps({name: row[name] for name in COLUMNS}).encode() + b"\n" for row in rows)
        try:
            with self.path.open("ab") as file:
                file.write(data)
        except OSError:
            os.truncate(self.path, self.offset)
            raise
        self.offset += len(data)


def read_rows(path: Path, size: int | None = None) -> tuple[list[Row], bool]:
    """The rows of a curve, and whether all of it could be read.

    Args:
        path: the file; a missing one has no rows.
        size: read the first so many bytes, all of which have to be there; by default the whole file.
    """
    data = path.read_bytes() if path.exists() else b""
    if size is not None and len(data) < size:
        return [], False
    rows: list[Row] = []
    lines = data[:size].split(b"\n")
    for line in lines[:-1]:
        try:
            row = json.loads(line)
        except ValueError:
            return rows, False
        if not isinstance(row, dict) or row.keys() != set(COLUMNS):
            return rows, False
        rows.append(row)
    return rows, not lines[-1]  # a last line without its newline was cut in the middle


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that readers find the old one or the new one, never half of it.

    Raises:
        OSError: the disk is full, say; the old file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; floats keep all their digits, nan and inf are written as Python spells them."""
    write_atomic(path, json.dumps(value, indent=1).encode() + b"\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None where there is none that can be read."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


@contextmanager
def locked(folder: Folder) -> Iterator[None]:
    """Hold a cell for this process; the lock goes when the process does.

    Raises:
        RecordError: another process plays this cell.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    with (folder.path / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecordError(f"{folder.path} is being played by another process: wait for it, or end it.") from None
        file.truncate(0)
        print(os.getpid(), file=file, flush=True)
        yield


def check_schema(folder: Path, create: bool = False) -> None:
    """Make sure that a results folder is one of ours and of this version.

    Args:
        folder: results/<suite>.
        create: stamp a folder that has no cells yet.

    Raises:
        RecordError: it was written by another version; nothing is touched.
    """
    stamp, cells = folder / "cells" / "schema.json", folder / "cells"
    if not cells.is_dir() or not any(cells.iterdir()):
        if create:
            write_json(stamp, {"schema": SCHEMA})
        return
    found = (read_json(stamp) or {}).get("schema")
    if found != SCHEMA:
        raise RecordError(
            f"{folder} holds results of schema {found if found is not None else 'unknown'}, this version writes schema "
            f"{SCHEMA}: choose another --results, or move the folder away."
        )


def status_of(folder: Folder) -> str:
    """How a cell stands: a status, `interrupted` if it was begun and has none, or `new`."""
    status = (read_json(folder.status) or {}).get("status")
    if status in STATUSES:
        return str(status)
    return "interrupted" if folder.checkpoint.exists() or folder.curve.exists() else "new"


def full_disk(error: BaseException) -> bool:
    """Whether an error says that the disk, or this user's share of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def write_picture(stem: Path, picture: np.ndarray) -> None:
    """Write one picture: uint8 pixels as `stem.png`, (n, 2) points as `stem.npy`.

    Raises:
        ValueError: an array that is neither.
    """
    if picture.dtype == np.uint8 and (picture.ndim == 2 or picture.shape[2:] == (3,)):
        write_atomic(stem.with_name(stem.name + ".png"), png(picture))
    elif picture.ndim == 2 and picture.shape[1] == 2:
        buffer = BytesIO()
        np.save(buffer, picture.astype(np.float32))
        write_atomic(stem.with_name(stem.name + ".npy"), buffer.getvalue())
    else:
        raise ValueError(
            f"picture {stem.name} is {picture.dtype} of shape {picture.shape}: give uint8 (height, width) or (height, "
            "width, 3), or (n, 2) points."
        )


def png(pixels: np.ndarray) -> bytes:
    """A picture of uint8, (height, width) or (height, width, 3), as a PNG file.

    >>> png(np.zeros((2, 3), dtype=np.uint8))[1:4]
    b'PNG'
    """

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = pixels.shape[:2]
    lines = np.ascontiguousarray(pixels).reshape(height, -1)
    raw = np.hstack([np.zeros((height, 1), np.uint8), lines]).tobytes()  # 0: the line is stored unfiltered
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if pixels.ndim == 2 else 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
