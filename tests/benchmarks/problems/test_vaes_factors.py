"""β-VAE, its capacity, and FactorVAE: what is weighed by how much, whom a critic moves, and what it tells at best."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks import data
from benchmarks.data import DataError
from benchmarks.problems.vaes import beta_vae, factor_vae
from benchmarks.problems.vaes._factors import Factored

F64 = torch.float64


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    data.prepare("mini-sprites")


def terms(it: Factored, seed: int = 100) -> tuple[Any, Any, Tensor, Tensor]:
    """Networks, a batch, and -log p(x|z) and the KL divergence by torch's own distributions."""
    parts, batch = it.parts(it.players(seed)), it.batch(seed, 0)
    mean, log_var = parts.encoder(batch["real"])
    q = torch.distributions.Normal(mean, (log_var / 2).exp())
    rate = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    z = mean + (log_var / 2).exp() * batch["noise"]
    x = torch.distributions.Bernoulli(logits=parts.decoder(z))
    return parts, batch, -x.log_prob((batch["real"] + 1) / 2).flatten(1).sum(1).mean(), rate


def test_beta_weighs_the_rate() -> None:
    it = beta_vae.BetaVAE("smoke")
    parts, batch, distortion, rate = terms(it)
    torch.testing.assert_close(it.loss(parts, batch), distortion + 4 * rate)
    small = beta_vae.BetaVAE("cpu")
    assert it.beta * small.option["latent"] / it.images.test[0].numel() == pytest.approx(0.15625)  # as its page says


def test_capacity_grows_and_is_aimed_at_from_both_sides() -> None:
    it = beta_vae.CapacityVAE("cpu")
    steps = it.preset.steps
    grown = [it.capacity(draw) for draw in (0, 3 * steps // 8, 3 * steps // 4, steps)]
    assert grown == pytest.approx([0, 7.5, 15, 15])
    small = beta_vae.CapacityVAE("smoke")
    parts, batch, distortion, rate = terms(small)
    for capacity in (0.0, rate.item(), 3 * rate.item()):
        loss = small.loss(parts, {**batch, "capacity": torch.tensor(capacity)})
        torch.testing.assert_close(loss, distortion + 30 * abs(rate - capacity))
    assert float(small.batch(100, 1)["capacity"]) == pytest.approx(15 / (0.75 * small.preset.steps))


def test_factor_vae_weighs_what_the_critic_says() -> None:
    it = factor_vae.FactorVAE("smoke")
    (coder, critic), batch = it.players(100), it.batch(100, 0)
    terms = it.terms(it.parts((coder,)), batch)
    elbo = -(terms.distortion + terms.rate.sum(-1)).mean()
    told = [it.coder_loss(coder, lambda z, bias=bias: bias + critic(z), batch) for bias in (0.0, 1.0)]
    torch.testing.assert_close(told[0], -elbo + 6 * critic(terms.z).mean())
    assert (told[1] - told[0]).item() == pytest.approx(6, abs=1e-3)


def test_the_critics_loss_does_not_move_the_encoder() -> None:
    it = factor_vae.FactorVAE("smoke")
    games = [it.game(), mm.Game(it.coder_loss, lambda *given: 1e3 * it.critic_loss(*given))]
    gradients = []
    for game in games:
        played, z = game.functional(it.players(100))
        gradients.append([played.gradient(z, player, it.batch(100, 0)) for player in (0, 1)])
    (one, critic), (other, louder) = gradients
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert all(torch.allclose(1e3 * critic[name], louder[name], rtol=1e-4, atol=1e-5) for name in critic)


def test_permuted_codes_keep_each_number_and_come_of_other_images() -> None:
    it = factor_vae.FactorVAE("smoke")
    batch, latent = it.batch(100, 0), it.option["latent"]
    size = it.preset.batch
    assert batch["order"].sort(0).values.equal(torch.arange(size)[:, None].expand(-1, latent))
    assert len({tuple(column.tolist()) for column in batch["order"].T}) == latent  # each in an order of its own
    seen: list[Tensor] = []

    def critic(z: Tensor) -> Tensor:
        seen.append(z)
        return z.sum(1)

    (coder, _) = it.players(100)
    it.critic_loss(coder, critic, batch)
    other = batch["other"]
    mean, log_var = it.parts((coder,)).encoder(other["real"])
    z = mean + (log_var / 2).exp() * other["noise"]
    torch.testing.assert_close(seen[1].sort(0).values, z.sort(0).values)
    assert not torch.allclose(seen[1], z) and not torch.equal(other["noise"], batch["noise"])


class Quadratic(nn.Module):
    """w · (1, a², b², ab), which the log ratio of two Gaussians of mean 0 is."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, z: Tensor) -> Tensor:
        a, b = z.unbind(1)
        return torch.stack((torch.ones_like(a), a * a, b * b, a * b), dim=1) @ self.weight


@pytest.mark.parametrize("correlation", [0.4, -0.7])
def test_the_best_critic_is_the_logarithm_of_the_ratio(correlation: float) -> None:
    """log q(z) - log q(a) - log q(b) of a correlated pair; its mean is the total correlation, -½ log(1 - ρ²)."""
    r = correlation
    rest = 1 - r * r
    best = torch.tensor([-math.log(rest) / 2, -r * r / rest / 2, -r * r / rest / 2, r / rest], dtype=F64)
    noise = torch.randn(2, 100_000, 2, dtype=F64)
    z = torch.stack((noise[0, :, 0], r * noise[0, :, 0] + math.sqrt(rest) * noise[0, :, 1]), dim=1)
    ratio = Quadratic(best)(z).detach()
    joint = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=F64), torch.tensor([[1, r], [r, 1]], dtype=F64))
    torch.testing.assert_close(ratio, joint.log_prob(z) - torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1))
    critic = Quadratic(torch.zeros(4, dtype=F64))
    optimizer = torch.optim.LBFGS(critic.parameters(), max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = factor_vae.verdict(critic, z, noise[1])
        value.backward()
        return value

    optimizer.step(loss)
    torch.testing.assert_close(critic.weight.detach(), best, atol=0.04, rtol=0)
    assert critic(z).mean().item() == pytest.approx(-math.log(rest) / 2, abs=0.02)


def test_sprites_alone_have_known_factors() -> None:
    with pytest.raises(
        DataError, match=r"^--data digits does not fit beta-vae: choose mini-sprites, or leave it out\.$"
    ):
        beta_vae.BetaVAE.prepare("digits", None, download=False)


def test_perfect_players_read_and_draw_every_sprite() -> None:
    it = beta_vae.BetaVAE("smoke")
    (coder,) = it.perfect(100)
    mean, _ = coder.encoder(it.every)
    assert torch.equal(coder.decoder(mean).sign(), it.every)
    assert mean[:, :5].mean(0).abs().max() < 1e-5 and torch.allclose(mean[:, :5].std(0, correction=0), torch.ones(5))
