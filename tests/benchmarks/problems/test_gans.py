import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from benchmarks.problem import View
from benchmarks.problems import _losses
from benchmarks.problems.gans import bayesian, began, gan, lsgan, wgan, wgan_gp
from benchmarks.testing import play
from minimax import AlternatingGDA, Game, SimultaneousGDA, sgd, solve
from minimax.projections import box


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    gan.GAN.prepare(None, None, download=False)


class Constant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1) * 0 + 0.3


UP, DOWN = math.log1p(math.exp(0.3)), math.log1p(math.exp(-0.3))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (gan.generator_loss, -UP),
        (_losses.nonsaturating_generator, DOWN),
        (_losses.logistic_critic, UP + DOWN),
        (lsgan.generator_loss, 0.49 / 2),
        (lsgan.critic_loss, (0.49 + 0.09) / 2),
        (_losses.wasserstein_generator, -0.3),
        (_losses.wasserstein_critic, 0.0),
        (wgan_gp.critic_loss, 10.0),  # a constant critic has slope 0, one away from 1
    ],
)
def test_losses_by_hand(loss, expected: float) -> None:
    batch = {"real": torch.zeros(2, 1, 1, 1), "noise": torch.zeros(2, 1, 1, 1), "between": torch.rand(2)}
    assert loss(nn.Identity(), Constant(), batch).item() == pytest.approx(expected)


def test_wgan_clips_its_critic_and_nothing_else() -> None:
    it = wgan.WGAN("smoke")
    g, d = play(it, AlternatingGDA(it.recipe.rule, steps=it.recipe.steps, order=it.recipe.order), 2).players
    assert max(w.abs().max().item() for w in d.parameters()) <= 0.01 + 1e-9
    assert max(w.abs().max().item() for w in g.parameters()) > 0.02


def test_real_images_score_better_than_an_untrained_generator() -> None:
    it = gan.GAN("cpu")
    (real,) = (floor for floor in it.floors() if (floor.metric, floor.what) == ("kid", "real"))
    assert real.high is not None and real.value < real.high < 0.05 < it.evaluate(View(it.players(0), None, 0))["kid"]


def reconstructing(ψ: float) -> Callable[[Tensor], Tensor]:
    """An autoencoder that gives ψ back, whatever it is shown."""
    return lambda x: torch.full_like(x, ψ)


@pytest.mark.parametrize(("size", "end"), [(0.7, 1.0), (0.75, 0.4), (0.8, 0.0)])
def test_began_balance_stands_still_where_fakes_err_by_gamma(
    size: float, end: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data of mean |x| = 1, fakes of another size, D = 0: below γ = .75 the balance rises to 1, above it falls to 0."""
    monkeypatch.setattr(began, "GAMMA", 0.75)
    batch = {"real": torch.tensor([-1.0, 1.0]), "noise": torch.tensor([-size, size])}

    def balance(k: Tensor) -> Tensor:
        return began.balance_loss(nn.Identity(), reconstructing(0.0), k, batch)

    game = Game(balance, constraints=(box(0.0, 1.0),))
    (k,) = solve(game, (torch.tensor(0.4),), SimultaneousGDA(sgd(0.1)), steps=1000).players
    assert k.item() == pytest.approx(end, abs=1e-3)


def test_began_measure_is_no_quality(monkeypatch: pytest.MonkeyPatch) -> None:
    """Perfect fakes, of the same error as data, have a larger M than smaller ones in balance where γ < 1."""
    monkeypatch.setattr(began, "GAMMA", 0.75)
    real = torch.tensor(1.0)
    assert began.convergence(real, real).item() == pytest.approx(1.25)
    assert began.convergence(real, 0.75 * real).item() == pytest.approx(1.0)


def test_began_losses() -> None:
    batch, k = {"real": torch.tensor([1.0, 3.0]), "noise": torch.tensor([0.5])}, torch.tensor(0.3)
    players = (nn.Identity(), reconstructing(1.0), k)
    assert began.generator_loss(*players, batch).item() == pytest.approx(0.5)
    assert began.critic_loss(*players, batch).item() == pytest.approx(1 - 0.3 * 0.5)
    assert began.balance_loss(*players, batch).item() == pytest.approx(-0.3 * (1 - 0.5))


def test_bayesian_gan_moves_as_sghmc_says() -> None:
    """v = -h ∂L + √(2αh/N) n at the first step; every generator has a kick of its own."""
    it = bayesian.BayesianGAN("smoke")
    players, batch = it.players(0), it.batch(0, 0)
    game, z = it.game().functional(players)
    gradients = game.field(z, batch)
    optimizer = SimultaneousGDA(it.recipe.rule)
    moved, _, _ = optimizer.step(game, z, optimizer.init(game, z), batch)
    for before, after, gradient, kicks in zip(z, moved, gradients, batch["kicks"], strict=True):
        for name, kick in zip(before, kicks, strict=True):
            expected = -1e-2 * gradient[name] + math.sqrt(2 * 0.1 * 1e-2 / 1200) * kick
            torch.testing.assert_close(after[name] - before[name], expected, atol=1e-6, rtol=1e-3)
    first, second = (batch["kicks"][0][k] for k in (0, len(batch["kicks"][0]) // 2))
    assert first.shape == second.shape and not torch.equal(first, second)


def test_a_generator_of_a_bayesian_gan_does_not_feel_the_others() -> None:
    it = bayesian.BayesianGAN("smoke")
    g, d = it.players(0)
    batch = it.batch(0, 0)
    alone = torch.autograd.grad(bayesian.generator_loss(g, d, batch), list(g[0].parameters()))
    with torch.no_grad():
        for weight in g[1].parameters():
            weight.add_(1.0)
    among = torch.autograd.grad(bayesian.generator_loss(g, d, batch), list(g[0].parameters()))
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(alone, among, strict=True))
    part = batch["noise"].tensor_split(2)[0]
    loss = softplus(-d(g[0](part))).mean() + bayesian.prior(g[0])
    own = torch.autograd.grad(loss, list(g[0].parameters()))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(alone, own, strict=True))


def test_divergence_of_a_bayesian_gan_is_of_what_fills_the_cells() -> None:
    """0 of the test images themselves, log 2 of what lies in other cells alone, nan of what is not finite."""
    it = bayesian.BayesianGAN("cpu")
    it.prepare(None, None, download=False)
    test = it.images.test
    index = bayesian.chosen(len(test), it.samples)
    assert it.divergence(test[index]) == pytest.approx(0.0, abs=1e-12)
    assert 0.5 < it.divergence(test[:1].expand(it.samples, -1, -1, -1)) <= math.log(2)
    assert math.isnan(it.divergence(torch.full_like(test[index], math.nan)))
    (floor,) = (each for each in it.floors() if each.metric == "jsd")
    assert 0 < floor.value < 0.02
