"""What critics are at their best and what they pay then, on three points and on Gaussians, for each objective."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks.problem import Batch
from benchmarks.problems import _losses
from benchmarks.problems.gans import ebgan, fgan, lsgan, lsgan_centred

pytestmark = pytest.mark.usefixtures("float64")

P, Q = (torch.tensor(shares, dtype=torch.float64) for shares in ((0.5, 0.3, 0.2), (0.1, 0.6, 0.3)))
TV = 0.4


def points(weights: Tensor) -> Tensor:
    """Ten points of three, one-hot, as often as the weights say."""
    counts = (10 * weights).round().long()
    return torch.eye(3, dtype=torch.float64).repeat_interleave(counts, 0)


THREE: Batch = {"real": points(P), "noise": points(Q)}  # what the generator, the identity, makes of the noise is itself


def table(values: Tensor) -> Callable[[Tensor], Tensor]:
    """The critic with these values at the three points."""
    return lambda x: x @ values


def least(loss: Callable[[Tensor], Tensor], steps: int = 1000, rate: float = 0.05) -> tuple[Tensor, float]:
    """Where a loss of three values is smallest, and how small, by descent with a falling rate."""
    rule = mm.sgd(mm.schedules.linear(rate, 0.0, steps))
    (values,) = mm.solve(mm.Game(loss), (torch.zeros(3),), mm.SimultaneousGDA(rule), steps=steps, every=steps).players
    return values, float(loss(values))


def normal(mean: float = 0.0, count: int = 100_000) -> Tensor:
    """N(mean, 1) by as many equally likely points, (count, 1)."""
    shares = (torch.arange(count) + 0.5) / count
    return (mean + torch.special.ndtri(shares))[:, None]


def test_hinge() -> None:
    """D* = sign(p - q), and 2(1 - TV) is left to pay; any D in [-1, 1] is as good where p = q."""
    values, paid = least(lambda w: _losses.hinge_critic(nn.Identity(), table(w), THREE))
    torch.testing.assert_close(values, (P - Q).sign(), atol=0.01, rtol=0)
    assert paid == pytest.approx(2 * (1 - TV), abs=0.01)
    best = _losses.hinge_critic(nn.Identity(), table((P - Q).sign()), THREE)
    assert float(best) == pytest.approx(2 * (1 - TV), abs=1e-12)
    for value in (-1.0, 0.3, 1.0):
        same = {"real": THREE["real"], "noise": THREE["real"]}
        paid = _losses.hinge_critic(nn.Identity(), table(torch.full((3,), value)), same)
        assert float(paid) == pytest.approx(2)


@pytest.mark.parametrize(
    ("loss", "best", "paid"),
    [
        (lsgan.critic_loss, P / (P + Q), lambda Δ: 1 / 4 - Δ / 8),
        (lsgan_centred.critic_loss, (P - Q) / (P + Q), lambda Δ: 1 - Δ / 2),
    ],
    ids=["(0, 1, 1)", "(-1, 1, 0)"],
)
def test_least_squares(loss: Callable[..., Tensor], best: Tensor, paid: Callable[[float], float]) -> None:
    """D* = (bp + aq)/(p + q), and what is left to pay falls with Δ = Σ(p - q)²/(p + q)."""
    values, found = least(lambda w: loss(nn.Identity(), table(w), THREE), rate=0.5)
    torch.testing.assert_close(values, best, atol=1e-6, rtol=0)
    Δ = float(((P - Q).square() / (P + Q)).sum())
    assert found == pytest.approx(paid(Δ), abs=1e-9)


def test_least_squares_of_normals() -> None:
    """Δ = .408109 between N(0, 1) and N(1, 1)."""
    batch = {"real": normal(), "noise": normal(1.0)}
    share = lambda x: (0.5 - x[:, 0]).sigmoid()  # p/(p + q)
    plain = lsgan.critic_loss(nn.Identity(), share, batch)
    centred = lsgan_centred.critic_loss(nn.Identity(), lambda x: 2 * share(x) - 1, batch)
    assert float(plain) == pytest.approx(1 / 4 - 0.408109 / 8, abs=1e-6)
    assert float(centred) == pytest.approx(1 - 0.408109 / 2, abs=1e-6)


def test_the_centred_generator_wants_scores_of_nothing() -> None:
    batch = {"noise": torch.tensor([[1.0], [-3.0]])}
    score = lambda x: x[:, 0]
    assert float(lsgan_centred.generator_loss(nn.Identity(), score, batch)) == pytest.approx(10 / 4)


# ------------------------------------------------------------------------------------------------------------- energies


def erring(values: Tensor) -> Callable[[Tensor], Tensor]:
    """An autoencoder that errs by these values at the three points."""
    return lambda x: x - (x @ values)[:, None]


def test_ebgan_energies() -> None:
    """0 where p > q and m where p < q is best, and pays m(1 - TV); at q = p any constant up to m pays m."""
    m = ebgan.MARGIN
    best = m * (P < Q).to(P)
    paid = lambda values, batch=THREE: float(ebgan.critic_loss(nn.Identity(), erring(values), batch))
    assert paid(best) == pytest.approx(m * (1 - TV), abs=1e-12)
    stream = torch.Generator().manual_seed(0)
    for _ in range(50):
        assert paid(2 * m * torch.rand(3, generator=stream)) >= m * (1 - TV)
    for constant in (0.0, m / 3, m):
        assert paid(torch.full((3,), constant), {"real": points(P), "noise": points(P)}) == pytest.approx(m)


def test_ebgan_takes_the_hinge_sample_by_sample() -> None:
    """Of fakes that err by 0 and 3m, one is pushed, though their mean is over the margin."""
    m = ebgan.MARGIN
    batch = {"real": torch.zeros(2, 1), "noise": torch.tensor([[0.0], [3 * m]])}
    assert float(ebgan.critic_loss(nn.Identity(), torch.zeros_like, batch)) == pytest.approx(m / 2)


@pytest.mark.parametrize("rows", [3, 4, 7, 30])
def test_pull_away(rows: int) -> None:
    """Orthogonal rows 0, parallel rows 1, N > d of them no less than (N - d)/(d(N - 1)), as a tight frame has."""
    d = 3
    assert float(ebgan.pull_away(5 * torch.eye(d))) == pytest.approx(0, abs=1e-12)
    line = torch.tensor([[1.0, 2.0, 3.0]]) * (1.0 + torch.arange(rows))[:, None]
    assert float(ebgan.pull_away(line * (-1) ** torch.arange(rows)[:, None])) == pytest.approx(1)
    codes = torch.randn(rows, d, generator=torch.Generator().manual_seed(rows))
    assert float(ebgan.pull_away(codes)) >= (rows - d) / (d * (rows - 1)) - 1e-12
    frame = torch.eye(d).repeat(4, 1)
    assert float(ebgan.pull_away(frame)) == pytest.approx((4 * d - d) / (d * (4 * d - 1)))


# ------------------------------------------------------------------------------------------------------- f-divergences

JSD = {1: 0.111421, 2: 0.336831}
VALUES = {
    "kl": (fgan.KL, {1: 0.5, 2: 2.0}),
    "reverse-kl": (fgan.REVERSE_KL, {1: 0.5, 2: 2.0}),
    "pearson": (fgan.PEARSON, {1: 1.718282, 2: 53.59815}),
    "hellinger": (fgan.HELLINGER, {1: 0.235006, 2: 0.786939}),
    "js": (fgan.JENSEN_SHANNON, {μ: 2 * value for μ, value in JSD.items()}),
    "gan": (fgan.GAN, {1: -1.163451, 2: -0.712633}),
}
# Of r = log(p/q): the network's output v whose T is the best one, and that T.
BEST: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "kl": (lambda r: 1 + r, lambda r: 1 + r),
    "reverse-kl": (lambda r: r, lambda r: -(-r).exp()),
    "pearson": (lambda r: 2 * r.expm1(), lambda r: 2 * (r.exp() - 1)),
    "hellinger": (lambda r: r / 2, lambda r: 1 - (-r / 2).exp()),
    "js": (lambda r: r, lambda r: math.log(2) + r - torch.logaddexp(r, torch.zeros(()))),
    "gan": (lambda r: r, lambda r: r - torch.logaddexp(r, torch.zeros(()))),
}


@pytest.mark.parametrize("μ", [1, 2])
@pytest.mark.parametrize("name", VALUES)
def test_divergences_by_quadrature(name: str, μ: int) -> None:
    """At T* = f'(p/q) the bound is the divergence of N(0, 1) and N(μ, 1), and no output v would do better anywhere."""
    divergence, values = VALUES[name]
    output, activation = BEST[name]
    x = torch.linspace(-14, 12, 20_001)
    p, q = ((-(x - mean).square() / 2).exp() / math.sqrt(2 * math.pi) for mean in (0, μ))
    v = output(μ**2 / 2 - μ * x).requires_grad_()
    bound = p * divergence.activation(v) - q * divergence.conjugate(v)
    torch.testing.assert_close(divergence.activation(v), activation(μ**2 / 2 - μ * x))
    assert torch.trapezoid(bound, x).item() == pytest.approx(values[μ], rel=1e-5)
    (slope,) = torch.autograd.grad(bound.sum(), v)
    assert slope.abs().max() < 1e-9
    bumped = p * divergence.activation(v + 0.1) - q * divergence.conjugate(v + 0.1)
    assert bool((bumped <= bound + 1e-15).all())


