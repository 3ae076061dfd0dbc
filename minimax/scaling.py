"""Beyond one batch on one device: wrappers Game -> Game that every optimizer, second-order too, plays unchanged.

They work below the optimizers: `autocast` wraps the losses, `accumulate` and `data_parallel` replace the oracle by one
that averages losses, gradients and every product with DF over micro-batches or over ranks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakSet

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from minimax import tree, validation
from minimax.errors import GameError
from minimax.game import Game
from minimax.linearization import Linearization
from minimax.oracle import Around, Loss, Oracle, Players
from minimax.tree import Point, Vector

T = TypeVar("T")


def autocast(game: Game, dtype: torch.dtype = torch.bfloat16, device: str | None = None) -> Game:
    """The same game with its losses evaluated under `torch.autocast`; players, gradients and losses keep float32.

    Args:
        game: the losses.
        dtype: of the matrix products; bfloat16 has float32's range and needs no loss scaling.
        device: the type of device to cast on, "cpu" or "cuda"; by default the players'.

    Raises:
        TypeError: what is no game.
        ValueError: a dtype that is neither bfloat16 nor float16.

    Example:
        >>> import torch, minimax as mm
        >>> game = autocast(mm.zero_sum(lambda x, y: (x @ y).sum()))
        >>> game.field((torch.ones(1, 1), torch.full((1, 1), 1 / 3)))[0]
        tensor([[0.3340]])
    """
    _is_game("autocast", game)
    if dtype not in (torch.bfloat16, torch.float16):
        raise ValueError(f"dtype must be torch.bfloat16 or torch.float16, got {validation.shown(dtype)}.")

    def exact(value: Any) -> Any:
        return value.float() if isinstance(value, Tensor) and value.dtype == dtype else value

    def wrapped(loss: Loss) -> Loss:
        def call(*args: Any) -> Any:
            with torch.autocast(device or _device(args), dtype=dtype):
                out = loss(*args)
            return pytree.tree_map(exact, out)

        return call

    return game._copy(_losses=tuple(wrapped(loss) for loss in game._losses))


def _device(args: tuple[Any, ...]) -> str:
    """The type of device that the first tensor lies on."""
    for arg in args:
        for leaf in arg.parameters() if isinstance(arg, nn.Module) else pytree.tree_leaves(arg):
            if isinstance(leaf, Tensor):
                return leaf.device.type
    return "cpu"


def accumulate(game: Game, parts: int, cut: Callable[[Any], Sequence[Any]] | None = None) -> Game:
    """The same game evaluated on `parts` micro-batches in turn: at most two micro-batches' graphs are alive at a time.

    The losses must be means over the batch; then everything equals its value on the whole batch, up to rounding (not
    with BatchNorm, whose statistics are the micro-batch's). Costs what the game costs; products with DF evaluate the
    field of the micro-batches again, as their graphs were not kept.

    Args:
        game: the losses.
        parts: how many micro-batches.
        cut: a batch in, its `parts` micro-batches out, each of which counts alike. By default batches are pytrees whose
            tensors are cut along their first dimension, one length for all. Constants go to every part whole if they
            are 0-dim tensors, numbers or lists of numbers; a tensor of as many constants as samples would be cut.

    Raises:
        TypeError: what is no game, or a cut that is no function.
        ValueError: parts that are no integer, or below 1.
        GameError: at an evaluation, no batch, tensors of several lengths, a length that is not a multiple of parts, or
            a cut that returns another number of micro-batches.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.zero_sum(lambda x, y, b: x * y * b.mean())
        >>> accumulate(game, 2).field((torch.tensor(1.0), torch.tensor(2.0)), torch.tensor([1.0, 2.0, 3.0, 4.0]))
        (tensor(5.), tensor(-2.5000))
    """
    _is_game("accumulate", game)
    validation.whole("parts", parts, at_least=1)
    if cut is not None:
        validation.function("cut", cut, "a function from a batch to its micro-batches")

    def split(batch: Any) -> Sequence[Any]:
        if cut is None:
            return _cut(batch, parts)
        micro = list(cut(batch))
        if len(micro) != parts:
            raise GameError(f"cut returned {len(micro)} micro-batches for parts={parts}: return as many as parts.")
        return micro

    return averaged(game, split, lambda values: values)


def data_parallel(game: Game, group: dist.ProcessGroup | None = None) -> Game:
    """The same game with everything averaged over the ranks of `torch.distributed`, each of which passes its own batch.

    Every rank must start from the same players (see `broadcast`) and play the same optimizer for the same number of
    steps; then all ranks stay equal, and with losses that are means over equally large batches they play what one
    process would on all batches together. Other players are noticed at the first evaluation (compiled, only by the
    check of `bind`); another optimizer is not, and where it asks the game something else, or one rank takes a step
    more, the ranks wait for each other in vain, until the group's timeout.

    Costs one all-reduce of a player's (or all players') size per oracle call, and once a hash of the players; gloo on
    CPUs, nccl on GPUs. `Cost.samples` counts the rank's own. Modules come as they are: DistributedDataParallel around
    them would average a second time.

    Args:
        game: the losses.
        group: the ranks that play; all by default.

    Raises:
        TypeError: what is no game.
        ValueError: at an evaluation, `torch.distributed.init_process_group` has not been called.
        GameError: at the first evaluation, on every rank, players or buffers that are not the same on all ranks.

    Example:
        >>> import os, tempfile, torch, torch.distributed as dist, minimax as mm
        >>> file = "file://" + os.path.join(tempfile.mkdtemp(), "ranks")
        >>> dist.init_process_group("gloo", init_method=file, rank=0, world_size=1)
        >>> data_parallel(mm.zero_sum(lambda x, y: x * y)).field((torch.tensor(1.0), torch.tensor(2.0)))
        (tensor(2.), tensor(-1.))
        >>> dist.destroy_process_group()
    """
    _is_game("data_parallel", game)
    return averaged(game, lambda batch: [batch], lambda values: _over_ranks(values, group), _SameStart(group))


@torch.no_grad()
def broadcast(players: Players, source: int = 0, group: dist.ProcessGroup | None = None) -> Players:
    """The players of rank `source`, on every rank; modules are overwritten in place, frozen parameters and buffers too.

    Args:
        players: of the same structure on all ranks.
        source: the rank whose players are taken.
        group: the ranks; all by default.

    Raises:
        ValueError: `torch.distributed.init_process_group` has not been called.
    """

    def received(tensor: Tensor) -> Tensor:
        copy = tensor.detach().clone(memory_format=torch.contiguous_format)  # ranks may differ in how theirs lie
        dist.broadcast(copy.reshape(-1).view(torch.uint8), source, group)  # gloo knows some dtypes only
        return copy

    def sent(value: Any) -> Any:
        if not isinstance(value, nn.Module):
            return received(value)
        for tensor in [*value.parameters(), *value.buffers()]:
            tensor.copy_(received(tensor))
        return value

    return pytree.tree_map(sent, players)


class _Averaging(Around):
    """Cuts the batch into parts, asks another oracle on each, and averages; counted as one evaluation of the whole."""

    def __init__(
        self,
        inner: Oracle,
        split: Callable[[Any], Sequence[Any]],
        merge: Callable[[list[Tensor]], list[Tensor]],
        start: Callable[[Game, Point], None],
    ) -> None:
        super().__init__(inner)
        self.split, self.merge, self.start = split, merge, start

    def around(self, inner: Oracle) -> Oracle:
        return _Averaging(inner, self.split, self.merge, self.start)

    def plain(self, z: Point, batch: Any) -> tuple[Oracle, Any]:
        return self.inner.plain(z, self.parts(z, batch)[0])

    def parts(self, z: Point, batch: Any) -> Sequence[Any]:
        """What the batch is cut into."""
        self.start(self.game, z)
        return self.split(batch)

    def loss(self, z: Point, i: int, batch: Any) -> Tensor:
        return self._mean(self.inner.loss(z, i, part) for part in self.parts(z, batch))

    def losses(self, z: Point, batch: Any) -> tuple[Tensor, ...]:
        return self._mean(self.inner.losses(z, part) for part in self.parts(z, batch))

    def gradient(self, z: Point, i: int, batch: Any, of: int | None = None) -> tuple[Vector, Tensor]:
        self.gradients += 1
        return self._mean(self.inner.gradient(z, i, part, of) for part in self.parts(z, batch))

    def field(self, z: Point, batch: Any) -> tuple[Point, tuple[Tensor, ...]]:
        self.gradients += self.players
        return self._mean(self.inner.field(z, part) for part in self.parts(z, batch))

    def linearize(self, z: Point, batch: Any) -> Linearization:
        self.gradients += self.players
        parts = self.parts(z, batch)
        first = self.inner.linearize(z, parts[0])
        start, draws = self.inner.silent(), _Draws(z)

        def everywhere(inner: Oracle) -> Iterator[Linearization]:
            yield first
            for part in parts[1:]:
                yield inner.linearize(z, part)

        def averaged(name: str) -> Callable[..., Any]:
            def product(*args: Any) -> Any:
                self.hvps += 1
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
        left = self.left()
        self.leave_buffers(dict(zip(left, self.merge(list(left.values())), strict=True)))
        return mean

    def _merged(self, values: Iterable[T]) -> T:
        """The mean over this process's parts, one at a time, then over the ranks."""
        total: list[Tensor] = []
        spec, count = None, 0
        for value in values:
            leaves, spec = pytree.tree_flatten(value)
            total = tree.add(total, leaves) if count else leaves
            count += 1
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


