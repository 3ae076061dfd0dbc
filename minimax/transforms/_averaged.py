"""Games whose answers are means over parts of a batch: micro-batches, or the batches of several ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from minimax import tree
from minimax.game import Game
from minimax.linearization import Linearization
from minimax.oracle import Oracle
from minimax.swap import Modules
from minimax.transforms.around import Around
from minimax.tree import Point, Vector

T = TypeVar("T")
Start: TypeAlias = Callable[[Modules | None, Point], None]


def averaged(
    game: Game,
    split: Callable[[Any], Sequence[Any]],
    merge: Callable[[list[Tensor]], list[Tensor]],
    start: Start = lambda modules, z: None,
) -> Game:
    """The game whose every answer is the mean over the parts that `split` cuts a batch into, put through `merge`.

    Args:
        game: the losses.
        split: a batch in, its parts out.
        merge: tensors in, as many out.
        start: sees the modules and the point before every evaluation.
    """
    return game.through(lambda inner: _Averaging(inner, split, merge, start))


class _Averaging(Around):
    """Cuts the batch into parts, asks another oracle on each, and averages; counted as one evaluation of the whole."""

    def __init__(
        self,
        inner: Oracle,
        split: Callable[[Any], Sequence[Any]],
        merge: Callable[[list[Tensor]], list[Tensor]],
        start: Start,
    ) -> None:
        super().__init__(inner)
        self.split, self.merge, self.start = split, merge, start

    def plain(self, z: Point, batch: Any) -> tuple[Oracle, Point, Any]:
        return self.inner.plain(z, self.parts(z, batch)[0])

    def parts(self, z: Point, batch: Any) -> Sequence[Any]:
        """What the batch is cut into."""
        self.start(self.modules, z)
        return self.split(batch)

    def loss(self, z: Point, i: int, batch: Any) -> Tensor:
        return self._mean(self.inner.loss(z, i, part) for part in self.parts(z, batch))

    def losses(self, z: Point, batch: Any) -> tuple[Tensor, ...]:
        return self._mean(self.inner.losses(z, part) for part in self.parts(z, batch))

    def gradient(self, z: Point, i: int, batch: Any, of: int | None = None) -> tuple[Vector, Tensor]:
        return self._mean(self.inner.gradient(z, i, part, of) for part in self.parts(z, batch))

    def field(self, z: Point, batch: Any) -> tuple[Point, tuple[Tensor, ...]]:
        return self._mean(self.inner.field(z, part) for part in self.parts(z, batch))

    def linearize(self, z: Point, batch: Any) -> Linearization:
        parts = self.parts(z, batch)
        first = self.inner.linearize(z, parts[0])
        start, draws = self.inner.silent(), _Draws(z)

        def everywhere(inner: Oracle) -> Iterator[Linearization]:
            yield first
            for part in parts[1:]:
                yield inner.linearize(z, part)

        def averaged(name: str) -> Callable[..., Any]:
            def product(*args: Any) -> Any:
                again = start.silent()  # the same forward passes, which have been counted in the buffers
                with draws.again():
                    return self._merged(getattr(local, name)(*args) for local in everywhere(again))

            return product

        field, losses = self._mean((local.field, local.losses) for local in everywhere(self.inner))
        names = ("jvp", "vjp", "jvp_block", "vjp_block")
        products: dict[str, Any] = {name: averaged(name) for name in names}
        return Linearization(field, losses, **products, symmetry=first.symmetry)

    def _mean(self, values: Iterable[T]) -> T:
        """The mean of an evaluation's answers, and of the buffers that it leaves."""
        mean = self._merged(values)
        left = self.shared.buffers
        self.shared.buffers = dict(zip(left, self.merge(list(left.values())), strict=True))
        return mean

    def _merged(self, values: Iterable[T]) -> T:
        """The mean over this process's parts, one at a time, then over the ranks; counted as one part."""
        total: list[Tensor] = []
        spec, count, spent = None, 0, (0, 0)
        for value in values:
            leaves, spec = pytree.tree_flatten(value)
            total = tree.add(total, leaves) if count else leaves
            spent = spent if count else (self.shared.gradients, self.shared.hvps)
            count += 1
        self.shared.gradients, self.shared.hvps = spent
        assert spec is not None
        mean = self.merge(total if count == 1 else tree.scale(1 / count, total))
        out: T = pytree.tree_unflatten(mean, spec)
        return out


class _Draws:
    """Where torch's random number generators stand, so that what is evaluated again, dropout say, draws the same."""

    def __init__(self, z: Point) -> None:
        known = not tree.transformed()  # in a graph no generator can be read
        devices = {leaf.device for leaf in tree.join(z) if known and leaf.is_cuda}
        self.cpu = torch.get_rng_state() if known else None
        self.cuda = {device: torch.cuda.get_rng_state(device) for device in devices}

    @contextmanager
    def again(self) -> Iterator[None]:
        """Draws from there, and goes on from where it was afterwards."""
        if self.cpu is None:
            yield
            return
        with torch.random.fork_rng(self.cuda):
            torch.set_rng_state(self.cpu)
            for device, state in self.cuda.items():
                torch.cuda.set_rng_state(state, device)
            yield
