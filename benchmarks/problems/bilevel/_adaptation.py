"""Networks that adapt to tasks: one player θ, and for every task of a batch what is added to θ, from 0 on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import minimax as mm
from benchmarks.networks import seeded
from benchmarks.problem import Batch
from minimax.transforms import best_response, response

Weights: TypeAlias = Any
"""A pytree of tensors; of adapted ones the first dimension is the task."""
Error: TypeAlias = Callable[[Weights, Tensor, Tensor], Tensor]
"""Of adapted weights, x (tasks, n, ...) and y: the loss of every task, (tasks,)."""


def adapted(θ: Weights, δ: Weights) -> Weights:
    """θ + δ, a copy for every task."""
    return pytree.tree_map(lambda leaf, moved: leaf + moved, θ, δ)


def tasks(error: Error, proximal: float = 0.0) -> mm.Game:
    """The game of θ, who pays for the queries of adapted weights, and of δ, which fits the shots (and stays near 0).

    Batches hold `x` and `y`, the shots, and `x_query` and `y_query`, all with the task as first dimension.
    """

    def query(θ: Weights, δ: Weights, batch: Batch) -> Tensor:
        return error(adapted(θ, δ), batch["x_query"], batch["y_query"]).mean()

    def shots(θ: Weights, δ: Weights, batch: Batch) -> Tensor:
        far = sum(leaf.square().sum() for leaf in pytree.tree_leaves(δ))
        return error(adapted(θ, δ), batch["x"], batch["y"]).sum() + proximal / 2 * far

    return mm.Game(query, shots)


def maml(error: Error, rule: mm.Rule, steps: int, start: Callable[[Batch], Weights], whole: bool = True) -> mm.Game:
    """MAML, differentiated through adaptation, or first-order MAML, whose gradient is that at the adapted weights."""
    return best_response(tasks(error), 1, start, rule, steps, through=whole)


def reptile(error: Error, rule: mm.Rule, steps: int, start: Callable[[Batch], Weights]) -> mm.Game:
    """Reptile: θ moves towards the mean of the weights that are adapted to shots and queries, along mean δ.

    The loss -<θ, mean δ> has that gradient while δ stands still, and no other meaning.
    """

    def towards(θ: Weights, δ: Weights, batch: Batch) -> Tensor:
        pairs = zip(pytree.tree_leaves(θ), pytree.tree_leaves(δ), strict=True)
        return -sum(((leaf * moved.mean(0)).sum() for leaf, moved in pairs), start=torch.zeros(()))

    def all_of_it(θ: Weights, δ: Weights, batch: Batch) -> Tensor:
        x, y = (torch.cat([batch[name], batch[f"{name}_query"]], 1) for name in ("x", "y"))
        return error(adapted(θ, δ), x, y).sum()

    return best_response(mm.Game(towards, all_of_it), 1, start, rule, steps)


def adapt(
    error: Error,
    θ: Weights,
    batch: Batch,
    start: Callable[[Batch], Weights],
    rule: mm.Rule,
    steps: int,
    proximal: float = 0.0,
) -> Weights:
    """The weights of every task after so many steps on its shots."""
    return adapted(θ, response(tasks(error, proximal), (θ,), 1, start, rule, steps, batch=batch))


def zeros(θ: Weights, count: int) -> Weights:
    """What is added to θ before adaptation to so many tasks."""
    return pytree.tree_map(lambda leaf: leaf.new_zeros(count, *leaf.shape), θ)


def initial(seed: int, sizes: tuple[int, ...], device: torch.device) -> dict[str, Tensor]:
    """The weights of a ReLU network as torch draws them."""
    layers = seeded(seed, lambda: [nn.Linear(a, b) for a, b in pairwise(sizes)])
    named = {f"{kind}{k}": getattr(layer, kind) for k, layer in enumerate(layers) for kind in ("weight", "bias")}
    return {name: leaf.detach().to(device) for name, leaf in named.items()}


def network(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """A ReLU network for every task at once: x (tasks, n, features)."""
    last = len(weights) // 2 - 1
    for k in range(last + 1):
        x = x @ weights[f"weight{k}"].mT + weights[f"bias{k}"][:, None]
        x = x.relu() if k < last else x
    return x
