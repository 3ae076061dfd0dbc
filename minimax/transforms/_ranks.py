"""The ranks of `torch.distributed`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from minimax import tree
from minimax.errors import GameError
from minimax.game import Game
from minimax.swap import Modules
from minimax.transforms._averaged import averaged
from minimax.transforms.checks import checked_game
from minimax.tree import Point
from minimax.types import P


def data_parallel(game: Game, group: dist.ProcessGroup | None = None) -> Game:
    """The same game with everything averaged over the ranks of `torch.distributed`, each of which passes its own batch.

    Every rank must start from the same players (see `broadcast`) and play the same optimizer for the same number of
    steps; then all ranks stay equal, and with losses that are means over equally large batches they play what one
    process would on all batches together. Other players are noticed at the first evaluation (compiled, only by the
    check of `bind`); another optimizer is not, and where it asks the game something else, or one rank takes a step
    more, the ranks wait for each other in vain, until the group's timeout.

    Costs one all-reduce of a player's (or all players') size per oracle call, and once a hash of the players; gloo on
    CPUs, nccl on GPUs. `Cost.samples` counts the rank's own. Modules come as they are: DistributedDataParallel around
    them would average a second time. Around `accumulate(game, n)` the micro-batches share one all-reduce.

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
        >>> mm.transforms.data_parallel(mm.zero_sum(lambda x, y: x * y)).field((torch.tensor(1.0), torch.tensor(2.0)))
        (tensor(2.), tensor(-1.))
        >>> dist.destroy_process_group()
    """
    checked_game("data_parallel", game)
    return averaged(game, lambda batch: [batch], lambda values: _over_ranks(values, group), _SameStart(group))


@torch.no_grad()
def broadcast(players: P, source: int = 0, group: dist.ProcessGroup | None = None) -> P:
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

    new: P = pytree.tree_map(sent, players)
    return new


@torch.no_grad()
def shard(players: P, group: dist.ProcessGroup | None = None) -> P:
    """The players with each module's parameters cut over the ranks, as FSDP does, in place; the first rank's values.

    Every rank keeps a part of the parameters only, and of whatever an optimizer remembers of them; a loss finds them
    whole, gathered anew at every evaluation, and their gradients are cut again. Second derivatives go through that too.
    The game must be `data_parallel`. Costs a gathering and a reduction of a player's size per oracle call.

    Args:
        players: a tuple or dict that holds modules, of the same structure on all ranks. Frozen parameters, buffers and
            plain tensors stay whole.
        group: the ranks; all by default.

    Raises:
        ValueError: `torch.distributed.init_process_group` has not been called.

    Example:
        >>> import os, tempfile, torch, torch.distributed as dist, minimax as mm
        >>> file = "file://" + os.path.join(tempfile.mkdtemp(), "ranks")
        >>> dist.init_process_group("gloo", init_method=file, rank=0, world_size=1)
        >>> game = mm.transforms.data_parallel(mm.Game(lambda net, b: net(b).square().mean()))
        >>> trainer = mm.bind(game, mm.transforms.shard((torch.nn.Linear(2, 1),)), mm.SimultaneousGDA(mm.adam(0.1)))
        >>> trainer.step(torch.ones(4, 2)).cost.gradients
        1
        >>> dist.destroy_process_group()
    """
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import Shard, distribute_tensor

    ranks = group or dist.group.WORLD
    broadcast(players, dist.get_process_group_ranks(ranks)[0], group)
    assert ranks is not None
    for module in pytree.tree_leaves(players):
        parts: dict[nn.Parameter, nn.Parameter] = {}  # tied weights stay tied
        for owner in module.modules() if isinstance(module, nn.Module) else ():
            for key, whole in owner._parameters.items():
                if whole is not None and whole.requires_grad:
                    if whole not in parts:
                        mesh = DeviceMesh.from_group(ranks, whole.device.type)
                        parts[whole] = nn.Parameter(distribute_tensor(whole.detach(), mesh, [Shard(0)]))
                    owner._parameters[key] = parts[whole]
    return players


class _SameStart:
    """Refuses ranks that start from different players or buffers: asked before every evaluation, looks once."""

    def __init__(self, group: dist.ProcessGroup | None) -> None:
        self.group = group
        self.seen: WeakSet[Any] = WeakSet()

    def __call__(self, modules: Modules | None, z: Point) -> None:
        if modules is not None and modules.sharded:
            modules.averaged = True
        if (modules or self) in self.seen or tree.transformed():
            return
        self.seen.add(modules or self)
        held = {} if modules is None else modules.read({**modules.buffers, **modules.frozen})
        whole = [leaf for leaf in tree.join(z) if not tree.sharded(leaf)]
        start = {"players": whole, "buffers or frozen parameters": list(held.values())}
        hashes = torch.tensor([_hash(tensors) for tensors in start.values()], device=z[0][0].device)
        largest = torch.cat([hashes, -hashes])
        dist.all_reduce(largest, dist.ReduceOp.MAX, self.group)
        for name, high, low in zip(start, *largest.tensor_split(2), strict=True):
            if high != -low:
                raise GameError(
                    f"the ranks start from different {name}: call transforms.broadcast(players) on every rank first."
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
            "averages over ranks cannot be differentiated: put data_parallel outside of transforms that do, as in "
            "data_parallel(consensus(game))."
        )
    out = list(values)
    own = [k for k, value in enumerate(values) if value.is_floating_point() and not tree.sharded(value)]
    for dtype in dict.fromkeys(values[k].dtype for k in own):
        places = [k for k in own if values[k].dtype == dtype]
        joined = torch.cat([values[k].detach().reshape(-1) for k in places])
        dist.all_reduce(joined, group=group)
        pieces = (joined / dist.get_world_size(group)).split([values[k].numel() for k in places])
        for k, piece in zip(places, pieces, strict=True):
            out[k] = piece.reshape(values[k].shape)
    return out
