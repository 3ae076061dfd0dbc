"""Beyond one batch on one device: wrappers Game -> Game that every optimizer, second-order too, plays unchanged.

They work below the optimizers: `autocast` wraps the losses, `accumulate` and `data_parallel` replace the oracle by one
that averages losses, gradients and every product with DF over micro-batches or over ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from minimax import tree
from minimax.game import Around, Game, GameError, Loss, Oracle, Players
from minimax.linearization import Linearization
from minimax.tree import Point, Vector

T = TypeVar("T")


def autocast(game: Game, dtype: torch.dtype = torch.bfloat16, device: str = "cpu") -> Game:
    """The same game with its losses evaluated under `torch.autocast`; players, gradients and losses keep float32.

    Args:
        game: the losses.
        dtype: of the matrix products; bfloat16 has float32's range and needs no loss scaling.
        device: the type of the players' device, "cpu" or "cuda".

    Example:
        >>> import torch, minimax as mm
        >>> game = autocast(mm.zero_sum(lambda x, y: (x @ y).sum()))
        >>> game.field((torch.ones(1, 1), torch.full((1, 1), 1 / 3)))[0]
        tensor([[0.3340]])
    """

    def wrapped(loss: Loss) -> Loss:
        def call(*args: Any) -> Any:
            with torch.autocast(device, dtype=dtype):
                out = loss(*args)
            return pytree.tree_map(lambda value: value.float() if value.dtype == dtype else value, out)

        return call

    return game._copy(_losses=tuple(wrapped(loss) for loss in game._losses))


def accumulate(game: Game, parts: int) -> Game:
    """The same game evaluated on `parts` micro-batches in turn: at most two micro-batches' graphs are alive at a time.

    The losses must be means over the batch; then everything equals its value on the whole batch, up to rounding (not
    with BatchNorm, whose statistics are the micro-batch's). Costs what the game costs; products with DF evaluate the
    field of the micro-batches again, as their graphs were not kept.

    Args:
        game: the losses. Batches are pytrees of tensors whose first dimensions are cut; 0-dim tensors are passed on.
        parts: how many micro-batches.

    Raises:
        ValueError: parts below 1.
        GameError: at an evaluation, no batch, or one whose size is not a multiple of parts.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.zero_sum(lambda x, y, b: x * y * b.mean())
        >>> accumulate(game, 2).field((torch.tensor(1.0), torch.tensor(2.0)), torch.tensor([1.0, 2.0, 3.0, 4.0]))
        (tensor(5.), tensor(-2.5000))
    """
    if parts < 1:
        raise ValueError(f"parts must be at least 1, got {parts}.")
    return averaged(game, lambda batch: _cut(batch, parts), lambda values: values)


def data_parallel(game: Game, group: dist.ProcessGroup | None = None) -> Game:
    """The same game with everything averaged over the ranks of `torch.distributed`, each of which passes its own batch.

    Every rank must start from the same players (see `broadcast`) and play the same optimizer; then all ranks stay
    equal, and with losses that are means over equally large batches they play what one process would on all batches
    together. Costs one all-reduce of a player's (or all players') size per oracle call; gloo on CPUs, nccl on GPUs.
    `Cost.samples` counts the rank's own.

    Args:
        game: the losses.
        group: the ranks that play; all by default.

    Raises:
        RuntimeError: at an evaluation, `torch.distributed.init_process_group` has not been called.

    Example:
        >>> import os, tempfile, torch, torch.distributed as dist, minimax as mm
        >>> file = "file://" + os.path.join(tempfile.mkdtemp(), "ranks")
        >>> dist.init_process_group("gloo", init_method=file, rank=0, world_size=1)
        >>> data_parallel(mm.zero_sum(lambda x, y: x * y)).field((torch.tensor(1.0), torch.tensor(2.0)))
        (tensor(2.), tensor(-1.))
        >>> dist.destroy_process_group()
    """
    return averaged(game, lambda batch: [batch], lambda values: _over_ranks(values, group))


@torch.no_grad()
def broadcast(players: Players, source: int = 0, group: dist.ProcessGroup | None = None) -> Players:
    """The players of rank `source`, on every rank; modules are overwritten in place, buffers included.

    Args:
        players: of the same structure on all ranks.
        source: the rank whose players are taken.
        group: the ranks; all by default.

    Raises:
        RuntimeError: `torch.distributed.init_process_group` has not been called.
    """

    def sent(value: Any) -> Any:
        if isinstance(value, nn.Module):
            for tensor in [*value.parameters(), *value.buffers()]:
                dist.broadcast(tensor, source, group)
            return value
        copy = value.detach().clone()
        dist.broadcast(copy, source, group)
        return copy

    return pytree.tree_map(sent, players)


class _Averaging(Around):
    """Cuts the batch into parts, asks another oracle on each, and averages; counted as one evaluation of the whole."""

    def __init__(
        self, inner: Oracle, split: Callable[[Any], Sequence[Any]], merge: Callable[[list[Tensor]], list[Tensor]]
    ) -> None:
        super().__init__(inner)
        self.split, self.merge = split, merge

    def around(self, inner: Oracle) -> Oracle:
        return _Averaging(inner, self.split, self.merge)

    def plain(self, batch: Any) -> tuple[Oracle, Any]:
        return self.inner.plain(self.split(batch)[0])

    def loss(self, z: Point, i: int, batch: Any) -> Tensor:
        return self._mean(self.inner.loss(z, i, part) for part in self.split(batch))

    def losses(self, z: Point, batch: Any) -> tuple[Tensor, ...]:
        return self._mean(self.inner.losses(z, part) for part in self.split(batch))

    def gradient(self, z: Point, i: int, batch: Any, of: int | None = None) -> tuple[Vector, Tensor]:
        self.gradients += 1
        return self._mean(self.inner.gradient(z, i, part, of) for part in self.split(batch))

    def field(self, z: Point, batch: Any) -> tuple[Point, tuple[Tensor, ...]]:
        self.gradients += self.players
        return self._mean(self.inner.field(z, part) for part in self.split(batch))

    def linearize(self, z: Point, batch: Any) -> Linearization:
        self.gradients += self.players
        parts = self.split(batch)
        first = self.inner.linearize(z, parts[0])
        start = self.inner.silent()

        def everywhere(inner: Oracle) -> Iterator[Linearization]:
            yield first
            for part in parts[1:]:
                yield inner.linearize(z, part)

        def averaged(name: str) -> Callable[..., Any]:
            def product(*args: Any) -> Any:
                self.hvps += 1
                again = start.silent()  # the same forward passes, which have been counted in the buffers
                return self._mean(getattr(local, name)(*args) for local in everywhere(again))

            return product

        field, losses = self._mean((local.field, local.losses) for local in everywhere(self.inner))
        names = ("jvp", "vjp", "jvp_block", "vjp_block")
        products: dict[str, Any] = {name: averaged(name) for name in names}
        return Linearization(field, losses, **products, symmetry=first.symmetry)

    def _mean(self, values: Iterable[T]) -> T:
        """The mean over this process's parts, one at a time, then over the ranks."""
        total: list[Tensor] = []
        spec, count = None, 0
        for value in values:
            leaves, spec = pytree.tree_flatten(value)
            total = tree.add(total, leaves) if count else leaves
            count += 1
        assert spec is not None
        self.buffers = dict(zip(self.buffers, self.merge(list(self.buffers.values())), strict=True))
        mean = self.merge(total if count == 1 else tree.scale(1 / count, total))
        out: T = pytree.tree_unflatten(mean, spec)
        return out