def averaged(
    game: Game,
    split: Callable[[Any], Sequence[Any]],
    merge: Callable[[list[Tensor]], list[Tensor]],
    start: Callable[[Game, Point], None] = lambda game, z: None,
) -> Game:
    """The game whose every answer is the mean over the parts that `split` cuts a batch into, put through `merge`.

    Args:
        game: the losses.
        split: a batch in, its parts out.
        merge: tensors in, as many out.
        start: sees the game and the point before every evaluation.
    """

    def oracle(of: Game, specs: list[Any], names: tuple[str, ...] | None) -> Oracle:
        return _Averaging(game._oracle(of, specs, names), split, merge, start)

    return game._copy(_oracle=oracle)


def _is_game(name: str, game: Any) -> None:
    if not isinstance(game, Game):
        raise TypeError(f"{name} goes around a game, got {validation.shown(game)}: {name}(mm.Game(...)), say.")


def _cut(batch: Any, parts: int) -> list[Any]:
    leaves, spec = pytree.tree_flatten_with_path(batch)
    lengths = {leaf.shape[0]: f"batch{pytree.keystr(path)}" for path, leaf in reversed(leaves) if _has_samples(leaf)}
    if not lengths:
        raise GameError(
            "there is no batch to cut into micro-batches: pass batches of tensors, or leave out accumulate."
        )
    if len(lengths) > 1:
        found = validation.listed([f"{size} ({name})" for size, name in lengths.items()])
        raise GameError(
            f"which tensors of the batch hold samples, those of length {found}? Pass constants as lists of numbers or "
            f"0-dim tensors, or say accumulate(game, {parts}, cut=...)."
        )
    (size,) = lengths
    if size % parts:
        raise GameError(f"a batch of size {size} cannot be cut into {parts} equal micro-batches.")
    cut = [leaf.chunk(parts) if _has_samples(leaf) else (leaf,) * parts for _, leaf in leaves]
    return [pytree.tree_unflatten(list(part), spec) for part in zip(*cut, strict=True)]


