"""Schedules: hyperparameters that change with the optimizer's step count, `adam(lr=schedules.linear(2e-4, 0.0, 6000))`.

Any function of the step count (a 0-dim tensor) will do; these print, compare and run under `vmap` and `torch.compile`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class linear:
    """From `start` to `end` in `steps` steps on a straight line, then constant.

    Args:
        start: the value at step 0.
        end: the value from step `steps` on.
        steps: >= 1.

    Example:
        >>> import torch
        >>> linear(1.0, 0.0, 4)(torch.tensor(1))
        tensor(0.7500)
    """

    start: float
    end: float
    steps: int

    def __call__(self, step: Tensor) -> Tensor:
        return self.start + (self.end - self.start) * (step / self.steps).clamp(max=1.0)


@dataclass(frozen=True)
class cosine:
    """From `start` to `end` in `steps` steps on half a cosine, then constant (Loshchilov & Hutter, 2017).

    Args:
        start: the value at step 0.
        end: the value from step `steps` on.
        steps: >= 1.

    Example:
        >>> import torch
        >>> cosine(1.0, 0.0, 4)(torch.tensor(2))
        tensor(0.5000)
    """

    start: float
    end: float
    steps: int

    def __call__(self, step: Tensor) -> Tensor:
        return self.end + 0.5 * (self.start - self.end) * (1 + torch.cos(pi * (step / self.steps).clamp(max=1.0)))


def from_torch(scheduler: Callable[..., Any], lr: float, steps: int, **options: Any) -> Callable[[Tensor], Tensor]:
    """What a class of `torch.optim.lr_scheduler` would set the learning rate to at each of `steps` steps, as a table.

    Args:
        scheduler: the class, say `torch.optim.lr_scheduler.OneCycleLR`; one that follows a metric has no such table.
        lr: the base learning rate.
        steps: the length of the table; the last entry holds from there on.
        options: the scheduler's other arguments.

    Example:
        >>> import torch
        >>> halving = from_torch(torch.optim.lr_scheduler.StepLR, 0.4, steps=5, step_size=2, gamma=0.5)
        >>> [round(float(halving(torch.tensor(k))), 4) for k in range(5)]
        [0.4, 0.4, 0.2, 0.2, 0.1]
    """
    optimizer = torch.optim.SGD([torch.zeros(())], lr=lr)
    follow, table = scheduler(optimizer, **options), []
    for _ in range(steps):
        table.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        follow.step()
    return _Table(tuple(table))


@dataclass(frozen=True)
class _Table:
    values: tuple[float, ...]

    def __call__(self, step: Tensor) -> Tensor:
        return torch.tensor(self.values, dtype=torch.float64)[step.clamp(max=len(self.values) - 1)]
