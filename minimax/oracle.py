"""A game as an optimizer sees it: differential oracles on points. Only this file and `linearization` differentiate.

An `Oracle` lives for one step: it speaks vectors and points (see `minimax.tree`), meters what it spends, and carries
the modules' buffers from one evaluation to the next. `minimax.bare` calls the losses;
`minimax.transforms` go around that.

First-order oracles use `torch.autograd.grad` on the asked player's leaves alone, so no graph is built through the other
players. Under `vmap`, `grad` or `torch.compile` the same oracles go through `torch.func`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from minimax import tree
from minimax.errors import GameError, Reentrant, misfit, refused
from minimax.graph import faults, reentrant
from minimax.linearization import Functional, Graph, Linearization, signed
from minimax.projections import projected
from minimax.rules import Hyperparameter, now
from minimax.shared import Holding, Seating, Shared
from minimax.swap import Modules
from minimax.tree import Point, Vector
from minimax.types import Players as Players

if TYPE_CHECKING:
    from minimax.game import Game


Loss: TypeAlias = Callable[..., Any]
Projection: TypeAlias = Callable[[Tensor], Tensor]


class Oracle(ABC):
    """A game as one optimizer step sees it: differential oracles on points, with a meter.

    A subclass says what the losses are; everything else follows by differentiating these.

    Args:
        game: the game that this is the oracle of.
        seating: who plays.
        shared: what the oracles of this step write to.
    """

    signs: tuple[int, ...] | None  # of the losses relative to the first one, where they are one function up to the sign
    joint: bool  # whether one evaluation gives all losses
    depth = 0  # how many transforms lie between this oracle and the losses
    product = 1  # what one product with the Jacobian counts as

    def __init__(self, game: Game, seating: Seating, shared: Shared) -> None:
        self.game, self.seating, self.shared = game, seating, shared

    @property
    def players(self) -> int:
        """How many players there are."""
        return len(self.seating.specs)

    @property
    def names(self) -> tuple[str, ...] | None:
        """The players' names, if they came in a dict."""
        return self.seating.names

    @property
    def modules(self) -> Modules | None:
        """The modules among the players."""
        return self.shared.modules

    def name(self, i: int) -> str:
        """How messages call player i."""
        return f"players[{i}]" if self.names is None else f"players[{self.names[i]!r}]"

    def leaves(self) -> tuple[list[str], ...]:
        """What every player's leaves are called (see `tree.names`)."""
        return tuple(tree.names(self.seating.spec(i)) for i in range(self.players))

    def leave_player(self, i: int, vector: Vector) -> Any:
        """A vector of player i in the structure that player came in."""
        return tree.unflatten(vector, self.seating.spec(i))

    def leave(self, z: Point) -> Any:
        """A point in the structure the players came in."""
        values = tuple([self.leave_player(i, vector) for i, vector in enumerate(z)])
        return values if self.names is None else dict(zip(self.names, values, strict=True))

    def project(self, i: int, vector: Vector) -> Vector:
        """Player i's vector, projected on its feasible set."""
        constraint = None if self.game.constraints is None else self.game.constraints[i]
        return vector if constraint is None else projected(f"constraints[{i}]", constraint, vector)

    def at(self, value: Hyperparameter) -> Any:
        """A hyperparameter of the game now: a schedule is asked with the optimizer's step count.

        Raises:
            GameError: a schedule, outside of a step.
        """
        if not callable(value):
            return value
        if self.shared.step is None:
            raise GameError(
                "the weight of a penalty is a schedule, which has a value within an optimizer's step only: to look at "
                "the game elsewhere, make it with the number."
            )
        return now(value, self.shared.step)

    def check_player(self, i: Any) -> None:
        """Refuse what is no player's index."""
        if isinstance(i, bool) or not isinstance(i, int) or not 0 <= i < self.players:
            raise GameError(f"there is no player {i!r}: the players are 0 to {self.players - 1}.")

    # ---------------------------------------------------------------------------------------------------- the meter

    @property
    def gradients(self) -> int:
        """How many gradients of a player's loss this step has taken."""
        return self.shared.gradients

    @gradients.setter
    def gradients(self, count: int) -> None:
        self.shared.gradients = count

    @property
    def hvps(self) -> int:
        """How many products with the Jacobian, or a block of it, this step has taken."""
        return self.shared.hvps

    @hvps.setter
    def hvps(self, count: int) -> None:
        self.shared.hvps = count

    def price(self, i: int) -> tuple[int, int]:
        """The gradients and products that differentiating loss i once costs, besides what evaluating it costs."""
        return 1, 0

    def _pay(self, losses: Sequence[int]) -> None:
        for i in losses:
            gradients, hvps = self.price(i)
            self.shared.gradients += gradients
            self.shared.hvps += hvps

    # ------------------------------------------------------------------------------------------------- evaluation

    @abstractmethod
    def loss(self, z: Point, i: int, batch: Any) -> Tensor:
        """L_i, differentiable."""

    @abstractmethod
    def losses(self, z: Point, batch: Any) -> tuple[Tensor, ...]:
        """(L_1, ..., L_n), differentiable."""

    @abstractmethod
    def silent(self) -> Oracle:
        """A copy whose evaluations leave no trace in this one: they count nothing and keep no buffers."""

    @abstractmethod
    def plain(self, z: Point, batch: Any) -> tuple[Oracle, Point, Any]:
        """The oracle of the losses themselves, without what transforms wrap around them; the point and batch it sees.

        For what is looked for in losses once (see `minimax.inspection`), not for playing.
        """

    def call(self, function: Loss, z: Point, batch: Any) -> Any:
        """What a function of the players and the batch gives, called as the losses are: with the modules themselves."""
        shared = self.shared
        if shared.modules is not None and not self._seated(z):
            with Holding(shared, self.seating, z):
                return self.call(function, z, batch)
        modules = () if shared.modules is None else shared.modules.modules
        players = []
        for i, place in enumerate(self.seating.places):
            module = modules[place] if modules and place is not None else None
            players.append(self.leave_player(i, z[i]) if module is None else module)
        try:
            return function(*players) if batch is None else function(*players, batch)
        except TypeError as error:
            if (wrong := misfit(function, len(players), batch)) is not None:
                raise wrong from error
            raise

    def holding(self, z: Point) -> AbstractContextManager[None]:
        """Keeps z in the modules: while a loss runs, and while it is differentiated, as checkpoints run it again then.

        Buffers go from one evaluation to the next, so that every forward pass counts, in order, as in a torch loop.
        """
        still = self.modules is None or self._seated(z)
        return nullcontext() if still else Holding(self.shared, self.seating, z)

    def staying(self, z: Point) -> AbstractContextManager[None]:
        """The same for several evaluations, among which players that are no modules move.

        Not for modules with buffers: an evaluation that is tried again has to find them as they were.
        """
        return nullcontext() if self.modules is None or self.modules.buffers else self.holding(z)

    def _seated(self, z: Point) -> bool:
        """Whether what z has for the modules stands in them."""
        inside, places = self.shared.inside, self.seating.places
        return inside is not None and not [
            i for i, k in enumerate(places) if k is not None and inside.get(k) is not z[i]
        ]

    def scalar(self, value: Any, i: int) -> Tensor:
        """The value, if it can be a loss of player i.

        Raises:
            GameError: it is no 0-dim tensor.
        """
        if not isinstance(value, Tensor) or value.dim() != 0:
            got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise GameError(f"the loss of {self.name(i)} must be a 0-dim tensor, got {got}: reduce it, say by .mean().")
        return value

    # ------------------------------------------------------------------------------------------------ first order

    def gradient(self, z: Point, i: int, batch: Any, of: int | None = None) -> tuple[Vector, Tensor]:
        """∂_i L_i and L_i, or ∂_i L_of and L_of. One gradient."""
        k = i if of is None else of
        self._pay([k])
        if tree.transformed():
            return self._func_gradient(lambda z_i: self.loss((*z[:i], z_i, *z[i + 1 :]), k, batch), z[i])
        before, found = self.shared.buffers, self.shared.found
        try:
            return self._evaluated(z, i, k, batch)
        except Reentrant:
            if found.reentrant:
                raise
        found.reentrant, self.shared.buffers = True, before
        return self._evaluated(z, i, k, batch)

    def _evaluated(self, z: Point, i: int, k: int, batch: Any) -> tuple[Vector, Tensor]:
        """∂_i L_k and L_k by autograd."""
        z_i, own = _leaves(z[i]), i if k == i else None
        at = (*z[:i], z_i, *z[i + 1 :])
        with torch.enable_grad(), self.holding(at):
            loss = self.loss(at, k, batch)
            if self.shared.found.reentrant and loss.requires_grad:  # such checkpoints know no autograd.grad
                self.shared.scaled(loss).backward()
                return self._whole(self.shared.unscaled([leaf.grad for leaf in z_i]), z_i, own), loss.detach()
            return self._whole(self._partial(loss, z_i), z_i, own), loss.detach()

    def field(self, z: Point, batch: Any) -> tuple[Point, tuple[Tensor, ...]]:
        """F(z) and the losses. One gradient per player; a shared payoff or joint losses share the forward pass."""
        shared, signs, players = self.shared, self.signs, range(self.players)
        transformed = tree.transformed()
        if not self.joint or shared.found.reentrant or (transformed and signs is None):
            before, pairs = shared.buffers, []
            for i in players:
                if self.joint:  # the same forward pass every time: it counts once in the buffers
                    shared.buffers = before
                pairs.append(self.gradient(z, i, batch))
            return tuple([g for g, _ in pairs]), tuple([loss for _, loss in pairs])
        spent, before = (shared.gradients, shared.hvps), shared.buffers
        self._pay(players)
        if signs is not None and transformed:
            g, payoff = self._func_gradient(lambda x: self.loss(tree.split(x, z), 0, batch), tree.join(z))
            return signed(tree.split(g, z), signs), tuple(sign * payoff for sign in signs)
        leaves = tuple([_leaves(vector) for vector in z])
        try:
            with torch.enable_grad(), self.holding(leaves):
                losses = self.losses(leaves, batch) if signs is None else (self.loss(leaves, 0, batch),)
                field = self._differentiate(losses, leaves, create_graph=False)
        except Reentrant:
            (shared.gradients, shared.hvps), shared.buffers = spent, before
            shared.found.reentrant = True
            return self.field(z, batch)
        seen = tuple([loss.detach() for loss in losses])
        return field, seen if signs is None else tuple([seen[0] if sign > 0 else -seen[0] for sign in signs])

    def slopes(self, z: Point, batch: Any) -> tuple[Point, tuple[Tensor, ...]]:
        """F(z) and the losses, both differentiable: for losses that hold gradients. One gradient per player."""
        if tree.transformed():
            return self.field(z, batch)
        self._pay(range(self.players))
        graph, leaves = torch.is_grad_enabled(), tuple(_live(vector) for vector in z)
        with torch.enable_grad(), self.holding(leaves):
            losses = self.losses(leaves, batch)
            self._look(losses, graph)
            field = self._differentiate(losses, leaves, create_graph=graph)
        return field, losses if graph else tuple(loss.detach() for loss in losses)

    def slope(self, z: Point, i: int, batch: Any) -> Vector:
        """∂_i L_i, differentiable. One gradient."""
        if tree.transformed():
            return self.gradient(z, i, batch)[0]
        self._pay([i])
        graph, z_i = torch.is_grad_enabled(), _live(z[i])
        at = (*z[:i], z_i, *z[i + 1 :])
        with torch.enable_grad(), self.holding(at):
            loss = self.loss(at, i, batch)
            self._look([loss], graph)
            return self._whole(self._partial(loss, z_i, create_graph=graph), z_i, i)

    def _func_gradient(self, loss: Callable[[Vector], Tensor], z_i: Vector) -> tuple[Vector, Tensor]:
        def seen(z_i: Vector) -> tuple[Tensor, tuple[Tensor, dict[str, Tensor]]]:
            value = loss(z_i)
            return self.shared.scaled(value), (value, self.shared.buffers)  # as outputs: nothing else may leave

        g, (value, self.shared.buffers) = torch.func.grad(seen, has_aux=True)(z_i)
        return list(self.shared.unscaled(g)), value

    def _partial(
        self, loss: Tensor, leaves: Vector, retain: bool = False, create_graph: bool = False
    ) -> Sequence[Tensor | None]:
        """The gradient, with None for the leaves that the loss does not depend on."""
        if not loss.requires_grad:
            return [None] * len(leaves)
        retain = retain or create_graph
        try:
            loss = self.shared.scaled(loss)
            g = torch.autograd.grad(loss, leaves, retain_graph=retain, create_graph=create_graph, allow_unused=True)
        except RuntimeError as error:
            raise refused(error) from None
        if sum([part is None for part in g]) and reentrant(loss):  # its checkpoint hides who depends on what
            raise Reentrant()
        return self.shared.unscaled(g)

    def _whole(self, g: Sequence[Tensor | None], z_i: Vector, own: int | None) -> Vector:
        """The gradient with its zeros; refused if there is nothing else and it is that of a player's own loss."""
        missing = sum([part is None for part in g])  # `None in g` would compare tensors
        if missing and missing == len(g) and own is not None and not self.may_ignore(own):
            raise self.ignored(own)
        return [torch.zeros_like(x) if part is None else part for part, x in zip(g, z_i, strict=True)]

    def may_ignore(self, i: int) -> bool:
        """Whether loss i need not depend on player i, as that of a leader need not (see `transforms.bilevel`)."""
        return i == self.game.leader

    def ignored(self, i: int) -> GameError:
        """What to raise for a loss that does not depend on its player."""
        if torch.is_inference_mode_enabled():
            return GameError("torch.inference_mode is on, under which there are no gradients: step outside of it.")
        return GameError(f"the loss of {self.name(i)} does not depend on that player: its gradient would be zero.")

    def _differentiate(self, losses: tuple[Tensor, ...], leaves: Point, create_graph: bool) -> Point:
        if self.signs is not None:
            parts: Sequence[Any] = self._partial(losses[0], tree.join(leaves), create_graph=create_graph)
            g = tree.split(parts, leaves)
            return signed(tuple([self._whole(g[i], leaf, i) for i, leaf in enumerate(leaves)]), self.signs)
        rows, last = [], self.players - 1
        for i, (loss, z_i) in enumerate(zip(losses, leaves, strict=True)):
            rows.append(self._whole(self._partial(loss, z_i, retain=i < last, create_graph=create_graph), z_i, i))
        return tuple(rows)

    # ----------------------------------------------------------------------------------------------- second order

    def linearize(self, z: Point, batch: Any) -> Linearization:
        """The field at z with its Jacobian's products. One gradient per player, then one product a call."""
        if tree.transformed():
            return self._func_linearize(z, batch)
        self._pay(range(self.players))
        leaves = tuple(_leaves(vector) for vector in z)
        with torch.enable_grad(), self.holding(leaves):
            losses = self.losses(leaves, batch)
            self._look(losses)
            field = self._differentiate(losses, leaves, create_graph=True)
        silent = self.silent()
        rows = Graph(leaves, field, lambda: silent.holding(leaves))
        field = tuple([leaf.detach() for leaf in vector] for vector in field)
        return self._linearization(rows, field, tuple(loss.detach() for loss in losses))

    def _look(self, losses: Sequence[Tensor], graph: bool = False) -> None:
        """Look once for what torch gets wrong in second derivatives, and refuse it where a graph of them is made."""
        found, key = self.shared.found, (self.depth, len(losses))
        if key not in found.faults:
            found.faults[key] = faults(losses)
        for fault in found.faults_within(self.depth) if graph else ():
            if fault.mixed:
                raise GameError(fault.sentence)

    def _linearization(self, rows: Graph | Functional, field: Point, losses: tuple[Tensor, ...]) -> Linearization:
        everyone = range(self.players)

        def counted(product: Callable[..., Point]) -> Callable[..., Point]:
            def call(of: Sequence[int], by: Sequence[int], v: Point) -> Point:
                self.shared.hvps += self.product
                for fault in self.shared.found.faults_within(self.depth):
                    if fault.mixed or any(i in by for i in of):
                        raise GameError(fault.sentence)
                return product(of, by, v)

            return call

        jvp, vjp = counted(rows.jvp), counted(rows.vjp)
        signs = self.signs if self.players > 1 else (1,)
        if signs is not None:  # DF = D ∇²f with D = diag(signs): (DF) v = D (DF)ᵀ D v, one backward pass instead of two

            def jvp(of: Sequence[int], by: Sequence[int], v: Point) -> Point:
                pulled = vjp(by, of, signed(v, tuple(signs[j] for j in by)))
                return signed(pulled, tuple(signs[i] for i in of))

        return Linearization(
            field=field,  # under transforms differentiable, as losses may hold gradients
            losses=losses,
            jvp=lambda v: jvp(everyone, everyone, v),
            vjp=lambda u: vjp(everyone, everyone, u),
            jvp_block=lambda i, j, v: jvp([i], [j], (v,))[0],
            vjp_block=lambda i, j, u: vjp([i], [j], (u,))[0],
            symmetry=0 if signs is None else 1 if len(set(signs)) == 1 else -1,
        )

    def _func_linearize(self, z: Point, batch: Any) -> Linearization:
        start = self.silent()  # the products count, not the fields that they evaluate
        field, losses = self.field(z, batch)
        return self._linearization(Functional(z, lambda w: start.silent().field(w, batch)[0]), field, losses)


def _leaves(vector: Vector) -> Vector:
    return [leaf.detach().requires_grad_() for leaf in vector]


def _live(vector: Vector) -> Vector:
    """The leaves as they stand in a graph, or as its start."""
    return [leaf if leaf.requires_grad else leaf.detach().requires_grad_() for leaf in vector]
