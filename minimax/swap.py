"""Modules as players: which parameters are whose, and how to swap values in while a loss runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from minimax import tree
from minimax.errors import GameError
from minimax.tree import Vector

Place = tuple[dict[str, Any], str]  # an owner's dictionary and the key in it

# By name, as importing torch.distributed.fsdp takes longer than the rest of this package.
WRAPPED = {"DistributedDataParallel", "FullyShardedDataParallel", "FSDPModule", "DataParallel", "DeepSpeedEngine"}


class Modules:
    """The modules among the players, and how to swap parameters and buffers in for one evaluation.

    `torch.func.functional_call` does the same; one plain loop over the owners' dictionaries, prepared once, takes a
    tenth of its time, which is a twentieth of a small GAN's step.

    Raises:
        GameError: a parameter that two players share, or that cannot be played (see `_refuse`).
    """

    def __init__(self, modules: Sequence[nn.Module | None]) -> None:
        self.modules = tuple(modules)
        self.names: list[list[str]] = []  # per player, the leaves of its vector
        self.homes: list[list[Place]] = []  # per player and leaf, where it is read and written
        self.slots: list[tuple[int, int, dict[str, Any], str]] = []  # player and leaf, and one of the places it goes to
        self.buffers: dict[str, Place] = {}
        self.frozen: dict[str, Place] = {}
        holders: dict[int, int] = {}
        for i, module in enumerate(modules):
            leaves: dict[int, int] = {}
            self.names.append([])
            self.homes.append([])
            for prefix, owner in [] if module is None else module.named_modules():
                _refuse(owner, f"players[{i}]" + (f".{prefix}" if prefix else ""))
                for key, parameter in owner._parameters.items():
                    if parameter is None:
                        continue
                    name = f"{prefix}.{key}" if prefix else key
                    if not parameter.requires_grad:
                        self.frozen[f"{i}.{prefix}.{key}"] = (owner._parameters, key)
                        continue
                    if (j := holders.setdefault(id(parameter), i)) != i:
                        raise GameError(
                            f"players[{j}] and players[{i}] share the parameter {key}: who moves it? Make what they "
                            "share a player of its own, whose loss says so (the sum of theirs, say), or give it to one "
                            "of them and let the other be what is left."
                        )
                    if id(parameter) not in leaves:  # a tied weight is one leaf that goes to several places
                        leaves[id(parameter)] = len(self.names[i])
                        self.names[i].append(name)
                        self.homes[i].append((owner._parameters, key))
                    self.slots.append((i, leaves[id(parameter)], owner._parameters, key))
                for key, buffer in owner._buffers.items():
                    if buffer is not None:
                        self.buffers[f"{i}.{prefix}.{key}"] = (owner._buffers, key)
        self.places = self.frozen | self.buffers
        self.sharded = any(tree.sharded(owner[key]) for homes in self.homes for owner, key in homes)
        self.averaged = False  # whether ranks average what they measure, so that these may be sharded over them
        self._refuse_shared_memory()
        self._owners = [owner for module in modules if module is not None for owner in module.modules()]
        self._layers = [(owner._modules, owner._parameters) for owner in self._owners]
        self._bound, self._seen = list(self._fingerprint()), self._glance()

    # ------------------------------------------------------------------------------------ the modules as they stand

    def parameters(self, i: int) -> dict[str, Tensor]:
        """The trainable parameters of module i as they stand, sharing their memory."""
        return {name: owner[key].detach() for name, (owner, key) in zip(self.names[i], self.homes[i], strict=True)}

    def originals(self, i: int) -> list[tuple[str, Tensor]]:
        """The trainable parameters of module i themselves, with their names."""
        return [(name, owner[key]) for name, (owner, key) in zip(self.names[i], self.homes[i], strict=True)]

    def built(self) -> list[tuple[Any, ...]]:
        """What the layers are, apart from their tensors."""
        # By name: a parametrized module has a class of its own.
        return [(type(owner).__qualname__, owner.training, owner.extra_repr()) for owner in self._owners]

    def check(self) -> None:
        """Refuse modules that are no longer built as they were when they were bound.

        Raises:
            GameError: a parameter or submodule that came, went, was frozen, hooked, or changed dtype, shape or device.
        """
        if (seen := self._glance()) == self._seen:
            return
        now = list(self._fingerprint())
        if now == self._bound:  # other tensors of the same kind, as `load_state_dict(..., assign=True)` leaves
            self._seen = seen
            return
        for old, new in zip(self._bound, now, strict=False):
            if old != new:
                raise GameError(
                    f"a bound module has changed: {_told(old)} was bound, now there is {_told(new)}; put it back, or "
                    "call trainer.rebind() to play on with the module as it is (its optimizer starts anew)."
                )
        raise GameError("a bound module has gained or lost layers: call trainer.rebind() (its optimizer starts anew).")

    def _glance(self) -> list[Any]:
        """What cannot stay the same if the fingerprint changes; a tenth of its time, which counts in small steps."""
        seen: list[Any] = []
        for children, parameters in self._layers:
            seen += (len(children), len(parameters))
            for p in parameters.values():
                if p is not None:
                    seen += (id(p), p.data_ptr(), p.requires_grad, p._backward_hooks, p._post_accumulate_grad_hooks)
            if children:
                seen += map(id, children.values())
        return seen

    def _fingerprint(self) -> Iterator[tuple[Any, ...]]:
        """What must not change under a player's vector: the layers, and each parameter's kind and ties."""
        seen: dict[int, int] = {}
        for owner in self._owners:
            yield type(owner), tuple([id(child) for child in owner._modules.values()])
            for key, p in owner._parameters.items():
                if p is None:
                    yield (key,)
                else:
                    tie = seen.setdefault(id(p), len(seen))
                    hooked = bool(p._backward_hooks) or bool(getattr(p, "_post_accumulate_grad_hooks", None))
                    yield key, p.requires_grad, p.dtype, p.shape, p.device, tie, hooked

    def _refuse_shared_memory(self) -> None:
        """Two leaves in one memory would both be written to: the later one wins without a word."""
        spans = []
        for i, (names, homes) in enumerate(zip(self.names, self.homes, strict=True)):
            for name, (owner, key) in zip(names, homes, strict=True):
                p = owner[key]
                if p.numel() and not self.sharded:
                    extent = sum((n - 1) * stride for n, stride in zip(p.shape, p.stride(), strict=True)) + 1
                    start = p.data_ptr()
                    spans.append((str(p.device), start, start + extent * p.element_size(), f"players[{i}].{name}"))
        spans.sort()
        for (device, _, end, name), (other, start, _, neighbour) in pairwise(spans):
            if device == other and start < end:
                raise GameError(
                    f"{name} and {neighbour} lie in the same memory, so that one move would undo the other: tie them "
                    "by one nn.Parameter in both places of one player, or .clone() one of them."
                )

    # -------------------------------------------------------------------------------------------------- swapping

    def put(self, z: Mapping[int, Vector], held: Mapping[str, Tensor]) -> list[tuple[dict[str, Any], str, Any]]:
        """Swap vectors into these players' modules, and copies of buffers (or frozen parameters) into all.

        Returns what `back` needs.

        Raises:
            GameError: sharded modules in a game that does not average over the ranks.
        """
        if self.sharded:
            if not self.averaged:
                raise GameError(
                    "the modules are sharded over ranks, and the game is not: play transforms.data_parallel(game), "
                    "which averages losses and buffers, too."
                )
            z = {i: [tree.gathered(leaf) for leaf in vector] for i, vector in z.items()}
        swaps = [(owner, key, z[i][k]) for i, k, owner, key in self.slots if i in z]
        swaps += [(*self.places[name], tensor.clone()) for name, tensor in held.items()]
        saved = [(owner, key, owner[key]) for owner, key, _ in swaps]  # first, as players may share a frozen layer
        for owner, key, tensor in swaps:
            owner[key] = tensor
        return saved

    def back(self, saved: list[tuple[dict[str, Any], str, Any]], held: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Undo `put`; returns the buffers as the evaluation left them."""
        left = self.read(held)
        for owner, key, tensor in saved:
            owner[key] = tensor
        return left

    def read(self, names: Mapping[str, Any]) -> dict[str, Tensor]:
        """Buffers and frozen parameters as they stand."""
        return {name: owner[key] for name in names for owner, key in [self.places[name]]}

    @torch.no_grad()
    def commit(self, values: Mapping[str, Tensor]) -> None:
        """Copy buffers back into the modules."""
        for name, tensor in values.items():
            owner, key = self.places[name]
            owner[key].copy_(tensor)

    def write(self, players: Sequence[Any]) -> None:
        """Copy those that are modules' into these in place, so that hooks of others and references stay valid."""
        targets: list[Tensor] = []
        values: list[Tensor] = []
        for module, homes, player in zip(self.modules, self.homes, players, strict=True):
            if module is not None:
                targets += [owner[key] for owner, key in homes]
                values += player.values()
        with torch.no_grad():
            tree.overwrite(targets, values)


