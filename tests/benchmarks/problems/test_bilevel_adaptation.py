"""MAML, first-order MAML, Reptile and implicit MAML on quadratic tasks, where each solves for weighted means."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import minimax as mm
from benchmarks.problem import Problem
from benchmarks.problems.bilevel import maml_sine
from benchmarks.problems.bilevel._adaptation import adapt, initial, maml, network, reptile, tasks, zeros
from benchmarks.problems.bilevel.maml_digits import MamlDigits
from benchmarks.problems.bilevel.maml_sine import FirstOrderSine, ImamlSine, MamlSine, ReptileSine
from benchmarks.testing import play

pytestmark = pytest.mark.usefixtures("float64")


class Quadratics:
    """Tasks ½ (w - c_t)ᵀA_t(w - c_t), the same for shots and queries."""

    def __init__(self, A: Tensor, c: Tensor) -> None:
        self.A, self.c = A, c
        self.batch = {"x": A, "y": c, "x_query": A, "y_query": c}

    @staticmethod
    def error(w: Tensor, A: Tensor, c: Tensor) -> Tensor:
        away = w - c
        return torch.einsum("ti,tij,tj->t", away, A, away) / 2

    @classmethod
    def twice(cls, w: Tensor, A: Tensor, c: Tensor) -> Tensor:
        """Of shots and queries one after the other."""
        n = w.shape[1]
        return cls.error(w, A[:, :n], c[:, :n]) + cls.error(w, A[:, n:], c[:, n:])

    def start(self, batch: Any) -> Tensor:
        return torch.zeros_like(batch["y"])

    def mean(self, weights: Tensor) -> Tensor:
        """(Σ W_t)⁻¹ Σ W_t c_t."""
        return torch.linalg.solve(weights.sum(0), torch.einsum("tij,tj->i", weights, self.c))

    def rest(self, game: mm.Game, rate: float = 0.3, steps: int = 1000) -> Tensor:
        """Where plain play on the game of one player ends."""
        θ, optimizer = torch.ones(self.c.shape[1]), mm.SimultaneousGDA(mm.sgd(rate))
        z, state = (θ,), optimizer.init(game, (θ,))
        for _ in range(steps):
            z, state, _ = optimizer.step(game, z, state, self.batch)
        return z[0]


def printed() -> Quadratics:
    return Quadratics(torch.tensor([1.0, 3.0])[:, None, None], torch.tensor([[0.0], [1.0]]))


def some(seed: int, n: int = 3) -> Quadratics:
    g = torch.Generator().manual_seed(seed)
    M = torch.randn(4, n, n, generator=g)
    A = M @ M.mT / n + 0.3 * torch.eye(n)
    return Quadratics(A / torch.linalg.matrix_norm(A, 2)[:, None, None], torch.randn(4, n, generator=g))


α, I1 = 0.25, torch.eye(1)


def test_the_printed_weights() -> None:
    """a = (1, 3), c = (0, 1), α = .25, λ = 2: .25, .5, .51923077; joint, as Reptile of one step, .75."""
    it = printed()
    assert float(it.rest(maml(it.error, mm.sgd(α), 1, it.start), steps=200)) == pytest.approx(0.25)
    assert float(it.rest(maml(it.error, mm.sgd(α), 1, it.start, whole=False), steps=200)) == pytest.approx(0.5)
    assert float(it.rest(maml(it.error, mm.sgd(α), 0, it.start), rate=0.2, steps=200)) == pytest.approx(0.75)
    assert float(it.rest(reptile(it.twice, mm.sgd(α / 2), 1, it.start), steps=200)) == pytest.approx(0.75)
    game, z = tasks(it.error, proximal=2.0), (torch.ones(1), torch.zeros(2, 1))
    end, state, optimizer = z, None, mm.StackelbergGradient(mm.sgd(0.3), tolerance=1e-12)
    state = optimizer.init(game, z)
    for _ in range(300):
        end, state, _ = optimizer.step(game, end, state, it.batch)
    assert float(end[0]) == pytest.approx(0.51923077, abs=1e-7)


@settings(max_examples=3)
@given(st.integers(100, 10_000), st.floats(0.05, 0.7))
def test_weights(seed: int, α: float) -> None:
    """MAML (I - αA)A(I - αA), first-order A(I - αA), implicit λ²(A+λ)⁻¹A(A+λ)⁻¹: where the field vanishes."""
    it, one = some(seed), torch.eye(3)
    step = one - α * it.A
    for game, weights in (
        (maml(it.error, mm.sgd(α), 1, it.start), step @ it.A @ step),
        (maml(it.error, mm.sgd(α), 3, it.start), step @ step @ step @ it.A @ step @ step @ step),
        (maml(it.error, mm.sgd(α), 1, it.start, whole=False), it.A @ step),
        (reptile(it.twice, mm.sgd(α / 2), 4, it.start), one - step @ step @ step @ step),
    ):
        at = it.mean(weights)
        torch.testing.assert_close(game.field((at,), it.batch)[0], torch.zeros(3), rtol=0, atol=1e-9)
        off = at + torch.ones(3)
        slope = (weights @ torch.ones(3)).mean(0)
        torch.testing.assert_close(game.field((off,), it.batch)[0], slope, rtol=1e-8, atol=1e-9)


@settings(max_examples=3)
@given(st.integers(100, 10_000), st.floats(0.5, 5.0))
def test_implicit_weights(seed: int, λ: float) -> None:
    it, one = some(seed), torch.eye(3)
    inverse = torch.linalg.inv(it.A + λ * one)
    θ = torch.ones(3)
    δ = -(inverse @ it.A @ (θ - it.c)[..., None])[..., 0]  # the follower's answer
    game, optimizer = tasks(it.error, proximal=λ), mm.StackelbergGradient((mm.sgd(1.0), mm.sgd(0.1)), tolerance=1e-13)
    moved = optimizer.step(game, (θ, δ), optimizer.init(game, (θ, δ)), it.batch)[0][0]
    weights = λ**2 * inverse @ it.A @ inverse
    expected = torch.einsum("tij,tj->ti", weights, θ - it.c).mean(0)
    torch.testing.assert_close(θ - moved, expected, rtol=1e-6, atol=1e-8)


def test_first_order_repels_once_its_weights_sum_to_less_than_zero() -> None:
    """Σ A(I - αA) = -1.25 at a = (1, 3), α = .525: it leaves its rest, and MAML does not."""
    it, α = printed(), 0.525
    weights = it.A * (1 - α * it.A)
    assert float(weights.sum()) < 0
    rest = it.mean(weights)
    for whole, away in ((False, True), (True, False)):
        game = maml(it.error, mm.sgd(α), 1, it.start, whole=whole)
        field = game.field((rest + 0.1,), it.batch)[0] - game.field((rest,), it.batch)[0]
        assert bool(field < 0) is away


def test_nothing_without_adaptation_is_better_than_a_cosine() -> None:
    """On the grid of all amplitudes, phases and places, -(2/π) E[a] cos x has 3.0056694, and what is near it more."""
    a, φ, x = torch.linspace(0.1, 5, 81), torch.linspace(0, torch.pi, 121), torch.linspace(-5, 5, 161)
    weights = [torch.cat([torch.tensor([0.5]), torch.ones(len(axis) - 2), torch.tensor([0.5])]) for axis in (a, φ, x)]
    mass = torch.einsum("a,b,c->abc", *(w / w.sum() for w in weights))
    y = a[:, None, None] * (x - φ[:, None]).sin()
    error = lambda size: float((mass * (y + size * x.cos()).square()).sum())
    best = 2 / torch.pi * 2.55
    assert error(best) == pytest.approx(maml_sine.unadapted(), abs=2e-3)
    assert error(best) < min(error(best * 0.9), error(best * 1.1))


def made(kind: type[Problem], preset: str = "smoke") -> Problem:
    kind.prepare(None, None, download=False)
    return kind(preset)


def test_adapted_weights_are_those_of_single_networks() -> None:
    """All tasks at once and one after the other, step by step by autograd."""
    it = made(MamlSine)
    θ, batch = initial(100, (1, 8, 8, 1), it.device), it.batch(100, 0)
    together = adapt(maml_sine.error, θ, batch, lambda b: zeros(θ, len(b["x"])), mm.sgd(0.01), 3)
    for t in range(it.preset.batch):
        w = {name: leaf.clone() for name, leaf in θ.items()}
        for _ in range(3):
            live = {name: leaf.requires_grad_() for name, leaf in w.items()}
            lone = {name: leaf[None] for name, leaf in live.items()}
            loss = (network(lone, batch["x"][t : t + 1]) - batch["y"][t : t + 1]).square().mean()
            slopes = torch.autograd.grad(loss, list(live.values()))
            w = {name: (leaf - 0.01 * g).detach() for (name, leaf), g in zip(live.items(), slopes, strict=True)}
        for name, leaf in w.items():
            torch.testing.assert_close(together[name][t], leaf)


def test_the_meta_gradient_by_finite_differences() -> None:
    """Through the step; first order leaves out a part that is not small."""
    it, first = made(MamlSine), made(FirstOrderSine)
    game, (θ,), batch = it.game(), it.players(100), it.batch(100, 0)
    g, h, direction = game.gradient((θ,), 0, batch), 1e-6, initial(101, (1, 8, 8, 1), it.device)
    moved = [{name: θ[name] + sign * h * direction[name] for name in θ} for sign in (1, -1)]
    rate = (game.losses((moved[0],), batch)[0] - game.losses((moved[1],), batch)[0]) / (2 * h)
    along = lambda g: float(sum((g[name] * direction[name]).sum() for name in g))
    assert along(g) == pytest.approx(float(rate), rel=1e-5)
    assert along(first.game().gradient((θ,), 0, batch)) != pytest.approx(float(rate), rel=1e-3)


@pytest.mark.parametrize("kind", [MamlSine, FirstOrderSine, ReptileSine, ImamlSine])
def test_sinusoids_are_learned_faster_after_some_steps(kind: type[Problem]) -> None:
    it = made(kind)
    optimizer = mm.SimultaneousGDA(mm.adam(5e-3))
    if kind is ImamlSine:
        optimizer = mm.StackelbergGradient((mm.adam(5e-3), it.follower), damping=10.0, steps=24, anew=True)
    before, after = it.evaluate(play(it, optimizer, 0, seed=100)), it.evaluate(play(it, optimizer, 40, seed=100))
    some = f"mse_{it.steps[2]}"
    assert after[some] < before[some]
    assert it.pictures(play(it, optimizer, 1, seed=100))["adaptation"].array.shape == (288, 144, 3)


def test_digits_are_of_classes_that_no_task_had() -> None:
    it = made(MamlDigits)
    seen = torch.cat(it.classes[:7])
    assert all(bool((row == seen).all(1).any()) for row in it.batch(100, 0)["x"].flatten(0, 1))
    unseen = torch.cat(it.classes[7:])
    assert all(bool((row == unseen).all(1).any()) for row in it.fresh["x_query"][0])
    shots, queries = it.fresh["x"][0], it.fresh["x_query"][0]
    assert not any(bool((row == queries).all(1).any()) for row in shots)
    found = {floor.what: floor.value for floor in it.floors() if floor.metric == "accuracy_1"}
    assert found["chance"] == pytest.approx(1 / 3) and found["chance"] < found["nearest-mean"] < 1
