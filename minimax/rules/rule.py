"""Update rules: how far one player moves along one gradient.

A rule returns the *displacement*, not the new player, so that a schedule can apply it from another point
(extragradient), double it and take the last one back (optimistic), or project the sum. Rules are lower-case, as the
call that makes them is how they print: `sgd(lr=0.1)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from torch import Tensor

from minimax.tree import Vector
from minimax.validation import hyperparameter

Memory: TypeAlias = dict[str, Any]
Hyperparameter: TypeAlias = float | Tensor | Callable[[Tensor], Any]


def now(value: Hyperparameter, step: Tensor) -> Any:
    """A hyperparameter at this step: a schedule is asked with the step count."""
    return value(step) if callable(value) else value


@dataclass(frozen=True)
class Rule(ABC):
    """How one player turns gradients into displacements.

    Args:
        lr: h >= 0, a float, a tensor, or a schedule step -> float.

    Raises:
        ValueError: a hyperparameter that is no number or out of its range.
    """

    lr: Hyperparameter

    sums: ClassVar[bool] = True  # whether displacements may be added up and stretched, or only added to their start

    def __post_init__(self) -> None:
        hyperparameter("lr", self.lr, at_least=0)

    @abstractmethod
    def init(self, player: Vector) -> Memory:
        """The memory before the first move: a dict of tensors and lists of tensors."""

    @abstractmethod
    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        """The displacement along -gradient, and the new memory.

        Args:
            player: where the gradient was taken.
            gradient: what to move against.
            memory: from the last move, or `init`.
            step: counts the optimizer's steps, for schedules.
        """

    def move_from(
        self, start: Vector, at: Vector, gradient: Vector, memory: Memory, step: Tensor
    ) -> tuple[Vector, Memory]:
        """The displacement of `start` along a gradient taken elsewhere, `at` a half step say, and the new memory.

        Weight decay belongs to the gradient, so this is the move made where that was taken, wherever it starts. A rule
        whose displacement depends on the point it starts from, as a mirror step's does, overrides it.
        """
        return self.move(at, gradient, memory, step)

    def rate(self, step: Tensor) -> Any:
        """The learning rate at this step."""
        return now(self.lr, step)

    def metric(self, memory: Memory, step: Tensor) -> Any:
        """A in d = -A m with m the rule's mean of gradients: a number, or one per entry (a vector). Call after `move`.

        Raises:
            RuntimeError: the rule has none.
        """
        raise RuntimeError(f"{type(self).__name__} has no metric: use sgd, rmsprop or adam.")


def zero(value: Any) -> bool:
    """Whether a hyperparameter is the number 0, so that what it multiplies may be left out."""
    return not isinstance(value, Tensor) and value == 0
