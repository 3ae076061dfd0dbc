"""BigGAN: truncated noise, orthogonal rows, norms and critics that are told the class."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from benchmarks.problem import View
from benchmarks.problems.conditional.cgan_projection import ProjectionCritic
from benchmarks.problems.gans import biggan
from tests.benchmarks.problems.test_conditional import POINTS, SHARED, samples

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    biggan.BigGAN.prepare(None, None, download=False)


@pytest.mark.parametrize("τ", [0.5, 1.0, 2.0])
def test_variance_of_truncated_noise(τ: float) -> None:
    """1 - 2τφ(τ)/(2Φ(τ) - 1), .080589 at τ = .5."""
    u = (torch.arange(100_000) + 0.5) / 100_000
    z = biggan.truncated(u, τ)
    density, inside = math.exp(-(τ**2) / 2) / math.sqrt(2 * math.pi), math.erf(τ / math.sqrt(2))
    assert z.square().mean().item() == pytest.approx(1 - 2 * τ * density / inside, abs=1e-8)
    assert z.abs().max() <= τ and abs(z.mean().item()) < 1e-12
    if τ == 0.5:
        assert z.square().mean().item() == pytest.approx(0.080589, abs=5e-7)


def test_slant_of_rows() -> None:
    """0 on orthogonal rows of any length; 2ab cos² on two of lengths a², b² an angle apart; its gradient."""
    W = torch.linalg.qr(torch.randn(6, 4)).Q.T * torch.tensor([[0.1], [1.0], [2.0], [30.0]])
    assert biggan.slant(W).item() == pytest.approx(0, abs=1e-20)
    assert biggan.slant(W.unflatten(1, (3, 2, 1))).item() == pytest.approx(0, abs=1e-20)
    α = 0.7
    pair = torch.tensor([[2.0, 0.0], [3 * math.cos(α), 3 * math.sin(α)]])
    assert biggan.slant(pair).item() == pytest.approx(2 * 4 * 9 * math.cos(α) ** 2)
    W = torch.randn(5, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(biggan.slant(W), W)
    torch.testing.assert_close(gradient, 4 * (W @ W.T * (1 - torch.eye(5))) @ W)


def test_the_generator_pays_for_slanted_rows_of_all_weights_but_the_embedding() -> None:
    it = biggan.BigGAN("smoke")
    g, d = it.players(0)
    batch = {name: value.double() if value.is_floating_point() else value for name, value in it.batch(0, 0).items()}
    wide = [layer for layer in biggan.weighted(g) if layer.weight[0].numel() >= len(layer.weight)]
    assert len(wide) >= 12 and sum(biggan.slant(layer.weight) for layer in wide).item() < 1e-20  # as they start
    with torch.no_grad():
        for layer in biggan.weighted(g):
            layer.weight.add_(torch.randn_like(layer.weight))
    paid = it.game().losses((g, d), batch)
    expected = sum(
        biggan.slant(layer.weight)
        for name, layer in g.named_modules()
        if name != "embedding" and layer in biggan.weighted(g)
    )
    plain = biggan.generator_loss(g, d, batch)
    assert (paid[0] - plain).item() == pytest.approx(1e-4 * expected.item())
    assert paid[1].item() == pytest.approx(biggan.critic_loss(g, d, batch).item())


def test_the_norm_of_a_class_is_batch_norm_with_its_gain_and_bias() -> None:
    norm, x = biggan.ConditionalNorm(5, 3), torch.randn(7, 5, 4, 4) * 3 + 1
    told = torch.randn(3)
    plain = nn.BatchNorm2d(5, track_running_stats=False)
    plain.weight, plain.bias = nn.Parameter(1 + norm.gain.weight @ told), nn.Parameter(norm.bias.weight @ told)
    alone = norm(x, told.expand(7, 3))
    torch.testing.assert_close(alone, plain(x))
    # In a mixed batch the statistics are those of all classes, and each sample has its own gain and bias.
    mixed = norm(x, torch.cat((told.expand(3, 3), torch.randn(4, 3))))
    torch.testing.assert_close(mixed[:3], alone[:3])
    assert not torch.allclose(mixed[3:], alone[3:])


def test_the_critic_is_affine_in_the_embedding_of_the_class() -> None:
    """D(x, y) = ψ(φ(x)) + ⟨v_y, φ(x)⟩."""
    d = ProjectionCritic(biggan.features(1, 8, 6), 6, 3)
    x, y = torch.randn(9, 1, 8, 8), one_hot(torch.arange(9) % 3)
    v, w = torch.randn(6, 3), torch.randn(6, 3)

    def scores(embedding: Tensor) -> Tensor:
        with torch.no_grad():
            d.embedding.weight.copy_(embedding)
            return d(x, y)

    torch.testing.assert_close(scores(0.3 * v + 0.7 * w), 0.3 * scores(v) + 0.7 * scores(w))
    with torch.no_grad():
        torch.testing.assert_close(scores(v) - scores(0 * v), (v.T[torch.arange(9) % 3] * d.features(x)).sum(1))


def test_every_matrix_of_the_critic_has_norm_one() -> None:
    d = biggan.BigGAN("smoke").players(0)[1]
    layers = biggan.weighted(d)
    assert len(layers) == 8  # two blocks of three, ψ, and the embedding
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-6)


def test_hinge_with_classes() -> None:
    """D* = sign(p(x, y) - q(x, y)) leaves 2 (1 - TV) of the joint distributions, and no D in [-1, 1] less."""
    q = torch.tensor([[0.2, 0.5, 0.3], [0.1, 0.7, 0.2]])
    (real, known), (fake, wanted) = samples(SHARED), samples(q)
    batch = {"real": real, "labels": known.argmax(1), "noise": torch.cat((fake, wanted), dim=1)}

    class Table:
        classes = 2

        def __init__(self, of: Tensor) -> None:
            self.of = of

        def __call__(self, x: Tensor, y: Tensor) -> Tensor:
            return (y.double() @ self.of * x).sum(1)

    generator = lambda noise: noise[:, : len(POINTS)]
    best = (SHARED - q).sign()
    tv = (SHARED - q).abs().sum().item() / 4
    assert biggan.critic_loss(generator, Table(best), batch).item() == pytest.approx(2 * (1 - tv))
    for _ in range(20):
        other = Table(2 * torch.rand(2, 3) - 1)
        assert biggan.critic_loss(generator, other, batch) > 2 * (1 - tv)
    assert biggan.generator_loss(generator, Table(best), batch).item() == pytest.approx(-(q * best).sum().item() / 2)


def test_every_block_has_noise_of_its_own() -> None:
    """What the last block is told changes the image, and not what comes into that block."""
    it = biggan.BigGAN("cpu")
    g = it.players(0)[0]
    assert sum(g.parts) == it.option["latent"] and len(g.parts) == 1 + len(g.blocks) == 3
    incoming: list[Tensor] = []
    g.blocks[-1].register_forward_pre_hook(lambda block, given: incoming.append(given[0]))
    noise = it.batch(0, 0)["noise"].double()
    moved = noise.clone()
    last = slice(it.option["latent"] - g.parts[-1], it.option["latent"])
    moved[:, last] += 1
    with torch.no_grad():
        one, two = g(noise), g(moved)
    assert torch.equal(*incoming) and not torch.allclose(one, two)


def test_what_is_scored_as_truncated_is() -> None:
    it = biggan.BigGAN("cpu")
    seen: list[Tensor] = []
    _, d = it.players(0)
    images = it.perfect(0)[0]

    class Witness(nn.Module):
        def forward(self, noise: Tensor) -> Tensor:
            seen.append(noise)
            return images(noise)

    scores = it.evaluate(View((Witness(), d), None, 0))
    assert {metric.name for metric in it.metrics} >= {"kid_truncated", "precision_truncated", "recall_truncated"}
    assert scores["kid_truncated"] == pytest.approx(scores["kid"])  # the same classes, so the same images
    sizes = sorted(float(noise[:, :-10].abs().max()) for noise in seen)
    assert sizes[0] <= 0.5 < 2 < sizes[1]
    assert torch.equal(seen[0][:, -10:], seen[1][:, -10:])