def _has_samples(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.dim() > 0


class _SameStart:
    """Refuses ranks that start from different players or buffers: asked before every evaluation, looks once."""

    def __init__(self, group: dist.ProcessGroup | None) -> None:
        self.group = group
        self.seen: WeakSet[Any] = WeakSet()

    def __call__(self, game: Game, z: Point) -> None:
        modules = game.modules
        if (modules or self) in self.seen or tree.transformed():
            return
        self.seen.add(modules or self)
        held = {} if modules is None else modules.read({**modules.buffers, **modules.frozen})
        start = {"players": tree.join(z), "buffers or frozen parameters": list(held.values())}
        hashes = torch.tensor([_hash(tensors) for tensors in start.values()], device=z[0][0].device)
        largest = torch.cat([hashes, -hashes])
        dist.all_reduce(largest, dist.ReduceOp.MAX, self.group)
        for name, high, low in zip(start, *largest.tensor_split(2), strict=True):
            if high != -low:
                raise GameError(
                    f"the ranks start from different {name}: call scaling.broadcast(players) on every rank first."
                )


def _hash(tensors: Iterable[Tensor]) -> int:
    """The tensors' types, shapes and bits in 56 bits."""
    digest = hashlib.blake2b(digest_size=7)
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return int.from_bytes(digest.digest())


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
