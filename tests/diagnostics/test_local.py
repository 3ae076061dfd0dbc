"""Jacobian, spectrum, rotation: exact on closed forms, and products agree with matrices."""

import math

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm
from minimax import diagnostics as dg
from minimax.diagnostics import _local

pytestmark = pytest.mark.usefixtures("float64")

CLOSED = {
    "bilinear": mm.games.bilinear(dim=2, condition=3.0),
    "scsc": mm.games.scsc(),
    "saddle": mm.games.rotated_saddle(0.4),
    "hidden": mm.games.hidden_minimax(),
    "cooperative": mm.games.cooperative(),
    "cyclic": mm.games.cyclic(players=5, mu=0.3),
    "tandem": mm.games.tandem(),
    "dirac": mm.games.dirac_gan(gamma=0.3),
    "quadratic GAN": mm.games.linear_quadratic_gan(),
}


def random_game(seed: int = 0) -> tuple[mm.Game, tuple[Tensor, Tensor]]:
    """A smooth general-sum game of 3 + 4 parameters."""
    generator = torch.Generator().manual_seed(seed)
    A, x, y = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((3, 4), (3,), (4,)))
    return mm.Game(lambda x, y: (x @ A @ y).sin() + (x**4).sum(), lambda x, y: (x @ A @ y).cos() + (y**4).sum()), (x, y)


