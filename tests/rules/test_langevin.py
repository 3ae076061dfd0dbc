"""Samplers: the temperature is right, and the kick is a linear term of the loss, under every optimizer."""

import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import solve_discrete_lyapunov
from torch import Tensor, nn

import minimax as mm
from minimax.optimizers import BY_NAME
from minimax.rules import Rule, sghmc, sgld, split

pytestmark = pytest.mark.usefixtures("float64")


def drawn(batch: Any) -> Any:
    return batch["n"]


def stationary(rule: Rule, λ: float, s: float) -> float:
    """Var θ of a chain in L = λ/2 θ² with gradients of variance s² besides: by the Lyapunov equation of its own steps.

    The map (θ, v, n, noise of the gradient) → (θ, v) is linear, so four steps from unit vectors give its matrix.
    """
    game = mm.Game(lambda θ, batch: λ / 2 * θ**2 + s * batch["gradient"] * θ)
    optimizer = mm.SimultaneousGDA(rule)

    def step(θ: float, v: float, n: float, noise: float) -> list[float]:
        z = (torch.tensor(θ),)
        state = optimizer.init(game, z)
        memory = state["rules"][0]
        memory |= {name: [torch.tensor(v)] for name in memory}
        batch = {"n": torch.tensor(n), "gradient": torch.tensor(noise)}
        z, state, _ = optimizer.step(game, z, state, batch)
        return [float(z[0]), *(float(leaf) for vector in state["rules"][0].values() for leaf in vector)]

    size = len(step(0.0, 0.0, 0.0, 0.0))
    columns = np.array([step(*map(float, row)) for row in np.eye(4)])
    A, B = columns[:size].T, columns[2:].T
    return float(solve_discrete_lyapunov(A, B @ B.T)[0, 0])


def test_the_number_on_paper() -> None:
    assert stationary(sghmc(0.1, drawn, friction=0.1), λ=1.0, s=0.0) == pytest.approx(1.027027, abs=1e-6)


@given(st.floats(0.01, 0.5), st.floats(0.05, 1.0), st.floats(0.2, 3.0), st.floats(0.01, 2.0), st.floats(0.0, 2.0))
def test_stationary_variance(h: float, α: float, λ: float, T: float, s: float) -> None:
    heated = 1 + h * s**2 / (2 * α * T)
    expected = T / λ * heated / (1 - h * λ / (2 * (2 - α)))
    assert stationary(sghmc(h, drawn, temperature=T, friction=α), λ, s) == pytest.approx(expected, rel=1e-9)
    overdamped = T / λ * (1 + h * s**2 / (2 * T)) / (1 - h * λ / 2)
    assert stationary(sgld(h, drawn, temperature=T), λ, s) == pytest.approx(overdamped, rel=1e-9)
    assert stationary(sghmc(h, drawn, temperature=T, friction=1.0), λ, s) == pytest.approx(overdamped, rel=1e-9)


def test_of_a_mean_loss_over_N() -> None:
    """On the gradient of the sum, N times the mean's, the kick has the standard deviation √(2(1-m)N/h)."""
    N, m, h = 500, 0.9, 0.02
    rule = sghmc(h, drawn, temperature=1 / N, friction=1 - m)
    (kick,) = rule.kick([torch.zeros(())], {"n": torch.tensor(1.0)}, {}, torch.tensor(0))
    assert N * abs(float(kick)) == pytest.approx(math.sqrt(2 * (1 - m) * N / h))


def linear_map(optimizer: mm.GameOptimizer, a: float, b: float, c: float) -> tuple[np.ndarray, np.ndarray]:
    """A, B of (θ, ψ) ← A (θ, ψ) + B n, of two players who sample one posterior ∝ exp(-aθ²/2 - bθψ - cψ²/2)."""
    game = mm.cooperative(lambda θ, ψ, batch: a * θ**2 / 2 + b * θ * ψ + c * ψ**2 / 2, players=2)
    columns = []
    for row in torch.eye(4):
        z = (row[0], row[1])
        batch = {"first": row[2], "second": row[3]}
        columns.append(torch.stack(optimizer.step(game, z, optimizer.init(game, z), batch)[0]).numpy())
    return np.array(columns[:2]).T, np.array(columns[2:]).T


@given(st.floats(0.5, 2.0), st.floats(-1.5, 1.5), st.floats(0.5, 2.0))
def test_two_players_sample_a_joint_posterior(a: float, b: float, c: float) -> None:
    """Stationary where the posterior is one, b² < ac, and there of the right covariance."""
    h = 0.1
    rules = (sgld(h, lambda batch: batch["first"]), sgld(h, lambda batch: batch["second"]))
    precision = np.array([[a, b], [b, c]])
    for make in (mm.SimultaneousGDA, mm.AlternatingGDA):
        A, B = linear_map(make(rules), a, b, c)
        radius = max(abs(np.linalg.eigvals(A)))
        assert (radius < 1) == (b**2 < a * c) or abs(b**2 - a * c) < 1e-6
        if radius < 0.999 and make is mm.SimultaneousGDA:
            expected = np.linalg.inv(precision - h / 2 * precision @ precision)
            np.testing.assert_allclose(solve_discrete_lyapunov(A, B @ B.T), expected, rtol=1e-9, atol=1e-15)


