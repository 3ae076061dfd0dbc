"""What a leader descends, against closed forms: g = ½yᵀHy - yᵀBx, f = ½(y - t)ᵀC(y - t) + .05|x|².

The printed digits are those of H = [[2,1],[1,3]], B = [[1,0],[2,1]], C = I, t = (1,-1) at x = (1,1), where y* = (0,1).
"""

import dataclasses
import re
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import minimax as mm
from minimax.linear import cg, neumann
from minimax.transforms import bilevel, finite_differences

pytestmark = pytest.mark.usefixtures("float64")
some = settings(max_examples=8)
seeds = st.integers(100, 10_000)


class Quadratic(NamedTuple):
    """A bilevel game in closed form."""

    H: Tensor
    B: Tensor
    C: Tensor
    t: Tensor
    x: Tensor

    @property
    def game(self) -> mm.Game:
        return bilevel(
            lambda x, y: (y - self.t) @ self.C @ (y - self.t) / 2 + 0.05 * x @ x,
            lambda x, y: y @ self.H @ y / 2 - y @ self.B @ x,
        )

    @property
    def answer(self) -> Tensor:
        return torch.linalg.solve(self.H, self.B @ self.x)

    @property
    def pull(self) -> Tensor:
        """c, the leader's slope in y at the answer."""
        return self.C @ (self.answer - self.t)

    def leads(self, inverse: Tensor) -> Tensor:
        """The leader's direction at the answer with this in place of H⁻¹."""
        return 0.1 * self.x + self.B.T @ inverse @ self.pull

    @property
    def exact(self) -> Tensor:
        return self.leads(torch.linalg.inv(self.H))

    @property
    def at(self) -> tuple[Tensor, Tensor]:
        return self.x, self.answer


