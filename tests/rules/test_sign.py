"""The sign rule is FGSM in one step and PGD in several; with momentum it is Signum."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn.functional import softplus

import minimax as mm
from minimax.rules import sign
from tests.rules.play import played, players_and_gradients

pytestmark = pytest.mark.usefixtures("float64")

# Linear robust classification: worst over |δ| <= ε of log(1 + exp(-m)) is that of the margin m - ε |w|_1.
X = torch.tensor([[2, 1], [1.5, -0.5], [0.5, 2], [-1, -1.5], [-2, 0.5], [0.2, -1]], dtype=torch.float64)
Y = torch.tensor([1, 1, 1, -1, -1, -1], dtype=torch.float64)


def losses(w: Tensor, b: Tensor, δ: Tensor) -> Tensor:
    return softplus(-Y * ((X + δ) @ w + b))


def attacked(w: Tensor, b: Tensor, ε: float, rate: float, steps: int) -> Tensor:
    """The attack, one player in the box."""
    attack = mm.Game(lambda δ: -losses(w, b, δ).sum(), constraints=(mm.projections.box(-ε, ε),))
    z, optimizer = (torch.zeros_like(X),), mm.SimultaneousGDA(sign(rate))
    state = optimizer.init(attack, z)
    for _ in range(steps):
        z, state, _ = optimizer.step(attack, z, state)
    return z[0]


@given(st.integers(0, 10**6), st.floats(0.01, 2.0), st.sampled_from([(1.0, 1), (3.0, 1), (0.25, 4), (0.3, 9)]))
def test_one_step_of_fgsm_is_exact_on_a_linear_model(seed: int, ε: float, attack: tuple[float, int]) -> None:
    rate, steps = attack
    w, b = torch.randn(3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).split([2, 1])
    δ = attacked(w, b, ε, rate * ε, steps)
    worst = softplus(-(Y * (X @ w + b) - ε * w.abs().sum()))
    torch.testing.assert_close(losses(w, b, δ), worst, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "ε, w, risk", [(0.5, (2.578755, 1.560010), 0.3264594514), (1.0, (0.411489, 0.0), 0.6795214630)]
)
def test_robust_risk_at_the_saddle(ε: float, w: tuple[float, float], risk: float) -> None:
    """The attacked loss, at the best b, is the value of the game; found on paper."""
    weights = torch.tensor(w, dtype=torch.float64)

    def worst(b: float) -> float:
        bias = torch.tensor([b], dtype=torch.float64)
        attack = attacked(weights, bias, ε, ε, steps=1)
        return float(losses(weights, bias, attack).mean() + 0.01 / 2 * weights @ weights)

    assert minimize_scalar(worst, (-1, 1)).fun == pytest.approx(risk, abs=1e-9)


@given(st.integers(0, 10**6), st.floats(0.01, 2.0))
def test_training_against_fgsm_descends_the_worst_loss(seed: int, ε: float) -> None:
    """By the best response of one signed step: the gradient is that of the closed form."""
    w = torch.randn(3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    game = mm.zero_sum(lambda w, δ, x: softplus(-Y * ((x + δ) @ w[:2] + w[2])).mean())
    ball = mm.projections.box(-ε, ε)
    robust = mm.transforms.best_response(game, 1, torch.zeros_like, sign(ε), 1, constraint=lambda x: ball)
    w = w.requires_grad_()
    worst = softplus(-(Y * (X @ w[:2] + w[2]) - ε * w[:2].abs().sum())).mean()
    (expected,) = torch.autograd.grad(worst, w)
    torch.testing.assert_close(robust.field((w.detach(),), X)[0], expected, rtol=1e-12, atol=1e-12)


def test_signum_by_hand(generator: torch.Generator) -> None:
    player, gradients = players_and_gradients(generator)
    v = [torch.zeros_like(z) for z in player]
    expected = player
    for g in gradients:
        v = [0.6 * a + b for a, b in zip(v, g, strict=True)]
        expected = [z - 0.1 * a.sign() for z, a in zip(expected, v, strict=True)]
    found = played(sign(0.1, momentum=0.6), player, gradients)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_a_nan_is_no_zero(momentum: float) -> None:
    """torch.sign makes 0 of it, so a diverged game would stand still and count as converged."""
    rule, z = sign(0.1, momentum=momentum), [torch.zeros(3)]
    d = rule.move(z, [torch.tensor([math.nan, math.inf, 0.0])], rule.init(z), torch.tensor(0))[0][0]
    assert d.isnan().tolist() == [True, False, False] and d[1:].tolist() == [-0.1, 0.0]
