"""What critics pay for their slopes: R1 and its finite difference, WGAN-GP, DRAGAN, Roth; and spectral norms."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

import minimax as mm
from benchmarks.problems import _losses
from benchmarks.problems.gans import dragan, nsgan_r1, nsgan_r1_approx, nsgan_r1r2, roth, sngan, wgan_gp
from minimax import penalties
from tests.benchmarks.problems.test_gans_objectives import normal

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    sngan.SNGAN.prepare(None, None, download=False)


def score(w: Tensor | float) -> Callable[[Tensor], Tensor]:
    """The critic wx."""
    return lambda x: w * x[:, 0]


def lowest(loss: Callable[[Tensor], Tensor], start: float = 1.0, rate: float = 0.05) -> tuple[float, float]:
    """Where a loss of one number is smallest, and how small."""
    descent = mm.SimultaneousGDA(mm.sgd(rate))
    (w,) = mm.solve(mm.Game(loss), (torch.tensor(start),), descent, steps=400, every=400).players
    return float(w), float(loss(w))


@pytest.mark.parametrize("θ", [0.5, 2.0])
def test_two_points(θ: float) -> None:
    """Data at θ, fakes at 0: WGAN-GP's slope is 1 + θ/2λ and its value θ + θ²/4λ; with R1 they are θ/γ and θ²/2γ."""
    batch = {"real": torch.full((2, 1), θ), "noise": torch.zeros(2, 1), "between": torch.rand(2)}
    w, loss = lowest(lambda w: wgan_gp.critic_loss(nn.Identity(), score(w), batch), rate=0.02)
    assert (w, -loss) == pytest.approx((1 + θ / 20, θ + θ**2 / 40), abs=1e-6)
    γ = nsgan_r1.GAMMA

    def with_r1(w: Tensor) -> Tensor:
        wasserstein = _losses.wasserstein_critic(nn.Identity(), score(w), batch)
        return wasserstein + γ / 2 * nsgan_r1.penalty(nn.Identity(), score(w), batch)

    assert lowest(with_r1) == pytest.approx((θ / γ, -(θ**2) / (2 * γ)), abs=1e-6)


def test_a_slope_of_one_pushes_perfect_samples_and_r1_does_not() -> None:
    """q = p = N(0, 1), D = wx: w* = ±.979634 under 10 (|w| - 1)², and 0 under R1."""
    batch = {"real": normal(count=20_000), "noise": normal(count=20_000), "around": torch.rand(20_000, 1)}

    def best(problem: type, w: float, h: float = 1e-3) -> float:
        game = problem.game(problem.__new__(problem))
        paid = lambda w: game.losses((nn.Identity(), score(w)), batch)[1].item()
        for _ in range(20):  # Newton's steps, by differences
            low, middle, high = paid(w - h), paid(w), paid(w + h)
            w -= h * (high - low) / 2 / (high - 2 * middle + low)
        return w

    for sign in (-1.0, 1.0):
        assert best(dragan.DRAGAN, sign) == pytest.approx(sign * 0.979634, abs=1e-5)
        assert best(nsgan_r1.NSGANR1, sign) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("problem", "slopes"),
    [(nsgan_r1.NSGANR1, 1.0), (nsgan_r1r2.NSGANR1R2, 2.0), (nsgan_r1_approx.NSGANApproximateR1, 1.0)],
    ids=["r1", "r1 + r2", "approximate"],
)
def test_slope_one_costs_half_gamma(problem: type, slopes: float) -> None:
    """γ/2 for each penalty, beside the plain critic's loss."""
    w = torch.tensor([0.6, 0.8])
    linear = nn.Linear(2, 1, bias=False)
    linear.weight = nn.Parameter(w[None])
    d = nn.Sequential(linear, nn.Flatten(0))
    batch = {"real": torch.randn(5, 2), "noise": torch.randn(5, 2), "around": w.expand(5, 2)}
    players = nn.Identity(), d
    paid = problem.game(problem.__new__(problem)).losses(players, batch)
    assert (paid[1] - _losses.logistic_critic(*players, batch)).item() == pytest.approx(0.5 * slopes)
    assert paid[0].item() == pytest.approx(_losses.nonsaturating_generator(*players, batch).item())


