"""The pictures that cells take: as they are written, named and read back. Needs no torch."""

from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.record import DamagedError, read_sealed, write_sealed

FILE = re.compile(r"(\w[\w.+ -]{,99})-(\d{8,})\.(png|npy)")
MODES = "modes"
"""What a problem's truths call the modes of its data, (K, 2), which are marked in all its pictures of points."""
LABELS = "labels"  # the chunk of a PNG file that holds what is said of the picture


class Picture(NamedTuple):
    """A picture, and what is to be said of it.

    Args:
        array: uint8, (height, width) or (height, width, 3) pixels, or (n, 2) points.
        rows: what each row of images shows, from the top, in a word or two; pixels alone can have them.
        columns: what each column shows, from the left; empty words leave one out.
        about: what all of it shows, as a figure's title says it.
    """

    array: np.ndarray
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    about: str = ""


def write(folder: Path, name: str, step: int, picture: np.ndarray | Picture) -> None:
    """Write one picture: pixels as a PNG file with its labels, points as an npy file.

    Args:
        folder: where to.
        name: letters, digits, spaces and the like: it becomes part of the file's name.
        step: when it was taken.
        picture: pixels or points, with labels or without.

    Raises:
        ValueError: an array that is neither, labelled points, or a name that would lie elsewhere.
    """
    if not FILE.fullmatch(f"{name}-{step:08d}.png"):
        raise ValueError(f"picture name {name!r}: use up to 100 letters, digits, spaces and any of _.+- instead.")
    try:
        kind, data = encoded(picture)
    except ValueError as error:
        raise ValueError(f"picture {name} {error}") from error
    write_sealed(folder / f"{name}-{step:08d}.{kind}", data)


def encoded(picture: np.ndarray | Picture) -> tuple[str, bytes]:
    """A picture as a file, its ending first.

    Raises:
        ValueError: an array that is neither pixels nor points, or labelled points.
    """
    whole = picture if isinstance(picture, Picture) else Picture(picture)
    array, said = whole.array, whole._asdict()
    del said["array"]
    if array.dtype == np.uint8 and (array.ndim == 2 or array.shape[2:] == (3,)):
        return "png", png(array, json.dumps(said) if any(said.values()) else None)
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(
            f"is {array.dtype} of shape {array.shape}: give uint8 (height, width) or (height, width, 3), or (n, 2) "
            "points."
        )
    if any(said.values()):
        raise ValueError("is of points and has labels: only pixels have rows and columns.")
    buffer = BytesIO()
    np.save(buffer, array.astype(np.float32))
    return "npy", buffer.getvalue()


def told(path: Path) -> tuple[str, int] | None:
    """The name and the step of a file that `write` has written, None of any other.

    >>> told(Path("samples-00000040.png")), told(Path("Thumbs.db"))
    (('samples', 40), None)
    """
    found = FILE.fullmatch(path.name)
    return (found[1], int(found[2])) if found else None


def read(path: Path) -> Picture:
    """A picture as it was given, labels included.

    Raises:
        DamagedError: the file is not as it was written.
        OSError: there is no such file, say.
    """
    data = BytesIO(read_sealed(path))
    try:
        if path.suffix == ".npy":
            return Picture(np.load(data, allow_pickle=False))
        from PIL import Image

        with Image.open(data, formats=["PNG"]) as image:
            pixels = np.asarray(image)
            return Picture(pixels, *_labels(image.info.get(LABELS)))
    except (ValueError, OSError, RecursionError) as error:  # sealed, but by somebody else
        raise DamagedError(f"{path} is no picture ({error})") from error


def _labels(text: Any) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Rows, columns and about, as `encoded` has written them; all empty without a text, as older cells have it."""
    found = {"rows": [], "columns": [], "about": ""} if text is None else json.loads(text)
    if not isinstance(found, dict) or found.keys() != {"rows", "columns", "about"}:
        raise ValueError("its labels are not ours")
    rows, columns, about = found["rows"], found["columns"], found["about"]
    if not (isinstance(rows, list) and isinstance(columns, list)):
        raise ValueError("its labels are not ours")
    if not all(isinstance(word, str) for word in (*rows, *columns, about)):
        raise ValueError("its labels are no words")
    return tuple(rows), tuple(columns), about


def png(pixels: np.ndarray, said: str | None = None) -> bytes:
    """A picture of uint8, (height, width) or (height, width, 3), as a PNG file, with a text in a chunk of its own.

    >>> png(np.zeros((2, 3), dtype=np.uint8))[1:4]
    b'PNG'
    """
    from PIL import Image, PngImagePlugin

    info = PngImagePlugin.PngInfo()
    if said is not None:
        info.add_text(LABELS, said)
    file = BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", optimize=True, pnginfo=info)
    return file.getvalue()
