"""One picture file becomes pixels. In the parent only, as it needs Pillow."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def picture(path: Path, size: int) -> NDArray[np.uint8]:
    """Its pixels, ``size x size x 3``: 16 bits of grey are scaled to 8, and what is transparent lies on white.

    Raises:
        ValueError: it cannot be read.
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
            return np.asarray(ops.fit(whole.convert("RGB"), (size, size)))
    except (OSError, ValueError, SyntaxError, image.DecompressionBombError) as error:  # SyntaxError: a broken PNG
        raise ValueError(f"{path} is no readable image") from error
