"""Games: what users build. The players' losses in; `minimax.oracle` makes the differential oracles of them.

Every player minimises its own loss; `zero_sum` puts the sign in once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from minimax import tree, validation
from minimax.errors import GameError
from minimax.graph import Fault
from minimax.oracle import Loss, Oracle, Players, Projection
from minimax.swap import Modules
from minimax.tree import Point

_ATTRIBUTES = ("_losses", "_signs", "constraints", "_modules", "_held", "reentrant", "_oracle")  # of a game


class Game:
    r"""A differentiable game: player i minimises its own loss L_i(z, batch).

    F(z) = (∂_1 L_1, ..., ∂_n L_n) is the field that gradient play follows, DF its Jacobian.

    Args:
        losses: one function per player, each returning a scalar, or one function that returns all the losses (then
            simultaneous play shares the forward pass). Called as `loss(*players)`, or `loss(*players, batch)` when
            there is a batch; must be pure, all randomness comes in through `batch`.
        constraints: per player, the projection of a tensor on the player's feasible set (see `minimax.projections`),
            or None. Applied to every leaf after every move, half steps included.

    Raises:
        GameError: no loss, or a loss that is not callable; at the first evaluation, losses that are not scalars, do not
            match the players, or ignore their own player.

    Example:
        >>> import torch, minimax as mm
        >>> chase = mm.Game(lambda x, y: (x - y) ** 2, lambda x, y: (x + y) ** 2)
        >>> chase.field((torch.tensor(1.0), torch.tensor(2.0)))
        (tensor(-2.), tensor(6.))
    """

    def __init__(self, *losses: Loss, constraints: Sequence[Projection | None] | None = None) -> None:
        if not losses:
            raise GameError("Game needs at least one loss function, got none.")
        for k, loss in enumerate(losses):
            if not callable(loss):
                raise GameError(f"losses[{k}] must be a function of the players, got {type(loss).__name__}.")
        for k, constraint in enumerate(_entries(constraints)):
            if constraint is not None:
                validation.function(f"constraints[{k}]", constraint, "a projection of a tensor, or None")
        self._losses = losses
        self._signs: tuple[int, ...] | None = None
        self.constraints = tuple(_entries(constraints)) if constraints is not None else None
        self._modules: Modules | None = None
        self._held: Mapping[str, Tensor] = {}
        self.reentrant = False  # whether a loss holds reentrant checkpoints: found out while playing
        self.faults: tuple[Fault, ...] | None = None  # of its second derivatives, likewise
        self._oracle: Callable[..., Oracle] = Oracle

    def _copy(self, **changes: Any) -> Game:
        new = object.__new__(type(self))
        for name in _ATTRIBUTES:  # one by one, as torch 2.10 compiles neither `copy` nor `dict.update`
            object.__setattr__(new, name, changes.get(name, getattr(self, name)))
        new.faults = changes.get("faults")  # of other losses there are others
        return new

    def functional(self, players: Players) -> tuple[Game, Players]:
        """The same game on plain tensors: every `nn.Module` among the players becomes the dict of its parameters.

        The returned game swaps such a dict into the module before it calls the losses, so they receive the module.
        Parameters that do not require gradients stay fixed. Players without modules come back as they are.
        """
        modules = modules_among(players)
        if modules is None:
            return self, players
        values = list(players) if isinstance(players, tuple | list) else list(players.values())
        for i, value in enumerate(values):
            if isinstance(value, nn.Module):
                values[i] = {name: tensor.clone() for name, tensor in modules.parameters(i).items()}
        rebuilt = dict(zip(players, values, strict=True)) if isinstance(players, Mapping) else tuple(values)
        return self._copy(_modules=modules), rebuilt

    @property
    def modules(self) -> Modules | None:
        """The modules that the losses receive, if this game came from `functional` of players with modules."""
        return self._modules

    def holding(self, held: Mapping[str, Tensor]) -> Game:
        """The same game with these buffers and frozen parameters in its modules, whatever they hold themselves."""
        return self._copy(_held=held, faults=self.faults)

    def commit(self, buffers: Mapping[str, Tensor]) -> None:
        """Write the buffers that a step left behind (`Info.buffers`) back into the modules."""
        if self._modules is not None and buffers:
            self._modules.commit(buffers)

    def enter(self, players: Players) -> tuple[Oracle, Point]:
        """The oracle of this game for players of this structure, and the players as a point."""
        game, players = self.functional(players)
        names = None if isinstance(players, tuple | list) else tuple(players)
        pairs = [tree.flatten(value) for value in (players if names is None else players.values())]
        if not pairs:
            raise GameError("there are no players: pass a tuple or dict with at least one.")
        z = tuple([_detached(leaf) for leaf in leaves] for leaves, _ in pairs)
        return game._oracle(game, [spec for _, spec in pairs], names), z

    def losses(self, players: Players, batch: Any = None) -> tuple[Tensor, ...]:
        """(L_1, ..., L_n) at the players. No gradient is taken."""
        oracle, z = self.enter(players)
        with torch.no_grad():
            return oracle.losses(z, batch)

    def gradient(self, players: Players, player: int, batch: Any = None) -> Any:
        """∂_i L_i, shaped like player i. Costs one gradient."""
        oracle, z = self.enter(players)
        oracle.check_player(player)
        return oracle.leave_player(player, oracle.gradient(z, player, batch)[0])

    def field(self, players: Players, batch: Any = None) -> Players:
        """F(z) = (∂_1 L_1, ..., ∂_n L_n), shaped like the players. Costs one gradient per player."""
        oracle, z = self.enter(players)
        return oracle.leave(oracle.field(z, batch)[0])

    def jvp(self, players: Players, v: Players, batch: Any = None) -> Players:
        """(DF) v, shaped like the players. Costs the field and one Hessian-vector product."""
        oracle, z = self.enter(players)
        return oracle.leave(oracle.linearize(z, batch).jvp(self._tangent("v", v, z)))

    def vjp(self, players: Players, u: Players, batch: Any = None) -> Players:
        """(DF)ᵀ u, shaped like the players. Costs the field and one Hessian-vector product."""
        oracle, z = self.enter(players)
        return oracle.leave(oracle.linearize(z, batch).vjp(self._tangent("u", u, z)))

    def block(self, players: Players, i: int, j: int, v: Any, batch: Any = None) -> Any:
        """(∂_j ∂_i L_i) v for v shaped like player j: one block of DF times a vector, shaped like player i."""
        oracle, z = self.enter(players)
        oracle.check_player(i)
        oracle.check_player(j)
        tangent = tree.flatten(v)[0]
        _check_tangent("v", (tangent,), (z[j],))
        return oracle.leave_player(i, oracle.linearize(z, batch).jvp_block(i, j, tangent))

    def _tangent(self, name: str, v: Players, z: Point) -> Point:
        tangent = self.enter(v)[1]
        _check_tangent(name, tangent, z)
        return tangent


def zero_sum(payoff: Loss, constraints: Sequence[Projection | None] | None = None) -> Game:
    """The game min over the first player, max over the second of `payoff(x, y)` or `payoff(x, y, batch)`.

    F = (f_x, -f_y), from one forward and one backward pass. Arguments and errors as for `Game`.

    Example:
        >>> import torch, minimax as mm
        >>> mm.zero_sum(lambda x, y: x * y).field((torch.tensor(3.0), torch.tensor(4.0)))
        (tensor(4.), tensor(-3.))
    """
    return Game(payoff, constraints=constraints)._copy(_signs=(1, -1))


def cooperative(loss: Loss, players: int, constraints: Sequence[Projection | None] | None = None) -> Game:
    """The game in which all players minimise the same loss: F is a gradient field and nothing rotates.

    Example:
        >>> import torch, minimax as mm
        >>> mm.cooperative(lambda x, y: x * y, players=2).field((torch.tensor(3.0), torch.tensor(4.0)))
        (tensor(4.), tensor(3.))
    """
    validation.whole("players", players, at_least=1)
    return Game(loss, constraints=constraints)._copy(_signs=(1,) * players)


def modules_among(players: Players) -> Modules | None:
    """The modules among the players, made ready to be swapped; None if there are none."""
    if not isinstance(players, tuple | list | Mapping):
        raise GameError(f"players must be a tuple or dict of players, got {type(players).__name__}.")
    values = list(players) if isinstance(players, tuple | list) else list(players.values())
    if not any(isinstance(value, nn.Module) for value in values):
        return None
    return Modules([value if isinstance(value, nn.Module) else None for value in values])


def _entries(constraints: Any) -> Sequence[Any]:
    if constraints is None or isinstance(constraints, list | tuple):
        return constraints or ()
    raise GameError(f"constraints must be a tuple with one entry per player, got {validation.shown(constraints)}.")


def _check_tangent(name: str, v: Point, z: Point) -> None:
    if [[leaf.shape for leaf in vector] for vector in v] != [[leaf.shape for leaf in vector] for vector in z]:
        raise GameError(f"{name} must have the structure and the shapes of the players.")


def _detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, Tensor) and leaf.requires_grad else leaf