CHAINS, STEPS, BURN = 400, 4000, 400


@pytest.mark.parametrize("rule", [sgld(0.5, drawn, temperature=0.3), sghmc(0.1, drawn, friction=0.1)])
@pytest.mark.parametrize("make", [mm.SimultaneousGDA, mm.AlternatingGDA])
def test_a_long_run(rule: Rule, make: type[mm.Ruled], generator: torch.Generator) -> None:
    """Many chains in one player; the error bar is of chains, which do not know each other."""
    game = mm.Game(lambda θ, batch: (θ**2).sum() / 2)
    z, optimizer = (torch.zeros(CHAINS),), make(rule)
    state, squares = optimizer.init(game, z), torch.zeros(CHAINS)
    for k in range(STEPS):
        z, state, _ = optimizer.step(game, z, state, {"n": torch.randn(CHAINS, generator=generator)})
        squares += z[0] ** 2 * (k >= BURN)
    means = squares / (STEPS - BURN)
    error = float(means.std()) / math.sqrt(CHAINS)
    expected = stationary(rule, 1.0, 0.0)
    assert error < 0.01 * expected, "the run is long enough to tell the discretisation from the truth"
    assert float(means.mean()) == pytest.approx(expected, abs=4 * error)


# ------------------------------------------------------------------------------------------------------- the channel

M = torch.tensor([[0.5, -1.0], [0.3, 0.8]], dtype=torch.float64)
START = (torch.tensor([1.0, -0.5], dtype=torch.float64), torch.tensor([0.3, 0.7], dtype=torch.float64))
h, α, T = 0.05, 0.3, 0.7


