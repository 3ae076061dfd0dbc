"""Comparing pytrees, and the one way to fail."""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from minimax import tree
from minimax.tree import Point


def demand(holds: bool, sentence: str) -> None:
    """Raise an AssertionError unless it holds; unlike the assert statement under `python -O` too."""
    if not holds:
        raise AssertionError(sentence)


def same(a: Any, b: Any) -> bool:
    """Equal bit for bit, in the same structure."""
    (x, spec), (y, other) = pytree.tree_flatten(a), pytree.tree_flatten(b)
    pairs = zip(x, y, strict=False)
    return spec == other and all(torch.equal(p, q) if isinstance(p, Tensor) else p == q for p, q in pairs)


def close(a: Any, b: Any, tolerance: float) -> bool:
    """|a - b| <= tolerance max(1, |a|, |b|) over all leaves."""
    x, y = ([leaf.double() for leaf in pytree.tree_leaves(value)] for value in (a, b))
    size = max(1.0, float(tree.norm(x)), float(tree.norm(y)))
    return float(tree.norm(tree.sub(x, y))) <= tolerance * size


def shapes(value: Any) -> Any:
    """Structure, and every tensor's shape, dtype and device."""
    leaves, spec = pytree.tree_flatten(value)
    return [(leaf.shape, leaf.dtype, leaf.device) if isinstance(leaf, Tensor) else leaf for leaf in leaves], spec


def copied(value: Any) -> Any:
    """The same with every tensor cloned."""
    return pytree.tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, value)


def shared(a: Any, b: Any) -> bool:
    """Whether a tensor of a lies in the memory of one of b, so that writing to one may change the other."""
    return not _memory(a).isdisjoint(_memory(b))


def _memory(value: Any) -> set[int]:
    return {leaf.untyped_storage().data_ptr() for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)}


def stacked(values: list[Any]) -> Any:
    """One pytree whose tensors have a new first dimension, one entry per value."""
    return pytree.tree_map(lambda *leaves: torch.stack(leaves), values[0], *values[1:])


def through_disk(value: Any) -> Any:
    """Saved and loaded, with the loader that runs no code."""
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def increment(z: Point) -> tuple[float, float]:
    """The step ε of a central difference that balances rounding and truncation, and the error O(ε²) to expect."""
    ε = float(torch.finfo(z[0][0].dtype).eps ** (1 / 3))
    return ε, 1000 * ε**2
