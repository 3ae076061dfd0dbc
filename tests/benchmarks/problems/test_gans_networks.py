"""Blocks and losses of SAGAN and R3GAN."""

import math

import pytest
import torch
from torch import Tensor, nn

from benchmarks.problems._losses import relativistic_generator
from benchmarks.problems.gans import r3gan, sagan
from tests.benchmarks.problems.test_gans_objectives import normal

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    sagan.SAGAN.prepare(None, None, download=False)


def test_attention_starts_as_the_identity() -> None:
    """γ = 0: bit for bit, and its maps have gradients of 0, while γ has one."""
    block, x = sagan.Attention(16), torch.randn(2, 16, 4, 4)
    y = block(x)
    assert torch.equal(y, x)
    y.square().sum().backward()
    for layer in (block.query, block.key, block.value, block.output):
        assert layer.weight.grad.abs().max() == 0
    assert block.gamma.grad.abs() > 1e-6


def test_attention_permutes_with_its_positions() -> None:
    block, x = sagan.Attention(16), torch.randn(2, 16, 4, 4)
    with torch.no_grad():
        block.gamma.fill_(0.7)
    order = torch.randperm(16)
    shuffled = lambda images: images.flatten(2)[..., order].unflatten(2, (4, 4))
    assert not torch.allclose(block(x), x)
    torch.testing.assert_close(block(shuffled(x)), shuffled(block(x)))


def test_attention_weighs_by_the_softmax_of_products() -> None:
    """Against a loop over positions."""
    block, x = sagan.Attention(8), torch.randn(1, 8, 2, 2)
    with torch.no_grad():
        block.gamma.fill_(1.0)
    query, key, value = (layer(x)[0].flatten(1) for layer in (block.query, block.key, block.value))
    found = (block(x) - x)[0].flatten(1)
    for i in range(4):
        weights = torch.tensor([float(query[:, i].detach() @ key[:, j].detach()) for j in range(4)]).softmax(0)
        expected = block.output((value @ weights)[None, :, None, None])[0, :, 0, 0]
        torch.testing.assert_close(found[:, i], expected)


def test_both_players_of_sagan_attend_and_the_critic_has_norms_of_one() -> None:
    g, d = sagan.SAGAN("smoke").players(0)
    assert [sum(isinstance(part, sagan.Attention) for part in player.modules()) for player in (g, d)] == [1, 1]
    layers = [layer for layer in d.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert len(layers) == 7
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-6)


# ---------------------------------------------------------------------------------------------------------------- R3GAN


def paid(d: nn.Module, real: Tensor, fake: Tensor) -> list[float]:
    batch = {"real": real, "noise": fake, "gamma": torch.tensor(0.0)}
    return [loss(nn.Identity(), d, batch).item() for loss in (relativistic_generator, r3gan.critic_loss)]


def test_pairs_of_normals_and_their_best_critic() -> None:
    """D* = log(p/q) + c leaves log 2 - JSD of N(√2 μ), .491802 at μ = 1; other slopes leave more."""
    count = 2000
    real, fake = (normal(mean, count) for mean in (0.0, 1.0))
    pairs = real.repeat_interleave(count, 0), fake.repeat(count, 1)
    at = lambda slope: paid(lambda x: slope * x[:, 0] + 0.5, *pairs)[1]
    assert at(-1.0) == pytest.approx(0.491802, abs=1e-4)
    assert at(-1.0) < min(at(-0.9), at(-1.1))


def test_what_is_added_to_the_critic_changes_no_loss() -> None:
    real, fake = torch.randn(6, 1, 8, 8), torch.randn(6, 1, 8, 8)
    d = r3gan.ResidualCritic(1, 8, 4)
    assert paid(lambda x: d(x) + 3, real, fake) == pytest.approx(paid(d, real, fake))
    last = [module for module in d.modules() if isinstance(module, nn.Linear)][-1]
    assert last.bias is None


def test_pairs_are_by_place() -> None:
    """Of scores 0, 4 against 4, 0 the pairs lose by 4 and win by 4, as no mean of scores could tell."""
    first = lambda x: x[:, 0]
    lost = paid(first, torch.tensor([[0.0], [4.0]]), torch.tensor([[4.0], [0.0]]))[1]
    assert lost == pytest.approx((math.log1p(math.exp(4)) + math.log1p(math.exp(-4))) / 2)


def test_gamma_weighs_both_slopes_by_half() -> None:
    """A critic of slope 1 pays γ."""
    batch = {"real": torch.randn(4, 1), "noise": torch.randn(4, 1)}
    first = lambda x: x[:, 0]
    one, two = (r3gan.critic_loss(nn.Identity(), first, {**batch, "gamma": torch.tensor(γ)}).item() for γ in (0.0, 0.3))
    assert two - one == pytest.approx(0.3)


def test_schedules() -> None:
    """On half a cosine over the burn-in: the rate to a quarter, β₂ to .99, γ to a tenth, and there they stay."""
    rule, it, end = r3gan.R3GAN.recipe.rule, r3gan.R3GAN("smoke"), r3gan.BURN_IN
    for k, along in ((0, 0.0), (end // 2, 0.5), (end, 1.0), (9 * end, 1.0)):
        expected = [first + along * (last - first) for first, last in (r3gan.RATE, r3gan.BETA, r3gan.GAMMA)]
        step = torch.tensor(k)
        found = [rule.lr(step), rule.betas[1](step), it.batch(0, k)["gamma"]]
        assert [float(value) for value in found] == pytest.approx(expected, rel=1e-6)


def test_residual_blocks_start_as_the_identity_with_the_stated_gain() -> None:
    block, x = r3gan.Residual(64, blocks=16), torch.randn(2, 64, 4, 4)
    assert torch.equal(block(x), x)
    for layer in (block.net[0], block.net[2]):
        fan = layer.weight[0].numel()
        assert layer.weight.std().item() * math.sqrt(fan) == pytest.approx(math.sqrt(2 / 1.04) / 2, rel=0.03)
    assert block.net[2].groups == 128 // r3gan.GROUP
