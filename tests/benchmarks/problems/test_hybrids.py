import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

import minimax as mm
from benchmarks.networks import Applied
from benchmarks.problems import _principal
from benchmarks.problems.hybrids import aae, ali, anogan, distillation, vae_gan
from benchmarks.quality import labels
from minimax.diagnostics import spectrum

NORMAL = Normal(torch.tensor(0.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64))


def whitened(rows: int, columns: int) -> Tensor:
    """Samples whose mean is 0 and whose second moments are those of N(0, I), exactly."""
    x = torch.randn(rows, columns, dtype=torch.float64)
    x = x - x.mean(0)
    return torch.linalg.solve_triangular(torch.linalg.cholesky(x.T @ x / rows), x.T, upper=False).T


# ------------------------------------------------------------------------------------------------------------------ ALI


def linear_pairs(v: float, a: float, s: float, e: float, t: float, batch=None):
    """x ~ N(0, v), decoder N(az, s²), encoder N(ex, t²), as the problem's coder, and a batch of exact moments."""
    x, code, z, noise = whitened(1000, 4).split(1, dim=1)
    encoder = Applied(lambda x: (e * x, torch.full_like(x, 2 * math.log(t))))
    coder = {"encoder": encoder, "decoder": Applied(lambda z: a * z + s * noise)}
    return coder, {"real": math.sqrt(v) * x, "posterior": code, "noise": z}


def quadratic(weight: Tensor):
    """A critic of all quadratic forms of a pair."""
    return lambda x, z: (torch.cat((x * x, x * z, z * z, x, z), dim=1) @ weight) + weight.sum() * 0


def slopes(v: float, a: float, s: float, e: float, t: float) -> tuple[float, Tensor]:
    """The critic's loss at D = 0, and the slopes in the coefficients of its quadratic forms."""
    coder, batch = linear_pairs(v, a, s, e, t)
    weight = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    loss = ali.critic_loss(coder, quadratic(weight), batch)
    return loss.item(), torch.autograd.grad(loss, weight)[0]


@pytest.mark.parametrize("a", [0.2, 0.5, 1.0, 1.1])
def test_ali_is_solved_by_a_family_in_which_information_is_free(a: float) -> None:
    """a² + s² = v, e = a/v, t² = s²/v: no critic of pairs, quadratic ones the log ratio included, has a slope."""
    v = 1.25
    s = math.sqrt(v - a**2)
    loss, slope = slopes(v, a, s, a / v, s / math.sqrt(v))
    assert loss == pytest.approx(math.log(4)) and slope.abs().max() < 1e-12
    for other in ((v, a, s, 1.2 * a / v, s / math.sqrt(v)), (v, a, 1.1 * s, a / v, s / math.sqrt(v))):
        assert slopes(*other)[1].abs().max() > 1e-3


def test_ali_does_not_ask_for_reconstructions() -> None:
    v, a = 1.25, 1.0
    coder, batch = linear_pairs(v, a, 0.5, a / v, 0.5 / math.sqrt(v))
    mean = coder["encoder"](batch["real"])[0]
    assert ali.error(batch["real"], a * mean) == pytest.approx(0.05)
    correlation = float((batch["real"] * mean).mean() ** 2 / v)  # of x with z, whose variance is 1
    assert -math.log(1 - correlation) / 2 == pytest.approx(0.804719, abs=1e-6)


def test_ali_critic_at_its_best_is_the_log_ratio() -> None:
    """Pairs N(0, I) with correlation ρ against -ρ: log q/p = 2ρxz/(1 - ρ²)."""
    ρ = 0.6
    u = NORMAL.icdf((torch.arange(600, dtype=torch.float64) + 0.5) / 600)
    x, other = (grid.reshape(-1, 1) for grid in torch.meshgrid(u, u, indexing="ij"))
    r = math.sqrt(1 - ρ**2)
    encoder = Applied(lambda x: (ρ * x, torch.full_like(x, 2 * math.log(r))))
    coder = {"encoder": encoder, "decoder": Applied(lambda z: -ρ * z + r * other)}
    batch = {"real": x, "posterior": other, "noise": x}
    scale = torch.tensor(2 * ρ / r**2, dtype=torch.float64, requires_grad=True)
    loss = ali.critic_loss(coder, lambda x, z: (scale * x * z)[:, 0], batch)
    assert torch.autograd.grad(loss, scale)[0].abs() < 2e-3
    assert ali.coder_loss(coder, lambda x, z: (scale * x * z)[:, 0], batch) > loss  # the coder wants the opposite


# ------------------------------------------------------------------------------------------------------------------ AAE


