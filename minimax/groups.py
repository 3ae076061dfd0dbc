"""The numbers of rules as torch's parameter groups hold them: which there are, and rules with other ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from minimax.compiling import Compiled
from minimax.errors import GameError
from minimax.optimizer import GameOptimizer, Ruled, Wrapper
from minimax.rules import Hyperparameter, Memory, Rule, clipped, from_torch, split
from minimax.tree import Vector


@dataclass(frozen=True)
class Part:
    """The leaves of one player that one rule moves.

    Args:
        player: its index.
        rule: what moves them.
        leaves: their positions in the player's vector.
    """

    player: int
    rule: Rule
    leaves: tuple[int, ...]


def ruled(optimizer: GameOptimizer) -> Ruled:
    """The optimizer inside whose rules move the players.

    Raises:
        GameError: there is none.
    """
    if isinstance(optimizer, Ruled):
        return optimizer
    if isinstance(optimizer, Wrapper | Compiled):
        return ruled(optimizer.inner)
    raise GameError(f"{type(optimizer).__name__} moves by no rule, so that torch's parameter groups have no numbers.")


def with_rules(optimizer: GameOptimizer, rules: tuple[Rule, ...]) -> GameOptimizer:
    """The same optimizer moving by other rules, one per player."""
    if isinstance(optimizer, Ruled):
        return replace(optimizer, rule=rules)
    assert isinstance(optimizer, Wrapper | Compiled)
    return replace(optimizer, inner=with_rules(optimizer.inner, rules))


def parts(i: int, rule: Rule, player: Vector, names: Sequence[str]) -> list[Part]:
    """The parts of player i that its rule moves apart: one, or those of a `split`."""
    shapes = [torch.empty_like(leaf, device="meta") for leaf in player]  # of which a memory takes no space
    return [
        Part(i, inner, leaves) for inner, leaves in _parts(rule, tuple(range(len(player))), rule.init(shapes, names))
    ]


def _parts(rule: Rule, leaves: tuple[int, ...], memory: Memory) -> list[tuple[Rule, tuple[int, ...]]]:
    if isinstance(rule, clipped) and _divides(rule.rule):
        return _parts(rule.rule, leaves, memory)
    if not isinstance(rule, split):
        return [(rule, leaves)]
    found = []
    for inner, group in ((rule.first, memory["first"]), (rule.second, memory["second"])):
        found += _parts(inner, tuple([leaves[k] for k in group["leaves"]]), group["memory"])
    return found


def _divides(rule: Rule) -> bool:
    return isinstance(rule, split) or (isinstance(rule, clipped) and _divides(rule.rule))


def joined(rule: Rule, new: Iterator[Rule]) -> Rule:
    """The rule with others in the places of its parts."""
    if isinstance(rule, split):
        return replace(rule, first=joined(rule.first, new), second=joined(rule.second, new))
    if isinstance(rule, clipped) and _divides(rule.rule):
        return replace(rule, rule=joined(rule.rule, new))
    return next(new)


def numbers(rule: Rule) -> dict[str, Any]:
    """The hyperparameters of a rule and of what it goes around, by name.

    >>> import minimax as mm
    >>> numbers(mm.clipped(mm.sgd(0.1), norm=1.0))
    {'lr': 0.1, 'momentum': 0.0, 'weight_decay': 0.0, 'norm': 1.0}
    """
    if isinstance(rule, from_torch):
        return {"lr": rule.lr} | {name: value for name, value in rule.options if _is_number(value)}
    found: dict[str, Any] = {}
    for name, value in _settings(rule):
        found |= numbers(value) if isinstance(value, Rule) else {name: value}
    return found


def written(rule: Rule, values: Mapping[str, Any]) -> Rule:
    """The rule with these numbers, those of what it goes around included."""
    if isinstance(rule, from_torch):
        own = {"lr": rule.lr, **dict(rule.options)}
        return from_torch(rule.optimizer, **own | {name: values[name] for name in own.keys() & values.keys()})
    changes = {}
    for name, value in _settings(rule):
        if isinstance(value, Rule):
            changes[name] = written(value, values)
        elif name in values:
            changes[name] = values[name]
    return replace(rule, **changes)


def _settings(rule: Rule) -> Iterator[tuple[str, Any]]:
    """The rules inside a rule and its hyperparameters, not its flags and functions, which their types tell apart."""
    for field in fields(rule):
        value = getattr(rule, field.name)
        number = field.type == Hyperparameter or "Hyperparameter" in str(field.type)
        if isinstance(value, Rule) or (number and value is not None):
            yield field.name, value


def _is_number(value: Any) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(map(_is_number, value))
    return callable(value) or isinstance(value, Tensor) or (isinstance(value, int | float) and type(value) is not bool)
