"""The modes of the adversarial autoencoder: losses on numbers by hand, who moves whom, what they are read against."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks.networks import Applied
from benchmarks.problem import View
from benchmarks.problems import _principal
from benchmarks.problems.hybrids import _aae, aae, aae_2d, aae_clustering, aae_semi, aae_supervised

MODES = (aae_supervised.SupervisedAAE, aae_semi.SemiSupervisedAAE, aae_clustering.ClusteringAAE, aae_2d.PlaneAAE)
F64 = torch.float64


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    aae_supervised.SupervisedAAE.prepare(None, None, download=False)


def sp(t: float) -> float:
    return math.log1p(math.exp(t))


def first(z: Tensor) -> Tensor:
    """A critic whose logit is the first number."""
    return z[:, 0]


def hand() -> tuple[nn.Module, nn.Module, dict[str, Tensor]]:
    """One image of two pixels, (1, 2), with the style .5 and probabilities ¼, ¾; Dec(z, a, b) = (z, 4b)."""
    sorter = Applied(lambda x: torch.tensor([[0.5, 0.0, math.log(3)]], dtype=F64).expand(len(x), -1))
    decoder = Applied(lambda code: torch.stack((code[:, 0], 4 * code[:, 2]), dim=1))
    batch = {
        "real": torch.tensor([[1.0, 2.0]], dtype=F64),
        "labels": torch.tensor([1]),
        "noise": torch.tensor([[-0.25, 1.0, 0.0]], dtype=F64),
        "fog": torch.tensor([[-0.05, 0.1]], dtype=F64),
        "blur": torch.tensor([[[0.3, 0.0]], [[0.2, 0.0]]], dtype=F64),
        "known": torch.tensor([[0.0, 0.0]], dtype=F64),
        "classes": torch.tensor([0]),
    }
    return _aae.Sorter(sorter, 1), decoder, batch


def test_losses_of_style_and_class_by_hand() -> None:
    """The error is ½((1 - .5)² + (2 - 3)²) = .625; the critics say .5 of the style, ¼ + .3 and 1 + .2 of the class."""
    enc, dec, batch = hand()
    four = (enc, dec, first, first, batch)
    assert _aae.decoder_loss(*four).item() == pytest.approx(0.625)
    assert _aae.encoder_loss(*four).item() == pytest.approx(0.625 + sp(-0.5) + 5 * sp(-0.55))
    assert _aae.style_loss(*four).item() == pytest.approx(sp(0.25) + sp(0.5))
    assert _aae.class_loss(*four).item() == pytest.approx(sp(-1.2) + sp(0.55))
    # -log ¼ for the class of the image that has a label
    semi = aae_semi.encoder_loss(*four) - _aae.encoder_loss(*four)
    assert semi.item() == pytest.approx(math.log(4))


def test_losses_of_noisy_clusters_by_hand() -> None:
    """With .1 added the decoder gives 4(.75 + .1) = 3.4, and the error is ½(.25 + 1.96)."""
    enc, dec, batch = hand()
    four = (enc, dec, first, first, batch)
    assert aae_clustering.decoder_loss(*four).item() == pytest.approx(1.105)
    assert aae_clustering.encoder_loss(*four).item() == pytest.approx(1.105 + sp(-0.5) + 10 * sp(-0.55))


def test_losses_of_a_decoder_that_is_told_the_class_by_hand() -> None:
    """Class 1 of two: Dec(.5, 0, 1) = (.5, 4), the error ½(.5² + 2²)."""
    _, dec, batch = hand()
    enc = Applied(lambda x: torch.full((len(x), 1), 0.5, dtype=F64))
    three = (enc, dec, first, batch)
    assert aae_supervised.decoder_loss(*three, 2).item() == pytest.approx(2.125)
    assert aae_supervised.encoder_loss(*three, 2).item() == pytest.approx(2.125 + sp(-0.5))
    assert aae_supervised.critic_loss(*three).item() == pytest.approx(sp(0.25) + sp(0.5))


def test_plane_by_hand() -> None:
    """Three heads at 3, 4 and 5 from one another lack 3, 2 and 1 of 6; from 6 on nothing is lacking."""
    heads = torch.tensor([[0.0, 3.0, 0.0], [0.0, 0.0, 4.0]], dtype=F64)
    assert aae_2d.lack(heads).item() == pytest.approx(6.0)
    assert aae_2d.lack(2 * heads).item() == 0.0
    plane = aae_2d.Plane(nn.Identity(), 2, 3)
    plane.heads = nn.Parameter(heads)
    code = torch.tensor([[1.0, 1.0, 0.0, 0.5, 0.5]], dtype=F64)
    assert plane.place(code).tolist() == [[2.5, 3.0]]


@pytest.mark.parametrize("kind", MODES)
def test_critics_see_codes_alone_and_the_decoder_hears_no_critic(kind: type[_aae.Classed]) -> None:
    """Another critic changes what the encoder pays, and not what the decoder does; no decoder changes a critic."""
    it = kind("smoke")
    players = it.players(0)
    batch = it.batch(0, 0)
    game, z = it.game().functional(players)
    before = game.losses(z, batch)

    def after(k: int) -> list[bool]:
        moved = {name: leaf + 0.1 for name, leaf in z[k].items()}
        losses = game.losses((*z[:k], moved, *z[k + 1 :]), batch)
        return [not torch.equal(one, other) for one, other in zip(before, losses, strict=True)]

    critics = range(2, len(players))
    changed = [after(k) for k in range(len(players))]
    assert all(changed[0]) and changed[1] == [True, True, *(False for _ in critics)]
    for k in critics:  # the encoder and the critic itself
        assert changed[k] == [j in (0, k) for j in range(len(players))]


@pytest.mark.parametrize("kind", MODES)
def test_the_prior_is_a_style_beside_a_class(kind: type[_aae.Classed]) -> None:
    it = kind("cpu")
    noise, latent = it.noise(it.generator(0, 0), 20_000), it.option["latent"]
    style, classes = noise[:, :latent], noise[:, latent:]
    assert style.mean().abs() < 0.02 and (style.var() - 1).abs() < 0.02
    assert set(classes.unique().tolist()) == {0.0, 1.0} and torch.equal(classes.sum(1), torch.ones(20_000))
    assert (classes.mean(0) - 1 / it.images.classes).abs().max() < 0.01


def test_what_labels_cost_nothing() -> None:
    """The encoder that has seen all labels tells them, and so its clusters, and neighbours on the plane."""
    for kind, name in zip(MODES[1:], ("accuracy", "code_accuracy", "probe"), strict=True):
        it = kind("cpu")
        assert it.evaluate(View(it.perfect(0), None, 0))[name] > 0.97


def test_clusters_are_matched_and_not_read() -> None:
    """Another order of the clusters scores the same."""
    it = aae_clustering.ClusteringAAE("smoke")
    encoder, *rest = it.perfect(0)
    latent = it.option["latent"]
    turned = Applied(lambda x: torch.cat((encoder(x)[0], encoder(x)[1].roll(3, dims=1)), dim=1))
    scores = [it.evaluate(View((e, *rest), None, 0)) for e in (encoder, _aae.Sorter(turned, latent))]
    assert scores[0]["code_accuracy"] == scores[1]["code_accuracy"] > 0.97


def test_ten_labels_a_class_and_no_label_of_the_batch() -> None:
    it = aae_semi.SemiSupervisedAAE("cpu")
    x, y = it.known(0)
    assert torch.bincount(y).tolist() == [10] * 10
    assert all((it.images.train == one).flatten(1).all(1).any() for one in x)
    game, z = it.game().functional(it.players(0))
    batch = it.batch(0, 0)
    other = {**batch, "labels": (batch["labels"] + 1) % 10}
    assert game.losses(z, batch) == game.losses(z, other)


def test_a_class_code_of_a_prior_costs_its_entropy_where_it_is_told_exactly() -> None:
    """Codes that are the prior: the critic's best is 0, its loss 2 log 2, and it pushes nobody."""
    prior = torch.eye(4, dtype=F64)
    weight = torch.zeros(4, dtype=F64, requires_grad=True)
    loss = _aae.verdict(lambda y: y @ weight, prior, prior[torch.randperm(4)])
    assert loss.item() == pytest.approx(math.log(4))
    assert torch.autograd.grad(loss, weight)[0].abs().max() < 1e-12