def test_aae_linear_is_whitening_along_the_first_principal_component() -> None:
    """e = u₁/√λ₁ up to sign, decoder Σe, error trΣ - λ₁; the code is N(0, 1), so the critic sees nothing."""
    root = torch.randn(3, 3, dtype=torch.float64)
    Σ = root @ root.T
    x = whitened(2000, 3) @ torch.linalg.cholesky(Σ).T
    values, vectors = torch.linalg.eigh(Σ)
    e = vectors[:, -1] / values[-1].sqrt()

    def error(e: Tensor, w: Tensor) -> Tensor:
        return 2 * aae.decoder_loss(lambda x: x @ e[:, None], lambda z: z * w, None, {"real": x})

    w = (Σ @ e).requires_grad_()
    value = error(e, w)
    assert value.item() == pytest.approx(float(Σ.trace() - values[-1]))
    assert torch.autograd.grad(value, w)[0].abs().max() < 1e-10
    code = x @ e
    assert code.mean().abs() < 1e-12 and code.square().mean().item() == pytest.approx(1.0)
    for _ in range(20):  # no other encoder to a code of variance 1 does better with the decoder that is best for it
        other = torch.randn(3, dtype=torch.float64)
        other = other / (other @ Σ @ other).sqrt()
        assert error(other, Σ @ other) >= value - 1e-12


def test_aae_critic_sees_codes_alone_and_moves_the_encoder_alone() -> None:
    aae.AAE.prepare(None, None, download=False)
    it = aae.AAE("smoke")
    enc, dec, d = it.players(0)
    batch = it.batch(0, 0)
    fooled = aae.encoder_loss(enc, dec, d, batch) - aae.decoder_loss(enc, dec, d, batch)
    slopes = torch.autograd.grad(
        fooled, [*enc.parameters(), *dec.parameters()], allow_unused=True, materialize_grads=True
    )
    count = len(list(enc.parameters()))
    assert all(slope.abs().sum() > 0 for slope in slopes[:count])
    assert all(slope.abs().max() < 1e-6 for slope in slopes[count:])


# -------------------------------------------------------------------------------------------------------------- VAE+GAN


class Scalar(nn.Module):
    """x → wx, with what the encoder and the critic of the problem have beside that."""

    def __init__(self, weight: float, gaussian: bool = False) -> None:
        super().__init__()
        self.weight, self.gaussian = nn.Parameter(torch.tensor(weight, dtype=torch.float64)), gaussian

    def features(self, x: Tensor) -> Tensor:
        return self.weight * x

    def forward(self, x: Tensor):
        y = self.weight * x
        return (y, torch.zeros_like(y)) if self.gaussian else y


def test_vae_gan_slopes_of_scalars() -> None:
    """x = 1, z_p = -.5, encoder .5, decoder 1, critic .3; at variance 1 the KL is ½z²."""
    one = torch.ones(1, 1, dtype=torch.float64)
    batch = {"real": one, "posterior": 0 * one, "noise": -0.5 * one}
    players = (Scalar(0.5, gaussian=True), Scalar(1.0), Scalar(0.3))
    game, z = mm.Game(vae_gan.encoder_loss, vae_gan.decoder_loss, vae_gan.critic_loss).functional(players)
    enc, dec, dis = (next(iter(game.gradient(z, player, batch).values())).item() for player in range(3))
    assert enc == pytest.approx(0.455, abs=1e-12)
    assert dis == pytest.approx(-0.38812764, abs=1e-8)

    def σ(t: float) -> float:
        return 1 / (1 + math.exp(-t))

    # γ L_feat = .1 · ½(.3)²(1 - .5d)², and -log σ(.15d) - log σ(-.15d) for what is reconstructed and what is made up
    feature, verdict = 0.1 * 0.09 * (1 - 0.5) * -0.5, -0.15 * σ(-0.15) + 0.15 * σ(0.15)
    assert dec == pytest.approx(feature + verdict, abs=1e-12)


def test_vae_gan_no_loss_pushes_another_player() -> None:
    """L_feat does not reach the critic, whose slope is that of the verdict alone; nor does the verdict the encoder."""
    vae_gan.VAEGAN.prepare(None, None, download=False)
    it = vae_gan.VAEGAN("smoke")
    enc, dec, dis = it.players(0)
    batch = it.batch(0, 0)
    game, z = it.game().functional((enc, dec, dis))
    head = [name for name in z[2] if name.startswith("head")]
    # The encoder's loss knows nothing of the critic's head, which gives the verdict.
    moved = {**z[2], **{name: z[2][name] + 1 for name in head}}
    assert torch.equal(game.losses((*z[:2], moved), batch)[0], game.losses(z, batch)[0])
    alone = mm.Game(lambda dis: vae_gan.critic_loss(enc, dec, dis, batch))
    one, plain = alone.functional((dis,))
    for name, slope in one.gradient(plain, 0).items():
        torch.testing.assert_close(slope, game.gradient(z, 2, batch)[name])


# --------------------------------------------------------------------------------------------------------------- AnoGAN


