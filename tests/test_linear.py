import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from minimax.linear import Curvature, cg, gcr, neumann, neumann_term, ravel, reciprocal, unravel

pytestmark = pytest.mark.usefixtures("float64")
few = settings(max_examples=20)
sizes, seeds = st.integers(1, 6), st.integers(0, 10**6)


def system(n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """A matrix, a right side, and where to start."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((n, n), (n,), (n,)))


@few
@given(sizes, seeds)
def test_cg_solves_definite_systems(n: int, seed: int) -> None:
    """In at most n iterations, from any start, whose residual is b - A x₀."""
    M, b, x = system(n, seed)
    A = M @ M.T + torch.eye(n, dtype=torch.float64)
    solved = cg(lambda p: A @ p, x, b - A @ x, b @ b, 1e-10, 3 * n)
    torch.testing.assert_close(solved.x, torch.linalg.solve(A, b), rtol=1e-8, atol=1e-8)
    assert float(solved.residual) <= 1e-10
    assert float((b - A @ solved.x).norm() / b.norm()) <= 1e-9


@few
@given(sizes, seeds)
def test_gcr_solves_any_system_in_n_iterations(n: int, seed: int) -> None:
    """Also skew ones, on which its first direction does not help at all."""
    M, b, x = system(n, seed)
    for A in (M + 3 * torch.eye(n, dtype=torch.float64), M - M.T + 0.1 * torch.eye(n, dtype=torch.float64)):
        solved = gcr(lambda p, A=A: A @ p, x, b - A @ x, b @ b, 1e-9, n + 1)
        torch.testing.assert_close(A @ solved.x, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("ε", [0.0, 1e-9])
def test_gcr_does_not_break_down_on_rotations(ε: float) -> None:
    """A skew matrix turns every residual by a right angle, so that it is no help as a direction."""
    A, b = torch.tensor([[ε, -2.0], [2.0, ε]]), torch.tensor([1.0, 0.0])
    solved = gcr(lambda p: A @ p, torch.zeros(2), b, b @ b, 1e-12, 3)
    assert solved.x.tolist() == pytest.approx([ε / 4, -0.5], rel=1e-14, abs=1e-16)


@few
@given(seeds)
def test_gcr_has_the_residuals_of_gmres(seed: int) -> None:
    """The least residual over the Krylov space, iteration by iteration."""
    M, b, _ = system(6, seed)
    A = M + 4 * torch.eye(6, dtype=torch.float64)
    for k in range(1, 5):
        space = torch.stack([torch.linalg.matrix_power(A, j) @ b for j in range(k)], 1)
        best = (b - A @ space @ torch.linalg.lstsq(A @ space, b[:, None]).solution[:, 0]).norm()
        found = gcr(lambda p: A @ p, torch.zeros(6, dtype=torch.float64), b, b @ b, 0.0, k)
        torch.testing.assert_close(found.residual * b.norm(), best, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("solver", [cg, gcr])
def test_stops_at_the_tolerance(solver) -> None:
    A = torch.diag(torch.linspace(1, 3, 20))
    b = torch.ones(20)
    calls = []

    def apply(p: Tensor) -> Tensor:
        calls.append(p)
        return A @ p

    solved = solver(apply, torch.zeros(20), b, b @ b, 1e-3, 20)
    assert len(calls) == int(solved.iterations) < 12
    assert float(solved.residual) <= 1e-3
    again = solver(apply, solved.x, b - A @ solved.x, b @ b, 1e-3, 20)
    assert int(again.iterations) == 0 and torch.equal(again.x, solved.x)


@pytest.mark.parametrize("solver", [cg, gcr])
def test_late_iterations_change_nothing_under_vmap(solver) -> None:
    """Systems of one unknown and of several, solved in one and in many iterations, side by side."""
    A = torch.stack([torch.eye(4), torch.diag(torch.arange(1.0, 5.0)), torch.zeros(4, 4).fill_diagonal_(2)])
    b = torch.stack([torch.ones(4), torch.ones(4), torch.zeros(4)])

    def solve(A: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        solved = solver(lambda p: A @ p, torch.zeros(4), b, b @ b, 1e-12, 9)
        return solved.x, solved.iterations

    x, taken = torch.vmap(solve)(A, b)
    torch.testing.assert_close(x, torch.linalg.solve(A, b), rtol=1e-10, atol=1e-12)
    assert taken.tolist() == [1, 4, 0]


@pytest.mark.parametrize("solver", [cg, gcr])
def test_nan_is_not_hidden(solver) -> None:
    b = torch.tensor([1.0, float("nan")])
    assert solver(lambda p: 2 * p, torch.zeros(2), b, b @ b, 1e-6, 5).x.isnan().all()


def test_weighted_cg_needs_only_a_weighted_symmetry() -> None:
    """I + D S with D diagonal is self-adjoint for the weight D⁻¹."""
    D, S = torch.tensor([0.1, 2.0, 30.0]), torch.tensor([[2.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]])
    A, b = torch.eye(3) + D[:, None] * S, torch.ones(3)
    size = b @ (b / D)
    right = cg(lambda p: A @ p, torch.zeros(3), b, size, 1e-13, 6, 1 / D)
    torch.testing.assert_close(right.x, torch.linalg.solve(A, b), rtol=1e-9, atol=1e-9)
    assert int(right.iterations) <= 4


@pytest.mark.parametrize(
    "x, dtype",
    [
        ([torch.tensor(2.0), torch.arange(6.0).reshape(2, 3), torch.ones(2, dtype=torch.float64)], torch.float64),
        ([torch.arange(6.0).reshape(2, 3)], torch.float32),
        ([torch.ones(2, 2, dtype=torch.bfloat16), torch.ones(1, dtype=torch.bfloat16)], torch.float32),
    ],
)
def test_ravel_and_back(x: list[Tensor], dtype: torch.dtype) -> None:
    flat, back = ravel(x), unravel(ravel(x), x)
    assert flat.shape == (sum(a.numel() for a in x),) and flat.dtype == dtype
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(x, back, strict=True))


def test_a_residual_that_rounding_lost_is_computed_anew() -> None:
    """From a far start the recursion ends at 1e-7 while x is still wrong in every digit."""
    A = torch.diag(torch.logspace(0, 5, 6)).float()
    b, x = torch.ones(6).float(), 1e4 * torch.ones(6).float()
    told = cg(lambda p: A @ p, x, b - A @ x, b @ b, 1e-5, 60, afresh=lambda x: (x, b - A @ x))
    residual = (b.double() - A.double() @ told.x.double()).norm() / b.double().norm()
    assert float(residual) <= 2e-5 and float(told.residual) <= 1e-5
    short = cg(lambda p: A @ p, x, b - A @ x, b @ b, 1e-5, 6)
    residual = (b.double() - A.double() @ short.x.double()).norm() / b.double().norm()
    assert float(short.residual) >= float(residual) / 4


def test_what_was_far_off_is_told() -> None:
    A, b = torch.diag(torch.linspace(1, 300, 40)), torch.ones(40)
    for iterations, far in ((3, True), (80, False)):
        solved = cg(lambda p: A @ p, torch.zeros(40), b, b @ b, 1e-8, iterations)
        told = solved.told(1e-8)
        assert told["residual"] is solved.residual and told["iterations"] is solved.iterations
        assert float(told["missed"]) == (float(solved.residual) if far else 0) and (solved.residual > 1e-4) == far


def test_the_terms_of_a_neumann_series_have_it_as_their_mean() -> None:
    A, b, K = torch.tensor([[1.0, 0.5], [-0.3, 2.0]]), torch.tensor([1.0, -2.0]), 4
    calls = []

    def term(u: Tensor) -> tuple[Tensor, Tensor]:
        return neumann_term(lambda p: calls.append(p) or A @ p, b, 0.2, K, u)

    draws = (torch.arange(K) + 0.5) / K
    (found, k), each = torch.vmap(term)(draws), [term(u) for u in draws]
    assert k.tolist() == [int(k) for _, k in each] == [0, 1, 2, 3]
    assert len(calls) == K - 1 + sum(range(K))
    torch.testing.assert_close(found, torch.stack([x for x, _ in each]))
    torch.testing.assert_close(found.mean(0), neumann(lambda p: A @ p, b, 0.2, K).x)


def test_reciprocals_of_zero_are_zero() -> None:
    assert (reciprocal(4.0), reciprocal(0.0)) == (0.25, 0.0)
    assert reciprocal(torch.tensor([4.0, 0.0])).tolist() == [0.25, 0.0]


def test_curvature_within_rounding_is_none() -> None:
    """Of what was met; 0/0 counts as nothing."""
    met, one = Curvature(), torch.ones(())
    for pBp, pp, bent in ((3, 1, 0), (-1e-10, 1, 0), (0, 0, 0), (-0.5, 2, 0.25), (-0.1, 1, 0.25)):
        met.seen(pBp * one, pp * one)
        assert float(met.bent(one)) == bent


def test_curvature_below_zero_is_told() -> None:
    """By the methods that need it to be above."""
    A, unit = torch.diag(torch.tensor([1.0, -2.0, 3.0])), torch.eye(3)
    for k, bent in enumerate((0, 2, 0)):
        b = unit[k]
        for solved in (cg(lambda p: A @ p, 0 * b, b, b @ b, 1e-10, 3), neumann(lambda p: A @ p, b, 0.1, 2)):
            assert float(solved.told(1e-10)["bent"]) == bent
        assert float(gcr(lambda p: A @ p, 0 * b, b, b @ b, 1e-10, 3).told(1e-10)["bent"]) == 0


@pytest.mark.parametrize("solver", [cg, gcr])
def test_iterations_beyond_the_solution_do_no_harm(solver) -> None:
    """Without a tolerance the squares of what is left underflow."""
    A, b = torch.diag(torch.linspace(1 - 1e-4, 1 + 1e-4, 30)).float(), torch.full((30,), 1e-4).float()
    solved = solver(lambda p: A @ p, torch.zeros(30).float(), b, b @ b, 0.0, 40)
    torch.testing.assert_close(solved.x, b / A.diagonal())
    assert bool(torch.isfinite(solved.residual)) and float(solved.residual) < 1e-5
