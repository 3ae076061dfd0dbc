"""What a cell leaves on disk, and how it is written so that a kill, a crash or a full disk never leaves half a truth.

`cell.json` says what is played, `curve.jsonl` is appended and flushed at every evaluation, `status.json` comes last.
Every file carries a checksum of all bytes before it, so that what a disk has mangled is noticed: a JSON object as its
last member `crc`, any other file as its last twelve bytes. A CRC-32 notices every flipped bit.
"""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from benchmarks.writing import sweep as sweep
from benchmarks.writing import write_atomic as write_atomic

SCHEMA = 3
"""Version of everything under a results folder, the cells' identities included."""

COLUMNS = (
    *("run_id", "problem", "data", "optimizer", "params", "seed", "step", "samples", "grad_evals", "hvp_evals"),
    *("units", "train_time_s", "split", "iterate", "metric", "value"),
)
"""The columns of a row of `curve.jsonl`: `units` is the cost so far in gradients, `iterate` what was evaluated (last,
average or ema)."""

PLAYED = frozenset({"ok", "target", "diverged"})
FAILED = frozenset({"timeout", "oom", "error"})
STATUSES = PLAYED | FAILED | {"interrupted", "skipped"}
"""How a cell may stand. A skipped one cannot be played, and its reason says why."""

Row = dict[str, Any]


class UsageError(ValueError):
    """What was asked for does not exist or makes no sense; one sentence that says which and the way out."""


class RecordError(UsageError):
    """A results folder that cannot be used; the message says why and the way out."""


class DamagedError(ValueError):
    """A file does not hold what was written; one sentence that names it."""


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
        """Where it goes on from, while it has not ended."""
        return self.path / "checkpoint.safetensors"

    @property
    def players(self) -> Path:
        """The players at its end."""
        return self.path / "players.safetensors"

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

    sync = True
    """Whether to wait for the disk, as is needed where somebody may go on from a row."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path, self.offset = path, offset
        with path.open("ab") as file:
            file.truncate(offset)
        self.crc = _checksum(path, offset)[1]

    @property
    def stamp(self) -> tuple[int, int]:
        """How many bytes there are, and their checksum."""
        return self.offset, self.crc

    def append(self, rows: Sequence[Row]) -> None:
        """Write the rows of one evaluation, all or none of them.

        Raises:
            OSError: the disk is full, say.
        """
        lines, crc = [], self.crc
        for row in rows:
            lines.append(seal({name: row[name] for name in COLUMNS}, crc))
            crc = zlib.crc32(lines[-1], crc)
        data = b"".join(lines)
        try:
            with self.path.open("ab") as file:
                file.write(data)
                file.flush()
                if self.sync:
                    os.fsync(file.fileno())
        except OSError:
            os.truncate(self.path, self.offset)
            raise
        self.offset, self.crc = self.offset + len(data), crc


def rows_of(path: Path, stamp: Sequence[int] | None = None) -> Iterator[Row]:
    """The rows of a curve, one by one.

    Args:
        path: the file; a missing one has no rows.
        stamp: read the first so many bytes, which have to be there and have this checksum; by default the whole file.

    Raises:
        DamagedError: what comes now is not what was written, or was cut.
    """
    size = stamp[0] if stamp is not None else None
    if stamp is not None and not holds(path, stamp):
        raise DamagedError(f"{path} is damaged or was cut")
    read = crc = 0
    with path.open("rb") if path.exists() else BytesIO() as file:
        for line in file:
            if read == size:
                return
            row = unseal(line, crc)
            if not line.endswith(b"\n"):
                raise DamagedError(f"{path} ends in the middle of a row")
            if row is None or row.keys() != set(COLUMNS):
                raise DamagedError(f"{path} is damaged behind its first {read} bytes")
            read, crc = read + len(line), zlib.crc32(line, crc)
            yield row


def holds(path: Path, stamp: Sequence[int]) -> bool:
    """Whether a file begins with so many bytes of this checksum."""
    return path.exists() and _checksum(path, stamp[0]) == tuple(stamp)


def stamp_of(data: bytes) -> tuple[int, int]:
    """How many bytes there are, and their checksum."""
    return len(data), zlib.crc32(data)


def _checksum(path: Path, size: int) -> tuple[int, int]:
    """How many of its first so many bytes a file has, and their checksum."""
    read = crc = 0
    with path.open("rb") as file:
        while block := file.read(min(size - read, 2**20)):
            read, crc = read + len(block), zlib.crc32(block, crc)
    return read, crc


def read_rows(path: Path, stamp: Sequence[int] | None = None) -> tuple[list[Row], bool]:
    """The rows of a curve up to the first that is damaged, and whether all of it could be read; see `rows_of`."""
    rows: list[Row] = []
    try:
        for row in rows_of(path, stamp):
            rows.append(row)
    except DamagedError:
        return rows, False
    return rows, True


def seal(value: Mapping[str, Any], before: int = 0, indent: int | None = None) -> bytes:
    r"""A JSON object and a newline, its checksum its last member.

    Args:
        value: the object; it has members.
        before: the checksum of what comes before it in the file.
        indent: as of `json.dumps`.

    >>> seal({"a": 1})
    b'{"a": 1, "crc": 2057863684}\n'
    """
    body = json.dumps(value, indent=indent).encode()[:-1].rstrip()
    return body + b', "crc": %d}\n' % zlib.crc32(body, before)


def unseal(data: bytes, before: int = 0) -> dict[str, Any] | None:
    """The object that `seal` has written, or None if that is not what the bytes are.

    >>> unseal(seal({"a": 1})), unseal(seal({"a": 1}).replace(b"1,", b"3,"))
    ({'a': 1}, None)
    """
    body, _, rest = data.rpartition(b', "crc": ')
    if rest != b"%d}\n" % zlib.crc32(body, before):
        return None
    try:
        value: dict[str, Any] = json.loads(body + b"}")
    except (ValueError, RecursionError):  # somebody else's file
        return None
    return value


def write_sealed(path: Path, data: bytes) -> None:
    """Write bytes atomically and behind them their checksum, which PNG, npy and npz readers pass over.

    Raises:
        OSError: the disk is full, say; the old file is as it was.
    """
    write_atomic(path, data + _trailer(data))


def read_sealed(path: Path) -> bytes:
    """The bytes that `write_sealed` was given.

    Raises:
        OSError: there is no such file, say.
        DamagedError: the file is not as it was written.
    """
    data = path.read_bytes()
    if data[-12:] != _trailer(data[:-12]):
        raise DamagedError(f"{path} is damaged")
    return data[:-12]


def _trailer(data: bytes) -> bytes:
    return b"crc %08x" % zlib.crc32(data)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON atomically; floats keep all their digits, nan and inf are written as Python spells them."""
    write_atomic(path, seal(value, indent=1))


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object as `write_json` has written it, or None where there is none that is whole."""
    try:
        return unseal(path.read_bytes())
    except OSError:
        return None


def check_schema(folder: Path, create: bool = False) -> None:
    """Make sure that a results folder is one of ours and of this version.

    Args:
        folder: results/<suite>.
        create: stamp a folder that has no cells yet.

    Raises:
        RecordError: it was written by another version; nothing is touched.
    """
    stamp, cells = folder / "cells" / "schema.json", folder / "cells"
    found = _schema(cells)
    if found not in (None, SCHEMA):
        raise RecordError(
            f"{folder} holds results of schema {found}, this version writes schema {SCHEMA}: choose another --results, "
            "or move the folder away."
        )
    if create and read_json(stamp) is None:
        write_json(stamp, {"schema": SCHEMA})


def _schema(cells: Path) -> Any:
    """The schema that a folder is stamped with, of its cells where the stamp is lost; None of an empty folder."""
    if not cells.is_dir() or all(path.name.startswith(".") for path in cells.iterdir()):
        return None
    stamp = read_json(cells / "schema.json")
    if stamp is not None:
        return stamp.get("schema")
    found = (read_json(path) for path in sorted(cells.glob("*/cell.json")))
    return next((cell["identity"]["schema"] for cell in found if cell is not None), "unknown")


def planned(home: Path) -> int:
    """The number of the last plan that wrote into a suite's folder, 0 before the first; a clock might go back."""
    cells = (read_json(path) for path in (home / "cells").glob("*/cell.json"))
    return max((int(cell["planned"]) for cell in cells if cell is not None), default=0)


