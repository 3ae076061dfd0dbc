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


@pytest.mark.parametrize("inner", [mm.sgd(η), mm.from_torch(torch.optim.SGD, lr=η)])
@pytest.mark.parametrize("K, expected", [(1, 2.642000), (5, 7.267505), (300, 9.0)])
def test_table(K: int, expected: float, inner: mm.Rule) -> None:
    """a x + b y_K + (bx - c y_K)(1 - rᴷ) b/c at x = 1, y = -.4; K → ∞ is the total derivative of max_y f."""
    g, info = leader(mm.Unrolled(mm.sgd(0.1), steps=K, inner=inner), QUADRATIC, START)
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


def test_a_leader_has_its_own_memory_beside_warm_followers() -> None:
    optimizer = mm.Unrolled((mm.sgd(0.1, momentum=0.5), mm.sgd(η, momentum=0.7)), steps=3, warm=True)
    first, state, before = optimizer.step(QUADRATIC, START, optimizer.init(QUADRATIC, START))
    second, _, after = optimizer.step(QUADRATIC, first, state)
    v = before.gradients[0][0]
    torch.testing.assert_close(second[0], first[0] - 0.1 * (0.5 * v + after.gradients[0][0]))


INNER = {
    "sgd": mm.sgd(0.2),
    "momentum": mm.sgd(0.2, momentum=0.5, nesterov=True, weight_decay=0.1),
    "rmsprop": mm.rmsprop(0.05, eps=1e-2),
    "adam": mm.adam(0.05, betas=(0.5, 0.9), weight_decay=0.3),
    "amsgrad": mm.adam(0.05, amsgrad=True),
    "scheduled": mm.sgd(lambda step: 0.1 * (step + 2)),
    "torch's momentum": mm.from_torch(torch.optim.SGD, lr=0.2, momentum=0.5, dampening=0.3, weight_decay=0.1),
    "torch's Adam": mm.from_torch(torch.optim.Adam, lr=0.05, betas=(0.5, 0.9), weight_decay=0.3, amsgrad=True),
    "torch's AdamW, scheduled": mm.from_torch(torch.optim.AdamW, lr=lambda step: 0.05 / (1 + step)),
    "torch's RMSprop": mm.from_torch(torch.optim.RMSprop, lr=0.05, eps=1e-2, centered=True, momentum=0.5),
    "torch's Adagrad": mm.from_torch(torch.optim.Adagrad, lr=0.1, lr_decay=0.1),
    "torch's NAdam": mm.from_torch(torch.optim.NAdam, lr=0.05),
    "torch's RAdam": mm.from_torch(torch.optim.RAdam, lr=0.05),
    "torch's Adadelta": mm.from_torch(torch.optim.Adadelta, lr=1.0, eps=1e-2),
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


TWINS = {
    "sgd": (mm.sgd(0.2, weight_decay=0.1), mm.from_torch(torch.optim.SGD, lr=0.2, weight_decay=0.1, fused=True)),
    "momentum": (
        mm.sgd(0.2, momentum=0.5, nesterov=True),
        mm.from_torch(torch.optim.SGD, lr=0.2, momentum=0.5, nesterov=True, foreach=True),
    ),
    "rmsprop": (mm.rmsprop(0.05), mm.from_torch(torch.optim.RMSprop, lr=0.05)),
    "adam": (mm.adam(0.05, betas=(0.5, 0.9)), mm.from_torch(torch.optim.Adam, lr=0.05, betas=(0.5, 0.9))),
    "adamw": (
        mm.adamw(0.05, weight_decay=0.3, amsgrad=True),
        mm.from_torch(torch.optim.AdamW, lr=0.05, weight_decay=0.3, amsgrad=True),
    ),
}


@pytest.mark.parametrize("twins", TWINS)
@pytest.mark.parametrize("fresh", [False, True])
def test_torchs_optimizers_unroll_like_the_native_rules(twins: str, fresh: bool) -> None:
    """Over several steps, from its own memory and afresh, with a dead unit and leaves of several shapes."""
    dead = torch.tensor([1.0, 0.5, 0.0])

    def payoff(x: Tensor, y: dict[str, Tensor]) -> Tensor:
        bounded = (dead * y["a"] ** 2).sum() + y["b"] ** 2 - (x**2).sum() / 2
        return (x * dead * y["a"]).sin().sum() + x.cos().sum() * y["b"] - bounded

    game = mm.zero_sum(payoff)
    z = (torch.randn(3), {"a": torch.randn(3), "b": torch.tensor(0.4)})
    ends = []
    for rule in TWINS[twins]:
        optimizer = mm.Unrolled(mm.sgd(0.1), steps=4, inner=rule) if fresh else mm.Unrolled(rule, steps=4)
        players, state, seen = z, optimizer.init(game, z), []
        for _ in range(4):
            players, state, info = optimizer.step(game, players, state)
            seen.append(info.gradients)
        ends.append((players, seen))
    torch.testing.assert_close(*ends, rtol=0, atol=1e-10)
    assert bool(ends[1][1][0][0][0].isfinite().all())


class Counting(torch.optim.Optimizer):
    """Momentum whose memory also counts, in an int64 tensor and in a Python number."""

    def __init__(self, params: list[Tensor], lr: float, differentiable: bool = False) -> None:
        super().__init__(params, {"lr": lr, "differentiable": differentiable})

    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            with torch.set_grad_enabled(group["differentiable"]):
                for p in group["params"]:
                    state = self.state[p]
                    state["moves"] = state.get("moves", 0) + 1
                    state["t"] = state.get("t", torch.tensor(0)) + 1
                    state["v"] = state.get("v", torch.zeros_like(p)) * 0.5 + p.grad
                    p.sub_(group["lr"] / (state["moves"] + state["t"]) * 2 * state["t"] * state["v"])


def test_counters_in_the_memory_survive() -> None:
    optimizers = [mm.Unrolled(rule, steps=3) for rule in (mm.sgd(0.2, momentum=0.5), mm.from_torch(Counting, lr=0.2))]
    ends = []
    for optimizer in optimizers:
        players, state = START, optimizer.init(QUADRATIC, START)
        for _ in range(3):
            players, state, _ = optimizer.step(QUADRATIC, players, state)
        ends.append(players)
    torch.testing.assert_close(*ends, rtol=0, atol=1e-12)
    memory = state["rules"][1]["state"][0]
    assert memory["moves"] == 3 and memory["t"].dtype == torch.int64 and int(memory["t"]) == 3


@pytest.mark.parametrize("check", ["purity", "plays", "precision", "resume", "modules", "costs", "schedules"])
@pytest.mark.parametrize("afresh", [False, True])
def test_torchs_optimizers_keep_the_contract(check: str, afresh: bool) -> None:
    rule = mm.from_torch(torch.optim.Adam, lr=0.01, betas=(0.5, 0.9))
    mm.testing.CHECKS[check](mm.Unrolled(mm.sgd(0.05), inner=rule) if afresh else mm.Unrolled(rule))


def test_refusals() -> None:
    alone = mm.Game(lambda x: x**2)
    z = (torch.tensor(1.0),)
    optimizer = mm.Unrolled(mm.sgd(0.1))
    with pytest.raises(mm.GameError, match="at least two players, got 1"):
        optimizer.step(alone, z, optimizer.init(alone, z))
    with pytest.raises(ValueError, match="steps must be an integer >= 1"):
        mm.Unrolled(mm.sgd(0.1), steps=0)
    refused = "from_torch cannot differentiate torch.optim.Adafactor, which has no option `differentiable`: use sgd"
    with pytest.raises(RuntimeError, match=refused):
        leader(mm.Unrolled(mm.from_torch(torch.optim.Adafactor, lr=0.1)), QUADRATIC, START)
    torchs = mm.Unrolled(mm.from_torch(torch.optim.SGD, lr=0.1))
    with pytest.raises(RuntimeError, match=r"from_torch cannot run under vmap or torch\.compile"):
        mm.ensemble(QUADRATIC, torchs, [START] * 2, steps=1)
    with pytest.raises(RuntimeError, match=r"from_torch cannot run under vmap or torch\.compile"):
        mm.solve(QUADRATIC, START, torchs, steps=1, compile=True)
