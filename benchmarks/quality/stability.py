"""How a run behaved, from its recorded series: did it survive, when did it break, how much did it rotate?

A series is a sequence of floats, one an evaluation, beside the sequence of their steps; a diverged run may record nan.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

GROWTH = 1e3  # a norm this many times its first value has diverged


def diverged_at(steps: Sequence[int], norms: Sequence[float]) -> int | None:
    """First step whose parameter norm is not finite or reaches 1,000 times the first one; None where there is none.

    >>> diverged_at([0, 10, 20], [1.0, 5.0, 2e3]), diverged_at([0, 10], [1.0, 5.0])
    (20, None)
    """
    limit = GROWTH * norms[0] if norms else math.inf
    return next((step for step, norm in zip(steps, norms, strict=True) if not norm < limit), None)


def survived(norms: Sequence[float]) -> bool:
    """Whether every recorded norm is finite and below 1,000 times the first one."""
    return diverged_at(range(len(norms)), norms) is None


def halved(values: Sequence[float]) -> list[bool]:
    """Whether each value, of modes or coverage, lies below half of the peak so far; nan counts as 0.

    >>> halved([2, 8, 4, 3])
    [False, False, False, True]
    """
    peak, out = 0.0, []
    for value in values:
        value = 0.0 if math.isnan(value) else value
        peak = max(peak, value)
        out.append(value < peak / 2)
    return out


def since(steps: Sequence[int], wrong: Sequence[bool]) -> int | None:
    """The step from which on it is wrong to the end; None if it is right at the end.

    >>> since([0, 5, 10, 15], [True, False, True, True]), since([0, 5], [True, False])
    (10, None)
    """
    at = None
    for step, bad in zip(steps, wrong, strict=True):
        at = (step if at is None else at) if bad else None
    return at


def last_minus_best(values: Sequence[float], higher: bool = False) -> float:
    """How much worse the last value is than the best one, at least 0; inf where the run ended in nan.

    `higher`: whether higher is better.

    >>> last_minus_best([3.0, 1.0, 1.5]), last_minus_best([3.0, 1.0, 1.5], higher=True)
    (0.5, 1.5)
    """
    finite = [value for value in values if math.isfinite(value)]
    if not values or not math.isfinite(values[-1]) or not finite:
        return math.inf
    return max(finite) - values[-1] if higher else values[-1] - min(finite)


def gradient_ratio(one: Sequence[float], two: Sequence[float]) -> float:
    """Median over the run of the first player's gradient norm over the second's; nan where none is usable."""
    pairs = zip(one, two, strict=True)
    ratios = [a / b for a, b in pairs if math.isfinite(a) and math.isfinite(b) and b > 0]
    return median(ratios) if ratios else math.nan


def saturation(logits: Tensor, margin: float = 0.01) -> float:
    """Share of a critic's logits whose probability is within `margin` of 0 or 1, where the minimax loss is flat.

    nan where one is not finite.

    >>> saturation(torch.tensor([-9.0, 0.0, 1.0, 9.0]))
    0.5
    """
    if not bool(logits.isfinite().all()):
        return math.nan
    return float((logits.detach().abs() > math.log((1 - margin) / margin)).double().mean())


@dataclass(frozen=True)
class Path:
    """Length, displacement and turning of the players' path; `add` after every step, `read` at an evaluation.

    `add` waits for no device and keeps copies, so players that move in place are safe. All fields are tensors:
    `vars(path)` goes into a checkpoint and `Path(**saved)` brings it back.

    >>> path = Path.start([torch.zeros(2)])
    >>> for x in ([1.0, 0.0], [1.0, 1.0]):
    ...     path = path.add([torch.tensor(x)])
    >>> path.read()
    {'path_length': 2.0, 'path_ratio': 1.4142, 'update_cosine': 0.0}
    """

    origin: Tensor  # P, the point at the start
    point: Tensor  # P, the last one
    move: Tensor  # P, the last update
    length: Tensor  # sum of |update|
    cosines: Tensor  # sum of the cosines between successive updates
    turns: Tensor  # how many there were

    @classmethod
    def start(cls, tensors: Iterable[Tensor]) -> Path:
        """Begin at the given parameters (any shapes, one dtype and device)."""
        point = _flat(tensors)
        zero = point.new_zeros((), dtype=torch.float64)
        return cls(point, point, torch.zeros_like(point), zero, zero, zero)

    def add(self, tensors: Iterable[Tensor]) -> Path:
        """Return the path with one more point; an update of length 0 has no direction and counts as no turn."""
        point = _flat(tensors)
        move = point - self.point
        norm, size = move.norm(), move.norm() * self.move.norm()
        cosine = torch.where(size > 0, move @ self.move / size, 0.0)
        turns = self.turns + (size > 0)
        return Path(self.origin, point, move, self.length + norm, self.cosines + cosine, turns)

    def read(self) -> dict[str, float]:
        """Path length, length over displacement (1 on a straight line) and mean cosine of successive updates."""
        length, turns = float(self.length), float(self.turns)
        away = float((self.point - self.origin).double().norm())
        ratio = length / away if away > 0 else (math.inf if length > 0 else 1.0)
        return {
            "path_length": length,
            "path_ratio": ratio,
            "update_cosine": float(self.cosines) / turns if turns else math.nan,
        }


def _flat(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
