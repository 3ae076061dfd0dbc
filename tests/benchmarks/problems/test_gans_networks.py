"""Blocks and losses of SAGAN and R3GAN."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.problems.gans import _augment, r3gan, sagan
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


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 1), (1, 4), (3, 1, 2, 2)])
def test_exact_norms_differentiate_twice_whatever_the_rank(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, requires_grad=True)
    norm = sagan.UnitNorm()
    torch.testing.assert_close(norm(weight), weight / torch.linalg.matrix_norm(weight.flatten(1), 2))
    assert torch.autograd.gradgradcheck(norm, weight)


def test_norms_of_diverged_weights_are_not_finite_and_raise_nothing() -> None:
    for value in (math.nan, math.inf):
        assert not sagan.UnitNorm()(torch.full((3, 4), value)).isfinite().any()


def test_both_players_of_sagan_attend_and_the_critic_has_norms_of_one() -> None:
    g, d = sagan.SAGAN("smoke").players(0)
    assert [sum(isinstance(part, sagan.Attention) for part in player.modules()) for player in (g, d)] == [1, 1]
    layers = [layer for layer in d.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert len(layers) == 7
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-6)


# ---------------------------------------------------------------------------------------------------------------- R3GAN


def batch_of(real: Tensor, fake: Tensor, γ: float = 0.0) -> dict[str, Any]:
    """Points (n, pixels) as images of one row of pixels, which nothing changes."""
    images = {"real": real[:, None, None], "noise": fake[:, None, None]} if real.dim() == 2 else {}
    changes = [torch.zeros(len(real), 4)] * 2
    return {"real": real, "noise": fake, **images, "gamma": torch.tensor(γ), "changes": changes}


def paid(d: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, γ: float = 0.0) -> list[float]:
    batch = batch_of(real, fake, γ)
    return [loss(nn.Identity(), d, batch).item() for loss in (r3gan.generator_loss, r3gan.critic_loss)]


def first(x: Tensor) -> Tensor:
    """The first pixel of each image."""
    return x.flatten(1)[:, 0]


def test_pairs_of_normals_and_their_best_critic() -> None:
    """D* = log(p/q) + c leaves log 2 - JSD of N(√2 μ), .491802 at μ = 1; other slopes leave more."""
    count = 600
    real, fake = (normal(mean, count) for mean in (0.0, 1.0))
    pairs = real.repeat_interleave(count, 0), fake.repeat(count, 1)
    at = lambda slope: paid(lambda x: slope * first(x) + 0.5, *pairs)[1]
    assert at(-1.0) == pytest.approx(0.491802, abs=4e-4)
    assert at(-1.0) < min(at(-0.9), at(-1.1))


def test_what_is_added_to_the_critic_changes_no_loss() -> None:
    real, fake = torch.randn(6, 1, 8, 8), torch.randn(6, 1, 8, 8)
    d = r3gan.ResidualCritic(1, 8, 4)
    assert paid(lambda x: d(x) + 3, real, fake) == pytest.approx(paid(d, real, fake))
    last = [module for module in d.modules() if isinstance(module, nn.Linear)][-1]
    assert last.bias is None


def test_pairs_are_by_place() -> None:
    """Of scores 0, 4 against 4, 0 the pairs lose by 4 and win by 4, as no mean of scores could tell."""
    lost = paid(first, torch.tensor([[0.0], [4.0]]), torch.tensor([[4.0], [0.0]]))[1]
    assert lost == pytest.approx((math.log1p(math.exp(4)) + math.log1p(math.exp(-4))) / 2)


def test_gamma_weighs_both_slopes_by_half() -> None:
    """A critic of slope 1 pays γ."""
    points = torch.randn(4, 1), torch.randn(4, 1)
    one, two = (paid(first, *points, γ)[1] for γ in (0.0, 0.3))
    assert two - one == pytest.approx(0.3)


def test_schedules() -> None:
    """On half a cosine over the burn-in: the rate to a quarter, β₂ to .99, γ to a tenth, the half-life to 50 steps."""
    rule, half_life, it, end = r3gan.R3GAN.recipe.rule, r3gan.R3GAN.recipe.ema, r3gan.R3GAN("smoke"), r3gan.BURN_IN
    for k, along in ((0, 0.0), (end // 2, 0.5), (end, 1.0), (9 * end, 1.0)):
        ends = r3gan.RATE, r3gan.BETA, r3gan.HALF_LIFE, r3gan.GAMMA
        expected = [start + along * (stop - start) for start, stop in ends]
        step = torch.tensor(k)
        found = [rule.lr(step), rule.betas[1](step), half_life(step), it.batch(0, k)["gamma"]]
        assert [float(value) for value in found] == pytest.approx(expected, rel=1e-6)


def test_residual_blocks_start_as_the_identity_with_the_stated_gain() -> None:
    block, x = r3gan.Residual(64, blocks=16), torch.randn(2, 64, 4, 4)
    assert torch.equal(block(x), x)
    for layer in (block.net[0], block.net[2]):
        fan = layer.weight[0].numel()
        assert layer.weight.std().item() * math.sqrt(fan) == pytest.approx(math.sqrt(2 / 1.04) / 2, rel=0.03)
    assert block.net[2].groups == 128 // r3gan.GROUP


# --------------------------------------------------------------------------------------------------------- augmentation


def changes(**of: float) -> Tensor:
    """One change of two images: down, across, zoom, light."""
    return torch.tensor([[of.get(name, 0.0) for name in ("down", "across", "zoom", "light")]]).expand(2, 4)


def test_nothing_is_augmented_at_first() -> None:
    """p = 0: bit for bit, the losses too."""
    batch, images = r3gan.R3GAN("smoke").batch(0, 0), torch.randn(16, 1, 8, 8)
    for change in batch["changes"]:
        assert torch.equal(_augment.augmented(images, change), images)
        assert change.abs().max() == 0
    later = r3gan.R3GAN("smoke").batch(0, r3gan.BURN_IN)
    later["real"] = later["real"].double()
    players = r3gan.R3GAN("smoke").players(0)
    alone = {**later, "changes": batch["changes"]}
    for loss in (r3gan.generator_loss, r3gan.critic_loss):
        assert loss(*players, later) != loss(*players, alone)


def test_the_share_of_what_is_augmented() -> None:
    """Each kind for a share p of the images, on its own; symmetric, and of the stated standard deviations."""
    stream = torch.Generator().manual_seed(0)
    found = _augment.chosen(_augment.draw(stream, 200_000), torch.tensor(0.3))
    done = (found != 0).double()
    torch.testing.assert_close(done.mean(0), torch.full((4,), 0.3), atol=0.004, rtol=0)
    assert torch.equal(done[:, 0], done[:, 1])
    among = done[:, 1:].T @ done[:, 1:] / len(done)
    torch.testing.assert_close(among, 0.09 + 0.21 * torch.eye(3), atol=0.004, rtol=0)
    for k, deviation in enumerate((_augment.SHIFT, _augment.SHIFT, _augment.ZOOM, _augment.LIGHT)):
        some = found[:, k][done[:, k] == 1]
        assert some.std().item() == pytest.approx(deviation, rel=0.02)
        assert abs(some.mean().item()) < 5 * deviation / math.sqrt(len(some))


def test_the_share_rises_over_the_burn_in() -> None:
    it, shares = r3gan.R3GAN("cpu"), []
    for k in (r3gan.BURN_IN // 2, r3gan.BURN_IN, 5 * r3gan.BURN_IN):
        found = [(change != 0).double()[:, 1:].mean() for seed in range(100) for change in it.batch(seed, k)["changes"]]
        shares.append(float(torch.stack(found).mean()))
    assert shares == pytest.approx([0.15, 0.3, 0.3], abs=0.01)


def test_real_and_fake_images_that_are_equal_are_augmented_into_equal_distributions() -> None:
    """Under one change the pairs tie, and the loss is log 2; under each its own, moments agree over many draws."""
    images, d = torch.randn(16, 1, 8, 8), r3gan.ResidualCritic(1, 8, 4)
    batch = r3gan.R3GAN("smoke").batch(0, r3gan.BURN_IN) | {"real": images, "noise": images}
    tied = {**batch, "changes": batch["changes"][:1] * 2}
    assert r3gan.generator_loss(nn.Identity(), d, tied).item() == pytest.approx(math.log(2))
    assert r3gan.generator_loss(nn.Identity(), d, batch).item() != pytest.approx(math.log(2), abs=1e-9)


def test_what_changes_do_to_an_image() -> None:
    x = torch.rand(2, 3, 8, 8) * 2 - 1
    down = _augment.augmented(x, changes(down=1 / 8))
    torch.testing.assert_close(down[:, :, 1:], x[:, :, :-1])
    torch.testing.assert_close(down[:, :, 0], torch.full((2, 3, 8), -1.0))
    half = _augment.augmented(x, changes(across=-0.5 / 8))
    torch.testing.assert_close(half[..., :-1], (x[..., :-1] + x[..., 1:]) / 2)
    torch.testing.assert_close(half[..., -1], (x[..., -1] - 1) / 2)
    torch.testing.assert_close(_augment.augmented(x, changes(light=0.25)), x + 0.25)
    black = torch.full_like(x, -1.0)
    torch.testing.assert_close(_augment.augmented(black, changes(down=0.3, across=-0.2, zoom=0.4)), black)
    ramp = (torch.arange(8.0) - 3.5).expand(2, 1, 8, 8)  # linear, so that reading between pixels is exact inside
    wide = _augment.augmented(ramp, changes(zoom=1.0))
    torch.testing.assert_close(wide, ramp / 2)


def test_changes_are_linear_maps_of_an_image_with_derivatives_of_any_order() -> None:
    x, change = torch.randn(2, 1, 4, 4, requires_grad=True), changes(down=0.1, across=-0.05, zoom=0.3, light=0.2)
    seen = lambda images: _augment.augmented(images, change)
    assert torch.autograd.gradcheck(seen, x) and torch.autograd.gradgradcheck(lambda images: seen(images).exp(), x)
    y = torch.randn(2, 1, 4, 4)
    torch.testing.assert_close(seen(x + 2 * y) - seen(x), 2 * (seen(x + y) - seen(x)))


def test_augmentation_reaches_the_generator_and_slopes_are_by_the_image_before() -> None:
    """D(Tx) of an image darkened and shrunk: the slope is that of D at Tx times T, the generator's likewise."""
    x, w, change = torch.randn(2, 1, 8, 8), torch.randn(8, 8), changes(zoom=-0.5, light=-0.3)
    batch = {"real": x, "noise": x, "gamma": torch.tensor(2.0), "changes": [change, change]}
    d = lambda images: (images[:, 0] * w).sum((1, 2))
    rows = _augment.interpolation(8, torch.zeros(1), torch.tensor([-0.5]))[0]
    slope = rows.T @ w @ rows
    found = r3gan.critic_loss(nn.Identity(), d, batch).item()
    assert found == pytest.approx(math.log(2) + 2 * slope.square().sum().item())
    offset = torch.zeros(8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(r3gan.generator_loss(lambda z: z + offset, d, batch), offset)
    torch.testing.assert_close(gradient, -slope / 2)