def losses(x: Tensor, y: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
    b = batch["x"].mean()
    return x.sin() @ M @ y + b * x @ x, y @ y - b * (x @ M @ y.tanh())


def kicked(x: Tensor, y: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
    """By hand: the same losses with linear terms."""
    size = math.sqrt(2 * α * T / h)
    L = losses(x, y, batch)
    return L[0] - size * batch["first"] @ x, L[1] - size * batch["second"] @ y


def batches(draws: int) -> Iterator[Any]:
    generator = torch.Generator().manual_seed(0)

    def one() -> dict[str, Tensor]:
        return {name: torch.randn(2, generator=generator, dtype=torch.float64) for name in ("x", "first", "second")}

    while True:
        yield [one() for _ in range(draws)] if draws > 1 else one()


RULES = (sghmc(h, lambda b: b["first"], T, friction=α), sghmc(h, lambda b: b["second"], T, friction=α))


def run(optimizer: mm.GameOptimizer, game: mm.Game, steps: int = 4) -> tuple[Tensor, ...]:
    z, state = START, optimizer.init(game, START)
    for _, batch in zip(range(steps), batches(optimizer.draws), strict=False):
        z, state, _ = optimizer.step(game, z, state, batch)
    return z


@pytest.mark.parametrize("name", [name for name in BY_NAME if name != "k-beam"])  # which compares losses
def test_the_kick_is_a_linear_term_under_every_optimizer(name: str) -> None:
    """Half steps, players in turn, second derivatives, snapshots: whatever is evaluated on a batch sees its draw."""
    found = run(BY_NAME[name].of(RULES), mm.Game(losses))
    expected = run(BY_NAME[name].of(mm.sgd(h, momentum=1 - α)), mm.Game(kicked))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(found[0], run(BY_NAME[name].of(mm.sgd(h, momentum=1 - α)), mm.Game(losses))[0])


@pytest.mark.parametrize("steps, fresh", [((1, 3), False), ((2, 2), True)])
def test_every_move_of_a_turn_has_its_own_draw(steps: tuple[int, int], fresh: bool) -> None:
    make = lambda rule: mm.AlternatingGDA(rule, steps=steps, fresh=fresh)
    expected = run(make(mm.sgd(h, momentum=1 - α)), mm.Game(kicked))
    torch.testing.assert_close(run(make(RULES), mm.Game(losses)), expected, rtol=1e-12, atol=1e-12)


def test_only_one_player_samples() -> None:
    """A Bayesian generator against a critic that optimises; a cooling rate that ends at 0 ends all motion."""
    cooling = mm.schedules.linear(0.1, 0.0, 3)
    optimizer = mm.AlternatingGDA((sgld(cooling, lambda b: b["first"]), mm.adam(0.1)))
    game, z = mm.Game(losses), START
    state = optimizer.init(game, z)
    for k, batch in zip(range(5), batches(1), strict=False):
        ξ = game.gradient(z, 0, batch)
        old, (z, state, info) = z, optimizer.step(game, z, state, batch)
        lr = float(cooling(torch.tensor(k)))
        expected = old[0] - lr * ξ + math.sqrt(2 * lr) * batch["first"]
        torch.testing.assert_close(z[0], expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(info.losses[0], game.losses(old, batch)[0])
    assert torch.equal(z[0], old[0])


@pytest.mark.parametrize("compile", [False, True])
def test_members_are_kicked_apart(compile: bool, quick: object) -> None:
    """Each with its own draw, rate and temperature."""
    rates, heats = torch.tensor([0.02, 0.1]), torch.tensor([1.0, 0.1])
    stream = batches(1)
    drawn = [[next(stream) for _ in range(2)] for _ in range(4)]
    stacked = [{name: torch.stack([b[name] for b in pair]) for name in pair[0]} for pair in drawn]

    def make(lr: Any, heat: Any) -> mm.GameOptimizer:
        second = split(lambda *_: True, sgld(lr, lambda b: b["second"], heat), mm.sgd(0.1))
        return mm.ExtraGradient((sghmc(lr, lambda b: b["first"], heat), second))

    game, optimizer = mm.Game(losses), make(rates, heats)
    found = mm.ensemble(game, optimizer, [START] * 2, stacked, steps=4, own_batches=True, compile=compile)
    for k in range(2):
        alone = make(rates[k].item(), heats[k].item())
        expected = mm.solve(game, START, alone, [pair[k] for pair in drawn], steps=4).players
        torch.testing.assert_close(found.member(k), expected, rtol=1e-12, atol=1e-12)


def test_a_modules_posterior_resumes() -> None:
    """A linear model's weights, sampled with decay on one group; a saved run goes on bit for bit."""

    def noise(batch: Any) -> Any:
        return [batch["weight"]]

    rule = split(lambda name, shape: name == "weight", sghmc(0.05, noise, 0.1), mm.adam(0.1))
    data = [
        {"x": torch.randn(8, 3, generator=g), "weight": torch.randn(1, 3, generator=g)}
        for g in [torch.Generator().manual_seed(5)]
        for _ in range(6)
    ]

    def trainer() -> mm.Trainer:
        torch.manual_seed(0)
        game = mm.Game(lambda net, batch: (net(batch["x"]) - batch["x"].sum(1, keepdim=True)).square().mean())
        return mm.bind(game, (nn.Linear(3, 1),), mm.SimultaneousGDA(rule))

    straight, halves = trainer(), trainer()
    for batch in data:
        straight.step(batch)
    for batch in data[:3]:
        halves.step(batch)
    file = io.BytesIO()
    torch.save(halves.state_dict(), file)
    file.seek(0)
    other = trainer()
    other.load_state_dict(torch.load(file, weights_only=True))
    for batch in data[3:]:
        other.step(batch)
    assert all(map(torch.equal, other.modules[0].parameters(), straight.modules[0].parameters()))


def from_data(batch: Tensor) -> dict[str, Tensor]:
    """Which fits neither the modules of the checks nor ranks: those draw alike, whatever data each of them has."""
    return {"weight": batch[:1], "bias": batch[0, 0]}


@pytest.mark.parametrize("check", [name for name in mm.testing.CHECKS if name not in ("modules", "ranks")])
def test_contract(check: str) -> None:
    mm.testing.CHECKS[check](mm.ExtraGradient((sghmc(0.01, from_data), sgld(0.01, from_data)), fresh=True))


def test_what_cannot_be() -> None:
    with pytest.raises(TypeError, match="noise must be a function of the batch that returns its standard normal draw"):
        sgld(0.1, noise=torch.randn(3))
    with pytest.raises(ValueError, match=r"temperature must be a finite number >= 0, got -1"):
        sgld(0.1, drawn, temperature=-1)
    with pytest.raises(ValueError, match=r"friction must be a finite number >= 0 and <= 1, got 1\.5"):
        sghmc(0.1, drawn, friction=1.5)
    with pytest.raises(ValueError, match="inner of Unrolled has no draw of the batch for sgld: use sgd or adam"):
        mm.Unrolled(mm.sgd(0.1), inner=sgld(0.1, drawn))
    optimizer, game = mm.SimultaneousGDA(sgld(0.1, drawn)), mm.Game(lambda z, batch: z @ z)
    z = (torch.ones(3),)
    with pytest.raises(mm.GameError, match=r"noise must draw a number for each of the player's, of shapes \[\[3\]\]"):
        optimizer.step(game, z, optimizer.init(game, z), {"n": torch.ones(1)})
