import math

import numpy as np
import pytest
import torch
from torch import nn

import minimax as mm
from minimax import penalties

pytestmark = pytest.mark.usefixtures("float64")


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("column", [False, True])
def test_unit_slope(batch: int, column: bool) -> None:
    """The critic w·x with |w| = 1: WGAN-GP 0 and R1 1 (γ/2 with its weight), for every batch size and score shape."""
    w = torch.randn(4)
    w = w / w.norm()
    critic = (lambda x: (x @ w)[:, None]) if column else (lambda x: x @ w)
    real, fake, ε = torch.randn(batch, 4), torch.randn(batch, 4), torch.rand(batch)
    assert penalties.wgan_gp(critic, real, fake, ε).item() == pytest.approx(0, abs=1e-24)
    for penalty in (penalties.r1(critic, real), penalties.r2(critic, fake)):
        assert penalty.item() == pytest.approx(1, abs=1e-14)
    assert penalties.zero_centered(critic, real, fake, ε).item() == pytest.approx(1, abs=1e-14)


def test_slopes_are_per_sample() -> None:
    """D = |x|²/2 has slope x: the norm of each sample, not of the whole batch."""
    x = torch.randn(5, 2, 3)
    critic = lambda x: x.flatten(1).square().sum(1) / 2
    norms = x.flatten(1).norm(dim=1)
    torch.testing.assert_close(penalties.slopes(critic, x), norms**2)
    torch.testing.assert_close(penalties.r1(critic, x), (norms**2).mean())
    one = torch.ones(5)
    torch.testing.assert_close(penalties.wgan_gp(critic, x, torch.zeros_like(x), one), ((norms - 1) ** 2).mean())


def test_every_sample_has_its_own_coefficient() -> None:
    real, fake = torch.ones(3, 2, 2), torch.zeros(3, 2, 2)
    mixed = penalties.between(real, fake, torch.tensor([0.0, 0.25, 1.0]))
    assert mixed[:, 0, 0].tolist() == [0.0, 0.25, 1.0]
    assert torch.equal(mixed, mixed[:, :1, :1].expand(3, 2, 2))


def test_differentiates_again() -> None:
    """∂/∂w of R1 = 2w and of WGAN-GP = 2 (|w| - 1) w/|w| for the critic w·x."""
    w = torch.tensor([3.0, 4.0], requires_grad=True)
    real, fake, ε = torch.randn(6, 2), torch.randn(6, 2), torch.rand(6)
    critic = lambda x: x @ w
    torch.testing.assert_close(torch.autograd.grad(penalties.r1(critic, real), w)[0], 2 * w.detach())
    (g,) = torch.autograd.grad(penalties.wgan_gp(critic, real, fake, ε), w)
    torch.testing.assert_close(g, 2 * 4 * w.detach() / 5)


def shared(g: nn.Module, d: nn.Module, x: torch.Tensor) -> torch.Tensor:
    real, slopes = penalties.scores_and_slopes(d, x)
    return nn.functional.softplus(-real).mean() + 5 * slopes.mean()


def apart(g: nn.Module, d: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return nn.functional.softplus(-d(x)).mean() + 5 * penalties.r1(d, x)


@pytest.mark.parametrize("kind", [nn.Identity, nn.BatchNorm1d])
def test_scores_and_slopes_share_a_forward_pass(kind: type[nn.Module]) -> None:
    """The values and a loss's gradients are those of two passes; the critic runs once, and BatchNorm counts one."""
    norm = kind(4)
    critic, x = nn.Sequential(nn.Linear(2, 4), norm, nn.Tanh(), nn.Linear(4, 1)), torch.randn(5, 2)
    passes: list[object] = []
    critic.register_forward_hook(lambda *_: passes.append(1))
    scores, slopes = penalties.scores_and_slopes(critic, x)
    assert len(passes) == 1 and scores.shape == (5, 1) and scores.requires_grad
    if isinstance(norm, nn.BatchNorm1d):
        assert norm.num_batches_tracked == 1
    torch.testing.assert_close((scores, slopes), (critic(x), penalties.slopes(critic, x)))
    one, two = (torch.autograd.grad(loss(None, critic, x), list(critic.parameters())) for loss in (shared, apart))
    torch.testing.assert_close(one, two)
    with torch.no_grad():
        assert not any(value.requires_grad for value in penalties.scores_and_slopes(critic, x))


def test_scores_and_slopes_of_a_constant_critic_and_of_live_samples() -> None:
    x, w = torch.ones(3, 2, requires_grad=True), torch.tensor([3.0, 4.0])
    scores, slopes = penalties.scores_and_slopes(lambda x: torch.ones(len(x)), x)
    assert scores.tolist() == [1, 1, 1] and slopes.tolist() == [0, 0, 0]
    scores, slopes = penalties.scores_and_slopes(lambda x: (x @ w) ** 2 / 2, x)
    expected = 7 * w + 2 * 7 * 25 * w  # of (w·x)²/2 and of |(w·x) w|²
    torch.testing.assert_close(torch.autograd.grad((scores + slopes).sum(), x)[0], expected.expand(3, 2))


@pytest.mark.parametrize("optimizer", [mm.ExtraGradient(mm.sgd(0.05)), mm.ConsensusOptimization(mm.sgd(0.05))])
def test_scores_and_slopes_inside_a_game(optimizer: mm.GameOptimizer, quick: list[dict]) -> None:
    """Eagerly and compiled, to second order."""
    critic, generator, x = (
        nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)),
        nn.Linear(2, 2),
        torch.randn(5, 2),
    )

    def played(loss: object, compile: bool = False) -> object:
        game = mm.Game(lambda g, d, x: -d(g(x)).mean(), lambda g, d, x: loss(g, d, x) + d(g(x)).mean())
        game, players = game.functional((generator, critic))
        one = mm.compiled(optimizer) if compile else optimizer
        return one.step(game, players, one.init(game, players), x)[0]

    expected = played(apart)
    torch.testing.assert_close(played(shared), expected)
    torch.testing.assert_close(played(shared, compile=True), expected)


