"""A player behind what it generates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minimax import tree
from minimax.errors import GameError
from minimax.game import Game
from minimax.graph import reentrant
from minimax.linearization import Linearization, accumulated, backward
from minimax.oracle import Oracle
from minimax.transforms.around import Around
from minimax.transforms.checks import check_player, checked_game
from minimax.tree import Point, Vector
from minimax.validation import function, shown, whole


def generated(game: Game, generate: Callable[..., Any], player: int = 0) -> Game:
    r"""The game of a generator whose losses see what it generates: L_i(G_x(batch), y, batch) for every player i.

    The losses are written on the samples and never call the generator, which is therefore run once for all of them as
    long as it has not moved: once a step of simultaneous play, of `AlternatingGDA(rule, order=(1, 0))`, and per batch
    where the critic takes several steps, as in the loop that keeps its fakes. Its gradient is (DG)ᵀ ∂L/∂samples.

    Costs what the losses cost on given samples, and one forward and backward pass of the generator per point and batch;
    of methods with products nothing is saved. Memory: the generator's graph, until it has moved.

    Args:
        game: the losses, which receive the samples in the generator's place.
        generate: called as generate(player) or generate(player, batch), with the module itself; returns the samples,
            floating point tensors in any pytree. Pure, as losses are.
        player: the index of the generator; a second one by a second `generated`.

    Raises:
        TypeError: what is no game, or no function.
        ValueError: a player that is no index.
        GameError: at an evaluation, a player that there is not, samples that are no floating point tensors, or that do
            not depend on the player; under `LossScaled`.

    Example:
        >>> import torch, minimax as mm
        >>> on_samples = mm.zero_sum(lambda fake, y, noise: (y * fake).mean())
        >>> game = mm.transforms.generated(on_samples, lambda x, noise: x * noise)
        >>> game.field((torch.tensor(3.0), torch.tensor(4.0)), torch.tensor([1.0, 2.0]))
        (tensor(6.), tensor(-4.5000))
    """
    checked_game("game", game)
    function("generate", generate, "a function of the player (and the batch)")
    whole("player", player, at_least=0)
    if game.count is not None:
        check_player(player, game.count)

    def seats(players: int) -> tuple[int | None, ...]:
        check_player(player, players)
        return tuple([None if i == player else i for i in range(players)])

    return game.through(lambda inner: _Generated(inner, generate, player), seats=seats, constraints=game.constraints)


class _Kept(NamedTuple):
    """Samples without their graph, what pulls a gradient back through it, and what they were generated from."""

    samples: Vector
    pull: Callable[[Vector], Vector]
    start: Vector
    batch: Any


class _Generated(Around):
    """Asks the oracle inside on the samples, and pulls the generator's own gradient back."""

    def __init__(self, inner: Oracle, generate: Callable[..., Any], player: int) -> None:
        super().__init__(inner)
        self.generate, self.player = generate, player
        self.kept: _Kept | None = None

    def among(self, values: tuple[Any, ...], own: Any) -> tuple[Any, ...]:
        """Everyone's values with another one of the generator's."""
        return (*values[: self.player], own, *values[self.player + 1 :])

    def made(self, z: Point, batch: Any) -> Vector:
        """The samples, differentiable."""
        k = self.player
        made = self.call(lambda *args: self.generate(args[k], *args[len(z) :]), z, batch)
        samples, self.inner.seating.specs[k].spec = tree.flatten(made)
        if not samples or not all(isinstance(leaf, Tensor) and leaf.is_floating_point() for leaf in samples):
            raise GameError(f"generate must return floating point tensors, or a pytree of them, got {shown(made)}.")
        return samples

    def kept_at(self, z: Point, batch: Any) -> _Kept:
        """What is generated at z, from the last time if that was there."""
        if self.shared.scale is not None:  # a gradient in half precision is unscaled at the samples, and vanishes
            raise GameError(
                "LossScaled reaches the samples and not the generator behind them: write the losses with the generator "
                "in them instead of transforms.generated, or play in bfloat16, which needs no scale."
            )
        kept, start = self.kept, z[self.player]
        if kept is not None and kept.batch is batch and all(a is b for a, b in zip(kept.start, start, strict=True)):
            return kept
        self.kept = None  # its graph goes before the next one comes
        self.kept = (self._functional if tree.transformed() else self._recorded)(z, batch)
        return self.kept

    def _recorded(self, z: Point, batch: Any) -> _Kept:
        live = [leaf.detach().requires_grad_() for leaf in z[self.player]]
        at = self.among(z, live)
        with torch.enable_grad(), self.holding(at):
            made = self.made(at, batch)
        if not any(leaf.requires_grad for leaf in made):
            raise self.ignored(self.player)
        hidden = self.shared.found.hidden
        if self.depth not in hidden:
            hidden[self.depth] = any(reentrant(leaf) for leaf in made)

        def pull(g: Vector) -> Vector:
            with self.holding(at):  # for checkpoints, which run it again
                return (accumulated if hidden[self.depth] else backward)(made, live, g)

        return _Kept([leaf.detach() for leaf in made], pull, z[self.player], batch)

    def _functional(self, z: Point, batch: Any) -> _Kept:
        def seen(own: Vector) -> tuple[Vector, dict[str, Tensor]]:
            return self.made(self.among(z, own), batch), self.shared.buffers

        found: Any = torch.func.vjp(seen, z[self.player], has_aux=True)
        made, pull, self.shared.buffers = found
        return _Kept(made, lambda g: pull(g)[0], z[self.player], batch)

    def loss(self, z: Point, i: int, batch: Any) -> Tensor:
        return self.inner.loss(self.among(z, self.made(z, batch)), i, batch)

    def losses(self, z: Point, batch: Any) -> tuple[Tensor, ...]:
        return self.inner.losses(self.among(z, self.made(z, batch)), batch)

    def gradient(self, z: Point, i: int, batch: Any, of: int | None = None) -> tuple[Vector, Tensor]:
        kept = self.kept_at(z, batch)
        g, loss = self.inner.gradient(self.among(z, kept.samples), i, batch, of)
        return kept.pull(g) if i == self.player else g, loss

    def field(self, z: Point, batch: Any) -> tuple[Point, tuple[Tensor, ...]]:
        kept = self.kept_at(z, batch)
        ξ, losses = self.inner.field(self.among(z, kept.samples), batch)
        return self.among(ξ, kept.pull(ξ[self.player])), losses

    def linearize(self, z: Point, batch: Any) -> Linearization:
        return Oracle.linearize(self, z, batch)

    def plain(self, z: Point, batch: Any) -> tuple[Oracle, Point, Any]:
        return self, z, batch
