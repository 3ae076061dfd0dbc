"""A user's folder of images, by its content: what `folder:PATH` stands for, wherever the folder lies."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from benchmarks.data.store import DataError as DataError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}
PREFIX = "folder-"
"""How the name of a folder's content begins."""
DECODING = 2
"""Grows when the same files are decoded to other pixels."""
LEAST = 60  # images, of which a tenth are for tests: precision and recall look at five neighbours
ENTRIES = 1_000_000  # a folder with more files than this is somebody's disk


def located(spec: str) -> Path:
    """The folder that `folder:PATH` names.

    Raises:
        DataError: there is no such folder.
    """
    text = spec.removeprefix("folder:")
    path = Path(os.path.expanduser(text))
    if not text.strip() or not os.path.isdir(path):  # `Path.is_dir` raises at a name that is too long
        what = f"{text!r} is no folder" if text.strip() else "no folder is named"
        raise DataError(f"--data {spec}: {what}; write --data folder:PATH, PATH a folder of images.")
    return path


def images(path: Path) -> list[Path]:
    """The image files in a folder and all below it, in order. Pipes, sockets and the like are passed over.

    Raises:
        DataError: it holds too few images, or far too many files.
    """
    found = []
    for count, entry in enumerate(_entries(path)):
        if count == ENTRIES:
            raise DataError(f"{path} holds more than {ENTRIES} files: name the folder of the images itself.")
        if Path(entry).suffix.lower() in SUFFIXES and os.path.isfile(entry):
            found.append(Path(entry))
    if len(found) < LEAST:
        raise DataError(
            f"{path} holds {len(found)} images, and scores, which are measured on a tenth of them, need at least "
            f"{LEAST}: add some, or name another folder with --data folder:PATH."
        )
    return sorted(found)


def name(path: Path) -> str:
    """What the content of a folder is called: its name and a digest of the images' names, sizes and bytes.

    Raises:
        DataError: a file that cannot be read, or far too many of them.
    """
    total = blake2b(f"{DECODING}".encode(), digest_size=6)
    for file in images(path):
        total.update(os.fsencode(file.relative_to(path)) + b"\0")
        try:
            with file.open("rb") as opened:
                total.update(os.fstat(opened.fileno()).st_size.to_bytes(8, "little"))
                while block := opened.read(1 << 20):
                    total.update(block)
        except OSError as error:
            raise DataError(f"{file} cannot be read ({error.strerror}): mend it, or name another folder.") from error
    stem = re.sub(r"[^A-Za-z0-9_]+", "-", path.resolve().name).strip("-")[:40] or "root"
    return f"{PREFIX}{stem}-{total.hexdigest()}"


def _entries(path: Path) -> Iterator[str]:
    """The paths of all files below a folder, each folder once, whatever links lead to it."""
    seen = set()
    for folder, below, files in os.walk(path, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        yield from (os.path.join(folder, file) for file in files)