def test_auc_of_a_linear_detector() -> None:
    """|N(0, 1)| against |N(δ, 1)|: AUC = Φ(δ/√2)² + Φ(-δ/√2)², .855072 at δ = 2."""
    u = NORMAL.icdf((torch.arange(2000, dtype=torch.float64) + 0.5) / 2000)
    assert labels.auc(u.abs(), (u + 2).abs()) == pytest.approx(0.855072, abs=1e-4)
    φ = float(NORMAL.cdf(torch.tensor(math.sqrt(2), dtype=torch.float64)))
    assert φ**2 + (1 - φ) ** 2 == pytest.approx(0.855072, abs=1e-6)
    assert labels.auc(u, u) == pytest.approx(0.5)
    assert math.isnan(labels.auc(u, u * math.nan))


def test_oddness_is_what_a_generator_cannot_make() -> None:
    """G(z) = (z, 0): the search finds z, and what is left is .9 of the other coordinate, as the features are none."""
    u = NORMAL.icdf((torch.arange(100, dtype=torch.float64) + 0.5) / 100)
    x = torch.stack((u[torch.randperm(100)], u), dim=1)
    g = Applied(lambda z: torch.cat((z, 0 * z), dim=1))
    odd = anogan.oddness(g, Applied(lambda x: 0 * x), x, torch.randn(100, 1, dtype=torch.float64), 150)
    torch.testing.assert_close(odd, 0.9 * u.abs(), atol=0.02, rtol=0)
    shifted = anogan.oddness(g, Applied(lambda x: 0 * x), x + torch.tensor([3.0, 2.0]), x[:, :1], 150)
    assert labels.auc(odd, shifted) == pytest.approx(0.855072, abs=5e-3)


def test_anogan_never_sees_the_class_that_it_is_to_find() -> None:
    anogan.AnoGAN.prepare(None, None, download=False)
    it = anogan.AnoGAN("cpu")
    assert anogan.ANOMALY not in it.images.train_labels and anogan.ANOMALY not in it.images.test_labels
    assert (it.every.test_labels == anogan.ANOMALY).sum() > 40
    floors = {floor.what: floor.value for floor in it.floors() if floor.metric == "auc"}
    assert floors["chance"] == 0.5 < floors["pca"]


def test_principal_components_explain_the_most() -> None:
    x = torch.randn(50, 6, dtype=torch.float64) * torch.arange(1, 7)
    rest = torch.linalg.eigvalsh(torch.cov(x.T, correction=0))[:-2].sum()
    assert (x - _principal.principal(x, x, 2)).square().sum(1).mean().item() == pytest.approx(rest.item())


# --------------------------------------------------------------------------------------------------------- distillation


def test_distillation_rotates_along_the_axis_where_the_score_is_slow() -> None:
    """Eigenvalues κ/2 ± √(κ²/4 - κ/V): a pair of complex ones exactly where κ < 4/V."""
    it = distillation.Distillation("smoke")
    players = tuple(player.double() for player in it.players(0))
    batch = whitened(64, 2)
    found = spectrum(it.game(), players, batch).eigenvalues
    κ = distillation.KAPPA
    expected = []
    for v in distillation.VARIANCE:
        root = complex(κ**2 / 4 - κ / v) ** 0.5
        expected += [κ / 2 + root, κ / 2 - root]

    def order(λ: complex) -> tuple[float, float]:
        return round(λ.real, 6), round(λ.imag, 6)

    for one, other in zip(sorted(found.tolist(), key=order), sorted(expected, key=order), strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    assert sum(abs(λ.imag) > 1e-6 for λ in expected) == 2


def test_distillation_slopes_are_the_difference_of_the_scores() -> None:
    """(b - m)/V for the generator, whatever the batch; κ(b - θ) for the second score where the batch has mean 0."""
    it = distillation.Distillation("smoke")
    θ, b = (player.double() for player in it.players(1))
    g, s = it.game().field((θ, b), whitened(32, 2))
    torch.testing.assert_close(g, (b - it.mean) / it.variance)
    torch.testing.assert_close(s, distillation.KAPPA * (b - θ))


@pytest.mark.parametrize(("k", "h"), [(1, 0.1), (3, 0.2)])
def test_distillation_is_stable_below_its_rate(k: int, h: float) -> None:
    """k steps of the score a step of G, r = (1 - hκ)ᵏ: stable iff h/V < 2(1 + r)/(1 - r)."""
    κ, r = 4.0, (1 - 4 * h) ** k
    limit = h / (2 * (1 + r) / (1 - r))
    for v, ends in ((1.05 * limit, True), (0.95 * limit, False)):
        game = mm.Game(lambda θ, b, v=v: b * θ / v, lambda θ, b: κ / 2 * (b - θ) ** 2)
        start = tuple(torch.tensor(x, dtype=torch.float64) for x in (1.0, 1.0))
        optimizer = mm.AlternatingGDA(mm.sgd(h), steps=(1, k), order=(1, 0))
        end = mm.solve(game, start, optimizer, steps=1000).players
        assert (abs(float(end[0])) < 1) == ends
