"""A game as an optimizer sees it: differential oracles on points. Only this file and `linearization` differentiate.

An `Oracle` lives for one step: it speaks vectors and points (see `minimax.tree`), meters what it spends, and carries
the modules' buffers from one evaluation to the next. `Around` is what transforms Game -> Game start from.

First-order oracles use `torch.autograd.grad` on the asked player's leaves alone, so no graph is built through the other
players. Under `vmap`, `grad` or `torch.compile` the same oracles go through `torch.func`.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from minimax import tree, validation
from minimax.errors import GameError, Reentrant, refused
from minimax.graph import faults, reentrant
from minimax.linearization import Functional, Graph, Linearization, signed
from minimax.tree import Point, Vector

if TYPE_CHECKING:
    from minimax.game import Game

Players: TypeAlias = Any  # a tuple or dict of players
Loss: TypeAlias = Callable[..., Any]
Projection: TypeAlias = Callable[[Tensor], Tensor]


class Oracle:
    """A game as one optimizer step sees it: differential oracles on points, with a meter.

    `gradients` counts the players' gradients taken, `hvps` the products with the Jacobian (or a block of it).
    """

    def __init__(self, game: Game, specs: list[Any], names: tuple[str, ...] | None) -> None:
        self.game, self.specs, self.names, self.signs = game, specs, names, game._signs
        self.gradients = 0
        self.hvps = 0
        self.buffers: dict[str, Tensor] = dict(game._held)
        self._inside: Point | None = None
        given = len(self.signs) if self.signs is not None else len(game._losses)
        if given != self.players and not (given == 1 and self.signs is None):
            raise GameError(
                f"the game has {given} losses for {self.players} players: pass one loss per player, or one function "
                "that returns them all."
            )
        if game.constraints is not None and len(game.constraints) != self.players:
            raise GameError(f"constraints has {len(game.constraints)} entries for {self.players} players: use None.")

    @property
    def players(self) -> int:
        """How many players there are."""
        return len(self.specs)

    def name(self, i: int) -> str:
        """How messages call player i."""
        return f"players[{i}]" if self.names is None else f"players[{self.names[i]!r}]"

    def leaves(self) -> tuple[list[str], ...]:
        """What every player's leaves are called (see `tree.names`)."""
        return tuple(tree.names(spec) for spec in self.specs)

    def leave_player(self, i: int, vector: Vector) -> Any:
        """A vector of player i in the structure that player came in."""
        return tree.unflatten(vector, self.specs[i])

    def leave(self, z: Point) -> Players:
        """A point in the structure the players came in."""
        values = tuple(tree.unflatten(vector, spec) for vector, spec in zip(z, self.specs, strict=True))
        return values if self.names is None else dict(zip(self.names, values, strict=True))

    def project(self, i: int, vector: Vector) -> Vector:
        """Player i's vector, projected on its feasible set."""
        constraint = None if self.game.constraints is None else self.game.constraints[i]
        if constraint is None:
            return vector
        projected = [constraint(leaf) for leaf in vector]
        for old, new in zip(vector, projected, strict=True):
            if not isinstance(new, Tensor) or new.shape != old.shape or new.dtype != old.dtype:
                raise GameError(
                    f"constraints[{i}] made {validation.shown(new)} of {validation.shown(old)}: a projection keeps "
                    "shape and dtype."
                )
        return projected

    def check_player(self, i: Any) -> None:
        """Refuse what is no player's index."""
        if isinstance(i, bool) or not isinstance(i, int) or not 0 <= i < self.players:
            raise GameError(f"there is no player {i!r}: the players are 0 to {self.players - 1}.")

    # ------------------------------------------------------------------------------------------------- evaluation

    def _call(self, loss: Loss, z: Point, batch: Any) -> Any:
        args = () if batch is None else (batch,)
        modules = self.game._modules
        players = [
            vector[0]
            if spec is None
            else tree.unflatten(vector, spec)
            if modules is None or modules.modules[i] is None
            else modules.modules[i]
            for i, (vector, spec) in enumerate(zip(z, self.specs, strict=True))
        ]
        with self.holding(z):
            try:
                return loss(*players, *args)
            except TypeError as error:
                if (misfit := _misfit(loss, len(players), batch)) is not None:
                    raise misfit from error
                raise

    def holding(self, z: Point) -> AbstractContextManager[None]:
        """Keeps z in the modules: while a loss runs, and while it is differentiated, as checkpoints run it again then.

        Buffers go from one evaluation to the next, so that every forward pass counts, in order, as in a torch loop.
        """
        return nullcontext() if self.game._modules is None or self._inside is z else _Holding(self, z)

    def left(self) -> dict[str, Tensor]:
        """The buffers as the last evaluation left them."""
        return self.buffers

    def leave_buffers(self, buffers: dict[str, Tensor]) -> None:
        """Let the next evaluation start from other buffers."""
        self.buffers = buffers

    def silent(self) -> Oracle:
        """A copy whose evaluations leave no trace in this one: they count nothing and keep no buffers."""
        new = Oracle(self.game, self.specs, self.names)  # not `copy`, which torch.compile does not follow everywhere
        new.buffers, new._inside = self.buffers, self._inside
        return new

    def plain(self, z: Point, batch: Any) -> tuple[Oracle, Any]:
        """The oracle of the losses themselves, without what transforms wrap around them, and the batch it sees at z."""
        return self, batch

    def _scalar(self, value: Any, i: int) -> Tensor:
        if not isinstance(value, Tensor) or value.dim() != 0:
            got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise GameError(f"the loss of {self.name(i)} must be a 0-dim tensor, got {got}: reduce it, say by .mean().")
        return value

    def loss(self, z: Point, i: int, batch: Any) -> Tensor:
        """L_i, differentiable."""
        if len(self.game._losses) > 1:
            return self._scalar(self._call(self.game._losses[i], z, batch), i)
        return self._joint(z, batch)[i]

    def _joint(self, z: Point, batch: Any) -> tuple[Tensor, ...]:
        out = self._call(self.game._losses[0], z, batch)
        if self.signs is not None:
            payoff = self._scalar(out, 0)
            return tuple(payoff if sign > 0 else -payoff for sign in self.signs)
        values = listed(out)
        if len(values) != self.players:
            raise GameError(
                f"the loss function returned {len(values)} losses for {self.players} players: return one per player, "
                "or use zero_sum."
            )
        return tuple(self._scalar(value, i) for i, value in enumerate(values))

    def losses(self, z: Point, batch: Any) -> tuple[Tensor, ...]:
        """(L_1, ..., L_n), differentiable."""
        if len(self.game._losses) > 1:
            return tuple(self.loss(z, i, batch) for i in range(self.players))
        return self._joint(z, batch)

    # ------------------------------------------------------------------------------------------------ first order

    def gradient(self, z: Point, i: int, batch: Any, of: int | None = None) -> tuple[Vector, Tensor]:
        """∂_i L_i and L_i, or ∂_i L_of and L_of. One gradient."""
        self.gradients += 1
        k = i if of is None else of
        if tree.transformed():
            return self._func_gradient(lambda z_i: self.loss((*z[:i], z_i, *z[i + 1 :]), k, batch), z[i])
        before = self.buffers
        try:
            return self._evaluated(z, i, k, batch)
        except Reentrant:
            if self.game.reentrant:
                raise
        self.game.reentrant, self.buffers = True, before
        return self._evaluated(z, i, k, batch)

    def _evaluated(self, z: Point, i: int, k: int, batch: Any) -> tuple[Vector, Tensor]:
        """∂_i L_k and L_k by autograd."""
        z_i = _leaves(z[i])
        at = (*z[:i], z_i, *z[i + 1 :])
        with torch.enable_grad(), self.holding(at):
            loss = self.loss(at, k, batch)
            if k != i and not loss.requires_grad:  # a loss may ignore the other players, but not its own
                return tree.zeros(z[i]), loss
            if self.game.reentrant:  # such checkpoints know no autograd.grad
                loss.backward()
                return self._whole([leaf.grad for leaf in z_i], z_i, i), loss.detach()
            return self._grad(loss, z_i, i), loss.detach()

    def field(self, z: Point, batch: Any) -> tuple[Point, tuple[Tensor, ...]]:
        """F(z) and the losses. One gradient per player; a shared payoff or joint losses share the forward pass."""
        apart = tree.transformed() and self.signs is None
        if len(self.game._losses) > 1 or self.game.reentrant or apart:
            before, pairs = self.buffers, []
            for i in range(self.players):
                if len(self.game._losses) == 1:  # the same forward pass every time: it counts once in the buffers
                    self.buffers = before
                pairs.append(self.gradient(z, i, batch))
            return tuple(g for g, _ in pairs), tuple(loss for _, loss in pairs)
        self.gradients += self.players
        signs = self.signs
        if signs is not None and tree.transformed():
            g, payoff = self._func_gradient(lambda x: self._joint(tree.split(x, z), batch)[0], tree.join(z))
            return signed(tree.split(g, z), signs), tuple(sign * payoff for sign in signs)
        leaves, before = tuple(_leaves(vector) for vector in z), self.buffers
        try:
            with torch.enable_grad(), self.holding(leaves):
                losses = self._joint(leaves, batch)
                field = self._differentiate(losses, leaves, create_graph=False)
        except Reentrant:
            self.gradients, self.buffers = self.gradients - self.players, before
            self.game.reentrant = True
            return self.field(z, batch)
        return field, tuple(loss.detach() for loss in losses)

    def _func_gradient(self, loss: Callable[[Vector], Tensor], z_i: Vector) -> tuple[Vector, Tensor]:
        def seen(z_i: Vector) -> tuple[Tensor, dict[str, Tensor]]:
            return loss(z_i), self.buffers  # as outputs: nothing else may leave a transform

        g, (value, self.buffers) = torch.func.grad_and_value(seen, has_aux=True)(z_i)
        return g, value

    def _grad(self, loss: Tensor, z_i: Vector, i: int, retain: bool = False, create_graph: bool = False) -> Vector:
        return self._whole(self._partial(loss, z_i, i, retain, create_graph), z_i, i)

    def _partial(
        self, loss: Tensor, leaves: Vector, i: int, retain: bool = False, create_graph: bool = False
    ) -> tuple[Tensor, ...]:
        """The gradient, with None for the leaves that the loss does not depend on."""
        if not loss.requires_grad:
            raise self.ignored(i)
        retain = retain or create_graph
        try:
            g = torch.autograd.grad(loss, leaves, retain_graph=retain, create_graph=create_graph, allow_unused=True)
        except RuntimeError as error:
            raise refused(error) from None
        if sum([part is None for part in g]) and reentrant(loss):  # its checkpoint hides who depends on what
            raise Reentrant()
        return g

    def _whole(self, g: Sequence[Tensor | None], z_i: Vector, i: int) -> Vector:
        missing = sum([part is None for part in g])  # `None in g` would compare tensors
        if missing and missing == len(g):
            raise self.ignored(i)
        return [torch.zeros_like(x) if part is None else part for part, x in zip(g, z_i, strict=True)]

    def ignored(self, i: int) -> GameError:
        """What to raise for a loss that does not depend on its player."""
        if torch.is_inference_mode_enabled():
            return GameError("torch.inference_mode is on, under which there are no gradients: step outside of it.")
        return GameError(f"the loss of {self.name(i)} does not depend on that player: its gradient would be zero.")

    def _differentiate(self, losses: tuple[Tensor, ...], leaves: Point, create_graph: bool) -> Point:
        signs = self.signs
        if signs is not None:
            g = self._partial(losses[0], tree.join(leaves), 0, create_graph=create_graph)
            parts = enumerate(zip(tree.split(g, leaves), leaves, strict=True))
            return signed(tuple(self._whole(*part, i) for i, part in parts), signs)
        last = self.players - 1
        return tuple(self._grad(losses[i], leaves[i], i, i < last, create_graph) for i in range(self.players))

    # ----------------------------------------------------------------------------------------------- second order

    def linearize(self, z: Point, batch: Any) -> Linearization:
        """The field at z with its Jacobian's products. One gradient per player, then one product a call."""
        if tree.transformed():
            return self._func_linearize(z, batch)
        self.gradients += self.players
        leaves = tuple(_leaves(vector) for vector in z)
        with torch.enable_grad(), self.holding(leaves):
            losses = self.losses(leaves, batch)
            if self.game.faults is None:
                self.game.faults = faults(losses)
            field = self._differentiate(losses, leaves, create_graph=True)
        silent = self.silent()
        return self._linearization(Graph(leaves, field, lambda: silent.holding(leaves)), field, losses)

    def _linearization(self, rows: Graph | Functional, field: Point, losses: tuple[Tensor, ...]) -> Linearization:
        everyone = range(self.players)

        def counted(product: Callable[..., Point]) -> Callable[..., Point]:
            def call(of: Sequence[int], by: Sequence[int], v: Point) -> Point:
                self.hvps += 1
                for fault in self.game.faults or ():
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
            field=tuple([leaf.detach() for leaf in vector] for vector in field),
            losses=tuple(loss.detach() for loss in losses),
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