# ------------------------------------------------------------------------------------------------------ approximate R1

NODES = torch.tensor([-math.sqrt(3.0), 0, 0, 0, 0, math.sqrt(3.0)], dtype=torch.float64)
"""As good as normal noise for polynomials of degree five (Gauss and Hermite), each equally likely."""


@pytest.mark.parametrize("α", [0.01, 0.5])
def test_the_difference_of_a_quadratic_critic(α: float) -> None:
    """E(D(x + αε) - D(x))²/α² = |g|² + α²/4 ((tr H)² + 2|H|²), without a rest; exact for linear critics, H = 0."""
    ε = torch.cartesian_prod(NODES, NODES)
    x, b = torch.tensor([0.7, -0.2]), torch.tensor([1.0, 2.0])
    for H in (torch.tensor([[1.0, 0.3], [0.3, -2.0]]), torch.zeros(2, 2)):
        critic = lambda x, H=H: x @ b + (x @ H * x).sum(1) / 2
        found = nsgan_r1_approx.difference(critic, x.expand(len(ε), 2), ε, α)
        g = b + H @ x
        assert float(found) == pytest.approx(float(g @ g + α**2 / 4 * (H.trace() ** 2 + 2 * H.square().sum())))


@pytest.mark.parametrize("α", [0.1, 0.5, 1.0])
def test_the_difference_of_a_wave(α: float) -> None:
    """D = sin kx: (1 - e^-u)/u of R1, u = k²α²/2; the weight γ/2 is thus on a mean that falls short of R1."""
    k = 3.0
    ε = normal()
    x = (2 * math.pi / k * torch.arange(8.0) / 8)[:, None, None]
    critic = lambda x: (k * x).sin().flatten()
    found = nsgan_r1_approx.difference(critic, x.expand(8, len(ε), 1).flatten(0, 1), ε.repeat(8, 1), α)
    u = k**2 * α**2 / 2
    assert float(found / (k**2 / 2)) == pytest.approx((1 - math.exp(-u)) / u, rel=2e-4)
    assert penalties.r1(critic, x[:, 0]).item() == pytest.approx(k**2 / 2)


def test_both_terms_of_the_difference_stand_at_one_image() -> None:
    """A critic that is steep between images and flat around each pays nothing."""
    x = torch.tensor([[0.0], [10.0]])
    assert float(nsgan_r1_approx.difference(lambda x: 5 * (x[:, 0] > 5), x, torch.ones(2, 1), 0.01)) == 0


# ----------------------------------------------------------------------------------------------------------------- Roth


def between(γ: float) -> float:
    """JSD of N(0, 1 + γ) and N(1, 1 + γ), by quadrature."""
    x = torch.linspace(-12, 13, 20_001)
    p, q = (torch.distributions.Normal(torch.tensor(mean), math.sqrt(1 + γ)).log_prob(x) for mean in (0.0, 1.0))
    middle = torch.logaddexp(p, q) - math.log(2)
    return float(torch.trapezoid((p.exp() * (p - middle) + q.exp() * (q - middle)) / 2, x))


def test_roth_is_noise_on_both_to_first_order() -> None:
    """At D* of N(0, 1) and N(1, 1), Ω = .397973, and -Ω/2 is the rate at which noise lowers 2 JSD."""
    batch = {"real": normal(), "noise": normal(1.0), "gamma": torch.tensor(0.3)}
    best = lambda x: 0.5 - x[:, 0]
    plain = _losses.logistic_critic(nn.Identity(), best, batch)
    Ω = float(roth.critic_loss(nn.Identity(), best, batch) - plain) / 0.15
    assert pytest.approx(0.397973, abs=1e-6) == Ω
    h = 1e-3
    assert 2 * (between(h) - between(-h)) / (2 * h) == pytest.approx(-Ω / 2, abs=1e-6)


