"""Arithmetic on the leaves of players.

A *player* is any pytree of tensors. Inside a step it is a *vector*, the list of its leaves, and all players together
are a *point*, the tuple of their vectors. Every function here takes vectors and returns new ones.

Eagerly the arithmetic goes through `torch._foreach_*` (one call for all leaves); under `vmap`, which has no rules for
those, and under `torch.compile`, which fuses anyway, it is a plain loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

Vector: TypeAlias = list[Tensor]
Point: TypeAlias = tuple[Vector, ...]
Scalar: TypeAlias = float | Tensor
Spec: TypeAlias = pytree.TreeSpec | tuple[Any, ...] | None


def transformed() -> bool:
    """Whether the caller runs under `torch.compile` or a `torch.func` transform (`vmap`, `grad`, `jvp`)."""
    return torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None


def _loops(x: Vector) -> bool:
    return len(x) < 3 or transformed()  # the foreach calls' fixed cost pays from three leaves on


def flatten(tree: Any) -> tuple[Vector, Spec]:
    """The leaves of a pytree and what `unflatten` needs to build it again.

    None for a lone tensor, the keys for a dict of tensors, as a module's parameters are: both take a tenth of the time.
    """
    if isinstance(tree, Tensor):
        return [tree], None
    if type(tree) is dict:
        leaves = list(tree.values())
        if not [leaf for leaf in leaves if not isinstance(leaf, Tensor)]:  # `all` would resume a frame a leaf
            return leaves, tuple(tree)
    return pytree.tree_flatten(tree)


def unflatten(vector: Vector, spec: Spec) -> Any:
    """The pytree with these leaves."""
    if isinstance(spec, tuple):
        return dict(zip(spec, vector, strict=True))
    return vector[0] if spec is None else pytree.tree_unflatten(vector, spec)


def names(spec: Spec) -> list[str]:
    """What the leaves are called: a dict's keys, a tuple's indices, joined by dots; "" for a lone tensor.

    >>> names(flatten({"layers": [torch.ones(1), torch.ones(1)], "scale": torch.ones(1)})[1])
    ['layers.0', 'layers.1', 'scale']
    """
    if isinstance(spec, tuple):
        return [str(key) for key in spec]
    if spec is None:
        return [""]
    leaves = pytree.tree_flatten_with_path(pytree.tree_unflatten(range(spec.num_leaves), spec))[0]
    return [".".join(map(_key, path)) for path, _ in leaves]


def _key(entry: Any) -> str:
    match entry:
        case pytree.SequenceKey(idx=name) | pytree.MappingKey(key=name) | pytree.GetAttrKey(name=name):
            return str(name)
    return str(entry)


def add(x: Vector, y: Vector) -> Vector:
    """x + y."""
    return [a + b for a, b in zip(x, y, strict=True)] if _loops(x) else list(torch._foreach_add(x, y))


def sub(x: Vector, y: Vector) -> Vector:
    """x - y."""
    return [a - b for a, b in zip(x, y, strict=True)] if _loops(x) else list(torch._foreach_sub(x, y))


def mul(x: Vector, y: Vector) -> Vector:
    """x * y, leaf by leaf and entry by entry."""
    return [a * b for a, b in zip(x, y, strict=True)] if _loops(x) else list(torch._foreach_mul(x, y))


def div(x: Vector, y: Vector) -> Vector:
    """x / y, leaf by leaf and entry by entry."""
    return [a / b for a, b in zip(x, y, strict=True)] if _loops(x) else list(torch._foreach_div(x, y))


def _mixed(x: Vector) -> bool:
    return len(x) > 1 and len({b.dtype for b in x}) > 1


def scale(a: Scalar, x: Vector) -> Vector:
    """a x."""
    if isinstance(a, Tensor):  # in every leaf's own dtype: a float64 one would promote 0-dim leaves of a float32 player
        if _mixed(x):
            return [a.to(b.dtype) * b for b in x]
        a = a.to(x[0].dtype)
    return [a * b for b in x] if _loops(x) else list(torch._foreach_mul(x, a))


def shift(x: Vector, a: Scalar) -> Vector:
    """x + a, the same number added to every entry."""
    if isinstance(a, Tensor):
        if _mixed(x):
            return [b + a.to(b.dtype) for b in x]
        a = a.to(x[0].dtype)
    return [b + a for b in x] if _loops(x) else list(torch._foreach_add(x, a))


def axpy(a: Scalar, x: Vector, y: Vector) -> Vector:
    """a x + y."""
    if isinstance(a, Tensor) or _loops(x):
        return add(y, scale(a, x))
    return list(torch._foreach_add(y, x, alpha=a))


def lerp(x: Vector, y: Vector, weight: Scalar) -> Vector:
    """(1 - weight) x + weight y."""
    if isinstance(weight, Tensor) or _loops(x):
        return add(x, scale(weight, sub(y, x)))
    return list(torch._foreach_lerp(x, y, weight))


def sqrt(x: Vector) -> Vector:
    """The square root of every entry; where it is differentiated its derivative at 0 is 0, as inf * 0 would be NaN."""
    if transformed() or any(a.requires_grad for a in x):
        return [torch.where(a == 0, a, torch.where(a == 0, 1, a).sqrt()) for a in x]
    return [a.sqrt() for a in x] if _loops(x) else list(torch._foreach_sqrt(x))


def maximum(x: Vector, y: Vector) -> Vector:
    """The larger of x and y, entry by entry."""
    return [torch.maximum(a, b) for a, b in zip(x, y, strict=True)] if _loops(x) else list(torch._foreach_maximum(x, y))


def where(condition: Tensor, x: Vector, y: Vector) -> Vector:
    """x if the 0-dim condition holds, else y."""
    return [torch.where(condition.to(a.device), a, b) for a, b in zip(x, y, strict=True)]


def neg(x: Vector) -> Vector:
    """-x."""
    return [-a for a in x] if _loops(x) else list(torch._foreach_neg(x))


def clone(x: Vector) -> Vector:
    """A copy of x that owns its memory."""
    return [a.clone() for a in x]


def zeros(x: Vector) -> Vector:
    """Zeros shaped like x."""
    return [torch.zeros_like(a) for a in x]


def precision(x: Vector) -> torch.dtype:
    """The dtype for numbers that concern all of x: the widest of its leaves, float32 at least."""
    return reduce(torch.promote_types, [a.dtype for a in x], torch.float32)


def dot(x: Vector, y: Vector) -> Tensor:
    """<x, y>: a 0-dim tensor."""
    return total([torch.sum(a * b) for a, b in zip(x, y, strict=True)])


def norm(x: Vector) -> Tensor:
    """|x|: a 0-dim tensor."""
    norms = [torch.linalg.vector_norm(a) for a in x] if _loops(x) else torch._foreach_norm(x)
    whole: Tensor = torch.linalg.vector_norm(torch.stack(list(norms)))
    return whole


def total(values: Iterable[Tensor]) -> Tensor:
    """The sum of 0-dim tensors (no sum from Python's 0, which would cost one more addition)."""
    first, *rest = values
    for value in rest:
        first = first + value
    return first


def sharded(leaf: Any) -> bool:
    """Whether the tensor is spread over the ranks of `torch.distributed`: a DTensor (see `transforms.shard`)."""
    return type(leaf).__name__ == "DTensor"  # by name, as importing torch.distributed.tensor takes a second


def any_sharded(leaves: Iterable[Any]) -> bool:
    """Whether one of them is `sharded`."""
    return "DTensor" in [kind.__name__ for kind in {*map(type, leaves)}]


def gathered(leaf: Tensor) -> Tensor:
    """The whole of a tensor that may be sharded, differentiable; its gradient is the ranks' mean, sharded again."""
    if not sharded(leaf):
        return leaf
    from torch.distributed.tensor import DTensor, Partial

    assert isinstance(leaf, DTensor)
    return leaf.full_tensor(grad_placements=[Partial("avg")] * leaf.device_mesh.ndim)


def memory(leaf: Any) -> int:
    """Where the tensor's numbers begin; those of this rank, if it is sharded."""
    own: Tensor = leaf.to_local() if sharded(leaf) else leaf
    return own.untyped_storage().data_ptr()


def overwrite(targets: list[Any], values: list[Any]) -> None:
    """Copy the values into the targets."""
    if not any_sharded(targets):
        torch._foreach_copy_(targets, values)
        return
    for target, value in zip(targets, values, strict=True):  # torch knows no way for foreach, nor for another cut
        same = value.redistribute(target.device_mesh, target.placements) if sharded(value) else value
        target.copy_(same)


def size(x: Vector) -> int:
    """How many numbers x has."""
    return sum(a.numel() for a in x)


def join(z: Point) -> Vector:
    """All players' leaves in one vector."""
    return [leaf for vector in z for leaf in vector]


def split(x: Sequence[Tensor], like: Point) -> Point:
    """The inverse of `join`: cut x into vectors as long as those of `like`."""
    vectors, start = [], 0
    for vector in like:
        vectors.append(list(x[start : start + len(vector)]))
        start += len(vector)
    return tuple(vectors)
