"""Games: what users build. The players' losses in; `minimax.oracle` makes the differential oracles of them.

Every player minimises its own loss; `zero_sum` puts the sign in once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from minimax import tree, validation
from minimax.bare import Bare, check_constraints
from minimax.errors import GameError
from minimax.oracle import Loss, Oracle
from minimax.projections import Projection
from minimax.shared import Found, Seating, Seats, Shared
from minimax.swap import Modules
from minimax.tree import Point, Vector
from minimax.types import P, Players


class Game:
    r"""A differentiable game: player i minimises its own loss L_i(z, batch).

    F(z) = (∂_1 L_1, ..., ∂_n L_n) is the field that gradient play follows, DF its Jacobian.

    Args:
        losses: one function per player, each returning a scalar, or one function that returns all the losses (then
            simultaneous play shares the forward pass). Called as `loss(*players)`, or `loss(*players, batch)` when
            there is a batch; must be pure, all randomness comes in through `batch`.
        constraints: per player, the projection of a tensor on the player's feasible set (see `minimax.projections`),
            or None. Applied to every leaf after every move, half steps included.
        signs: of one function that returns one payoff, whether each player minimises (1) or maximises it (-1); see
            `zero_sum` and `cooperative`.
        leader: the index of a player whose loss need not depend on it (see `transforms.bilevel`).

    Raises:
        GameError: no loss, or a loss that is not callable; signs that are not 1 or -1, or of several losses; a leader
            that is no player; at the first evaluation, losses that are not scalars, do not match the players, or ignore
            their own player.

    Attributes:
        functions: the losses as they were given; of a game within transforms, those of the innermost one.
        modules: what the losses receive, if this game came from `functional` of players with modules.
        held: the buffers and frozen parameters that every step starts from; empty for those of the modules.
        found: what was found out about the losses while playing.

    Example:
        >>> import torch, minimax as mm
        >>> chase = mm.Game(lambda x, y: (x - y) ** 2, lambda x, y: (x + y) ** 2)
        >>> chase.field((torch.tensor(1.0), torch.tensor(2.0)))
        (tensor(-2.), tensor(6.))
    """

    def __init__(
        self,
        *losses: Loss,
        constraints: Sequence[Projection | None] | None = None,
        signs: Sequence[int] | None = None,
        leader: int | None = None,
    ) -> None:
        if not losses:
            raise GameError("Game needs at least one loss function, got none.")
        for k, loss in enumerate(losses):
            if not callable(loss):
                raise GameError(f"losses[{k}] must be a function of the players, got {type(loss).__name__}.")
        if signs is not None and (len(losses) > 1 or not signs or any(sign not in (1, -1) for sign in signs)):
            raise GameError(f"signs are 1 or -1 per player, of one payoff; got {signs} for {len(losses)} losses.")
        if leader is not None:
            validation.whole("leader", leader, at_least=0)
        self.functions = losses
        self.signs = None if signs is None else tuple(signs)
        self.constraints = _constraints(constraints)
        self.leader = leader
        self.modules: Modules | None = None
        self.held: Mapping[str, Tensor] = {}
        self.found = Found()
        self._inner: Game | None = None  # what a transform goes around
        self._around: Callable[[Oracle], Oracle] | None = None
        self._seats: Seats | None = None

    def _copy(self, **changes: Any) -> Game:
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__, **changes)
        return new

    # --------------------------------------------------------------------------------------------- other games of it

    def through(
        self,
        around: Callable[[Oracle], Oracle],
        *,
        seats: Seats | None = None,
        constraints: Sequence[Projection | None] | None = None,
    ) -> Game:
        """The same game, seen through a transform of its oracle (see `minimax.transforms`).

        Args:
            around: the oracle of this game in, that of the new one out; called once a step, and to be pure.
            seats: if the new game has other players than this one: from how many those are to the player of the new
                game, or None, that each player of this game is. For None the oracle itself answers.
            constraints: those of the new game; None for this one's, or for none if the players are others.

        Raises:
            TypeError: an around that is no function; when the game is played, one that returns no oracle.
            GameError: when the game is played, constraints that are not as many as the players.
        """
        validation.function("around", around, "a function from an oracle to an oracle", classes=True)
        new = {"_inner": self, "_around": around, "_seats": seats, "found": Found()}
        if seats is not None:
            new |= {"constraints": None, "signs": None, "leader": None}
        if constraints is not None:
            new["constraints"] = _constraints(constraints)
        return self._copy(**new)

    def mapped(self, change: Callable[[Loss], Loss]) -> Game:
        """The same game of other losses, whatever transforms lie around them: every function put through `change`."""
        validation.function("change", change, "a function from a loss to a loss", classes=True)
        inner = None if self._inner is None else self._inner.mapped(change)
        functions = tuple(change(function) for function in self.functions)
        return self._copy(functions=functions, found=Found(), _inner=inner)

    @property
    def count(self) -> int | None:
        """How many players there are, if the game tells before it is played."""
        if self.constraints is not None:
            return len(self.constraints)
        if self._seats is not None:
            return None
        if self.signs is not None:
            return len(self.signs)
        if self._inner is not None:
            return self._inner.count
        return len(self.functions) if len(self.functions) > 1 else None

    def functional(self, players: Players) -> tuple[Game, Any]:
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
        return self._copy(modules=modules, found=Found()), rebuilt

    def holding(self, held: Mapping[str, Tensor]) -> Game:
        """The same game with these buffers and frozen parameters in its modules, whatever they hold themselves."""
        return self._copy(held=held)

    def commit(self, buffers: Mapping[str, Tensor]) -> None:
        """Write the buffers that a step left behind (`Info.buffers`) back into the modules."""
        if self.modules is not None and buffers:
            self.modules.commit(buffers)

    def enter(self, players: Players) -> tuple[Oracle, Point]:
        """The oracle of this game for players of this structure, and the players as a point."""
        game, plain = self.functional(players)
        names = None if isinstance(plain, tuple | list) else tuple(plain)
        pairs = [tree.flatten(value) for value in (plain if names is None else plain.values())]
        if not pairs:
            raise GameError("there are no players: pass a tuple or dict with at least one.")
        z = tuple([_detached(leaves) for leaves, _ in pairs])
        seating = Seating(tuple([spec for _, spec in pairs]), names, tuple(range(len(pairs))))
        return game._open(seating, Shared(game.modules, dict(game.held), game.found)), z

    def _open(self, seating: Seating, shared: Shared) -> Oracle:
        """The oracle of this game, from the innermost to the outermost."""
        if self._inner is None:
            return Bare(self, seating, shared)
        inner = seating if self._seats is None else seating.seated(self._seats(len(seating.specs)))
        return self.surround(self._inner._open(inner, shared), seating)

    def surround(self, inner: Oracle, seating: Seating) -> Oracle:
        """The oracle of this game around one of the game that this is a transform of."""
        assert self._around is not None
        oracle = self._around(inner)
        if not isinstance(oracle, Oracle):
            raise TypeError(f"through takes a function that returns an oracle, got {validation.shown(oracle)}.")
        check_constraints(self.constraints, len(seating.specs))
        oracle.game, oracle.seating = self, seating
        return oracle

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

    def field(self, players: P, batch: Any = None) -> P:
        """F(z) = (∂_1 L_1, ..., ∂_n L_n), shaped like the players. Costs one gradient per player."""
        oracle, z = self.enter(players)
        field: P = oracle.leave(oracle.field(z, batch)[0])
        return field

    def jvp(self, players: P, v: P, batch: Any = None) -> P:
        """(DF) v, shaped like the players. Costs the field and one Hessian-vector product."""
        oracle, z = self.enter(players)
        product: P = oracle.leave(oracle.linearize(z, batch).jvp(self._tangent("v", v, z)))
        return product

    def vjp(self, players: P, u: P, batch: Any = None) -> P:
        """(DF)ᵀ u, shaped like the players. Costs the field and one Hessian-vector product."""
        oracle, z = self.enter(players)
        product: P = oracle.leave(oracle.linearize(z, batch).vjp(self._tangent("u", u, z)))
        return product

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
    return Game(payoff, signs=(1, -1), constraints=constraints)


def cooperative(loss: Loss, players: int, constraints: Sequence[Projection | None] | None = None) -> Game:
    """The game in which all players minimise the same loss: F is a gradient field and nothing rotates.

    Example:
        >>> import torch, minimax as mm
        >>> mm.cooperative(lambda x, y: x * y, players=2).field((torch.tensor(3.0), torch.tensor(4.0)))
        (tensor(4.), tensor(3.))
    """
    validation.whole("players", players, at_least=1)
    return Game(loss, signs=(1,) * players, constraints=constraints)


def modules_among(players: Players) -> Modules | None:
    """The modules among the players, made ready to be swapped; None if there are none."""
    if not isinstance(players, tuple | list | Mapping):
        raise GameError(f"players must be a tuple or dict of players, got {type(players).__name__}.")
    values = list(players) if isinstance(players, tuple | list) else list(players.values())
    if not [value for value in values if isinstance(value, nn.Module)]:
        return None
    return Modules([value if isinstance(value, nn.Module) else None for value in values])


def _constraints(constraints: Any) -> tuple[Projection | None, ...] | None:
    if constraints is None:
        return None
    if not isinstance(constraints, list | tuple):
        raise GameError(f"constraints must be a tuple with one entry per player, got {validation.shown(constraints)}.")
    for k, constraint in enumerate(constraints):
        if constraint is not None:
            validation.function(f"constraints[{k}]", constraint, "a projection of a tensor, or None")
    return tuple(constraints)


def _check_tangent(name: str, v: Point, z: Point) -> None:
    if [[leaf.shape for leaf in vector] for vector in v] != [[leaf.shape for leaf in vector] for vector in z]:
        raise GameError(f"{name} must have the structure and the shapes of the players.")


def _detached(leaves: list[Any]) -> Vector:
    return [leaf.detach() if isinstance(leaf, Tensor) and leaf.requires_grad else leaf for leaf in leaves]
