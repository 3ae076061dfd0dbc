"""The γ that is suggested is the critical one, and the verdict is the one that the divergence says."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import minimax as mm
from minimax import diagnostics

pytestmark = pytest.mark.usefixtures("float64")


def test_dirac_gans_are_critical_where_theory_says() -> None:
    """Under R1 at γ = 1, whatever the logistic loss; under R1 and R2 together, which damp twice, at ½."""
    for make in (mm.games.dirac_gan, mm.games.dirac_nsgan):
        known = make()
        for penalty, γ in ((lambda θ, ψ: ψ.square().sum() / 2, 1.0), (lambda θ, ψ: ψ.square().sum(), 0.5)):
            found = diagnostics.suggest_gamma(known.game, penalty, known.equilibrium)
            assert found.gamma == pytest.approx(γ, rel=1e-6) and found.rate == pytest.approx(0.5, rel=1e-6)


@settings(max_examples=15)
@given(seed=st.integers(100, 10_000), n=st.integers(1, 4))
def test_bilinear_games_are_critical_at_twice_their_smallest_singular_value(seed: int, n: int) -> None:
    """Where the slowest pair stops to rotate; half as much damping and twice as much are slower."""
    B = torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 2 * torch.eye(n)
    game, zeros = mm.zero_sum(lambda x, y: x @ B @ y), (torch.zeros(n, dtype=torch.float64),) * 2
    penalty = lambda x, y: y @ y / 2
    found = diagnostics.suggest_gamma(game, penalty, zeros)
    assert found.gamma == pytest.approx(2 * float(torch.linalg.svdvals(B).min()), rel=1e-5, abs=1e-6)
    rates = [
        diagnostics.spectrum(mm.transforms.add(game, penalty, 1, weight=share * found.gamma), zeros).leftmost
        for share in (0.5, 1.0, 2.0)
    ]
    assert rates[1] == max(rates) and rates[1] == pytest.approx(found.rate, rel=1e-4)


def test_what_no_penalty_damps_or_needs_none() -> None:
    z = (torch.zeros(2), torch.zeros(2))
    free = mm.zero_sum(lambda x, y: (x * y).sum() + 5 * (x @ x - y @ y))
    assert diagnostics.suggest_gamma(free, lambda x, y: x[0] ** 2 * 0 + y[0] ** 2 * 0, z).gamma == 0
    with pytest.raises(ValueError, match="leaves a part of play undamped at every γ"):
        diagnostics.suggest_gamma(mm.zero_sum(lambda x, y: (x * y).sum()), lambda x, y: y[0] ** 2, z)
    many = (torch.zeros(300), torch.zeros(300))
    with pytest.raises(mm.GameError, match="writes out the Jacobian, up to 512 parameters, got 600"):
        diagnostics.suggest_gamma(mm.zero_sum(lambda x, y: x @ y), lambda x, y: y @ y, many)
    bias = (torch.tensor([0.0, 3.0]), torch.zeros(2))  # a direction in which nothing pulls at any γ
    found = diagnostics.suggest_gamma(
        mm.zero_sum(lambda x, y: x[0] * y[0] + 0 * x[1] * y[1]), lambda x, y: y[0] ** 2 / 2, bias
    )
    assert found.gamma == pytest.approx(2, rel=1e-6)


def logits(p: list[float], q: list[float]) -> tuple[Tensor, Tensor]:
    """The best critic's, log p/q, on exact samples of two distributions on a few points."""
    best = (torch.tensor(p) / torch.tensor(q)).log()
    counts = ((1000 * torch.tensor(w)).round().long() for w in (p, q))
    on_real, on_fake = (best.repeat_interleave(count) for count in counts)
    return on_real, on_fake


def test_the_bound_is_the_divergence_for_the_best_critic() -> None:
    """p = (.5, .3, .2), q = (.1, .6, .3): JSD .103295; any other critic proves less."""
    real, fake = logits([0.5, 0.3, 0.2], [0.1, 0.6, 0.3])
    found = diagnostics.verdict(real, fake)
    assert found.kind == "playing" and found.bound == pytest.approx(0.103295, abs=1e-6)
    assert diagnostics.verdict(0.7 * real, 0.7 * fake).bound < found.bound
    half = torch.tensor([0, 1]).repeat(500)  # samples of ½ δ_0 + ½ δ_1, told from δ_2 up to one in a thousand
    loud = 12.0 + 0 * half
    assert diagnostics.verdict(loud, -loud).kind == "saturated"


def test_a_generator_that_hears_nothing_is_stuck() -> None:
    """N(0, 1) against N(2, 1), the best critic -2 (x - 1), and samples that move only below 2."""
    softplus, real = torch.nn.functional.softplus, torch.randn(4000, generator=torch.Generator().manual_seed(100))

    def logits(g: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        return d * (real - 1), d * (real + g.clamp(max=2) - 1)

    def loss_d(g: Tensor, d: Tensor) -> Tensor:
        on_real, on_fake = logits(g, d)
        return softplus(-on_real).mean() + softplus(on_fake).mean()

    game = mm.Game(lambda g, d: softplus(-logits(g, d)[1]).mean(), loss_d)
    for at, kind in ((3.0, "stuck"), (1.9, "playing")):
        players = torch.tensor(at), torch.tensor(-2.0)
        gap = diagnostics.duality_gap(game, players, rule=mm.adam(0.05), steps=60)
        assert diagnostics.verdict(*logits(*players), gap=gap).kind == kind
        assert diagnostics.verdict(*logits(*players)).kind == "playing"


def test_verdicts_of_rigged_games() -> None:
    """A GAN at its equilibrium, and one whose critic is dead while a better one exists: the gap tells them apart."""
    real = torch.randn(400, 1, generator=torch.Generator().manual_seed(100))

    def loss_g(g: Tensor, d: Tensor) -> Tensor:
        return torch.nn.functional.softplus(-(d * (real + g))).mean()

    def loss_d(g: Tensor, d: Tensor) -> Tensor:
        softplus = torch.nn.functional.softplus
        return softplus(-d * real).mean() + softplus(d * (real + g)).mean()

    game, dead = mm.Game(loss_g, loss_d), torch.zeros(1)
    nothing = torch.zeros(400)
    assert diagnostics.verdict(nothing, nothing).kind == "undecided"
    for shift, kind in ((0.0, "equilibrium"), (3.0, "collapsed")):
        players = (torch.tensor([shift]), dead)
        gap = diagnostics.duality_gap(game, players, rule=mm.adam(0.1), steps=60)
        turning = diagnostics.rotation(game, players)
        found = diagnostics.verdict(dead * real, dead * (real + shift), gap=gap, rotation=turning)
        assert found.kind == kind and found.bound == pytest.approx(0, abs=1e-15) and found.error == 0
        assert f"gain {gap.total:.3g}" in str(found) and f"{turning.angle:.0f}° of 90°" in str(found)
    assert diagnostics.verdict(-real.abs() - 1, real.abs() + 1).kind == "lagging"
    with pytest.raises(ValueError, match="on_fake must be finite logits, at least one"):
        diagnostics.verdict(real, torch.tensor([math.nan]))
