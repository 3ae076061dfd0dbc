"""A rule on gradients that are cut to size first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minimax import tree
from minimax.rules.rule import Hyperparameter, Memory, Rule, inside, now
from minimax.tree import Vector
from minimax.validation import hyperparameter


@dataclass(frozen=True)
class clipped(Rule):
    r"""Another rule, on g min(1, c / (|g| + 10⁻⁶)) or on g with its entries clamped to [-c, c], as torch clips.

    |g| is the norm of all leaves of the player together, `torch.nn.utils.clip_grad_norm_` on its parameters; by value
    it is `clip_grad_value_`. What an optimizer hands its rule is clipped: the gradient, or the direction it made of
    several. Weight decay belongs to the inner rule and comes after. Memory: the inner rule's.

    Args:
        rule: what moves along the clipped gradient.
        norm: c > 0, a float, a tensor or a schedule step -> float.
        value: c > 0, likewise; instead of a norm.

    Raises:
        TypeError: a rule that is none.
        ValueError: neither a norm nor a value, both, or one that is not above 0; a rule that takes a draw of the batch
            in its gradient (`sghmc`, `sgld`), which would be clipped too.

    Example:
        >>> import torch, minimax as mm
        >>> rule, z = clipped(mm.sgd(0.1), norm=1.0), [torch.zeros(2)]
        >>> rule.move(z, [torch.tensor([3.0, 4.0])], rule.init(z), torch.tensor(0))[0]
        [tensor([-0.0600, -0.0800])]

    Source: Pascanu, Mikolov & Bengio, On the difficulty of training recurrent neural networks, 2013.
    """

    rule: Rule
    norm: Hyperparameter | None = None
    value: Hyperparameter | None = None

    def __post_init__(self) -> None:
        inside("clipped(sgd(0.1), norm=1.0)", self.rule)
        if self.rule.kicks:
            raise ValueError(f"clipped would clip the draw that {self.rule} takes: clip the losses' own gradients.")
        if (self.norm is None) == (self.value is None):
            given = "neither" if self.norm is None else "both"
            raise ValueError(f"clipped takes a norm or a value, got {given}: clipped(sgd(0.1), norm=1.0), say.")
        name, bound = ("value", self.value) if self.norm is None else ("norm", self.norm)
        hyperparameter(name, bound, above=0)

    @property
    def sums(self) -> bool:
        return self.rule.sums

    @property
    def entrywise(self) -> bool:
        return self.norm is None and self.rule.entrywise

    def init(self, player: Vector, names: Sequence[str] = ()) -> Memory:
        return self.rule.init(player, names)

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        return self.rule.move(player, self._cut(gradient, step), memory, step)

    def move_from(
        self, start: Vector, at: Vector, gradient: Vector, memory: Memory, step: Tensor
    ) -> tuple[Vector, Memory]:
        return self.rule.move_from(start, at, self._cut(gradient, step), memory, step)

    def metric(self, memory: Memory, step: Tensor) -> Any:
        return self.rule.metric(memory, step)

    def _cut(self, g: Vector, step: Tensor) -> Vector:
        if self.norm is not None:
            return tree.scale((now(self.norm, step) / (tree.norm(g) + 1e-6)).clamp(max=1.0), g)
        c = now(self.value, step) if self.value is not None else torch.inf
        return [_clamped(leaf, c.to(leaf) if isinstance(c, Tensor) else c) for leaf in g]


def _clamped(leaf: Tensor, c: Any) -> Tensor:
    return leaf.clamp(-c, c)