class Around(Oracle, ABC):
    """An oracle around another one, which evaluates: what transforms Game -> Game start from."""

    def __init__(self, inner: Oracle) -> None:
        self.inner = inner
        super().__init__(inner.game, inner.specs, inner.names)
        self.signs = inner.signs

    def left(self) -> dict[str, Tensor]:
        return self.inner.left()

    def leave_buffers(self, buffers: dict[str, Tensor]) -> None:
        self.inner.leave_buffers(buffers)

    def holding(self, z: Point) -> AbstractContextManager[None]:
        return self.inner.holding(z)

    def silent(self) -> Oracle:
        return self.around(self.inner.silent())

    @abstractmethod
    def around(self, inner: Oracle) -> Oracle:
        """The same transform of another oracle."""

    def plain(self, z: Point, batch: Any) -> tuple[Oracle, Any]:
        return self.inner.plain(z, batch)


class _Holding:
    """See `Oracle.holding`. A class, as `torch.compile` follows no generator's."""

    def __init__(self, oracle: Oracle, z: Point) -> None:
        self.oracle, self.z, self.outer = oracle, z, oracle._inside

    def __enter__(self) -> None:
        oracle, modules = self.oracle, self.oracle.game._modules
        assert modules is not None
        # Within another point's evaluation the buffers in the modules are this oracle's already.
        self.held = (oracle.buffers or modules.read(modules.buffers)) if self.outer is None else {}
        self.saved = modules.put(self.z, self.held)
        oracle._inside = self.z

    def __exit__(self, *error: object) -> None:
        oracle, modules = self.oracle, self.oracle.game._modules
        assert modules is not None
        left = modules.back(self.saved, self.held)
        oracle.buffers, oracle._inside = left or oracle.buffers, self.outer


def listed(losses: Any) -> tuple[Any, ...]:
    """What a joint loss function returned, a mapping, a sequence or one loss, as a tuple."""
    if isinstance(losses, Mapping):
        return tuple(losses.values())
    return tuple(losses) if isinstance(losses, tuple | list) else (losses,)


def _misfit(loss: Loss, players: int, batch: Any) -> GameError | None:
    """What is wrong with how a loss is called, if it is that and no error of its own."""
    try:
        signature = inspect.signature(loss)
        signature.bind(*range(players + (batch is not None)))
    except ValueError:  # it has no signature
        return None
    except TypeError:
        given = "no batch: are batches missing" if batch is None else "a batch: does it leave that out"
        return GameError(
            f"the loss {getattr(loss, '__name__', loss)}{signature} is called with {players} players and {given}?"
        )
    return None


def _leaves(vector: Vector) -> Vector:
    return [leaf.detach().requires_grad_() for leaf in vector]
