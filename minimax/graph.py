"""What can be read off autograd's graph behind a tensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

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


class Fault(NamedTuple):
    """What torch gets wrong in second derivatives of a loss that holds a node, and whether in mixed ones too."""

    sentence: str
    mixed: bool


# Measured against differences of first derivatives, torch 2.10 to 2.15.
FAULTS = {
    "WeightNormInterfaceBackward0": Fault(
        "a loss goes through torch's weight_norm, whose second derivative holds the norm constant, which is wrong: "
        "register a parametrization of your own that returns g * v / torch.norm_except_dim(v, 2, 0).",
        mixed=False,
    ),
    "NativeLayerNormBackwardBackward0": Fault(
        "a loss holds a derivative through LayerNorm (a gradient penalty, say), whose third derivative holds mean and "
        "variance constant in torch, which is wrong: take nn.GroupNorm(1, features), the same on (batch, features).",
        mixed=True,
    ),
    **dict.fromkeys(
        ("NativeBatchNormBackwardBackward0", "CudnnBatchNormBackwardBackward0"),
        Fault(
            "a loss holds a derivative through BatchNorm (a gradient penalty, say), whose third derivative torch lacks "
            "or gets wrong: take nn.GroupNorm.",
            mixed=True,
        ),
    ),
}


def faults(values: Iterable[Tensor]) -> tuple[Fault, ...]:
    """What is wrong with the second derivatives of these losses."""
    kinds = {type(node).__name__ for value in values for node in nodes(value)}
    return tuple(fault for kind, fault in FAULTS.items() if kind in kinds)
