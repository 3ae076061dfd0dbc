"""Pictures of one's own: a folder of files becomes arrays. In the parent only, as it needs Pillow."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import DataError

SIZE = 64  # pixels a side at which pictures are decoded
LEAST = 60  # pictures, of which a tenth are for tests: precision and recall look at five neighbours
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")


def read(path: Path) -> dict[str, Any]:
    """All pictures, ``N x C x SIZE x SIZE`` bytes, one channel if all are grey, and their first subfolders as labels.

    Raises:
        DataError: there are too few, one cannot be read, or Pillow is missing.
    """
    files = pictures(path)
    if len(files) < LEAST:
        raise DataError(
            f"--data folder:{path} holds {len(files)} pictures ({', '.join(SUFFIXES)}), and scores, which are measured "
            f"on a tenth of them, need {LEAST}: add some, or name another folder."
        )
    try:
        pixels = np.stack([decode(file) for file in files]).transpose(0, 3, 1, 2)
    except ImportError as error:
        raise DataError("--data folder:PATH needs Pillow: install it, or choose --data digits.") from error
    if (pixels == pixels[:, :1]).all():
        pixels = pixels[:, :1]
    groups = [file.relative_to(path).parts[0] if file.parent != path else "" for file in files]
    names = sorted(set(groups))
    return {"pixels": pixels, "labels": np.array([names.index(group) for group in groups]), "classes": len(names)}


def pictures(path: Path) -> list[Path]:
    """The pictures of a folder and its subfolders, in a fixed order; pipes and the like, which would hang, are none."""
    return sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())


def decode(path: Path) -> NDArray[np.uint8]:
    """One picture, ``SIZE x SIZE x 3`` bytes: 16 bits of grey are scaled to 8, and what is transparent lies on white.

    Raises:
        DataError: it cannot be read.
        ImportError: Pillow is not installed.
    """
    image, ops = import_module("PIL.Image"), import_module("PIL.ImageOps")
    try:
        with image.open(path) as file:
            whole = file
            if file.mode.startswith("I"):  # 16 bits of grey, which convert would clip
                grey = np.asarray(file)
                grey = np.where(grey == file.info.get("transparency", -1), 65535, grey)
                whole = image.fromarray((grey / 257).round().astype(np.uint8))
            if whole.has_transparency_data:
                layer = whole.convert("RGBA")
                whole = image.alpha_composite(image.new("RGBA", layer.size, "white"), layer)
            return np.asarray(ops.fit(whole.convert("RGB"), (SIZE, SIZE)))
    except (OSError, ValueError, SyntaxError, image.DecompressionBombError) as error:
        raise DataError(f"{path} is no readable image: remove it, or name another --data folder:PATH.") from error