def test_roth_anneals_from_2_to_a_hundredth_of_it() -> None:
    it = roth.Roth("cpu")
    n = it.preset.steps
    assert [it.gamma(k) for k in (0, n // 2, n, 5 * n)] == pytest.approx([2.0, 0.2, 0.02, 0.02])
    assert float(it.batch(0, n // 2)["gamma"]) == pytest.approx(0.2)


# ------------------------------------------------------------------------------------------------------- spectral norms


def stretch(kernel: Tensor, size: int, mode: str) -> float:
    """The largest factor by which a convolution with a kernel of one channel stretches an image."""
    side = kernel.shape[-1]
    conv = nn.Conv2d(1, 1, side, padding=side // 2, bias=False, padding_mode=mode)
    conv.weight = nn.Parameter(kernel[None, None])
    images = torch.eye(size**2).reshape(-1, 1, size, size)
    with torch.no_grad():
        return float(torch.linalg.matrix_norm(conv(images).flatten(1), 2))


@pytest.mark.parametrize("n", [4, 8])
def test_the_norm_of_a_kernel_is_not_its_convolutions(n: int) -> None:
    """3 x 3 ones: 3 as a matrix, 9 as a circular convolution, (1 + 2 cos(π/(n + 1)))² between zeros."""
    ones = torch.ones(3, 3)
    layer = nn.Conv2d(1, 1, 3, bias=False)
    layer.weight = nn.Parameter(ones[None, None])
    normed = spectral_norm(layer, n_power_iterations=sngan.ITERATIONS).weight
    assert (ones / normed[0, 0]).mean().item() == pytest.approx(3)
    assert stretch(ones, n, "circular") == pytest.approx(9)
    assert stretch(ones, n, "zeros") == pytest.approx((1 + 2 * math.cos(math.pi / (n + 1))) ** 2)


def test_the_norm_of_a_kernel_is_its_convolutions_where_it_does_not_overlap() -> None:
    """Stride = kernel: the convolution is the matrix, on each patch by itself."""
    conv = nn.Conv2d(2, 3, 2, stride=2, bias=False)
    images = torch.eye(32).reshape(-1, 2, 4, 4)
    with torch.no_grad():
        whole = torch.linalg.matrix_norm(conv(images).flatten(1), 2)
        torch.testing.assert_close(whole, torch.linalg.matrix_norm(conv.weight.flatten(1), 2))


def test_power_iterations_estimate_from_below() -> None:
    """diag(2, 1) from 45°: |Wv| is 1.581139, then 1.955385; torch's uᵀWv is half an iteration ahead."""
    W = torch.diag(torch.tensor([2.0, 1.0]))
    layer = nn.Linear(2, 2, bias=False)
    layer.weight = nn.Parameter(W)
    vectors = spectral_norm(layer).parametrizations.weight[0]
    short, estimates = [], []
    with torch.no_grad():
        for name in ("_u", "_v"):
            vectors.get_buffer(name).fill_(math.sqrt(0.5))
        for _ in range(3):
            short.append(float((W @ vectors.get_buffer("_v")).norm()))
            estimates.append(float(2 / layer.weight[0, 0]))
    assert short[:2] == pytest.approx([1.581139, 1.955385], abs=1e-6)
    assert estimates[:2] == pytest.approx([1.843909, 1.988428], abs=1e-6)
    assert max(estimates) < 2


def test_normalised_layers_have_norm_one_and_no_gradient_along_themselves() -> None:
    """⟨∂L/∂W, W⟩ = 0, as the norm of W does not count; so a layer of one weight has no gradient at all."""
    _, d = sngan.SNGAN("smoke").players(0)
    layers = [layer for layer in d.modules() if isinstance(layer, nn.Linear)]
    assert len(layers) == 3
    for _ in range(50):
        d(torch.randn(4, 1, 8, 8))
    d.eval()
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(1, abs=1e-6)
    d(torch.randn(4, 1, 8, 8)).square().sum().backward()
    for layer in layers:
        W = layer.parametrizations.weight.original
        assert W.grad.norm() > 1e-3
        assert abs((W.grad * W).sum().item()) < 1e-6 * (W.grad.norm() * W.norm()).item()
    lone = sngan.normalised(nn.Linear(1, 1))
    lone(torch.tensor([[3.0]])).square().sum().backward()
    assert float(lone.parametrizations.weight.original.grad) == pytest.approx(0, abs=1e-12)