def test_dead_critic_has_finite_gradient() -> None:
    w = torch.zeros(2, requires_grad=True)
    real, fake, ε = torch.randn(6, 2), torch.randn(6, 2), torch.rand(6)
    penalty = penalties.wgan_gp(lambda x: x @ w, real, fake, ε)
    assert penalty.item() == pytest.approx(1)
    assert torch.isfinite(torch.autograd.grad(penalty, w)[0]).all()


@pytest.mark.parametrize(
    "optimizer", [mm.ExtraGradient(mm.sgd(0.05)), mm.ConsensusOptimization(mm.sgd(0.05), gamma=0.1)]
)
def test_inside_a_game_of_modules(optimizer: mm.GameOptimizer) -> None:
    """The oracles of a game with a penalty are derivatives, eagerly and under vmap, to second order."""
    critic = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    generator = nn.Linear(2, 2)

    def loss_d(g, d, x):
        return (d(g(x)) - d(x)).mean() + 5 * penalties.r1(d, x) + penalties.wgan_gp(d, x, g(x), x[:, 0].sigmoid())

    game = mm.Game(lambda g, d, x: -d(g(x)).mean(), loss_d)
    x = torch.randn(5, 2)
    mm.testing.check_game(game, (generator, critic), x)
    game, players = game.functional((generator, critic))
    state = optimizer.init(game, players)
    expected = optimizer.step(game, players, state, x)[0]
    add = lambda tree: mm.tree.pytree.tree_map(lambda leaf: leaf[None], tree)
    mapped = torch.vmap(lambda z, s: optimizer.step(game, z, s, x)[0])(add(players), add(state))
    torch.testing.assert_close(mapped, add(expected))


def test_r2_gradient_reaches_the_critic_only_through_the_slope() -> None:
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    fake = torch.randn(3, 2, requires_grad=True)
    (g,) = torch.autograd.grad(penalties.r2(lambda x: x @ w, fake), w)
    torch.testing.assert_close(g, 2 * w.detach())


