"""Leaders whose follower answers in closed form: they are scored at its exact answer, never at where it stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

Value = Callable[[Tensor], Tensor]


def lowest(value: Value, start: Tensor, low: float, high: float) -> Tensor:
    """Where a differentiable function of one tensor within bounds is least, by L-BFGS-B in double precision.

    >>> lowest(lambda x: (x - torch.tensor([0.5, 3.0])).square().sum(), torch.zeros(2), -1.0, 1.0)
    tensor([0.5000, 1.0000])
    """

    def flat(x: np.ndarray) -> tuple[float, np.ndarray]:
        at = torch.from_numpy(x).to(start.device).reshape(start.shape).requires_grad_()
        with torch.enable_grad():
            found = value(at)
            (slope,) = torch.autograd.grad(found, at)
        return float(found.detach()), slope.double().cpu().numpy().reshape(-1)

    begin, tight = start.double().cpu().numpy().reshape(-1), {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 5000}
    end = minimize(
        flat, begin, jac=True, method="L-BFGS-B", bounds=[(low, high)] * len(begin), options={**tight, "maxfun": 10_000}
    )
    return torch.from_numpy(end.x).reshape(start.shape).to(start)


def drawn(lines: Sequence[Any], dots: Any = (), height: int = 96, width: int = 144) -> np.ndarray:
    """Curves through points, the first grey, the others black, and red dots: uint8, (height, width, 3).

    The window is that of the first curve, which the others are read against, and half its height above and below. What
    lies outside, or is not finite, is left out.

    Args:
        lines: of points (n, 2), x to the right and y up.
        dots: points (n, 2).
        height: of the picture, in pixels.
        width: likewise.
    """
    picture = np.full((height, width, 3), 255, np.uint8)
    curves, first = [np.asarray(line, float).reshape(-1, 2) for line in lines], np.asarray(lines[0], float)
    low, span = first.min(0), np.maximum(np.ptp(first, axis=0), 1e-12)
    low, span = low - (0, span[1] / 2), span * (1, 2)

    def paint(points: np.ndarray, colour: tuple[int, int, int], reach: int) -> None:
        places = (points - low) / span
        for x, y in places[((places >= 0) & (places <= 1)).all(1)]:
            row, column = round((1 - y) * (height - 7)) + 3, round(x * (width - 7)) + 3
            picture[row - reach : row + reach + 1, column - reach : column + reach + 1] = colour

    for k, curve in enumerate(curves):
        steps = np.linspace(0, 1, 4 * width // max(1, len(curve) - 1) + 2)[:, None]
        between = [a + steps * (b - a) for a, b in pairwise(curve)]
        paint(np.concatenate([curve, *between]), (170, 170, 170) if k == 0 else (0, 0, 0), 0)
    paint(np.asarray(dots, float).reshape(-1, 2), (200, 30, 30), 2)
    return picture