def averaged(game: Game, split: Callable[[Any], Sequence[Any]], merge: Callable[[list[Tensor]], list[Tensor]]) -> Game:
    """The game whose every answer is the mean over the parts that `split` cuts a batch into, put through `merge`."""

    def oracle(of: Game, specs: list[Any], names: tuple[str, ...] | None) -> Oracle:
        return _Averaging(game._oracle(of, specs, names), split, merge)

    return game._copy(_oracle=oracle)


def _cut(batch: Any, parts: int) -> list[Any]:
    leaves, spec = pytree.tree_flatten(batch)
    sizes = {leaf.shape[0] for leaf in leaves if isinstance(leaf, Tensor) and leaf.dim()}
    if not sizes:
        raise GameError(
            "there is no batch to cut into micro-batches: pass batches of tensors, or leave out accumulate."
        )
    if any(size % parts for size in sizes):
        raise GameError(f"a batch of size {max(sizes)} cannot be cut into {parts} equal micro-batches.")
    cut = [leaf.chunk(parts) if isinstance(leaf, Tensor) and leaf.dim() else (leaf,) * parts for leaf in leaves]
    return [pytree.tree_unflatten(list(part), spec) for part in zip(*cut, strict=True)]


def _over_ranks(values: list[Tensor], group: dist.ProcessGroup | None) -> list[Tensor]:
    """The means over the ranks, by one all-reduce per dtype; integers (counters among buffers) stay."""
    if any(value.requires_grad for value in values):
        raise GameError(
            "averages over ranks cannot be differentiated: second-order methods on penalties of gradients need "
            "data_parallel on the outside, data_parallel(consensus(game))."
        )
    out = list(values)
    for dtype in dict.fromkeys(value.dtype for value in values if value.is_floating_point()):
        places = [k for k, value in enumerate(values) if value.dtype == dtype]
        joined = torch.cat([values[k].detach().reshape(-1) for k in places])
        dist.all_reduce(joined, group=group)
        pieces = (joined / dist.get_world_size(group)).split([values[k].numel() for k in places])
        for k, piece in zip(places, pieces, strict=True):
            out[k] = piece.reshape(values[k].shape)
    return out