@pytest.mark.parametrize(
    "real, fake, coefficient, message",
    [
        (torch.ones(3, 2), torch.ones(4, 2), torch.ones(3), r"one shape, got \(3, 2\) and \(4, 2\)"),
        (torch.ones(3, 2), torch.ones(3, 2), torch.ones(()), r"one entry per sample, shape \(3,\), got \(\)"),
        (torch.ones(3, 2), torch.ones(3, 2), torch.ones(3, 1), r"one entry per sample, shape \(3,\), got \(3, 1\)"),
    ],
)
def test_shapes_that_do_not_match(real, fake, coefficient, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        penalties.wgan_gp(lambda x: x.sum(1), real, fake, coefficient)


def test_one_layer_discriminator_recovers_the_log_ratio() -> None:
    """p = N(0,1), q = N(μ,1): D* = sigmoid(μ²/2 - μx), and the value is -log 4 + 2 JSD = -1.163451 at μ = 1."""
    μ = 1.0
    x = torch.linspace(-9, 10, 4001)
    p, q = (torch.exp(-((x - m) ** 2) / 2) / math.sqrt(2 * math.pi) * (x[1] - x[0]) for m in (0.0, μ))
    softplus = nn.functional.softplus
    game = mm.Game(lambda d: (p * softplus(-(d[0] * x + d[1])) + q * softplus(d[0] * x + d[1])).sum())
    solution = mm.solve(game, (torch.zeros(2),), mm.SimultaneousGDA(mm.sgd(1.5)), steps=2000, every=2000)
    w, b = solution.players[0].tolist()
    assert (w, b) == pytest.approx((-μ, μ**2 / 2), abs=1e-6)
    assert -game.losses(solution.players)[0].item() == pytest.approx(-1.163451, abs=1e-6)


def test_dragan_looks_around_the_data() -> None:
    """D = |x|²/2 has slope x: on data ±1 of standard deviation s, x̂ = x + s/2 · noise."""
    real, noise = torch.tensor([[-1.0], [1.0]]), torch.tensor([[0.0], [1.0]])
    s = 2**0.5
    expected = ((1 - 1) ** 2 + (1 + s / 2 - 1) ** 2) / 2
    critic = lambda x: x.square().sum(1) / 2
    assert penalties.dragan(critic, real, noise).item() == pytest.approx(expected)
    assert penalties.dragan(critic, real, noise, scale=0.0).item() == pytest.approx(0)
    with pytest.raises(ValueError, match=r"shaped like real, \(2, 1\), got \(2,\)"):
        penalties.dragan(critic, real, noise[:, 0])


def test_roth_weighs_the_slopes_of_the_logit() -> None:
    """φ = w x: (1 - D)² w² on the data and D² w² on samples, sample by sample, D = sigmoid(φ)."""
    w, real, fake = torch.tensor(1.5), torch.randn(4, 1), torch.randn(4, 1)
    D = lambda x: 1 / (1 + (-w * x).exp())
    expected = ((1 - D(real)) ** 2).mean() * w**2 + (D(fake) ** 2).mean() * w**2
    for critic in (lambda x: w * x, lambda x: (w * x)[:, 0]):
        torch.testing.assert_close(penalties.roth(critic, real, fake), expected)


def test_roth_differentiates_through_the_weights_too() -> None:
    w = torch.tensor(0.8, requires_grad=True)
    real, fake = torch.randn(4, 1), torch.randn(4, 1)
    penalty = lambda w: penalties.roth(lambda x: w * x, real, fake)
    (g,) = torch.autograd.grad(penalty(w), w)
    with torch.no_grad():
        expected = (penalty(w + 1e-5) - penalty(w - 1e-5)) / 2e-5
    torch.testing.assert_close(g, expected, rtol=1e-8, atol=1e-8)


def test_approximate_r1_is_r1_and_the_terms_that_theory_adds() -> None:
    """Exact for a linear critic. For sin(k·x), over ε by quadrature: E|∇D|² (1 - e^-u)/u, u = k²s²/2 (both at x)."""
    w, real = torch.tensor([3.0, 4.0]), torch.randn(7, 2)
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])  # second moments are those of N(0, I)
    linear = [penalties.approximate_r1(lambda x: x @ w, real, sign.expand(7, 2), scale=0.3) for sign in signs]
    assert sum(linear) / 4 == pytest.approx(penalties.r1(lambda x: x @ w, real).item(), rel=1e-12)
    k, s = 2.0, 0.5
    x = torch.arange(64) * (2 * math.pi / k / 64)  # whole periods, so that averages over x are exact
    ε, weights = torch.as_tensor(np.stack(np.polynomial.hermite_e.hermegauss(40)))
    wave = lambda x: (k * x).sin()
    values = torch.stack([penalties.approximate_r1(wave, x, e.expand(64), scale=s) for e in ε])
    u = k**2 * s**2 / 2
    expected = penalties.slopes(wave, x[:, None]).mean().item() * (1 - math.exp(-u)) / u
    assert float(values @ weights / weights.sum()) == pytest.approx(expected, rel=1e-10)
    with pytest.raises(ValueError, match="scale must be a finite number > 0, got 0"):
        penalties.approximate_r1(wave, x, x, scale=0)
    with pytest.raises(ValueError, match="noise must be shaped like real"):
        penalties.approximate_r1(wave, x, x[:3])


def test_balanced_losses_push_alike() -> None:
    """Where the decoder's last layer meets both, VQGAN's weight written by hand, eagerly, compiled and under vmap."""
    torch._dynamo.reset()
    critic, x = nn.Linear(2, 1), torch.randn(5, 3)
    matrix, target = torch.randn(2, 3, requires_grad=True), torch.randn(5, 2)
    rec = lambda m: (x @ m.T - target).square().mean()
    adv = lambda m: -critic(x @ m.T).mean()
    slopes = [torch.autograd.grad(loss(matrix), matrix)[0] for loss in (rec, adv)]
    by_hand = slopes[0].norm() / (slopes[1].norm() + 1e-4)
    weight = penalties.balanced(rec, adv, matrix)
    torch.testing.assert_close(weight, by_hand, rtol=1e-12, atol=0)
    assert not weight.requires_grad and penalties.balanced(rec, adv, matrix, most=1e-3) == 1e-3
    pushed = torch.autograd.grad(rec(matrix) + weight * adv(matrix), matrix)[0]
    torch.testing.assert_close((pushed - slopes[0]).norm(), slopes[0].norm(), rtol=1e-3, atol=0)
    compiled = torch.compile(lambda m: penalties.balanced(rec, adv, m), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(matrix.detach()), by_hand, rtol=1e-12, atol=0)
    mapped = torch.func.vmap(lambda m: penalties.balanced(rec, adv, m))(matrix.detach().expand(3, 2, 3))
    torch.testing.assert_close(mapped, by_hand.expand(3), rtol=1e-12, atol=0)
    assert torch.autograd.gradcheck(lambda m: penalties.balanced(rec, adv, m, through=True), matrix)
    assert penalties.balanced(rec, lambda m: 0 * m.sum(), matrix) == 1e4
