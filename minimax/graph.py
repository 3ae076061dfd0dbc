"""What can be read off autograd's graph behind a tensor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor


def nodes(value: Tensor) -> Iterator[Any]:
    """The nodes of the graph behind a tensor, each once."""
    waiting, seen = [value.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [following for following, _ in node.next_functions]


def reached(value: Tensor) -> dict[int, Tensor]:
    """The leaf tensors that a tensor depends on, by id."""
    if value.grad_fn is None:
        return {id(value): value}
    leaves = (node.variable for node in nodes(value) if type(node).__name__ == "AccumulateGrad")
    return {id(leaf): leaf for leaf in leaves}


def reentrant(value: Tensor) -> bool:
    """Whether part of the graph is hidden in a reentrant checkpoint, which builds it in the backward pass only."""
    return any(type(node).__name__ == "CheckpointFunctionBackward" for node in nodes(value))
