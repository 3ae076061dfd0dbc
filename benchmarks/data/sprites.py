"""Mini-sprites: a white shape on black, drawn for every combination of five factors that are known.

The factors are those of dSprites (Matthey et al., 2017), the images small enough to be drawn when they are needed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

FACTORS = {"x": 7, "y": 7, "size": 3, "shape": 3, "orientation": 4}
"""How many values each factor has: 0, 1, and so on. The shapes are a square, an ellipse and a triangle."""
SIDE = 16  # pixels
TOP = 16  # the greatest grey value: a pixel counts how many of its 4 x 4 points lie in the shape
RADII = 2.25, 5.0  # of the circle around the smallest shape and the largest one, in pixels
EDGE = 1e-9  # what lies on an outline is outside, however sines are rounded
TURN = math.pi / 8  # from one orientation to the next: even a square looks different in all four


def factors() -> Tensor:
    """Every combination of the factors' values, (1764, 5), the last factor changing fastest.

    >>> factors()[[0, 1, -1]].tolist()
    [[0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [6, 6, 2, 2, 3]]
    """
    return torch.cartesian_prod(*map(torch.arange, FACTORS.values()))


def drawn(values: Tensor) -> Tensor:
    """The sprites with these values of the factors, (n, 5), as grey values of uint8 up to 16, (n, 1, 16, 16)."""
    x, y, size, shape, turn = values.long().T
    pixels = torch.arange(SIDE)
    rows, columns = ((pixels - first[:, None]) % SIDE for first in (y, x))  # a place is a pixel from the next one
    kind = (size[:, None, None], shape[:, None, None], turn[:, None, None])
    return corner()[(*kind, rows[:, :, None], columns[:, None])].unsqueeze(1)


def corner() -> Tensor:
    """The sprites at x = y = 0 by size, shape and orientation, (3, 3, 4, 16, 16); they lie in 10 pixels a side."""
    sizes, turns = (torch.arange(FACTORS[name], dtype=torch.float64) for name in ("size", "orientation"))
    radius = (RADII[0] + sizes * (RADII[1] - RADII[0]) / (FACTORS["size"] - 1))[:, None, None, None]
    angle = (turns * TURN)[:, None, None]
    across = (torch.arange(4 * SIDE, dtype=torch.float64) + 0.5) / 4 - RADII[1]
    down = across[:, None]
    u = (angle.cos() * across + angle.sin() * down) / radius  # (size, orientation, 64, 64)
    v = (angle.cos() * down - angle.sin() * across) / radius
    inside = torch.stack([within(u, v) for within in (square, ellipse, triangle)], dim=1)
    return inside.unflatten(4, (SIDE, 4)).unflatten(3, (SIDE, 4)).sum((4, 6), dtype=torch.uint8)


def square(u: Tensor, v: Tensor) -> Tensor:
    """Whether points lie in the square in the unit circle."""
    return torch.maximum(u.abs(), v.abs()) < math.sqrt(0.5) - EDGE


def ellipse(u: Tensor, v: Tensor) -> Tensor:
    """Whether points lie in the ellipse of half axes 1 and 1/2."""
    return u.square() + 4 * v.square() < 1 - EDGE


def triangle(u: Tensor, v: Tensor) -> Tensor:
    """Whether points lie in the equilateral triangle in the unit circle that points along u."""
    return torch.maximum(-u, 0.5 * u + math.sqrt(0.75) * v.abs()) < 0.5 - EDGE
