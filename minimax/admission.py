"""What optimizers are handed, rules, players, batches and states, and what they refuse of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from minimax import tree
from minimax.errors import GameError
from minimax.oracle import Oracle, Players
from minimax.rules import Rule
from minimax.tree import Point
from minimax.validation import shown


def rule(taker: str, value: Any, *, kicks: bool = False) -> None:
    """Refuse what is no rule, and say how it becomes one.

    Args:
        taker: what it was given to.
        value: the rule.
        kicks: whether the taker hands rules their draws of the batch.

    Raises:
        TypeError: names the taker, and what was given.
        ValueError: a rule that takes a draw of the batch, where it would get none.
    """
    if isinstance(value, Rule):
        if value.kicks and not kicks:
            raise ValueError(f"{taker} has no draw of the batch for {type(value).__name__}: use sgd or adam.")
        return
    cure = f"{taker}(sgd(0.1))"
    if isinstance(value, int | float):
        cure = f"{taker}(sgd({value}))"
    elif isinstance(value, type) and issubclass(value, Rule):
        cure = f"{taker}({value.__name__}(0.1))"
    kind = value if isinstance(value, type) else type(value)
    if issubclass(kind, torch.optim.Optimizer):
        cure = f"{taker}(from_torch(torch.optim.{kind.__name__}, lr=...))"
    raise TypeError(f"{taker} moves players by a rule, got {shown(value)}: {cure}, say.")


def plain(players: Players) -> Players:
    """The players, unless there are modules among them."""
    values = players.values() if isinstance(players, dict) else players
    for value in values if isinstance(values, Iterable) and not isinstance(values, Tensor) else ():
        if isinstance(value, torch.nn.Module):
            raise GameError(
                f"{type(value).__name__} is an nn.Module, which a pure step cannot move: use minimax.bind or "
                "minimax.solve, or game, players = game.functional(players)."
            )
    return players


def players(oracle: Oracle, z: Point) -> None:
    """Refuse players that hold anything but real, dense tensors with values, on one device."""
    devices = {leaf.device for vector in z for leaf in vector if isinstance(leaf, Tensor)}
    for i, vector in enumerate(z):
        if not vector:
            raise GameError(f"{oracle.name(i)} has no tensors (or none that requires gradients): nothing can move.")
        for leaf in vector:
            if not isinstance(leaf, Tensor):
                raise GameError(f"{oracle.name(i)} holds a {type(leaf).__name__}; players hold tensors only.")
            if leaf.is_complex():
                raise GameError(f"{oracle.name(i)} holds {leaf.dtype}; players are real: use torch.view_as_real.")
            if not leaf.is_floating_point():
                raise GameError(f"{oracle.name(i)} holds {leaf.dtype}; players must be floating point: use .float().")
            if leaf.layout != torch.strided:
                raise GameError(f"{oracle.name(i)} holds a {leaf.layout} tensor; players are dense: use .to_dense().")
            if leaf.is_meta:
                raise GameError(f"{oracle.name(i)} lies on the meta device and holds no numbers: make it on another.")
            if leaf.is_inference() and not torch.is_inference_mode_enabled():
                raise GameError(f"{oracle.name(i)} was made under torch.inference_mode: .clone() it outside of it.")
    if len(devices) > 1:
        raise GameError(f"players lie on several devices ({', '.join(sorted(map(str, devices)))}): move them to one.")


def batches(name: str, draws: int, given: Any) -> Sequence[Any]:
    """One batch per draw, from what a step was passed.

    Raises:
        GameError: another number of batches, or batches that cannot be of one kind, as the x and y of a data loader.
    """
    if given is None:
        return (None,) * draws
    if draws == 1:
        return (given,)
    if not isinstance(given, list | tuple) or len(given) != draws:
        got = f"{len(given)}" if isinstance(given, list | tuple) else f"one {type(given).__name__}"
        raise GameError(f"a step of {name} takes {draws} batches in a list, got {got}.")
    first = _kind(given[0])
    for k, batch in enumerate(given):
        if _kind(batch) != first:
            raise GameError(
                f"a step of {name} takes {draws} batches, but entries 0 and {k} of the list are not alike: if it is "
                "one batch, pass [batch, batch], or better different ones."
            )
    return given


def state(optimizer: str, given: Any, fresh: Any) -> None:
    """Find out, after an update has failed, whether the state lacks something that a fresh one has.

    Raises:
        GameError: it does.
    """
    if wrong := mismatch(given, fresh, "state", more=True):  # torch's optimizers make their memory by moving
        raise foreign(optimizer, wrong)


def foreign(optimizer: str, why: str) -> GameError:
    """What to raise for a state of another optimizer, or of other players."""
    return GameError(f"the state is not one of {optimizer} and these players, as {why}: make it by init.")


def mismatch(saved: Any, mine: Any, path: str, more: bool = False) -> str:
    """How a saved value differs from mine in structure, shape or dtype, in words; empty if it fits.

    Args:
        saved: a state, or another pytree.
        mine: one of the structure that is wanted.
        path: what to call it.
        more: dicts may hold entries that mine has not.
    """
    if isinstance(mine, Tensor) and isinstance(saved, Tensor):
        kinds = [f"{value.dtype} of shape {tuple(value.shape)}" for value in (saved, mine)]
        return "" if kinds[0] == kinds[1] else f"{path} is {kinds[0]} there, {kinds[1]} here"
    if isinstance(mine, Mapping) and isinstance(saved, Mapping):
        if (mine.keys() - saved.keys()) or (saved.keys() != mine.keys() and not more):
            return f"{path} has the entries {list(saved)} there, {list(mine)} here"
        pairs = [(saved[key], mine[key], f"{path}[{key!r}]") for key in mine]
    elif isinstance(mine, list | tuple) and isinstance(saved, list | tuple):
        if len(saved) != len(mine):
            return f"{path} has {len(saved)} entries there, {len(mine)} here"
        pairs = [(*values, f"{path}[{k}]") for k, values in enumerate(zip(saved, mine, strict=True))]
    else:
        same = type(saved) is type(mine)
        return "" if same else f"{path} is a {type(saved).__name__} there, a {type(mine).__name__} here"
    return next(filter(None, (mismatch(*pair, more) for pair in pairs)), "")


def _kind(batch: Any) -> Any:
    """What batches of one source share: structure, dtypes, and all but the first dimension of shapes."""
    leaves, spec = tree.flatten(batch)
    return spec, [(leaf.dtype, leaf.shape[1:]) if isinstance(leaf, Tensor) else type(leaf) for leaf in leaves]


def batch_size(batch: Any) -> int:
    """How many samples a batch holds: its first tensor's first dimension."""
    if batch is None:
        return 0
    for leaf in tree.flatten(batch)[0]:
        if isinstance(leaf, Tensor) and leaf.dim():
            return leaf.shape[0]
    return 0