def _refuse(owner: nn.Module, where: str) -> None:
    """Refuse, with the way out, what would be played wrongly."""
    kinds = {base.__name__ for base in type(owner).__mro__}
    if kinds & WRAPPED:
        raise GameError(
            f"{where} is wrapped in {type(owner).__name__}, whose hooks never run here, so that the ranks would drift "
            "apart: pass the bare module, and transforms.data_parallel(game) for the ranks (and transforms.shard, if "
            "each is to hold a part of the parameters only)."
        )
    if isinstance(owner, torch.jit.ScriptModule):
        raise GameError(f"{where} is a torch.jit module, whose parameters cannot be swapped: pass the plain module.")
    if isinstance(owner, nn.Embedding | nn.EmbeddingBag) and owner.sparse:
        raise GameError(f"{where} has sparse gradients, which no rule takes: build it with sparse=False.")
    for key, held in (*owner._parameters.items(), *owner._buffers.items()):
        if held is None:
            continue
        if is_lazy(held):
            raise GameError(f"{where}.{key} has no shape yet: run a batch through the lazy module first.")
        if held.is_meta:
            raise GameError(f"{where}.{key} lies on the meta device and has no values: use .to_empty first.")
        if held.is_inference():
            raise GameError(f"{where}.{key} was made under torch.inference_mode: build the module outside of it.")
    for key, p in owner._parameters.items():
        if p is None:
            continue
        if tree.sharded(p) and not p.requires_grad:
            raise GameError(f"{where}.{key} is frozen and sharded: freeze it before transforms.shard, which leaves it.")
        if p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None):
            raise GameError(
                f"{where}.{key} has a gradient hook, which would never run, as gradients do not pass through "
                "parameter.grad here: remove it, and do its work in a Rule (see minimax.Rule) or in the loss."
            )


def _told(item: tuple[Any, ...]) -> str:
    """One entry of a fingerprint, for people."""
    if isinstance(item[0], type):
        return f"a {item[0].__name__} with {len(item[1])} layers inside"
    if len(item) == 1:
        return f"no parameter {item[0]}"
    key, trains, dtype, shape, device, _, hooked = item
    kind, hook = "trainable" if trains else "frozen", " with a gradient hook" if hooked else ""
    return f"a {kind} parameter {key} {tuple(shape)} of {dtype} on {device}{hook}"
