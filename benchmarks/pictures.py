"""The pictures that cells take: as they are written, named and read back. Needs no torch."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

import numpy as np

from benchmarks.record import DamagedError, read_sealed, write_sealed

FILE = re.compile(r"(\w[\w.+ -]{,99})-(\d{8,})\.(png|npy)")


def write(folder: Path, name: str, step: int, picture: np.ndarray) -> None:
    """Write one picture: uint8 pixels as a PNG file, (n, 2) points as an npy file.

    Args:
        folder: where to.
        name: letters, digits, spaces and the like: it becomes part of the file's name.
        step: when it was taken.
        picture: (height, width) or (height, width, 3) pixels, or points.

    Raises:
        ValueError: an array that is neither, or a name that would lie elsewhere.
    """
    if not FILE.fullmatch(f"{name}-{step:08d}.png"):
        raise ValueError(f"picture name {name!r}: use up to 100 letters, digits, spaces and any of _.+- instead.")
    if picture.dtype == np.uint8 and (picture.ndim == 2 or picture.shape[2:] == (3,)):
        write_sealed(folder / f"{name}-{step:08d}.png", png(picture))
    elif picture.ndim == 2 and picture.shape[1] == 2:
        buffer = BytesIO()
        np.save(buffer, picture.astype(np.float32))
        write_sealed(folder / f"{name}-{step:08d}.npy", buffer.getvalue())
    else:
        raise ValueError(
            f"picture {name} is {picture.dtype} of shape {picture.shape}: give uint8 (height, width) or (height, "
            "width, 3), or (n, 2) points."
        )


def told(path: Path) -> tuple[str, int] | None:
    """The name and the step of a file that `write` has written, None of any other.

    >>> told(Path("samples-00000040.png")), told(Path("Thumbs.db"))
    (('samples', 40), None)
    """
    found = FILE.fullmatch(path.name)
    return (found[1], int(found[2])) if found else None


def read(path: Path) -> np.ndarray:
    """A picture as it was given: uint8 pixels, or (n, 2) points.

    Raises:
        DamagedError: the file is not as it was written.
        OSError: there is no such file, say.
    """
    data = BytesIO(read_sealed(path))
    try:
        if path.suffix == ".npy":
            points: np.ndarray = np.load(data, allow_pickle=False)
            return points
        from PIL import Image

        with Image.open(data) as image:
            return np.asarray(image)
    except (ValueError, OSError) as error:  # sealed, but by somebody else
        raise DamagedError(f"{path} is no picture ({error})") from error


def png(pixels: np.ndarray) -> bytes:
    """A picture of uint8, (height, width) or (height, width, 3), as a PNG file.

    >>> png(np.zeros((2, 3), dtype=np.uint8))[1:4]
    b'PNG'
    """
    from PIL import Image

    file = BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", optimize=True)
    return file.getvalue()
