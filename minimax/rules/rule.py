"""What every update rule is: how far one player moves along one gradient.

A rule returns the *displacement*, not the new player, so that a schedule can apply it from another point
(extragradient), double it and take the last one back (optimistic), or project the sum.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

from minimax.tree import Vector
from minimax.validation import hyperparameter, shown

Memory: TypeAlias = dict[str, Any]
Hyperparameter: TypeAlias = float | Tensor | Callable[[Tensor], Any]


def now(value: Hyperparameter, step: Tensor) -> Any:
    """A hyperparameter at this step: a schedule is asked with the step count."""
    return value(step) if callable(value) else value


def zero(value: Any) -> bool:
    """Whether a hyperparameter is the number 0, so that what it multiplies may be left out."""
    return not isinstance(value, Tensor) and value == 0


def inside(example: str, value: Any) -> None:
    """Refuse what is no rule, where one goes around it.

    Raises:
        TypeError: with an example of how it is made.
    """
    if not isinstance(value, Rule):
        taker = example.partition("(")[0]
        raise TypeError(f"{taker} goes around a rule, got {shown(value)}: {example}, say.")


@dataclass(frozen=True)
class Rule(ABC):
    """How one player turns gradients into displacements: a configuration, and two pure functions.

    Most rules are a `Rated`; one that has no rate of its own, as it goes around others, starts from here.
    """

    @property
    def sums(self) -> bool:
        """Whether displacements may be added up and stretched, or only added to their start."""
        return True

    @property
    def entrywise(self) -> bool:
        """Whether every entry moves by itself, so that several players in one tensor move as they would apart."""
        return True

    @property
    def kicks(self) -> bool:
        """Whether the rule takes a draw of the batch (see `kick`)."""
        return False

    @abstractmethod
    def init(self, player: Vector, names: Sequence[str] = ()) -> Memory:
        """The memory before the first move: tensors in dicts and lists.

        Args:
            player: its leaves.
            names: what those are called: a module's parameters "conv.weight", a tuple's entries "0", "1".
        """

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

    def kick(self, player: Vector, batch: Any, memory: Memory, step: Tensor) -> Vector:
        """What every gradient taken on this batch gets added: ∂⟨kick, z⟩, a linear term of the player's loss.

        So that all randomness comes in through the batch, and whatever evaluates twice on it sees the same draw. Asked
        of rules that have `kicks`.
        """
        raise NotImplementedError(f"{type(self).__name__} takes no draw of the batch.")

    def metric(self, memory: Memory, step: Tensor) -> Any:
        """A in d = -A m with m the rule's mean of gradients: a number, or one per entry (a vector). Call after `move`.

        Raises:
            RuntimeError: the rule has none.
        """
        raise RuntimeError(f"{type(self).__name__} has no metric: use sgd, rmsprop or adam.")


@dataclass(frozen=True)
class Rated(Rule):
    """A rule with a learning rate.

    Args:
        lr: h >= 0, a float, a tensor, or a schedule step -> float.

    Raises:
        ValueError: a hyperparameter that is no number or out of its range.
    """

    lr: Hyperparameter

    def __post_init__(self) -> None:
        hyperparameter("lr", self.lr, at_least=0)

    def rate(self, step: Tensor) -> Any:
        """The learning rate at this step."""
        return now(self.lr, step)
