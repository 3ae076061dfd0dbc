"""Schedules: hyperparameters that change with the optimizer's step count, `adam(lr=schedules.linear(2e-4, 0.0, 6000))`.

Any function of the step count (a 0-dim tensor) will do; these print, compare and run under `vmap` and `torch.compile`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import pi
from typing import Any

import torch
from torch import Tensor

from minimax.validation import function, real, whole


@dataclass(frozen=True)
class linear:
    """From `start` to `end` in `steps` steps on a straight line, then constant.

    Args:
        start: the value at step 0.
        end: the value from step `steps` on.
        steps: >= 1.

    Raises:
        ValueError: a start or end that is no number, or steps that are no integer >= 1.

    Example:
        >>> import torch
        >>> linear(1.0, 0.0, 4)(torch.tensor(1))
        tensor(0.7500, dtype=torch.float64)
    """

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        _check(self.start, self.end, self.steps)

    def __call__(self, step: Tensor) -> Tensor:
        return self.start + (self.end - self.start) * _share(step, self.steps)


@dataclass(frozen=True)
class cosine:
    """From `start` to `end` in `steps` steps on half a cosine, then constant (Loshchilov & Hutter, 2017).

    Args:
        start: the value at step 0.
        end: the value from step `steps` on.
        steps: >= 1.

    Raises:
        ValueError: a start or end that is no number, or steps that are no integer >= 1.

    Example:
        >>> import torch
        >>> cosine(1.0, 0.0, 4)(torch.tensor(2))
        tensor(0.5000, dtype=torch.float64)
    """

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        _check(self.start, self.end, self.steps)

    def __call__(self, step: Tensor) -> Tensor:
        return self.end + 0.5 * (self.start - self.end) * (
            1 + torch.cos(pi * (step.double() / self.steps).clamp(max=1.0))
        )


@dataclass(frozen=True)
class warmed:
    """The decay of a moving average that forgets its start sooner: min(β, (1 + k)/(10 + k)), k counted from `start`.

    Before `start` it is 0, so that the average is the players themselves until then.

    Args:
        decay: β in [0, 1), in the end.
        start: the step from which on there is an average.

    Raises:
        ValueError: a decay outside [0, 1), or a start that is no integer >= 0.

    Example:
        >>> import torch
        >>> [round(float(warmed(0.5, start=2)(torch.tensor(k))), 4) for k in (1, 2, 3, 99)]
        [0.0, 0.1, 0.1818, 0.5]
    """

    decay: float
    start: int = 0

    def __post_init__(self) -> None:
        real("decay", self.decay, at_least=0, below=1)
        whole("start", self.start, at_least=0)

    def __call__(self, step: Tensor) -> Tensor:
        k = step.double() - self.start
        return torch.where(k < 0, 0.0, ((1 + k) / (10 + k.clamp(min=0))).clamp(max=self.decay))


@dataclass(frozen=True)
class half_life:
    """The decay of a moving average in which a sample counts half after so many more: ½^(batch / samples).

    Args:
        samples: how many, 10_000 say, whatever the batch size.
        batch: how many samples a step sees.
        rampup: no more than this share of the samples seen since `start` (.05 in StyleGAN2), or None.
        start: the step from which on there is an average; before, it is the players themselves.

    Raises:
        ValueError: samples or a rampup that are not above 0, a batch that is no integer >= 1, a start no integer >= 0.

    Example:
        >>> import torch
        >>> half_life(100, batch=50)(torch.tensor(7))
        tensor(0.7071, dtype=torch.float64)

    Source: Karras et al., Analyzing and Improving the Image Quality of StyleGAN, 2020, its authors' code.
    """

    samples: float
    batch: int
    rampup: float | None = None
    start: int = 0

    def __post_init__(self) -> None:
        real("samples", self.samples, above=0)
        whole("batch", self.batch, at_least=1)
        if self.rampup is not None:
            real("rampup", self.rampup, above=0)
        whole("start", self.start, at_least=0)

    def __call__(self, step: Tensor) -> Tensor:
        k = step.double() - self.start
        share = torch.full_like(k, self.samples)
        if self.rampup is not None:
            share = (self.rampup * self.batch * k).clamp(min=1e-8, max=self.samples)
        return torch.where(k < 0, 0.0, 0.5 ** (self.batch / share))


def from_torch(scheduler: Callable[..., Any], lr: float, steps: int, **options: Any) -> Callable[[Tensor], Tensor]:
    """What a class of `torch.optim.lr_scheduler` would set the learning rate to at each of `steps` steps, as a table.

    Args:
        scheduler: the class, say `torch.optim.lr_scheduler.CosineAnnealingLR`; one that follows a metric has no such
            table, and for one that moves the momentum too there is `cycle_from_torch`.
        lr: the base learning rate.
        steps: the length of the table; the last entry holds from there on.
        options: the scheduler's other arguments.

    Raises:
        TypeError: a scheduler that is no class (nor function) which makes one.
        ValueError: an lr or steps that are no such numbers, or a scheduler that moves the momentum too.

    Example:
        >>> import torch
        >>> halving = from_torch(torch.optim.lr_scheduler.StepLR, 0.4, steps=5, step_size=2, gamma=0.5)
        >>> [round(float(halving(torch.tensor(k))), 4) for k in range(5)]
        [0.4, 0.4, 0.2, 0.2, 0.1]
    """
    rates, momenta = _followed(scheduler, lr, steps, options)
    if len(set(momenta)) > 1:
        name = getattr(scheduler, "__name__", "the scheduler")
        raise ValueError(
            f"{name} moves the momentum with the rate: take lr, momentum = schedules.cycle_from_torch(...), or pass "
            "cycle_momentum=False."
        )
    return _Table(rates)


def cycle_from_torch(
    scheduler: Callable[..., Any], lr: float, steps: int, **options: Any
) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """The learning rate and the momentum of a scheduler that moves both, `OneCycleLR` or `CyclicLR`.

    For `sgd(lr, momentum=momentum)`, or for `adam(lr, betas=(momentum, 0.999))`: torch moves β₁ as it moves SGD's.

    Args:
        scheduler: the class.
        lr: the base learning rate, which `OneCycleLR` replaces by its own.
        steps: the length of the tables; the last entries hold from there on.
        options: the scheduler's other arguments.

    Raises:
        TypeError: a scheduler that is no class (nor function) which makes one.
        ValueError: an lr or steps that are no such numbers.

    Example:
        >>> import torch
        >>> one_cycle = torch.optim.lr_scheduler.OneCycleLR
        >>> lr, momentum = cycle_from_torch(one_cycle, 0.1, steps=9, max_lr=0.1, total_steps=9)
        >>> [round(float(momentum(torch.tensor(k))), 4) for k in (0, 2, 8)]
        [0.95, 0.85, 0.95]
    """
    rates, momenta = _followed(scheduler, lr, steps, options)
    return _Table(rates), _Table(momenta)


def _followed(
    scheduler: Callable[..., Any], lr: float, steps: int, options: dict[str, Any]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The learning rate and the momentum of torch's SGD at every step."""
    function("scheduler", scheduler, "a class such as torch.optim.lr_scheduler.StepLR", classes=True)
    real("lr", lr, at_least=0)
    whole("steps", steps, at_least=1)
    optimizer = torch.optim.SGD([torch.zeros(())], lr=lr)
    follow = scheduler(optimizer, **options)
    if isinstance(follow, torch.optim.lr_scheduler.ReduceLROnPlateau):
        raise ValueError("scheduler must follow the steps alone, got ReduceLROnPlateau, which follows a metric.")
    group = optimizer.param_groups[0]
    rows = [(float(group["lr"]), float(group["momentum"]))]
    while len(rows) < steps:
        optimizer.step()
        follow.step()
        rows.append((float(group["lr"]), float(group["momentum"])))
    rates, momenta = zip(*rows, strict=True)
    return rates, momenta


@dataclass(frozen=True)
class _Table:
    values: tuple[float, ...]
    _tensor: Tensor = field(init=False, repr=False, compare=False)  # made once: `torch.compile` cannot make it

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tensor", torch.tensor(self.values, dtype=torch.float64, device="cpu"))

    def __call__(self, step: Tensor) -> Tensor:
        here = step.clamp(max=len(self.values) - 1)
        return (
            self._tensor.to(step.device).index_select(0, here.reshape(-1)).reshape(step.shape)
        )  # [] would read `here`


def _share(step: Tensor, steps: int) -> Tensor:
    return (step.double() / steps).clamp(max=1.0)


def _check(start: float, end: float, steps: int) -> None:
    real("start", start)
    real("end", end)
    whole("steps", steps, at_least=1)
