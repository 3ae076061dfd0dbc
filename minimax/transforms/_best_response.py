"""A player who answers every batch anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from minimax import admission, tree
from minimax.errors import GameError
from minimax.game import Game
from minimax.linearization import Linearization
from minimax.oracle import Oracle, Players
from minimax.projections import Projection, projected
from minimax.rules import Rule
from minimax.transforms.around import Around, Payoff
from minimax.transforms.checks import check_player, checked_game
from minimax.tree import Point, Vector
from minimax.validation import flag, function, shown, whole

Constraint: TypeAlias = Callable[[Any], Projection]


def best_response(
    game: Game,
    player: int,
    start: Callable[[Any], Any],
    rule: Rule,
    steps: int,
    *,
    through: bool = False,
    constraint: Constraint | None = None,
) -> Game:
    r"""The game of the others, in which one player answers every batch anew, by `steps` moves of a rule.

    y_0 = P(start(batch)), y_{k+1} = P(y_k + d(∂_y L_player(x, y_k))), and every other player plays L_i(x, y_K). The
    answer stands still while their gradients are taken (Danskin): that is the gradient of max_y f(x, y) where y_K is
    the best answer of a zero-sum game, and projected gradient descent's adversarial training (PGD), TRADES and fast
    adversarial training where it is a good one. With `through` they differentiate through all moves: d/dx L_i(x,
    y_K(x)), as adaptation to a task does (MAML: y is what is added to x), and the leader of `bilevel`.

    Costs K = steps gradients of the answering player before every evaluation, and then what the others' gradients cost;
    with `through` K products more per gradient of another player, and 3 K more per product with the new game's
    Jacobian. Memory: one copy of the answer and of the rule's memory; with `through` the graphs of all K moves. Every
    move is a forward pass that counts in the modules' buffers.

    Args:
        game: the losses, of at least two players.
        player: the index of the one who answers; its place among the losses' arguments stays.
        start: a batch (None if there is none) in, the answer's first value out: tensors, or a pytree of them.
            Randomness comes in through the batch.
        rule: how the player moves; starts afresh at every batch, and its schedules count the K moves. `sign` and
            `adam` as good as `sgd`.
        steps: K >= 0.
        through: differentiate through the answer.
        constraint: a batch in, the projection P of the answer's leaves out; None for the game's own constraint on that
            player. Say `lambda batch: box(-batch["x"], 1 - batch["x"])` for images that stay in [0, 1].

    Raises:
        TypeError: what is no game, rule, or function.
        ValueError: a player that is no index, or steps below 0.
        GameError: a player that there is not; a leader (see `bilevel`) that would stand still without `through`; at the
            first evaluation, a start or a constraint that does not return what it should, or a rule without derivatives
            (`from_torch`) to be differentiated through.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.zero_sum(lambda w, δ, x: -(w * (x + δ)).sum(), constraints=(None, mm.projections.box(-0.5, 0.5)))
        >>> robust = mm.transforms.best_response(game, 1, torch.zeros_like, mm.sgd(10.0), steps=1)
        >>> robust.field((torch.tensor([1.0, -2.0]),), torch.tensor([3.0, 3.0]))[0]  # -(x - 0.5 sign(w))
        tensor([-2.5000, -3.5000])

    Source: Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, 2018; Finn, Abbeel & Levine,
    Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks, 2017.
    """
    flag("through", through)
    response = _checked(game, player, start, rule, steps, through, constraint)
    around = _Through if through else _Answered
    return _of_the_others(game, player, lambda inner: around(inner, response))


def response(
    game: Game,
    players: Players,
    player: int,
    start: Callable[[Any], Any],
    rule: Rule,
    steps: int,
    *,
    batch: Any = None,
    constraint: Constraint | None = None,
) -> Any:
    """What a player answers in `best_response`: an attack on a trained model, the adaptation to a task.

    Costs K gradients of that player. Modules, with their buffers, are left as they are.

    Args:
        game: the losses of all players.
        players: the others, as `best_response` has them.
        player: the index of the one who answers, among all.
        start: as for `best_response`, as are all that follow.
        rule: how the player moves.
        steps: K.
        batch: what is answered.
        constraint: the projection of the answer's leaves for a batch.

    Returns:
        the answer, in the structure of start(batch).

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.zero_sum(lambda w, δ, x: -(w * (x + δ)).sum(), constraints=(None, mm.projections.box(-0.5, 0.5)))
        >>> w, x = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 3.0])
        >>> mm.transforms.response(game, (w,), 1, torch.zeros_like, mm.sgd(10.0), steps=1, batch=x)
        tensor([-0.5000,  0.5000])
    """
    checked = _checked(game, player, start, rule, steps, False, constraint)
    oracle, z = _of_the_others(game, player, lambda inner: _Answered(inner, checked)).enter(players)
    assert isinstance(oracle, _Answered)
    return oracle.inner.leave_player(player, checked.to(oracle.inner, z, batch))


def _checked(game: Game, player: int, start: Any, rule: Any, steps: int, through: bool, constraint: Any) -> _Response:
    checked_game("game", game)
    whole("player", player, at_least=0)
    function("start", start, "a function of the batch")
    admission.rule("best_response", rule)
    whole("steps", steps, at_least=0)
    if constraint is not None:
        function("constraint", constraint, "a function from a batch to a projection")
    if game.count is not None:
        check_player(player, game.count)
    if game.leader is not None and (player == game.leader or not through):
        raise GameError(
            "the leader of a bilevel game moves by the follower's answer alone: let the follower answer, with "
            "through=True."
        )
    return _Response(player, start, rule, steps, through, constraint)


def _of_the_others(game: Game, player: int, around: Callable[[Oracle], Oracle]) -> Game:
    """The game that is left when one player answers."""

    def seats(others: int) -> tuple[int | None, ...]:
        check_player(player, others + 1)
        return (*range(player), None, *range(player, others))

    left = None if game.constraints is None else (*game.constraints[:player], *game.constraints[player + 1 :])
    return game.through(around, seats=seats, constraints=left)


@dataclass(frozen=True)
class _Response:
    """How a player answers."""

    player: int
    start: Callable[[Any], Any]
    rule: Rule
    steps: int
    through: bool
    constraint: Constraint | None

    def first(self, game: Oracle, batch: Any) -> Vector:
        """start(batch)."""
        value = self.start(batch)
        y, spec = tree.flatten(value)
        if not y or not all(isinstance(leaf, Tensor) and leaf.is_floating_point() for leaf in y):
            raise GameError(f"start must return floating point tensors, or a pytree of them, got {shown(value)}.")
        game.seating.specs[self.player].spec = spec
        return [leaf.detach() for leaf in y]

    def projection(self, game: Oracle, batch: Any) -> Callable[[Vector], Vector]:
        """P for a batch."""
        if self.constraint is None:
            return partial(game.project, self.player)
        projection = self.constraint(batch)
        if not callable(projection):
            raise GameError(f"constraint must return a projection for a batch, got {shown(projection)}.")
        return partial(projected, "constraint(batch)", projection)

    def among(self, z: Point, y: Vector) -> Point:
        """Everyone: the others at z, and this player at y."""
        return (*z[: self.player], y, *z[self.player :])

    def others(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """What is the others' of everyone's."""
        return (*values[: self.player], *values[self.player + 1 :])

    def signs(self, game: Oracle) -> tuple[int, ...] | None:
        """The signs of the others' losses relative to the first of these."""
        if game.signs is None:
            return None
        signs = self.others(game.signs)
        return tuple(sign * signs[0] for sign in signs)

    def seat(self, i: int) -> int:
        """Where the i-th of the others sits among all."""
        return i if i < self.player else i + 1

    def to(self, game: Oracle, z: Point, batch: Any) -> Vector:
        """The answer to the others at z; a function of z only where it is to be differentiated through."""
        project = self.projection(game, batch)
        y = project(self.first(game, batch))
        if not self.through:
            z = tuple([leaf.detach() for leaf in vector] for vector in z)
        memory = self.rule.init(y, game.leaves()[self.player])
        with game.staying(self.among(z, y)):
            for k in torch.arange(self.steps):
                at = self.among(z, y)
                g = game.slope(at, self.player, batch) if self.through else game.gradient(at, self.player, batch)[0]
                d, memory = self.rule.move(y, g, memory, k)
                if self.through and _graph(g) and not _graph(d):
                    raise GameError(
                        f"{shown(self.rule)} has no derivative in the gradient, so that nothing is seen through its "
                        "moves: use sgd or adam, or through=False."
                    )
                y = project(tree.add(y, d))
        return y


