import pytest
import torch
from torch import Tensor

import minimax as mm

pytestmark = pytest.mark.usefixtures("float64")

A, B, C, η = 1.0, 2.0, 0.5, 0.3
QUADRATIC = mm.zero_sum(lambda x, y: A / 2 * x**2 + B * x * y - C / 2 * y**2)
START = (torch.tensor(1.0, dtype=torch.float64), torch.tensor(-0.4, dtype=torch.float64))


def leader(optimizer: mm.GameOptimizer, game: mm.Game, z) -> tuple[Tensor, mm.Info]:
    _, _, info = optimizer.step(game, z, optimizer.init(game, z))
    return info.gradients[0][0], info


@pytest.mark.parametrize("K, expected", [(1, 2.642000), (5, 7.267505), (300, 9.0)])
def test_table(K: int, expected: float) -> None:
    """a x + b y_K + (bx - c y_K)(1 - rᴷ) b/c at x = 1, y = -.4; K → ∞ is the total derivative of max_y f."""
    g, info = leader(mm.Unrolled(mm.sgd(0.1), steps=K, inner=mm.sgd(η)), QUADRATIC, START)
    assert float(g) == pytest.approx(expected, abs=5e-7)
    assert info.cost[:2] == (2 + 3 * K, 2 * K)


@pytest.mark.parametrize("K", [1, 2, 7])
def test_formula(K: int) -> None:
    r, (x, y) = 1 - η * C, (1.3, 0.8)
    y_K = r**K * y + (1 - r**K) * B / C * x
    expected = A * x + B * y_K + (B * x - C * y_K) * (1 - r**K) * B / C
    z = (torch.tensor(x), torch.tensor(y))
    assert float(leader(mm.Unrolled(mm.sgd(η), steps=K), QUADRATIC, z)[0]) == pytest.approx(expected, rel=1e-12)


def test_the_follower_makes_its_own_move() -> None:
    """It takes one step, of its own rule and not the inner one."""
    optimizer = mm.Unrolled(mm.sgd(0.1), steps=4, inner=mm.sgd(η))
    z, _, info = optimizer.step(QUADRATIC, START, optimizer.init(QUADRATIC, START))
    assert float(z[1]) == pytest.approx(-0.4 + 0.1 * (2 + 0.2))
    assert float(info.losses[0]) == pytest.approx(float(QUADRATIC.losses(START)[0]))


INNER = {
    "sgd": mm.sgd(0.2),
    "momentum": mm.sgd(0.2, momentum=0.5, nesterov=True, weight_decay=0.1),
    "rmsprop": mm.rmsprop(0.05, eps=1e-2),
    "adam": mm.adam(0.05, betas=(0.5, 0.9), weight_decay=0.3),
    "amsgrad": mm.adam(0.05, amsgrad=True),
    "scheduled": mm.sgd(lambda step: 0.1 * (step + 2)),
}


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("constrained", [False, True])
def test_total_derivative_by_finite_differences(inner: str, constrained: bool) -> None:
    """Through the gradients, the rule, its memory and the projection; with the memory of a few real steps."""
    M = torch.randn(2, 3)

    def payoff(x: Tensor, y: Tensor) -> Tensor:
        return x.sin() @ M @ y.cos() + (x**2).sum() - (y**2).sum() + (y.tanh() @ M.T @ x) ** 2

    ball = (None, lambda y: y / (1 + y.square().sum()).sqrt()) if constrained else None
    game = mm.zero_sum(payoff, constraints=ball)
    rule = INNER[inner]
    optimizer = mm.Unrolled(rule, steps=3)
    z, state = (torch.randn(2), torch.randn(3)), None
    state = optimizer.init(game, z)
    for _ in range(2):
        z, state, _ = optimizer.step(game, z, state)
    _, _, info = optimizer.step(game, z, state)

    def ahead(x: Tensor) -> float:
        y, m = z[1], state["rules"][1]
        for _ in range(3):
            d, m = rule.move([y], [game.gradient((x, y), 1)], m, state["step"])
            y = y + d[0] if ball is None else ball[1](y + d[0])
        return float(payoff(x, y))

    h = 1e-5
    expected = torch.stack([torch.tensor((ahead(z[0] + h * e) - ahead(z[0] - h * e)) / (2 * h)) for e in torch.eye(2)])
    torch.testing.assert_close(info.gradients[0][0], expected, rtol=1e-6, atol=1e-6)


def test_general_sum_with_two_followers() -> None:
    """Followers that see each other; the leader's loss is not theirs."""
    losses = (
        lambda x, u, v: (x * u * v).sin() + x**2 + u**3,
        lambda x, u, v: (u - x * v) ** 2 + u**4,
        lambda x, u, v: (v + x - u) ** 2 + v.exp(),
    )
    game, h, K = mm.Game(*losses), 0.1, 3
    z = tuple(torch.tensor(value) for value in (0.7, -0.3, 0.4))

    def ahead(x: Tensor) -> Tensor:
        u, v = z[1:]
        for _ in range(K):
            du = torch.func.grad(lambda w, v=v: losses[1](x, w, v))(u)
            dv = torch.func.grad(lambda w, u=u: losses[2](x, u, w))(v)
            u, v = u - h * du, v - h * dv
        return losses[0](x, u, v)

    g, _ = leader(mm.Unrolled(mm.sgd(h), steps=K), game, z)
    torch.testing.assert_close(g, torch.func.grad(ahead)(z[0]), rtol=1e-12, atol=1e-12)


def test_adam_on_a_gradient_that_is_exactly_zero() -> None:
    """A dead unit: √v has no derivative at 0, and inf · 0 must not turn into NaN."""
    game = mm.zero_sum(lambda x, y: (x * y * torch.tensor([1.0, 0.0])).sum())
    g, _ = leader(mm.Unrolled(mm.adam(0.1), steps=3), game, (torch.ones(2), torch.ones(2)))
    assert bool(torch.isfinite(g).all())


def test_refusals() -> None:
    alone = mm.Game(lambda x: x**2)
    z = (torch.tensor(1.0),)
    optimizer = mm.Unrolled(mm.sgd(0.1))
    with pytest.raises(mm.GameError, match="at least two players, got 1"):
        optimizer.step(alone, z, optimizer.init(alone, z))
    with pytest.raises(ValueError, match="steps must be at least 1"):
        mm.Unrolled(mm.sgd(0.1), steps=0)
    with pytest.raises(RuntimeError, match="from_torch"):
        leader(mm.Unrolled(mm.from_torch(torch.optim.SGD, lr=0.1)), QUADRATIC, START)
