"""Two rules for one player: parameter groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minimax.rules.rule import Memory, Rule, inside
from minimax.tree import Vector
from minimax.validation import function, shown

EXAMPLE = "split(lambda name, shape: len(shape) >= 2, adamw(1e-3), adam(1e-3))"


@dataclass(frozen=True)
class split(Rule):
    """One rule for the leaves that a predicate picks, another for the rest: torch's parameter groups.

    A name is what the leaf is called in its player: a module's parameters "conv.weight", entries of a dict by their
    keys, of a tuple by their indices, joined by dots where they nest, and "" for a player that is one tensor. Three
    groups are a split in a split. A rule that does not move its entries one by one, as `clipped` by norm, sees its own
    leaves alone.

    Memory: `first` and `second`, each with the `memory` of its rule and its `leaves`, a dict from the positions of the
    leaves it moves to nothing: which leaf is whose is settled at `init`, and a state of other groups is not loaded.

    Args:
        predicate: (name, shape) -> bool, whether `first` moves that leaf.
        first: the rule of the leaves for which it is true; there may be none.
        second: the rule of the others.

    Raises:
        TypeError: a predicate that is no function, or does not return a boolean; a rule that is none.
        ValueError: at `init`, leaves without names.

    Example:
        >>> import torch, minimax as mm
        >>> rule = split(lambda name, shape: name.endswith("weight"), mm.sgd(0.1, weight_decay=1.0), mm.sgd(0.1))
        >>> z, g = [torch.ones(1), torch.ones(1)], [torch.zeros(1), torch.zeros(1)]
        >>> rule.move(z, g, rule.init(z, ["0.weight", "0.bias"]), torch.tensor(0))[0]
        [tensor([-0.1000]), tensor([-0.])]
    """

    predicate: Callable[[str, torch.Size], bool]
    first: Rule
    second: Rule

    def __post_init__(self) -> None:
        function("predicate", self.predicate, "a function of a leaf's name and shape")
        inside(EXAMPLE, self.first)
        inside(EXAMPLE, self.second)

    @property
    def sums(self) -> bool:
        return self.first.sums and self.second.sums

    @property
    def entrywise(self) -> bool:
        return False  # where several players lie in one tensor, shapes are not a player's own

    @property
    def kicks(self) -> bool:
        return self.first.kicks or self.second.kicks

    def init(self, player: Vector, names: Sequence[str] = ()) -> Memory:
        if len(names) != len(player):
            raise ValueError(f"split picks leaves by name, got {len(names)} names for {len(player)} leaves.")
        picked = [self._picks(name, leaf) for name, leaf in zip(names, player, strict=True)]
        memory: Memory = {}
        for group, rule, wanted in (("first", self.first, True), ("second", self.second, False)):
            where = [k for k, pick in enumerate(picked) if pick is wanted]
            own = rule.init([player[k] for k in where], [names[k] for k in where]) if where else {}
            memory[group] = {"leaves": {k: {} for k in where}, "memory": own}
        return memory

    def _picks(self, name: str, leaf: Tensor) -> bool:
        picks = self.predicate(name, leaf.shape)
        if not isinstance(picks, bool):
            raise TypeError(f"predicate must return True or False, got {shown(picks)} for {name!r}.")
        return picks

    def move(self, player: Vector, gradient: Vector, memory: Memory, step: Tensor) -> tuple[Vector, Memory]:
        return self.move_from(player, player, gradient, memory, step)

    def move_from(
        self, start: Vector, at: Vector, gradient: Vector, memory: Memory, step: Tensor
    ) -> tuple[Vector, Memory]:
        d, new = list(start), {}
        for group, rule, where, own in self._groups(memory):
            here, there, g = ([vector[k] for k in where] for vector in (start, at, gradient))
            moves, own = rule.move_from(here, there, g, own, step)
            new[group] = {"leaves": {k: {} for k in where}, "memory": own}
            for k, move in zip(where, moves, strict=True):
                d[k] = move
        return d, memory | new

    def kick(self, player: Vector, batch: Any, memory: Memory, step: Tensor) -> Vector:
        kicks = [torch.zeros_like(leaf) for leaf in player]
        for _, rule, where, own in self._groups(memory):
            if rule.kicks:
                drawn = rule.kick([player[k] for k in where], batch, own, step)
                for k, kick in zip(where, drawn, strict=True):
                    kicks[k] = kick
        return kicks

    def metric(self, memory: Memory, step: Tensor) -> Any:
        metric: dict[int, Tensor] = {}
        for _, rule, where, own in self._groups(memory):
            part = rule.metric(own, step)
            if not isinstance(part, list):
                raise RuntimeError("split has a metric of rules with one per entry only: use adam or rmsprop for both.")
            metric |= zip(where, part, strict=True)
        return [metric[k] for k in sorted(metric)]

    def _groups(self, memory: Memory) -> list[tuple[str, Rule, list[int], Memory]]:
        """The rules that have leaves to move: the name, the rule, the leaves' positions, the rule's memory."""
        named = (("first", self.first), ("second", self.second))
        groups = [(name, rule, list(memory[name]["leaves"]), memory[name]["memory"]) for name, rule in named]
        return [group for group in groups if group[2]]