def test_critic_of_the_class_at_its_best_is_the_log_ratio() -> None:
    """Classes told with shares (.5, .3, .2) against (⅓, ⅓, ⅓): D = log(p/q), the loss log 4 - 2 JSD."""
    told = torch.repeat_interleave(torch.arange(3), torch.tensor([15, 9, 6]))
    prior = torch.arange(3).repeat(10)
    table = torch.zeros(3, dtype=F64)
    game = mm.Game(lambda table: _aae.verdict(lambda y: table[y], prior, told))
    found = mm.solve(game, (table,), mm.SimultaneousGDA(mm.sgd(2.0)), steps=2000).players[0]
    q = torch.tensor([0.5, 0.3, 0.2], dtype=F64)
    torch.testing.assert_close(found, -(3 * q).log())
    mean = (q + 1 / 3) / 2
    jsd = float((q * (q / mean).log()).sum() - ((1 / 3) * (3 * mean).log()).sum()) / 2
    assert game.losses((found,))[0].item() == pytest.approx(math.log(4) - 2 * jsd)


class Quadratic(nn.Module):
    """A critic zᵀAz + bᵀz + c, to which the log ratio of two Gaussians belongs."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.form = nn.Parameter(torch.zeros(latent, latent, dtype=F64))
        self.slope, self.height = nn.Parameter(torch.zeros(latent, dtype=F64)), nn.Parameter(torch.zeros((), dtype=F64))

    def forward(self, z: Tensor) -> Tensor:
        return ((z @ self.form) * z).sum(1) + z @ self.slope + self.height


def exact(rows: int, columns: int, seed: int) -> Tensor:
    """Draws of mean 0 and covariance I, both exactly."""
    x = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=F64)
    x = x - x.mean(0)
    return torch.linalg.solve_triangular(torch.linalg.cholesky(x.T @ x / rows), x.T, upper=False).T


def w2_to_normal(mean: Tensor, covariance: Tensor) -> float:
    """W₂² of N(m, C) and N(0, I): |m|² + tr(C + I - 2 C^½)."""
    return float(mean.square().sum() + (torch.linalg.eigvalsh(covariance).sqrt() - 1).square().sum())


def mmd_to_normal(mean: Tensor, covariance: Tensor) -> float:
    """Squared MMD of N(m, C) and N(0, I) with the kernel exp(-½|a - b|²), whose means are Gaussian integrals."""
    one = torch.eye(len(mean), dtype=F64)

    def kernel(m: Tensor, spread: Tensor) -> float:
        whole = spread + one
        return float((-m @ torch.linalg.solve(whole, m) / 2).exp() / torch.linalg.det(whole).sqrt())

    return kernel(0 * mean, 2 * covariance) + kernel(0 * mean, 2 * one) - 2 * kernel(mean, covariance + one)


def test_distances_of_gaussians_are_those_of_samples() -> None:
    mean, root = torch.tensor([0.5, -0.3], dtype=F64), torch.tensor([[1.5, 0.0], [0.4, 0.6]], dtype=F64)
    x, y = exact(4000, 2, 1) @ root.T + mean, exact(4000, 2, 2)
    k = [torch.exp(-torch.cdist(a, b).square() / 2).mean() for a, b in ((x, x), (y, y), (x, y))]
    covariance = root @ root.T
    assert mmd_to_normal(mean, covariance) == pytest.approx(float(k[0] + k[1] - 2 * k[2]), abs=5e-3)
    values, vectors = torch.linalg.eigh(covariance)
    transport = vectors @ (1 / values.sqrt()).diag() @ vectors.T  # the optimal map to N(0, I)
    assert w2_to_normal(mean, covariance) == pytest.approx(float((x - (x - mean) @ transport).square().sum(1).mean()))


def test_linear_aae_ends_at_the_prior_and_its_critic_at_chance() -> None:
    """Played: codes have W₂ = MMD = 0 from N(0, I), D = 0, and the error is what two principal components leave."""
    variances = torch.tensor([3.0, 2.0, 0.3], dtype=F64)
    x, prior = exact(256, 3, 3) * variances.sqrt() + 0.5, exact(256, 2, 4)
    torch.manual_seed(0)
    enc, dec, d = nn.Linear(3, 2).double(), nn.Linear(2, 3).double(), Quadratic(2)
    game = mm.Game(aae.encoder_loss, aae.decoder_loss, aae.critic_loss)
    batch = {"real": x, "noise": prior}

    def apart() -> tuple[float, float]:
        with torch.no_grad():
            z = enc(x)
            covariance = torch.cov(z.T, correction=0)
            return w2_to_normal(z.mean(0), covariance), mmd_to_normal(z.mean(0), covariance)

    start = apart()
    trainer = mm.bind(game, (enc, dec, d), mm.ExtraGradient(mm.sgd(0.05)))
    for _ in range(900):
        trainer.step(batch)
    end = apart()
    assert min(start) > 0.05 and max(map(abs, end)) < 1e-6
    with torch.no_grad():
        assert d(prior).abs().max() < 1e-2 and game.losses((enc, dec, d), batch)[2].item() == pytest.approx(math.log(4))
        fresh = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(5), dtype=F64)
        codes = enc(
            torch.randn(20_000, 3, generator=torch.Generator().manual_seed(6), dtype=F64) * variances.sqrt() + 0.5
        )
        accuracy = ((d(fresh) > 0).double().mean() + (d(codes) <= 0).double().mean()) / 2
    assert accuracy.item() == pytest.approx(0.5, abs=0.02)
    assert 2 * _aae.distance(x, dec(enc(x))).item() == pytest.approx(0.3, abs=1e-4)


def test_coordinates_are_those_of_the_principal_reconstruction() -> None:
    x = torch.randn(40, 5, dtype=F64)
    along = _principal.coordinates(x, x, 2)
    back = _principal.principal(x, x, 2)
    pairs = list(itertools.combinations(range(10), 2))
    ours, theirs = (torch.stack([(z[i] - z[j]).norm() for i, j in pairs]) for z in (along, back))
    torch.testing.assert_close(ours, theirs)
