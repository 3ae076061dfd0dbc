"""Figures as they are embedded in a page: small enough together, and fetched from nowhere. Needs no torch."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image

WIDTHS = (1200, 900, 640, 440)
"""Pixels across: the first at which all of them fit together."""
CRISP = 90_000  # bytes of an SVG file, up to which it is embedded as it is at the first width
RASTERS = ("-training", "-seeds")  # how the names of figures end that are pictures, not lines
QUALITY = 78


def embedded(figures: Mapping[str, Sequence[Path]], limit: int) -> dict[str, str]:
    """Data URIs of as many figures as fit into so many letters, all of them smaller where that helps.

    Where even the smallest do not fit, the last are left out.

    Args:
        figures: the files of each by its name, in PNG and SVG, the most important first.
        limit: of all URIs together.
    """
    for width in WIDTHS:
        found, left = {}, limit
        for name, files in figures.items():
            uri = _uri(name, files, width)
            if (left := left - len(uri)) < 0:
                break
            found[name] = uri
        else:
            return found
    return found


def _uri(name: str, files: Sequence[Path], width: int) -> str:
    """One figure: lines as SVG while all are large, otherwise as WebP, which is a third of a PNG file."""
    kinds = {path.suffix: path for path in files}
    lines = kinds.get(".svg") if not name.endswith(RASTERS) and width == WIDTHS[0] else None
    if lines is not None and (data := lines.read_bytes()) and len(data) <= CRISP:
        return f"data:image/svg+xml;base64,{b64encode(data).decode()}"
    with Image.open(kinds[".png"]) as image:
        picture = image.convert("RGB")
    if picture.width > width:
        size = (width, max(1, round(picture.height * width / picture.width)))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    file = BytesIO()
    picture.save(file, "WEBP", quality=QUALITY, method=4)
    return f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}"
