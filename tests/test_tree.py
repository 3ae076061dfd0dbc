import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minimax import tree

SHAPES = [(2, 3), (4,), (), (1, 1)]
OPERATIONS = {
    "add": (lambda x, y: tree.add(x, y), lambda a, b: a + b),
    "sub": (lambda x, y: tree.sub(x, y), lambda a, b: a - b),
    "mul": (lambda x, y: tree.mul(x, y), lambda a, b: a * b),
    "div": (lambda x, y: tree.div(x, y), lambda a, b: a / b),
    "maximum": (lambda x, y: tree.maximum(x, y), torch.maximum),
    "neg": (lambda x, y: tree.neg(x), lambda a, b: -a),
    "sqrt": (lambda x, y: tree.sqrt(tree.mul(y, y)), lambda a, b: b.abs()),
    "zeros": (lambda x, y: tree.zeros(x), lambda a, b: torch.zeros_like(a)),
    "scale": (lambda x, y: tree.scale(-0.5, x), lambda a, b: -0.5 * a),
    "scale by a tensor": (lambda x, y: tree.scale(torch.tensor(3.0), x), lambda a, b: 3 * a),
    "shift": (lambda x, y: tree.shift(x, 0.5), lambda a, b: a + 0.5),
    "shift by a tensor": (lambda x, y: tree.shift(x, torch.tensor(0.5)), lambda a, b: a + 0.5),
    "axpy": (lambda x, y: tree.axpy(2.0, x, y), lambda a, b: 2 * a + b),
    "axpy by a tensor": (lambda x, y: tree.axpy(torch.tensor(2.0), x, y), lambda a, b: 2 * a + b),
    "lerp": (lambda x, y: tree.lerp(x, y, 0.25), lambda a, b: 0.75 * a + 0.25 * b),
    "lerp by a tensor": (lambda x, y: tree.lerp(x, y, torch.tensor(0.25)), lambda a, b: 0.75 * a + 0.25 * b),
}


def vectors(dtype: torch.dtype) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    return tuple([torch.randn(shape, dtype=dtype) for shape in SHAPES] for _ in range(2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name: str, dtype: torch.dtype) -> None:
    """Leaf by leaf, eagerly and under vmap, out of place and in the dtype of the leaves."""
    operation, expected = OPERATIONS[name]
    x, y = vectors(dtype)
    before = [leaf.clone() for leaf in (*x, *y)]
    out = operation(x, y)
    torch.testing.assert_close(out, [expected(a, b) for a, b in zip(x, y, strict=True)])
    mapped = torch.vmap(operation)([a[None] for a in x], [b[None] for b in y])
    torch.testing.assert_close([leaf[0] for leaf in mapped], out)
    assert all(map(torch.equal, before, (*x, *y)))
    assert not {leaf.data_ptr() for leaf in out} & {leaf.data_ptr() for leaf in (*x, *y)}


def test_wide_scalars_do_not_promote_0_dim_leaves() -> None:
    x, a = [torch.ones(()), torch.ones(2)], torch.tensor(2.0, dtype=torch.float64)
    for out in (tree.scale(a, x), tree.shift(x, a), tree.axpy(a, x, x), tree.lerp(x, x, a)):
        assert [leaf.dtype for leaf in out] == [torch.float32] * 2


@pytest.mark.parametrize("call", [tree.scale, lambda a, x: tree.shift(x, a), lambda a, x: tree.axpy(a, x, x)])
def test_differentiable_in_the_scalar(call) -> None:
    a = torch.tensor(2.0, requires_grad=True)
    (g,) = torch.autograd.grad(sum(leaf.sum() for leaf in call(a, [torch.ones(3), torch.ones(())])), a)
    assert g.item() == 4


def test_norm_dot_total_size() -> None:
    x, y = vectors(torch.float64)
    flat = [torch.cat([leaf.reshape(-1) for leaf in vector]) for vector in (x, y)]
    torch.testing.assert_close(tree.norm(x), flat[0].norm())
    torch.testing.assert_close(tree.norm(x[:1]), x[0].norm())
    torch.testing.assert_close(tree.dot(x, y), flat[0] @ flat[1])
    assert tree.norm(x).dim() == tree.dot(x, y).dim() == 0
    assert tree.size(x) == 6 + 4 + 1 + 1
    assert tree.total([torch.tensor(1.0), torch.tensor(2.5)]).item() == 3.5
    mapped = torch.vmap(tree.norm)([leaf[None] for leaf in x])
    torch.testing.assert_close(mapped[0], tree.norm(x))


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4))
def test_split_inverts_join(lengths: list[int]) -> None:
    z = tuple([torch.tensor([float(i), float(k)]) for k in range(n)] for i, n in enumerate(lengths))
    again = tree.split(tree.join(z), z)
    assert [len(vector) for vector in again] == lengths
    assert all(a is b for v, w in zip(z, again, strict=True) for a, b in zip(v, w, strict=True))


@pytest.mark.parametrize(
    "player", [torch.ones(2), {"a": torch.ones(1), "b": [torch.zeros(2), (torch.ones(()),)]}, [torch.ones(3)]]
)
def test_unflatten_inverts_flatten(player) -> None:
    leaves, spec = tree.flatten(player)
    again = tree.unflatten(leaves, spec)
    assert type(again) is type(player) and tree.flatten(again)[1] == spec
    assert all(a is b for a, b in zip(tree.flatten(again)[0], leaves, strict=True))


def test_transformed_knows_where_it_is() -> None:
    assert not tree.transformed()
    seen = []
    torch.vmap(lambda x: (seen.append(tree.transformed()), x)[1])(torch.ones(2))
    torch.func.grad(lambda x: (seen.append(tree.transformed()), x)[1])(torch.ones(()))
    assert seen == [True, True] and not tree.transformed()
