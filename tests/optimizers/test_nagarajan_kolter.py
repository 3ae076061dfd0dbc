import cmath

import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games


@pytest.mark.parametrize("η, sigma", [(0.1, 1.0), (0.3, 2.0), (2.0, 1.0)])
def test_bilinear_eigenvalues(float64: torch.dtype, η: float, sigma: float) -> None:
    """The step's matrix has the eigenvalues 1 - h (ησ² ± iσ√(1 - η²σ²))."""
    h, game = 0.1, mm.zero_sum(lambda x, y: sigma * x * y)
    optimizer = mm.NagarajanKolter(mm.sgd(h), eta=η)
    columns = []
    for unit in torch.eye(2):
        z = tuple(unit)
        columns.append(torch.stack(optimizer.step(game, z, optimizer.init(game, z))[0]))
    found = np.sort_complex(np.linalg.eigvals(torch.stack(columns, 1).numpy()))
    root = 1j * sigma * cmath.sqrt(1 - (η * sigma) ** 2)
    expected = np.sort_complex(np.array([1 - h * (η * sigma**2 + root), 1 - h * (η * sigma**2 - root)]))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_refuses_what_is_no_player() -> None:
    closed = games.bilinear(dim=2)
    optimizer = mm.NagarajanKolter(mm.sgd(0.1), generator=2)
    with pytest.raises(mm.GameError, match=r"regularises player 2 .* got 2 players"):
        optimizer.step(closed.game, closed.start, optimizer.init(closed.game, closed.start))
    with pytest.raises(ValueError, match="eta must be a finite number >= 0"):
        mm.NagarajanKolter(mm.sgd(0.1), eta=-1.0)