def gan(seed: int = 0) -> tuple[mm.Game, tuple[nn.Module, nn.Module], dict[str, Tensor]]:
    torch.manual_seed(seed)
    g = nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 2))
    d = nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))

    def losses(g: nn.Module, d: nn.Module, b: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        fake = d(g(b["noise"]))
        return softplus(-fake).mean(), softplus(-d(b["real"])).mean() + softplus(fake).mean()

    return mm.Game(losses), (g, d), {"real": torch.randn(16, 2), "noise": torch.randn(16, 2)}


def test_jacobian_is_the_derivative_of_the_field() -> None:
    game, (x, y) = random_game()

    def field(z: Tensor) -> Tensor:
        return torch.cat(game.field((z[:3], z[3:])))

    z, h = torch.cat([x, y]), 1e-6
    columns = [(field(z + h * e) - field(z - h * e)) / (2 * h) for e in torch.eye(7)]
    torch.testing.assert_close(dg.jacobian(game, (x, y)), torch.stack(columns, 1), rtol=1e-6, atol=1e-7)


def test_operator_is_the_jacobian() -> None:
    game, z = random_game()
    J, v = dg.jacobian(game, z).numpy(), np.arange(7.0)
    np.testing.assert_allclose(dg.operator(game, z) @ v, J @ v)
    np.testing.assert_allclose(dg.operator(game, z).T @ v, J.T @ v)


@pytest.mark.parametrize("name", CLOSED)
def test_spectra_of_closed_forms(name: str) -> None:
    closed = CLOSED[name]
    found = dg.spectrum(closed.game, closed.equilibrium)
    close = np.abs(found.eigenvalues.numpy()[:, None] - np.array(closed.eigenvalues)[None])
    assert found.exact and len(found.eigenvalues) == len(closed.eigenvalues)
    assert close.min(0).max() < 1e-6 and close.min(1).max() < 1e-6
    assert found.eigenvalues.abs().diff().le(1e-9).all()
    J = dg.jacobian(closed.game, closed.equilibrium)
    assert float(torch.linalg.matrix_norm(J, 2)) == pytest.approx(closed.lipschitz)


def test_exact_axes() -> None:
    skew = dg.spectrum(mm.games.bilinear(dim=3, condition=5.0).game, mm.games.bilinear(dim=3, condition=5.0).start)
    assert not skew.eigenvalues.real.any() and skew.leftmost == 0 and skew.angle == 90
    game = mm.games.cooperative()
    assert not dg.spectrum(game.game, game.start).eigenvalues.imag.any()


def test_ritz_values_of_a_network_converge(monkeypatch: pytest.MonkeyPatch) -> None:
    game, players, batch = gan()
    found = dg.spectrum(game, players, batch, k=6, products=60)
    J = dg.jacobian(game, players, batch)
    exact = dg.spectrum(game, players, batch) if len(J) <= _local.DENSE else None
    assert exact is None and not found.exact and found.n == len(J) and found.hvps == 60
    every = torch.linalg.eigvals(J)
    leading = every[every.abs().argsort(descending=True)][:6]
    torch.testing.assert_close(found.eigenvalues.abs(), leading.abs(), rtol=1e-6, atol=1e-9)
    assert max(float((every - λ).abs().min()) for λ in found.eigenvalues) < 1e-6 and found.residuals.max() < 1e-6
    arpack = scipy.sparse.linalg.eigs(dg.operator(game, players, batch), k=2, return_eigenvectors=False)
    assert max(np.abs(arpack)) == pytest.approx(float(found.eigenvalues[0].abs()))


def test_residuals_bound_the_error_before_convergence() -> None:
    """In a symmetric game some eigenvalue lies within the residual of each Ritz value."""
    torch.manual_seed(0)
    Q = torch.randn(600, 600)
    Q = Q + Q.T
    game = mm.cooperative(lambda x, y: torch.cat([x, y]) @ Q @ torch.cat([x, y]) / 2, players=2)
    found = dg.spectrum(game, (torch.ones(300), torch.ones(300)), k=5, products=12)
    exact = torch.linalg.eigvalsh(Q)
    distance = (exact[:, None] - found.eigenvalues.real[None]).abs().min(0).values
    assert (distance <= found.residuals).all() and distance.max() > 1e-3 and not found.eigenvalues.imag.any()


def test_arnoldi_stops_where_the_space_ends() -> None:
    game = mm.zero_sum(lambda x, y: 2 * (x @ y))
    found = dg.spectrum(game, (torch.ones(400), torch.ones(400)))
    assert found.hvps == 2 and found.residuals.max() < 1e-12
    torch.testing.assert_close(found.eigenvalues.imag.sort().values, torch.tensor([-2.0, 2.0]))


def test_products_must_suffice() -> None:
    with pytest.raises(ValueError, match="k, of as many as products, must be an integer >= 1 and <= 5, got 6"):
        dg.spectrum(*random_game(), k=6, products=5)
    with pytest.raises(mm.GameError, match="too large"):
        dg.jacobian(mm.zero_sum(lambda x, y: (x * y).sum()), (torch.ones(5000), torch.ones(5000)))


@pytest.mark.parametrize("name, ratio", [("scsc", 10.0), ("bilinear", math.inf), ("cooperative", 0.0), ("tandem", 0.0)])
def test_rotation(name: str, ratio: float) -> None:
    found = dg.rotation(CLOSED[name].game, CLOSED[name].start)
    assert found.ratio == ratio and found.exact and found.error == 0
    assert found.angle == pytest.approx(math.degrees(math.atan(ratio)))


def test_nothing_at_all_does_not_rotate() -> None:
    game = mm.games.monkey_saddle()
    assert dg.rotation(game.game, game.equilibrium).ratio == 0


def test_rotation_is_estimated_without_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    game, players, batch = gan()
    estimate = dg.rotation(game, players, batch, samples=200)
    J = dg.jacobian(game, players, batch)
    exact = float((J - J.T).norm() / (J + J.T).norm())
    assert not estimate.exact and estimate.hvps == 400
    assert abs(estimate.ratio - exact) < 4 * estimate.error and estimate.error < 0.1 * exact


@pytest.mark.parametrize("size", [5, 400])
@pytest.mark.parametrize("kind", ["cooperative", "one loss for each", "joint"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_rotates_in_a_cooperative_game(size: int, kind: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(size, size, generator=generator).to(dtype) / size**0.5

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return ((W @ x).tanh() @ y.sin() + (x * y).sum().exp() * 0.1 + (x**2 * y).sum()) / size

    game = {
        "cooperative": mm.cooperative(loss, players=2),
        "one loss for each": mm.Game(loss, loss),
        "joint": mm.Game(lambda x, y: (loss(x, y),) * 2),
    }[kind]
    z = tuple(torch.randn(2, size, generator=generator).to(dtype) / size**0.5)
    found = dg.rotation(game, z)
    assert found.ratio == found.angle == found.antisymmetric == 0 and found.symmetric > 0
    assert not any(part.any() for part in dg.split(game, z).hamiltonian)
    assert dg.alignment(game, z).adjustment == 0
    if size == 5 or kind == "cooperative":
        assert not dg.spectrum(game, z).eigenvalues.imag.any()


def test_split_adds_up_to_a_linear_field() -> None:
    closed = CLOSED["scsc"]
    z, center = (torch.tensor(2.0), torch.tensor(-1.0)), (torch.tensor(0.5), torch.tensor(0.5))
    parts = dg.split(closed.game, z)
    for s, a, f in zip(*parts, closed.game.field(z), strict=True):
        torch.testing.assert_close(s + a, f)
    assert parts.potential == z  # S = I here
    assert dg.split(closed.game, z, center=center).potential == (torch.tensor(1.5), torch.tensor(-1.5))
    assert float(sum(z_i * a for z_i, a in zip(z, parts.hamiltonian, strict=True))) == 0  # it conserves |z|


def test_split_and_alignment_take_modules() -> None:
    game, players, batch = gan()
    parts = dg.split(game, players, batch)
    assert [part.keys() for part in parts.hamiltonian] == [dict(m.named_parameters()).keys() for m in players]
    found = dg.alignment(game, players, batch, target=players)
    assert -1 <= found.field <= 1 and found.target == 0


def test_alignment_signs() -> None:
    zero = (torch.tensor(0.0), torch.tensor(0.0))
    down, up = (
        mm.cooperative(lambda x, y: x**2 + y**2, players=2),
        mm.cooperative(lambda x, y: -(x**2) - y**2, players=2),
    )
    z = (torch.tensor(1.0), torch.tensor(2.0))
    for game, sign in ((down, 1.0), (up, -1.0)):
        found = dg.alignment(game, z, target=zero)
        assert found.field == pytest.approx(sign) and found.target == pytest.approx(sign)


def test_path_angle_jumps_at_a_minimum_and_bumps_in_rotation() -> None:
    start, end = (torch.tensor(1.0), torch.tensor(0.0)), (torch.tensor(0.0), torch.tensor(0.0))
    straight = dg.path_angle(mm.cooperative(lambda x, y: x**2 + y**2, players=2), start, end, points=4)
    torch.testing.assert_close(straight.position, torch.tensor([0.0, 0.5, 1.0, 1.5]))
    torch.testing.assert_close(straight.cosine, torch.tensor([-1.0, -1.0, 0.0, 1.0]))
    turning = dg.path_angle(mm.games.scsc(1.0, 1.0).game, start, end, points=4)
    torch.testing.assert_close(turning.cosine, torch.tensor([-1.0, -1.0, 0.0, 1.0]) / 2**0.5)
    with pytest.raises(mm.GameError, match="same point"):
        dg.path_angle(mm.games.scsc().game, start, start)
