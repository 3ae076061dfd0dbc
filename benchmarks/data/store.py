"""The cache: sealed files that one process writes and every worker reads."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

from benchmarks import record


class DataError(Exception):
    """A data set is missing or unreadable; the message is one sentence that names the option that brings it."""


def cache() -> Path:
    """Folder of decoded data and feature networks: `MINIMAX_CACHE`, else `minimax-games` in the user's cache."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("MINIMAX_CACHE") or user / "minimax-games")


def write(path: Path, content: bytes) -> None:
    """Write a file of the cache, and sweep away what killed writers left there."""
    record.sweep(cache())
    record.write_sealed(path, content)


def whole(path: Path) -> bool:
    """Whether a file of the cache is there and as it was written; one that is not is to be made again."""
    try:
        record.read_sealed(path)
    except (FileNotFoundError, record.DamagedError):
        return False
    return True


def read(path: Path, missing: str) -> BytesIO:
    """The content of a file of the cache.

    Raises:
        DataError: it is missing, in the words given, or damaged.
    """
    try:
        return BytesIO(record.read_sealed(path))
    except FileNotFoundError:
        raise DataError(missing) from None
    except record.DamagedError as error:
        raise DataError(f"{error}: the next run makes it anew, or delete it.") from None
