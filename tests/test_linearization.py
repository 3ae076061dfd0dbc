"""Products with blocks of DF by `torch.func` are those of the dense matrix, whichever way they are taken."""

import pytest
import torch
from torch import Tensor

from minimax.linearization import Functional

pytestmark = pytest.mark.usefixtures("float64")

Z = ([torch.tensor([0.3, -0.7], dtype=torch.float64)], [torch.tensor([1.1, 0.2, -0.4], dtype=torch.float64)])


def field(z: tuple[list[Tensor], ...]) -> tuple[list[Tensor], ...]:
    (x,), (y,) = z
    return [x.sin() * y.sum() + x.prod()], [y * y * x[0] + x.exp().sum() * y.flip(0)]


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("rows", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("columns", [(0,), (1,), (0, 1)])
def test_products_are_those_of_the_dense_matrix(rows: tuple[int, ...], columns: tuple[int, ...], forward: bool) -> None:
    """The second time as well, when the way back is known."""
    blocks = torch.func.jacrev(lambda x, y: [part for (part,) in field(([x], [y]))], argnums=(0, 1))(Z[0][0], Z[1][0])
    J = torch.cat([torch.cat([blocks[i][j] for j in columns], 1) for i in rows])
    products = Functional(Z, field)
    products.forward = forward
    for _ in range(2):
        v, u = (tuple([torch.randn_like(Z[k][0])] for k in which) for which in (columns, rows))
        for found, expected in (
            (products.jvp(rows, columns, v), J @ torch.cat([part for (part,) in v])),
            (products.vjp(rows, columns, u), J.T @ torch.cat([part for (part,) in u])),
        ):
            torch.testing.assert_close(torch.cat([part for (part,) in found]), expected)
