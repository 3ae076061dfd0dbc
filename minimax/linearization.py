"""A game to second order at one point: products with its Jacobian, never the Jacobian itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from minimax import tree
from minimax.errors import refused, unforwarded
from minimax.tree import Point, Vector


@dataclass(frozen=True)
class Linearization:
    """A game at one point to second order: the field, the losses, and products with blocks of the Jacobian DF.

    `jvp_block(i, j, v)` is (∂ξ_i/∂z_j) v and `vjp_block(i, j, u)` is (∂ξ_i/∂z_j)ᵀ u; `jvp` and `vjp` take the whole DF.
    Each call costs one Hessian-vector product; the forward and first backward pass are shared by all of them.

    `symmetry` is what is known of H_o, DF without its own-player blocks: 1 if symmetric (one shared loss), -1 if
    antisymmetric (two players, zero-sum), 0 if neither.
    """

    field: Point
    losses: tuple[Tensor, ...]
    jvp: Callable[[Point], Point]
    vjp: Callable[[Point], Point]
    jvp_block: Callable[[int, int, Vector], Vector]
    vjp_block: Callable[[int, int, Vector], Vector]
    symmetry: int = 0

    def off_diagonal(self, v: Point) -> Point:
        """H_o v, where H_o is DF without its own-player blocks. One product per ordered pair of players."""
        return _off_diagonal(v, self.jvp_block)

    def off_diagonal_t(self, u: Point) -> Point:
        """H_oᵀ u. One product per ordered pair of players."""
        return _off_diagonal(u, lambda i, j, u_j: self.vjp_block(j, i, u_j))


def _off_diagonal(v: Point, block: Callable[[int, int, Vector], Vector]) -> Point:
    rows = []
    for i, v_i in enumerate(v):
        parts = [block(i, j, v_j) for j, v_j in enumerate(v) if j != i]
        rows.append(reduce(tree.add, parts) if parts else tree.zeros(v_i))
    return tuple(rows)


class Graph:
    """Products with DF by backward passes through the recorded graph of the field.

    `holding` keeps the leaves in their modules meanwhile, as checkpointed activations are computed again.
    """

    def __init__(self, leaves: Point, field: Point, holding: Callable[[], AbstractContextManager[None]]) -> None:
        self.leaves, self.field, self.holding = leaves, field, holding
        self.pulled: dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[Vector, Vector]] = {}

    def vjp(self, rows: Sequence[int], columns: Sequence[int], u: Point) -> Point:
        """Σ over rows i of (∂ξ_i/∂z_j)ᵀ u_i, for the columns j."""
        into, outputs = tuple([self.leaves[j] for j in columns]), tuple([self.field[i] for i in rows])
        with self.holding():
            return tree.split(backward(tree.join(outputs), tree.join(into), tree.join(u)), into)

    def jvp(self, rows: Sequence[int], columns: Sequence[int], v: Point) -> Point:
        """Σ over columns j of (∂ξ_i/∂z_j) v_j, for the rows i: the vjp is linear in u, and this is its transpose."""
        of, key = tuple(self.field[i] for i in rows), (tuple(rows), tuple(columns))
        if key not in self.pulled:  # the next products with these blocks cost one backward pass instead of two
            into = tree.join(tuple(self.leaves[j] for j in columns))
            with torch.enable_grad(), self.holding():
                u = [torch.zeros_like(leaf, requires_grad=True) for leaf in tree.join(of)]
                self.pulled[key] = u, backward(tree.join(of), into, u, create_graph=True)
        u, pulled = self.pulled[key]
        with self.holding():
            return tree.split(backward(pulled, u, tree.join(v)), of)


class Functional:
    """Products with DF by `torch.func`, for `vmap` and `torch.compile`."""

    def __init__(self, z: Point, field: Callable[[Point], Point]) -> None:
        self.z, self.field = z, field
        self.forward = True  # until an operation turns out to lack forward-mode derivatives
        self.pulls: dict[tuple[tuple[int, ...], tuple[int, ...]], Callable[[Point], tuple[Point]]] = {}

    def vjp(self, rows: Sequence[int], columns: Sequence[int], u: Point) -> Point:
        key = (tuple(rows), tuple(columns))
        if key not in self.pulls:  # the next products with these blocks skip the forward pass
            self.pulls[key] = torch.func.vjp(*self._restricted(rows, columns))[1]
        return tuple(self.pulls[key](tuple(u))[0])

    def jvp(self, rows: Sequence[int], columns: Sequence[int], v: Point) -> Point:
        of, at = self._restricted(rows, columns)
        if self.forward:
            try:
                return tuple(torch.func.jvp(of, (at,), (tuple(v),))[1])
            except NotImplementedError as error:
                if not (op := unforwarded(error)):
                    raise
                warnings.warn(
                    f"torch has no forward-mode derivative of {op}: two backward passes instead.", stacklevel=2
                )
                self.forward = False
        ξ, pull = torch.func.vjp(of, at)[:2]  # linear in u, and so its own transpose's transpose
        u = tuple([torch.zeros_like(leaf) for leaf in vector] for vector in ξ)
        return tuple(torch.func.vjp(pull, u)[1]((tuple(v),))[0])

    def _restricted(self, rows: Sequence[int], columns: Sequence[int]) -> tuple[Callable[[Point], Point], Point]:
        place = {j: k for k, j in enumerate(columns)}

        def field(w: Point) -> Point:
            ξ = self.field(tuple(w[place[j]] if j in place else vector for j, vector in enumerate(self.z)))
            return tuple(ξ[i] for i in rows)

        return field, tuple(self.z[j] for j in columns)


def signed(field: Point, signs: tuple[int, ...]) -> Point:
    """Every player's vector times its sign."""
    return tuple([vector if sign > 0 else tree.neg(vector) for vector, sign in zip(field, signs, strict=True)])


def backward(outputs: Vector, inputs: Vector, cotangents: Vector, create_graph: bool = False) -> Vector:
    """Σ of the cotangents times d outputs / d inputs, the graph kept; zeros where nothing depends on the inputs."""
    live = [(out, cotangent) for out, cotangent in zip(outputs, cotangents, strict=True) if out.requires_grad]
    if not live:  # a field that does not depend on these players, say that of a linear loss
        return [torch.zeros_like(x) for x in inputs]
    try:
        g = torch.autograd.grad(
            [out for out, _ in live],
            inputs,
            [cotangent for _, cotangent in live],
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
        )
    except RuntimeError as error:
        raise refused(error) from None
    return [torch.zeros_like(x) if part is None else part for x, part in zip(inputs, g, strict=True)]


def accumulated(outputs: Vector, inputs: Vector, cotangents: Vector) -> Vector:
    """The same for inputs that reentrant checkpoints hide, which know no other way."""
    for leaf in inputs:
        leaf.grad = None
    live = [(out, cotangent) for out, cotangent in zip(outputs, cotangents, strict=True) if out.requires_grad]
    torch.autograd.backward([out for out, _ in live], [cotangent for _, cotangent in live], retain_graph=True)
    return [torch.zeros_like(x) if x.grad is None else x.grad for x in inputs]
