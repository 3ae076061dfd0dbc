"""Pictures of codes: ways between them, ways along them, and where they lie."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from benchmarks.pictures import Picture
from benchmarks.problems._gaussian import Gaussian
from benchmarks.problems._images import grid

Means: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Codes (n, latent), and what is given beside each, to images."""
SIDE, DOT = 256, 1  # pixels a side of a map, and how far a code's dot reaches
REACH = 2.5  # standard deviations of the prior, to either side


def interpolated(means: Means, codes: Tensor, given: Tensor) -> Picture:
    """On straight lines from the code of one image to that of another, a row each."""
    weight = torch.linspace(0, 1, 8, device=codes.device, dtype=codes.dtype)[:, None]
    start, end = codes[:8, None], codes[8:16, None]
    ways = (1 - weight) * start + weight * end  # rows, steps, latent
    sides = ("one image", *6 * ("",), "another")
    about = "from the code of one test image to that of another, a row each"
    return Picture(grid(means(ways.flatten(0, 1), given[:8].repeat_interleave(8, 0))), columns=sides, about=about)


def traversed(means: Means, q: Gaussian, given: Tensor) -> Picture:
    """The code of one image, with one number of it changed, a row each: the eight that vary most over the data."""
    codes = q.mean
    rows = codes.var(0).argsort(descending=True)[:8]
    values = torch.linspace(-REACH, REACH, 8, device=codes.device, dtype=codes.dtype)
    ways = codes[:1].expand(8 * len(rows), -1).clone()
    ways[torch.arange(len(ways), device=codes.device), rows.repeat_interleave(8)] = values.repeat(len(rows))
    images = means(ways, given[:1].expand(len(ways), *given.shape[1:]))
    sides = (f"{-REACH:g}", *6 * ("",), f"{REACH:g}")
    about = "the code of one test image, one number of it changed"
    return Picture(grid(images), tuple(f"z{int(row) + 1}" for row in rows), sides, about)


def mapped(points: Tensor, labels: Tensor, classes: int) -> Picture:
    """Points (n, 2) in the colours of their classes on white; those that are not finite are left out.

    >>> mapped(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([0, 1]), 2).array.shape
    (256, 256, 3)
    """
    canvas = np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
    finite = points.isfinite().all(1)
    points, shown = points[finite].cpu().double(), colours(classes)[labels[finite].cpu().numpy()]
    if len(points):
        # A few codes far out must not press all others into one dot.
        low, high = points.quantile(0.01, dim=0), points.quantile(0.99, dim=0)
        unit = (points - (low + high) / 2) / (high - low).clamp(min=1e-12).max() / 1.2 + 0.5
        places = unit.clamp(0, 1).mul(SIDE - 1).round().long().numpy()
        for down in range(-DOT, DOT + 1):
            for right in range(-DOT, DOT + 1):
                # The second axis points up, rows of pixels down.
                row = (SIDE - 1 - places[:, 1] + down).clip(0, SIDE - 1)
                canvas[row, (places[:, 0] + right).clip(0, SIDE - 1)] = shown
    return Picture(canvas, about="codes of the test images on their first two axes, a colour for each class")


def colours(classes: int) -> np.ndarray:
    """So many colours around the wheel, uint8, (classes, 3).

    >>> colours(2).tolist()
    [[217, 43, 43], [43, 217, 217]]
    """
    wheel = [colorsys.hsv_to_rgb(k / classes, 0.8, 0.85) for k in range(classes)]
    return (255 * np.array(wheel)).round().astype(np.uint8)
