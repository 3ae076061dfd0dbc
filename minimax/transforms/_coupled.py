"""Players who share a constraint."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from minimax import tree
from minimax.errors import GameError
from minimax.game import Game
from minimax.oracle import Loss, Oracle
from minimax.projections import box
from minimax.transforms.around import Payoff
from minimax.transforms.checks import checked_game
from minimax.tree import Point
from minimax.validation import flag, function, shown, whole


def coupled(game: Game, constraint: Loss, *, own: bool = False, players: int | None = None) -> Game:
    r"""The game whose players share the constraint g(z) <= 0, by multipliers λ >= 0 who play last.

    Player i minimises L_i(z) + ⟨λ, g(z)⟩, and one more player, λ, minimises -⟨λ, g(z)⟩ over λ >= 0. Where nobody can
    improve to first order, these are the KKT conditions with one price for all: the *variational* equilibrium, the
    equilibrium of the shared constraint at which everyone pays the same for it (Rosen's normalised one). With `own`
    every player has a multiplier of its own: all generalised Nash equilibria are stationary then, and which one is
    found depends on the start. In games with such multipliers simultaneous play may cycle, as λ and z meet
    bilinearly: play `ExtraGradient` or `OptimisticGDA`.

    Costs one gradient more per step and multiplier, and an evaluation of g with every loss.

    Args:
        game: the losses of n players.
        constraint: g, a function of the players (and the batch), a tensor of any shape: one number per constraint.
            Must depend on the players where it binds; give players limits of their own as the game's constraints.
        own: one multiplier per player instead of one for all. Pass n more players then, else one more: each a tensor
            of the shape of g, with values >= 0, after the game's own.
        players: n, where the game does not tell: one function that returns all losses.

    Raises:
        TypeError: what is no game, or no function.
        GameError: a game that does not tell how many players it has, or has a leader (see `bilevel`); when the game is
            played, a constraint that is no tensor, or multipliers of another shape.

    Example:
        >>> import torch, minimax as mm
        >>> price = lambda x, y: 10 - x - y
        >>> cournot = mm.Game(lambda x, y: (2 - price(x, y)) * x, lambda x, y: (1 - price(x, y)) * y)
        >>> game = mm.transforms.coupled(cournot, lambda x, y: x + y - 4)  # a road for four
        >>> start = tuple(torch.tensor(1.0) for _ in range(3))
        >>> mm.solve(game, start, mm.ExtraGradient(mm.sgd(0.2)), steps=500).players
        (tensor(1.5000), tensor(2.5000), tensor(2.5000))

    Source: Rosen, Existence and Uniqueness of Equilibrium Points for Concave n-Person Games, 1965; Facchinei & Kanzow,
    Generalized Nash Equilibrium Problems, 2007.
    """
    checked_game("game", game)
    function("constraint", constraint, "a function of the players (and the batch)")
    flag("own", own)
    if players is not None:
        whole("players", players, at_least=1)
    if game.leader is not None:
        raise GameError("a bilevel game shares no constraints here: give its players their own, bilevel(constraints=).")
    n = game.count if players is None else players
    if n is None:
        raise GameError(
            "how many players does the game have? Its one loss function does not tell: say players=2, or however many "
            "there are (1 for the Lagrangian of one loss)."
        )
    limits = game.constraints or (None,) * n
    multipliers = n if own else 1

    def seats(given: int) -> range:
        if given != n + multipliers:
            raise GameError(
                f"the game has {n} players and {multipliers} multipliers of the shared constraint, got {given} players."
            )
        return range(n)

    return game.through(
        lambda inner: Coupled(inner, constraint, own),
        seats=seats,
        constraints=(*limits, *(box(0, float("inf")),) * multipliers),
    )


class Coupled(Payoff):
    """The losses of a Lagrangian: the players inside pay for what they use, the multipliers earn it."""

    def __init__(self, inner: Oracle, constraint: Loss, own: bool) -> None:
        super().__init__(inner)
        self.constraint, self.own, self.n = constraint, own, inner.players

    def price(self, i: int) -> tuple[int, int]:
        return self.inner.price(i) if i < self.n else (1, 0)

    def loss(self, z: Point, i: int, batch: Any) -> Tensor:
        if self.joint:
            return self.losses(z, batch)[i]
        if i >= self.n:
            return -self.fee(z, i, self.use(z, batch))
        return self.inner.loss(z[: self.n], i, batch) + self.fee(z, i, self.use(z, batch))

    def losses(self, z: Point, batch: Any) -> tuple[Tensor, ...]:
        if not self.joint:
            return tuple(self.loss(z, i, batch) for i in range(self.players))
        losses, g = self.inner.losses(z[: self.n], batch), self.use(z, batch)
        theirs = [loss + self.fee(z, i, g) for i, loss in enumerate(losses)]
        return (*theirs, *(-self.fee(z, i, g) for i in range(self.n, self.players)))

    def use(self, z: Point, batch: Any) -> Tensor:
        """g(z): above 0 where the constraint is broken."""
        g = self.inner.call(self.constraint, z[: self.n], batch)
        if not isinstance(g, Tensor):
            raise GameError(f"the shared constraint must return a tensor, got {shown(g)}.")
        return g

    def fee(self, z: Point, i: int, g: Tensor) -> Tensor:
        """⟨λ, g⟩, λ being the multiplier i, or the one that player i pays to."""
        at = i if i >= self.n else self.n + (i if self.own else 0)
        λ = z[at]
        if len(λ) != 1 or λ[0].shape != g.shape:
            shapes = [tuple(leaf.shape) for leaf in λ]
            raise GameError(
                f"{self.name(at)} multiplies a constraint of shape {tuple(g.shape)}: it must be one tensor of that "
                f"shape, got {shapes[0] if len(shapes) == 1 else shapes}."
            )
        return tree.dot(λ, [g])

    def plain(self, z: Point, batch: Any) -> tuple[Oracle, Point, Any]:
        return self.inner.plain(z[: self.n], batch)