def status_of(folder: Folder) -> str:
    """How a cell stands: a status, `interrupted` if it was begun and has no good one, or `new`."""
    status = (read_json(folder.status) or {}).get("status")
    if status in STATUSES and damage(folder) is None:
        return str(status)
    begun = (folder.status, folder.checkpoint, folder.curve)
    return "interrupted" if any(path.exists() for path in begun) else "new"


def damage(folder: Folder) -> str | None:
    """Why what a cell has recorded cannot be believed, None if it can. Rows that were being written are no damage."""
    cell, status = read_json(folder.cell), read_json(folder.status)
    if cell is None and (folder.cell.exists() or folder.status.exists() or folder.curve.exists()):
        return f"{folder.cell} is {'damaged' if folder.cell.exists() else 'missing'}"
    for told in (cell or {}, status or {}):
        if (name := told.get("run_id", folder.path.name)) != folder.path.name:
            return f"{folder.path} is a copy of {name}"
    if status is None:
        return f"{folder.status} is damaged" if folder.status.exists() else None
    if "curve" in status and not holds(folder.curve, status["curve"]):
        return f"{folder.curve} is damaged or was cut"
    return None


def lighten(folder: Folder) -> None:
    """Remove what a cell that has been played needs no more: where it would go on from, of earlier versions too."""
    left = list(folder.path.glob("checkpoint.*"))
    if left and (read_json(folder.status) or {}).get("status") in PLAYED:
        for path in left:
            path.unlink(missing_ok=True)


def full_disk(error: BaseException) -> bool:
    """Whether an error says that the disk, or this user's share of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
