import math

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

import minimax as mm
from benchmarks.problem import View
from benchmarks.problems.mixtures import gaussians, grid25, ring8, stacked


def test_penalty_is_half_gamma() -> None:
    with_penalty, plain = ring8.Ring8("smoke"), ring8.Ring8Plain("smoke")
    players, batch = with_penalty.players(0), with_penalty.batch(0, 0)
    gap = with_penalty.game().losses(players, batch)[1] - plain.game().losses(players, batch)[1]
    assert gap.item() == pytest.approx(0.05 * mm.penalties.r1(players[1], batch["real"]).item(), rel=1e-3)


def test_metrics_know_the_mixture() -> None:
    declared = {metric.name: metric for metric in grid25.Grid25().metrics}
    assert declared["fair_modes"].range == (0, 25) and declared["fair_modes"].target == 24
    assert [name for name, metric in declared.items() if metric.coverage] == ["modes", "fair_modes"]
    assert declared["reverse_kl"].headline and declared["reverse_kl"].unit == "nats"
    assert {m.name: m.aim for m in ring8.Ring8().metrics if m.aim} == {
        "fair_modes": ">= 8",
        "share": ">= 0.85",
        "reverse_kl": "<= 0.005",
    }
    assert not any(metric.aim for metric in ring8.Ring8Plain().metrics)


# ---------------------------------------------------------------------------------------------- Gaussian on Gaussian


def quantiles(size: int = 20_000) -> dict[str, torch.Tensor]:
    """A batch without chance: the normal distribution's quantiles for data and noise."""
    even = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(size) + 0.5) / size)
    return {"real": even, "noise": even}


@pytest.mark.parametrize(
    ("mu", "jsd", "kl", "best"), [(1.0, 0.111421, 0.5, -1.163451), (2.0, 0.336831, 2.0, -0.712633)]
)
def test_gaussian_divergences_and_what_the_best_critic_reaches(mu: float, jsd: float, kl: float, best: float) -> None:
    scored = gaussians.scores(mu, 1.0)
    assert (scored["jsd"], scored["kl"]) == pytest.approx((jsd, kl), abs=1e-6)
    critic = torch.tensor([0.0, -mu, mu**2 / 2])
    value = gaussians.payoff(torch.tensor([mu, 1.0]), critic, quantiles())
    assert value.item() == pytest.approx(best, abs=2e-4) == pytest.approx(-math.log(4) + 2 * jsd, abs=2e-4)


def test_gaussian_divergences_of_widths() -> None:
    """KL(N(0, 1) ‖ N(0, s²)) = log s + 1/2s² - ½; JSD against the integral of the densities."""
    p, q = torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(0.3, 0.2)
    x = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    a, b = p.log_prob(x).exp(), q.log_prob(x).exp()
    entropy = lambda density: -torch.xlogy(density, density).sum() * (x[1] - x[0])
    expected = entropy((a + b) / 2) - (entropy(a) + entropy(b)) / 2
    assert gaussians.scores(0.3, 0.2)["jsd"] == pytest.approx(float(expected), abs=1e-6)
    assert gaussians.scores(0.0, 2.0)["kl"] == pytest.approx(math.log(2) + 1 / 8 - 0.5)


@pytest.mark.parametrize(("mean", "std"), [(math.nan, 1.0), (0.0, math.nan), (math.inf, 1.0)])
def test_lost_gaussians_are_not_scored_as_good(mean: float, std: float) -> None:
    assert math.isnan(gaussians.scores(mean, std)["jsd"])


def test_gaussian_critic_alone_finds_the_log_ratio() -> None:
    """Against N(1, 1): w = -1, b = ½, and no square."""
    batch, g = quantiles(2000), torch.tensor([1.0, 1.0])
    alone = mm.Game(lambda d: -gaussians.payoff(g, d, batch))
    (d,) = mm.solve(alone, (torch.zeros(3),), mm.SimultaneousGDA(mm.sgd(0.5)), steps=1500, every=1500).players
    assert d.tolist() == pytest.approx([0.0, -1.0, 0.5], abs=0.01)