def printed() -> Quadratic:
    rows = [[2.0, 1.0], [1.0, 3.0]], [[1.0, 0.0], [2.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]
    return Quadratic(*map(torch.tensor, rows), torch.tensor([1.0, -1.0]), torch.ones(2))


def drawn(seed: int, n: int = 4, m: int = 3) -> Quadratic:
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(shape, generator=g)
    H, C = draw(n, n), draw(n, n)
    return Quadratic(H @ H.T / n + 0.5 * torch.eye(n), draw(n, m), C @ C.T / n + 0.3 * torch.eye(n), draw(n), draw(m))


def direction(optimizer: mm.GameOptimizer, game: mm.Game, z: tuple[Tensor, Tensor], batch: Any = None) -> Tensor:
    """What a step of size 1 moves the leader against."""
    return z[0] - optimizer.step(game, z, optimizer.init(game, z), batch)[0][0]


def implicit(**options: Any) -> mm.StackelbergGradient:
    return mm.StackelbergGradient((mm.sgd(1.0), mm.sgd(0.1)), **{"tolerance": 1e-14, "iterations": 60} | options)


def series(a: float, H: Tensor, terms: int) -> Tensor:
    step = torch.eye(len(H)) - a * H
    return a * sum(torch.linalg.matrix_power(step, k) for k in range(terms))


PRINTED: dict[str, tuple[mm.GameOptimizer, tuple[float, float]]] = {
    "exact": (implicit(), (1.1, 1.1)),
    "one iteration": (implicit(iterations=1), (1.6, 1.1)),
    "two iterations": (implicit(iterations=2), (1.1, 1.1)),
    "one term": (implicit(neumann=0.25, iterations=1), (0.85, 0.6)),
    "two terms": (implicit(neumann=0.25, iterations=2), (0.975, 0.7875)),
}


@pytest.mark.parametrize("name", PRINTED)
def test_the_printed_directions(name: str) -> None:
    optimizer, found = PRINTED[name]
    torch.testing.assert_close(direction(optimizer, printed().game, printed().at), torch.tensor(found))


def test_the_printed_unrolled_direction() -> None:
    it = printed()
    unrolled = mm.Unrolled((mm.sgd(1.0), mm.sgd(0.1)), steps=3, inner=mm.sgd(0.25))
    expected = torch.tensor([1.0060058594, 0.8563476562])
    torch.testing.assert_close(direction(unrolled, it.game, (it.x, torch.zeros(2))), expected, rtol=0, atol=1e-10)


@some
@given(seeds, st.integers(1, 12), st.floats(0.05, 0.3))
def test_a_series_of_so_many_terms(seed: int, terms: int, a: float) -> None:
    it = drawn(seed)
    found = direction(implicit(neumann=a, iterations=terms), it.game, it.at)
    torch.testing.assert_close(found, it.leads(series(a, it.H, terms)), rtol=1e-9, atol=1e-9)


@some
@given(seeds, st.integers(1, 6))
def test_one_term_drawn_at_random_is_the_series_on_average(seed: int, terms: int) -> None:
    """Over one u in each of the K parts of [0, 1)."""
    it, optimizer = drawn(seed), implicit(neumann=0.2, iterations=terms, draw=lambda u: u)
    game = bilevel(lambda x, y, u: it.game.functions[0](x, y), lambda x, y, u: it.game.functions[1](x, y))
    draws = (torch.arange(terms) + 0.37) / terms
    found = torch.stack([direction(optimizer, game, it.at, u) for u in draws])
    torch.testing.assert_close(found.mean(0), it.leads(series(0.2, it.H, terms)), rtol=1e-9, atol=1e-9)
    together = torch.vmap(lambda u: direction(optimizer, game, it.at, u))(draws)
    torch.testing.assert_close(together, found, rtol=1e-9, atol=1e-9)


@some
@given(seeds, st.integers(1, 9), st.integers(1, 9))
def test_the_last_steps_are_as_many_terms_where_they_end(seed: int, steps: int, last: int) -> None:
    """Through the last T of K steps from any y_0: ∂_x f + Bᵀ (a Σ_{k<T} (I - aH)ᵏ) ∂_y f at y_K."""
    it, a, y = drawn(seed), 0.2, torch.ones(4)
    unrolled = mm.Unrolled((mm.sgd(1.0), mm.sgd(0.1)), steps=steps, inner=mm.sgd(a), truncate=last)
    found = direction(unrolled, it.game, (it.x, y))
    _, _, info = unrolled.step(it.game, (it.x, y), unrolled.init(it.game, (it.x, y)))
    for _ in range(steps):
        y = y - a * (it.H @ y - it.B @ it.x)
    T = min(steps, last)
    expected = 0.1 * it.x + it.B.T @ series(a, it.H, T) @ it.C @ (y - it.t)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert info.cost[:2] == ((4 + steps + 2 * T, 2 * T) if steps > T else (2 + 3 * steps, 2 * steps))


@some
@given(seeds)
def test_differences_are_exact_on_quadratics(seed: int) -> None:
    it = drawn(seed)
    exact, differences = it.game, finite_differences(it.game, radius=0.1)
    for optimizer in (implicit(tolerance=1e-10), mm.Unrolled(mm.sgd(1.0), steps=2, inner=mm.sgd(0.1))):
        found = direction(optimizer, differences, it.at)
        torch.testing.assert_close(found, direction(optimizer, exact, it.at), rtol=1e-8, atol=1e-8)


def settled(optimizer: mm.GameOptimizer, it: Quadratic, steps: int = 600) -> Tensor:
    """The leader's direction once the follower has come to rest, x held still."""
    z, state = it.at, optimizer.init(it.game, it.at)
    for _ in range(steps):
        z, state, info = optimizer.step(it.game, z, state)
    return info.gradients[0][0]


BIASES: dict[str, tuple[Any, Any]] = {
    "value function": (mm.ValueFunction, lambda H: H),
    "Moreau": (
        lambda *a, **k: mm.ValueFunction(*a, moreau=1.0, **k),
        lambda H: H @ H @ torch.linalg.inv(torch.eye(len(H)) + H),
    ),
    "gradient norm": (mm.MehraHamm, lambda H: H @ H),
}
DIGITS = {
    "value function": (1.0618874773, 1.0437386570),
    "gradient norm": (1.0807619766, 1.0619011694),
    "Moreau": (1.0446925455, 1.0103400893),
}


@pytest.mark.parametrize("name", BIASES)
def test_the_printed_biases(name: str) -> None:
    found = settled(BIASES[name][0]((mm.sgd(0.0), mm.sgd(0.1)), gamma=10.0), printed())
    torch.testing.assert_close(found, torch.tensor(DIGITS[name]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", BIASES)
@some
@given(seeds, st.floats(2.0, 50.0))
def test_biases(name: str, seed: int, γ: float) -> None:
    """-BᵀH⁻¹C (C + γM)⁻¹ c, where the follower and what a value function remembers of it rest."""
    it, (make, metric) = drawn(seed, n=3), BIASES[name]
    away = torch.linalg.solve(it.C + γ * metric(it.H), it.pull)
    y = it.answer - away
    w = y + torch.linalg.solve(torch.eye(3) + it.H, it.H @ away) if name == "Moreau" else it.answer
    optimizer = make((mm.sgd(0.0), mm.sgd(0.05)), gamma=γ)
    (_, stays), state, info = optimizer.step(it.game, (it.x, y), optimizer.init(it.game, (it.x, w)))
    torch.testing.assert_close((stays, state.get("answer", [w])[0]), (y, w), rtol=0, atol=1e-10)
    bias = -it.B.T @ torch.linalg.solve(it.H, it.C @ away)
    torch.testing.assert_close(info.gradients[0][0], it.exact + bias, rtol=1e-5, atol=1e-5)


@some
@given(seeds, st.floats(0.1, 2.0), st.integers(1, 8))
def test_bome_lets_what_the_follower_could_gain_fall(seed: int, η: float, steps: int) -> None:
    """⟨move, ∇q⟩ = η|∇q|² where λ > 0, and at least that otherwise."""
    it = drawn(seed)
    y = it.answer + torch.randn(4, generator=torch.Generator().manual_seed(seed))
    ahead = y
    for _ in range(steps):
        ahead = ahead - 0.1 * (it.H @ ahead - it.B @ it.x)
    optimizer = mm.BOME((mm.sgd(1.0), mm.sgd(1.0)), eta=η, steps=steps, inner=mm.sgd(0.1))
    moved, _, info = optimizer.step(it.game, (it.x, y), optimizer.init(it.game, (it.x, y)))
    q = torch.cat([-it.B.T @ (y - ahead), it.H @ y - it.B @ it.x])
    along = torch.cat([it.x - moved[0], y - moved[1]]) @ q
    assert float(along) >= float(η * q @ q) * (1 - 1e-9)
    assert (float(along) == pytest.approx(float(η * q @ q))) == (float(info.extra["weight"]) > 0)
    g = lambda y: float(y @ it.H @ y / 2 - y @ it.B @ it.x)
    assert float(info.extra["gap"]) == pytest.approx(g(y) - g(ahead))


SOLVERS = {
    "cg": implicit(),
    "several moves": implicit(steps=3),
    "unrolled": mm.Unrolled((mm.sgd(1.0), mm.sgd(0.1)), steps=20, inner=mm.sgd(0.3), truncate=12, warm=True),
    "BOME": mm.BOME(mm.sgd(1.0), inner=mm.sgd(0.3), steps=10),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_the_solution_is_found(name: str) -> None:
    """x* = (0, -2), where f = .4; whoever truncates lies beside it."""
    it, lr = printed(), 0.05 if name == "BOME" else 0.3
    optimizer = dataclasses.replace(SOLVERS[name], rule=mm.sgd(lr))
    end = mm.solve(
        it.game,
        (torch.ones(2), torch.zeros(2)),
        optimizer,
        steps=150 if name == "unrolled" else 300,
        limits=mm.Limits(tolerance=0),
    )
    exact = name in ("cg", "several moves")
    torch.testing.assert_close(end.players[0], torch.tensor([0.0, -2.0]), rtol=0, atol=1e-5 if exact else 0.3)
    assert float(it.game.losses(end.players)[0]) == pytest.approx(0.4, abs=1e-7 if exact else 0.06)


def test_damping_is_what_a_damped_penalty_sees() -> None:
    it, μ = printed(), 0.7
    found = settled(mm.MehraHamm((mm.sgd(0.0), mm.sgd(0.1)), gamma=1e8, damping=μ), it)
    torch.testing.assert_close(found, direction(implicit(damping=μ), it.game, it.at), rtol=1e-6, atol=1e-6)


def test_warm_followers_stay_where_their_steps_end() -> None:
    it, a = printed(), 0.2
    y, z = torch.ones(2), (it.x, torch.ones(2))
    for _ in range(4):
        y = y - a * (it.H @ y - it.B @ it.x)
    for inner in (None, mm.sgd(a)):
        optimizer = mm.Unrolled((mm.sgd(0.0), mm.sgd(a)), steps=4, inner=inner, warm=True)
        torch.testing.assert_close(optimizer.step(it.game, z, optimizer.init(it.game, z))[0][1], y)
    own = mm.Unrolled((mm.sgd(0.0), mm.sgd(a, momentum=0.5)), steps=4, warm=True)
    players, state = z, own.init(it.game, z)
    for _ in range(2):
        players, state, _ = own.step(it.game, players, state)
    eight = mm.Unrolled((mm.sgd(0.0), mm.sgd(a, momentum=0.5)), steps=8, warm=True)
    torch.testing.assert_close(players, eight.step(it.game, z, eight.init(it.game, z))[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("h", [1e-8, 1e-3, 0.1, 1 / 3, 7.0, 1e8])
def test_a_system_that_is_a_multiple_of_the_identity_is_solved(h: float, dtype: torch.dtype) -> None:
    v = torch.linspace(-1, 2, 7, dtype=dtype)
    for iterations in (1, 2, 50):
        solved = cg(lambda p: h * p, 0 * v, v, v @ v, 0.0, iterations)
        torch.testing.assert_close(solved.x, v / h, rtol=10 * torch.finfo(dtype).eps, atol=0)
        assert float(solved.bent) == 0
    torch.testing.assert_close(neumann(lambda p: h * p, v, 1 / h, 1).x, v / h)


def test_a_follower_at_no_minimum_is_told_and_how_to_damp() -> None:
    """Curvatures 2 and -.3: a mixture is met, by a long series the least; damped by .5 they are positive."""
    curved = torch.tensor([2.0, -0.3])
    game = bilevel(lambda x, y: (y - 1).square().sum(), lambda x, y: (curved * y**2).sum() / 2 - x * y.sum())
    z, said = (torch.tensor(1.0), torch.zeros(2)), r"curvature fell to -0\.(\d+) .* raise damping, above 0\.\1 at least"
    for optimizer in (implicit(), implicit(neumann=0.3, iterations=40)):
        (bent,) = optimizer.step(game, z, optimizer.init(game, z))[2].extra["bent"].reshape(1)
        assert 0 < float(bent) <= 0.3 + 1e-12 and (optimizer.neumann is None or float(bent) > 0.299)
        assert re.search(said, str(mm.solve(game, z, optimizer, steps=1).status))
    together = mm.ensemble(game, implicit(iterations=2), [z] * 2, steps=1)
    assert all(re.search(said, str(status)) for status in together.statuses)
    assert "minimum" not in str(mm.solve(game, z, implicit(damping=0.5), steps=1).status)


def test_a_series_that_diverges_is_told() -> None:
    it = printed()
    end = mm.solve(it.game, it.at, implicit(neumann=1.0, iterations=20), steps=1).status
    assert "its linear solves left residuals of up to" in str(end)
    fine = mm.solve(it.game, it.at, implicit(neumann=0.25, iterations=2), steps=1).status
    assert "residuals" not in str(fine)


@pytest.mark.parametrize("make", [mm.StackelbergGradient, mm.Unrolled, mm.ValueFunction, mm.BOME])
def test_no_inner_steps_are_refused(make: type[mm.Ruled]) -> None:
    with pytest.raises(ValueError, match=r"^steps must be an integer >= 1, got 0\.$"):
        make(mm.sgd(0.1), steps=0)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"^truncate must be an integer >= 1, got 0\.$"):
        mm.Unrolled(mm.sgd(0.1), truncate=0)
    with pytest.raises(ValueError, match=r"draw draws a term of a Neumann series, .*: say neumann"):
        mm.StackelbergGradient(mm.sgd(0.1), draw=lambda b: b)
    with pytest.raises(TypeError, match="draw must be a function of the batch"):
        mm.StackelbergGradient(mm.sgd(0.1), neumann=0.1, draw=0.3)
    three = mm.games.cyclic(3)
    for kind in (mm.ValueFunction, mm.BOME, mm.MehraHamm):
        optimizer = kind(mm.sgd(0.1))
        with pytest.raises(mm.GameError, match="needs two players, a leader and a follower, got 3"):
            optimizer.step(three.game, three.start, optimizer.init(three.game, three.start))
