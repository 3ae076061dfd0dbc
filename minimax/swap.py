"""Modules as players: which parameters are whose, and how to swap values in while a loss runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from minimax.errors import GameError
from minimax.tree import Point


class Modules:
    """The modules among the players, and how to swap parameters and buffers in for one evaluation.

    `torch.func.functional_call` does the same; one plain loop over the owners' dictionaries, prepared once, takes a
    tenth of its time, which is a twentieth of a small GAN's step.
    """

    def __init__(self, modules: Sequence[nn.Module | None]) -> None:
        self.modules = tuple(modules)
        self.names: list[list[str]] = []  # per player, the leaves of its vector
        self.slots: list[list[tuple[int, dict[str, Any], str]]] = []  # per player, which leaf goes where
        self.buffers: dict[str, tuple[dict[str, Any], str]] = {}
        holders: dict[int, int] = {}
        for i, module in enumerate(modules):
            leaves: dict[int, int] = {}
            names: list[str] = []
            slots: list[tuple[int, dict[str, Any], str]] = []
            for prefix, owner in [] if module is None else module.named_modules():
                for key, parameter in owner._parameters.items():
                    if parameter is not None and parameter.requires_grad:
                        if (j := holders.setdefault(id(parameter), i)) != i:
                            raise GameError(f"players[{j}] and players[{i}] share the parameter {key}: who moves it?")
                        if id(parameter) not in leaves:  # a tied weight is one leaf that goes to several places
                            leaves[id(parameter)] = len(names)
                            names.append(f"{prefix}.{key}" if prefix else key)
                        slots.append((leaves[id(parameter)], owner._parameters, key))
                for key, buffer in owner._buffers.items():
                    if buffer is not None:
                        self.buffers[f"{i}.{prefix}.{key}"] = (owner._buffers, key)
            self.names.append(names)
            self.slots.append(slots)

    def parameters_of(self, i: int) -> dict[str, Tensor]:
        """The trainable parameters of module i, as tensors of their own."""
        module = self.modules[i]
        assert module is not None
        return {name: module.get_parameter(name).detach().clone() for name in self.names[i]}

    def call(
        self, loss: Callable[..., Any], players: list[Any], z: Point, args: tuple[Any, ...]
    ) -> tuple[Any, dict[str, Tensor]]:
        """The loss with z swapped into the modules, and the buffers as the evaluation left them."""
        swaps = [(owner, key, z[i][k]) for i, slots in enumerate(self.slots) for k, owner, key in slots]
        swaps += [(owner, key, owner[key].clone()) for owner, key in self.buffers.values()]
        saved = [(owner, key, owner[key]) for owner, key, _ in swaps]
        try:
            for owner, key, tensor in swaps:
                owner[key] = tensor
            return loss(*players, *args), self.state()
        finally:
            for owner, key, tensor in saved:
                owner[key] = tensor

    def latest(self, before: dict[str, Tensor], left: dict[str, Tensor]) -> dict[str, Tensor]:
        """What an evaluation `left`, but `before` where it changed nothing: a loss may run some of the modules only."""
        if not before:
            return left
        start = self.state()
        # By value and on the device: BatchNorm's kernel writes its statistics without a trace in the version counter.
        return {name: torch.where((left[name] != start[name]).any(), left[name], before[name]) for name in left}

    def state(self) -> dict[str, Tensor]:
        """The buffers as they stand."""
        return {name: owner[key] for name, (owner, key) in self.buffers.items()}

    def commit(self, buffers: Mapping[str, Tensor]) -> None:
        """Copy buffers back into the modules."""
        for name, tensor in buffers.items():
            owner, key = self.buffers[name]
            owner[key].copy_(tensor)
