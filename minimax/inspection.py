"""What can be seen of losses once, at the first step, that would be silently wrong at every later one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from minimax import tree
from minimax.errors import GameError
from minimax.game import Game
from minimax.graph import faults, nodes, reached, reentrant
from minimax.oracle import Oracle, Players
from minimax.swap import Modules
from minimax.tree import Point


def inspect(game: Game, players: Players, batch: Any) -> None:
    """Evaluate every loss once, with a graph, and refuse what would stand still without a word.

    Costs one forward pass of every loss. On micro-batches the first one is looked at, on ranks the rank's own; random
    numbers are drawn aside, and buffers stay.

    Args:
        game: the losses.
        players: where to look; plain tensors (see `Game.functional`).
        batch: the batch to look at.

    Raises:
        GameError: a loss that does not depend on its player, or that reaches a module's parameters by another way than
            the module's attributes.

    Example:
        >>> import torch, minimax as mm
        >>> inspect(mm.Game(lambda x, y: x * y, lambda x, y: x), (torch.tensor(1.0), torch.tensor(1.0)), None)
        Traceback (most recent call last):
        ...
        minimax.errors.GameError: the loss of players[1] does not depend on that player: its gradient would be zero.
    """
    oracle, z, batch = _live(game, players, batch)
    found = oracle.shared.found
    for i in range(oracle.players):
        with _aside(z):
            loss = oracle.loss(z, i, batch)
        seen, hidden = reached(loss), reentrant(loss)
        if hidden:
            found.reentrant = True
        key = (oracle.depth, oracle.players)
        found.faults[key] = (*found.faults.get(key, ()), *faults([loss]))
        _refuse_others(oracle.modules, seen)
        if not hidden and not oracle.may_ignore(i) and not any(id(leaf) in seen for leaf in z[i]):
            raise oracle.ignored(i)


def refuse_cuts(game: Game, players: Players, batch: Any) -> None:
    """Refuse losses that cut a gradient by hand, for optimizers that take products with DF, which it makes wrong.

    Costs two forward passes of every loss: the second one with `detach`, `.data` and `no_grad` (around a player's
    module) without effect. A cut that counts is one that makes the graph of the loss larger then.

    Args:
        game: the losses.
        players: where to look; plain tensors.
        batch: the batch to look at.

    Raises:
        GameError: a loss that cuts a gradient.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.Game(lambda x, y: x * y, lambda x, y: -x.detach() * y)
        >>> refuse_cuts(game, (torch.tensor(1.0), torch.tensor(1.0)), None)
        Traceback (most recent call last):
        ...
        minimax.errors.GameError: the loss of players[1] cuts a gradient (detach, .data or no_grad), ...
    """
    oracle, z, batch = _live(game, players, batch)
    for i in range(oracle.players):
        with _aside(z):
            size = sum(1 for _ in nodes(oracle.loss(z, i, batch)))
        if _size_uncut(oracle, z, i, batch) > size:
            raise GameError(
                f"the loss of {oracle.name(i)} cuts a gradient (detach, .data or no_grad), so that the second "
                "derivatives this optimizer takes would leave out what is behind it: drop the cut, as a player's "
                "gradient is taken with respect to that player alone; or pass check=False if it is meant."
            )


def _live(game: Game, players: Players, batch: Any) -> tuple[Oracle, Point, Any]:
    """The oracle of the bare losses, the players as leaves of a graph, and the batch as the losses see it."""
    oracle, z = game.enter(players)
    oracle, z, batch = oracle.silent().plain(z, batch)
    return oracle, tuple([leaf.detach().requires_grad_() for leaf in vector] for vector in z), batch


@contextmanager
def _aside(z: Point) -> Iterator[None]:
    """With gradients, and with random numbers that are drawn again afterwards."""
    devices = {leaf.device for leaf in tree.join(z) if leaf.is_cuda}
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        yield


def _refuse_others(modules: Modules | None, seen: dict[int, Tensor]) -> None:
    """Refuse a loss that reaches the modules' own parameters: those of this evaluation stand in their places."""
    for i in range(0 if modules is None else len(modules.names)):
        for name, parameter in [] if modules is None else modules.originals(i):
            if id(parameter) in seen:
                raise GameError(
                    f"a loss reaches players[{i}].{name} by another way than that attribute of its module (a list, a "
                    "closure, a cached view), where it would stand still without a word: read the attribute in "
                    "`forward`, or keep the list in an nn.ParameterList or nn.ModuleList."
                )


def _size_uncut(oracle: Oracle, z: Point, i: int, batch: Any) -> int:
    """How many nodes the graph of a loss has when nothing cuts it; 0 where that cannot be told."""
    modules = [] if oracle.modules is None else [m for m in oracle.modules.modules if m is not None]
    handles = [handle for module in modules for handle in _with_gradients(module)]
    try:
        with _aside(z), _Undetached():
            return sum(1 for _ in nodes(oracle.loss(z, i, batch)))
    except RuntimeError:  # what was detached is written to, say
        return 0
    finally:
        for handle in handles:
            handle.remove()


CUTS = (Tensor.detach, Tensor.detach_, Tensor.data.__get__)  # type: ignore[attr-defined] # it is a descriptor


class _Undetached(TorchFunctionMode):
    """Gives the tensor itself where a part of a graph is detached."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in CUTS and isinstance(args[0], Tensor) and args[0].requires_grad:
            return args[0]
        return function(*args, **(kwargs or {}))


def _with_gradients(module: nn.Module) -> list[RemovableHandle]:
    """Hooks under which the module builds its graph even within no_grad."""
    before: list[bool] = []

    def enter(*_: Any) -> None:
        before.append(torch.is_grad_enabled())
        torch.set_grad_enabled(True)

    def leave(*_: Any) -> None:
        torch.set_grad_enabled(before.pop())

    return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave, always_call=True)]