def _graph(vector: Vector) -> bool:
    return any(leaf.requires_grad for leaf in vector)


class _Beside(Payoff):
    """The others' losses, this player standing at y."""

    def __init__(self, inner: Oracle, response: _Response, outer: Oracle, y: Vector) -> None:
        super().__init__(inner)
        self.game, self.seating = outer.game, outer.seating
        self.response, self.outer, self.y = response, outer, y
        self.signs = response.signs(inner)

    def price(self, i: int) -> tuple[int, int]:
        return self.inner.price(self.response.seat(i))

    def answer(self, z: Point, batch: Any) -> Vector:
        return self.y

    def loss(self, z: Point, i: int, batch: Any) -> Tensor:
        if self.joint:
            return self.losses(z, batch)[i]
        at = self.response.among(z, self.answer(z, batch))
        return self.inner.loss(at, self.response.seat(i), batch)

    def losses(self, z: Point, batch: Any) -> tuple[Tensor, ...]:
        if not self.joint:
            return tuple(self.loss(z, i, batch) for i in range(self.players))
        return self.response.others(self.inner.losses(self.response.among(z, self.answer(z, batch)), batch))

    def silent(self) -> Oracle:
        return _Beside(self.inner.silent(), self.response, self.outer, self.y)


class _Answered(Around):
    """Answers first, and then asks what it is asked for while the answer stands still."""

    def __init__(self, inner: Oracle, response: _Response) -> None:
        super().__init__(inner)
        self.response, self.signs = response, response.signs(inner)

    def price(self, i: int) -> tuple[int, int]:
        return self.inner.price(self.response.seat(i))

    def beside(self, z: Point, batch: Any) -> Oracle:
        return _Beside(self.inner, self.response, self, self.response.to(self.inner, z, batch))

    def loss(self, z: Point, i: int, batch: Any) -> Tensor:
        return self.beside(z, batch).loss(z, i, batch)

    def losses(self, z: Point, batch: Any) -> tuple[Tensor, ...]:
        return self.beside(z, batch).losses(z, batch)

    def gradient(self, z: Point, i: int, batch: Any, of: int | None = None) -> tuple[Vector, Tensor]:
        return self.beside(z, batch).gradient(z, i, batch, of)

    def field(self, z: Point, batch: Any) -> tuple[Point, tuple[Tensor, ...]]:
        return self.beside(z, batch).field(z, batch)

    def linearize(self, z: Point, batch: Any) -> Linearization:
        return self.beside(z, batch).linearize(z, batch)

    def plain(self, z: Point, batch: Any) -> tuple[Oracle, Point, Any]:
        return self.inner.plain(self.response.among(z, self.response.first(self.inner, batch)), batch)


class _Through(_Beside):
    """The others' losses as functions of them alone, through the answer."""

    def __init__(self, inner: Oracle, response: _Response) -> None:
        super().__init__(inner, response, inner, [])
        self.signs = None
        self.product = (1 + 3 * response.steps) * inner.product

    def price(self, i: int) -> tuple[int, int]:
        gradients, hvps = super().price(i)
        return gradients, hvps + self.response.steps

    def answer(self, z: Point, batch: Any) -> Vector:
        return self.response.to(self.inner, z, batch)

    def silent(self) -> Oracle:
        return Payoff.silent(self)

    def plain(self, z: Point, batch: Any) -> tuple[Oracle, Point, Any]:
        return self.inner.plain(self.response.among(z, self.response.first(self.inner, batch)), batch)
