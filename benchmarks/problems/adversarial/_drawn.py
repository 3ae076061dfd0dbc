"""What is drawn as pixels: a boundary in the plane, curves, images under attack."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.pictures import Picture
from benchmarks.problems._images import grid

SIDE = 192  # pixels
COLOURS = np.array(
    [[31, 119, 180], [214, 39, 40], [44, 160, 44], [148, 103, 189], [255, 127, 14], [90, 90, 90]], dtype=np.uint8
)


def plane(f: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, ε: float, p: float) -> np.ndarray:
    """The sides of f = 0 in the plane, the points (n, 2) of classes -1 and 1, and the outlines of their ε-balls.

    A point is drawn in full where f puts its whole ball on the right side, as far as the pixels tell, else hollow.
    """
    reach = float(x.abs().max()) + 1.5 * ε
    line = torch.linspace(-reach, reach, SIDE, dtype=x.dtype, device=x.device)
    at = torch.stack(torch.meshgrid(line, line.flip(0), indexing="xy"), dim=-1)  # (rows, columns, 2), up is up
    side = f(at.reshape(-1, 2)).reshape(SIDE, SIDE)
    away = torch.linalg.vector_norm(at - x[:, None, None], p, dim=-1)  # (n, rows, columns)
    pale = np.where((side > 0).cpu().numpy()[..., None], [205, 225, 240], [250, 215, 213]).astype(np.uint8)
    pixel, near = 2 * reach / SIDE, torch.linalg.vector_norm(at - x[:, None, None], dim=-1)
    for i, label in enumerate(y):
        colour = COLOURS[0 if label > 0 else 1]
        held = bool((side[away[i] <= ε] * label > 0).all())
        inside = near[i] < 3 * pixel
        ring = (away[i] - ε).abs() < 0.6 * pixel
        full = inside if held else inside & (near[i] > 1.6 * pixel)
        pale[(full | ring).cpu().numpy()] = colour
    return pale


def curves(lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], across: str, up: str) -> Picture:
    """Curves by name, (x, y) each, in a frame that runs from their least to their greatest values.

    >>> curves({"one": ([0.0, 1.0], [0.0, 1.0])}, "x", "y").array.shape
    (192, 192, 3)
    """
    pixels = np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
    known = [np.asarray(xy, dtype=float) for xy in lines.values()]
    every = np.concatenate(known, axis=1)
    every = every[:, np.isfinite(every).all(0)]
    low, high = (every.min(1), every.max(1)) if every.size else (np.zeros(2), np.ones(2))
    span = np.where(high > low, high - low, 1.0)
    pixels[-1], pixels[:, 0] = 0, 0
    for k, xy in enumerate(known):
        shown = xy[:, np.isfinite(xy).all(0)]
        if not shown.size:
            continue
        place = (shown - low[:, None]) / span[:, None] * (SIDE - 9) + 4
        steps = np.linspace(0, max(place.shape[1] - 1, 0), 40 * place.shape[1])
        column, row = (np.interp(steps, np.arange(place.shape[1]), axis).round().astype(int) for axis in place)
        for right, down in ((0, 0), (0, 1), (1, 0)) if len(shown[0]) > 1 else np.ndindex(5, 5):
            pixels[SIDE - 1 - row + down - 2, column + right - 2] = COLOURS[k % len(COLOURS)]
    ends = f"{across} from {low[0]:.3g} to {high[0]:.3g}, {up} from {low[1]:.3g} to {high[1]:.3g}"
    return Picture(pixels, about=f"{', '.join(lines)}: {ends}")


def gallery(images: Tensor, attacked: Tensor, before: Tensor, after: Tensor) -> Picture:
    """Images in [0, 1], what is added to them, and what becomes of them, in rows; above each the classes told.

    What is added is scaled so that its largest entry is black or white.
    """
    added = attacked - images
    scale = added.abs().amax().clamp(min=1e-12)
    rows = torch.cat((2 * images - 1, added / scale, 2 * attacked - 1))
    told = tuple(f"{a}→{b}" if a != b else str(a) for a, b in zip(before.tolist(), after.tolist(), strict=True))
    size = float(scale) if math.isfinite(float(scale)) else math.nan
    about = f"the image, what is added, at most {size:.3g}, and both; the classes told before and after"
    return Picture(grid(rows, len(images)), ("image", "added", "attacked"), told, about)