@pytest.mark.parametrize("name", [name for name in VALUES if name != "pearson"])
def test_divergences_by_training(name: str) -> None:
    """A linear critic trained on samples, of which χ² would want too many, reaches the bound to a percent."""
    divergence, values = VALUES[name]
    stream = torch.Generator().manual_seed(100)
    real, fake = (torch.randn(40_000, 1, generator=stream) + mean for mean in (0.0, 1.0))

    def loss(w: Tensor, batch: Batch) -> Tensor:
        return divergence.critic_loss(nn.Identity(), lambda x: w[0] * x[:, 0] + w[1], batch)

    drawn = {"real": real, "noise": fake}
    descent = mm.SimultaneousGDA(mm.sgd(0.5))
    (w,) = mm.solve(mm.Game(loss), (torch.zeros(2),), descent, lambda k: drawn, steps=150, every=150).players
    assert -float(loss(w, {"real": normal(), "noise": normal(1.0)})) == pytest.approx(values[1], rel=0.01)


def test_the_terms_of_gan_and_of_jensen_and_shannon_differ_by_constants() -> None:
    batch = {"real": normal(count=50), "noise": normal(1.0, count=50)}
    score = lambda x: 3 * x[:, 0] + 1
    pairs = zip(_both(fgan.GAN, score, batch), _both(fgan.JENSEN_SHANNON, score, batch), strict=True)
    assert [float(one - two) for one, two in pairs] == pytest.approx([math.log(2), math.log(4)])
    ours = _both(fgan.GAN, score, batch)
    theirs = [loss(nn.Identity(), score, batch) for loss in (_losses.nonsaturating_generator, _losses.logistic_critic)]
    torch.testing.assert_close(ours, theirs)


def _both(divergence: fgan.Divergence, score: Callable[[Tensor], Tensor], batch: Batch) -> list[Tensor]:
    return [loss(nn.Identity(), score, batch) for loss in (divergence.generator_loss, divergence.critic_loss)]