def test_gaussian_starts_one_off() -> None:
    it = gaussians.Gaussians("cpu")
    floors = {(floor.metric, floor.what): floor.value for floor in it.floors()}
    starts = [it.evaluate(View(it.players(seed), None, seed)) for seed in range(6)]
    assert {scored["mean"] for scored in starts} == {-1.0, 1.0}
    assert all(scored["jsd"] == pytest.approx(floors["jsd", "one off"], abs=1e-9) for scored in starts)
    assert floors["jsd", "real"] == pytest.approx(0, abs=1e-12)


# ---------------------------------------------------------------------------------------------------- stacked digits


@pytest.fixture(scope="module")
def stacks() -> stacked.Stacked:
    stacked.StackedGANR1.prepare(None, None, download=False)
    return stacked.StackedGANR1("cpu")


def test_stacked_modes_are_read_off_by_the_classifier(stacks: stacked.Stacked) -> None:
    """Stacks of the training digits that show 3 and 7, and of those that show 4 and 4, even in number: two modes."""
    one_each = stacks.images.examples(torch.tensor([3, 7, 4]))
    three, seven, four = one_each.squeeze(1)
    images = torch.stack([torch.stack([three, seven]), torch.stack([four, four])]).repeat(50, 1, 1, 1)
    scored = stacks.counted(images)
    assert (scored["modes"], scored["fair_modes"]) == (2, 2)
    assert scored["reverse_kl"] == pytest.approx(math.log(100 / 2))


def test_stacks_of_real_digits_reach_every_mode_and_what_chance_leaves(stacks: stacked.Stacked) -> None:
    """KL(q ‖ uniform) of K = 100 modes at N samples is (K - 1)/2N by chance, here on top of uneven classes."""
    floors = {(floor.metric, floor.what): floor.value for floor in stacks.floors()}
    assert floors["modes", "real"] == floors["fair_modes", "real"] == stacks.count == 100
    assert floors["reverse_kl", "chance"] == pytest.approx(99 / 5200)
    assert floors["reverse_kl", "real"] == pytest.approx(floors["reverse_kl", "chance"], rel=0.5)


def test_stacked_images_that_are_not_finite_are_in_no_mode(stacks: stacked.Stacked) -> None:
    scored = stacks.counted(torch.full((4, 2, 8, 8), math.nan))
    assert math.isnan(scored["reverse_kl"]) and scored["modes"] == 0


def test_stacked_losses_by_hand() -> None:
    """With D(x) = 2 x_1, whose squared slope is 4 everywhere, and G the identity."""
    real, fake = torch.randn(6, 3), torch.randn(6, 3)
    batch = {"real": real, "noise": fake}
    critic, g = lambda x: 2 * x[:, 0], nn.Identity()
    above, below = critic(real), critic(fake)
    plain, pairs = softplus(-above).mean() + softplus(below).mean(), softplus(below - above).mean()
    for kind, generator, loss in [
        (stacked.StackedGANR1, softplus(-below).mean(), plain + 2),
        (stacked.StackedGANBoth, softplus(-below).mean(), plain + 4),
        (stacked.StackedRelativisticR1, softplus(above - below).mean(), pairs + 2),
        (stacked.StackedRelativisticBoth, softplus(above - below).mean(), pairs + 4),
    ]:
        first, second = (one(g, critic, batch) for one in kind("smoke").game().functions)
        torch.testing.assert_close((first, second), (generator, loss))


def test_relativistic_losses_do_not_see_a_constant() -> None:
    batch, g = {"real": torch.randn(6, 3), "noise": torch.randn(6, 3)}, nn.Identity()
    for loss in (stacked.relativistic_generator, stacked.relativistic_critic):
        torch.testing.assert_close(loss(g, lambda x: x.sum(1), batch), loss(g, lambda x: x.sum(1) + 5, batch))
