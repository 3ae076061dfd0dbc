"""The entropic rule: with extragradient it is mirror-prox."""

import math

import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games

pytestmark = pytest.mark.usefixtures("float64")


def uniform(n: int) -> torch.Tensor:
    return torch.full((n,), 1 / n)


def test_mirror_prox_by_hand() -> None:
    A = torch.randn(3, 4)
    game, h, z = mm.zero_sum(lambda x, y: x @ A @ y), 0.3, (uniform(3), uniform(4))
    optimizer, (x, y) = mm.ExtraGradient(mm.entropic(h)), (uniform(3).numpy(), uniform(4).numpy())
    state, M = optimizer.init(game, z), A.numpy()
    for _ in range(200):
        u, v = x * np.exp(-h * M @ y), y * np.exp(h * M.T @ x)
        u, v = u / u.sum(), v / v.sum()
        x, y = x * np.exp(-h * M @ v), y * np.exp(h * M.T @ u)
        x, y = x / x.sum(), y / y.sum()
        z, state, _ = optimizer.step(game, z, state)
        np.testing.assert_allclose(z[0], x, atol=1e-10)
        np.testing.assert_allclose(z[1], y, atol=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_ergodic_bound(seed: int) -> None:
    """With h = 1/max|A_ij| the gap of the mean half step is at most (log n + log m) / (h T)."""
    n, m, steps = 8, 5, 300
    A = torch.randn(n, m, generator=torch.Generator().manual_seed(seed))
    h, game, z = 1 / float(A.abs().max()), mm.zero_sum(lambda x, y: x @ A @ y), (uniform(n), uniform(m))
    optimizer, half_step = mm.ExtraGradient(mm.entropic(h)), mm.SimultaneousGDA(mm.entropic(h))
    state, x, y = optimizer.init(game, z), torch.zeros(n), torch.zeros(m)
    for t in range(1, steps + 1):
        half = half_step.step(game, z, half_step.init(game, z))[0]
        x, y = x + half[0], y + half[1]
        z, state, _ = optimizer.step(game, z, state)
        gap = float((x @ A / t).max() - (A @ y / t).min())
        assert 0 <= gap <= math.log(n * m) / (h * t) + 1e-12


def test_last_iterate_converges_where_multiplicative_weights_leave() -> None:
    closed = games.rock_paper_scissors()
    start = (torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.5, 0.3]))
    game = mm.zero_sum(closed.game.functions[0])
    ends = {
        kind: mm.solve(game, start, kind(mm.entropic(0.3)), steps=1500, every=1500).players
        for kind in (mm.ExtraGradient, mm.SimultaneousGDA)
    }
    assert closed.distance(ends[mm.ExtraGradient]) < 1e-8
    assert closed.distance(ends[mm.SimultaneousGDA]) > 0.5
    for players in ends.values():
        for player in players:
            assert float(player.sum()) == pytest.approx(1, abs=1e-12) and bool((player >= 0).all())


def test_rows_are_distributions_and_zeros_stay() -> None:
    player, rule = torch.tensor([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]]), mm.entropic(2.0)
    gradient = torch.tensor([[1.0, 900.0, -5.0], [0.0, 0.0, 0.0]])
    (d,), memory = rule.move([player], [gradient], rule.init([player]), torch.tensor(0))
    torch.testing.assert_close(player + d, torch.tensor([[1.0, 0.0, 0.0], [0.1, 0.2, 0.7]]))
    assert memory == {}
    with pytest.raises(ValueError, match="lr must be a finite number >= 0"):
        mm.entropic(-1.0)


def test_under_vmap_and_compile() -> None:
    closed = games.matching_pennies()
    optimizer = mm.ExtraGradient(mm.entropic(0.5))
    starts = tuple(torch.rand(3, 2).softmax(-1) for _ in range(2))
    state = optimizer.init(closed.game, closed.start)
    many = torch.vmap(lambda z: optimizer.step(closed.game, z, state)[0])(starts)
    torch._dynamo.reset()
    compiled = torch.compile(lambda z: optimizer.step(closed.game, z, state)[0], fullgraph=True, backend="eager")
    for k in range(3):
        one = optimizer.step(closed.game, tuple(s[k] for s in starts), state)[0]
        torch.testing.assert_close(tuple(s[k] for s in many), one)
        torch.testing.assert_close(compiled(tuple(s[k] for s in starts)), one)


@pytest.mark.parametrize("make, unit", [(games.matching_pennies, 1.0), (games.rock_paper_scissors, 3**0.5)])
@pytest.mark.parametrize("s", [0.1, 0.3, 0.45])
def test_optimistic_weights_have_the_rate_of_optimistic_play(make, unit: float, s: float) -> None:
    """Near the equilibrium they are it in the metric diag(z) - zzᵀ: s = h for pennies, h/√3 for rock-paper-scissors."""
    closed = make()
    z = tuple(e + 1e-7 * v for e, v in zip(closed.equilibrium, centred(closed.equilibrium), strict=True))
    optimizer = mm.SimultaneousGDA(mm.entropic(s * unit, optimism=1.0))
    far = [closed.distance(z)]
    state = optimizer.init(closed.game, z)
    for _ in range(120):
        z, state, _ = optimizer.step(closed.game, z, state)
        far.append(closed.distance(z))
    rate = math.sqrt((1 + math.sqrt(1 - 4 * s**2)) / 2)
    assert float(far[60] / far[40]) == pytest.approx(rate**20, rel=0.1 if s < 0.2 else 1e-3)


def centred(z: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(100)
    return [v - v.mean() for v in (torch.randn(len(part), generator=draw) for part in z)]


def test_optimistic_weights_by_hand_and_their_last_iterate() -> None:
    """z⁺ ∝ z exp(-h (2g - g₋)), the first plain: it solves what plain weights leave, whose KL to z* grows each step."""
    closed, h = games.rock_paper_scissors(), 0.3
    A = torch.tensor([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])
    start = x, y = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.5, 0.3])
    optimizer = mm.SimultaneousGDA(mm.entropic(h, optimism=1.0))
    z, state, past = start, optimizer.init(closed.game, start), (A @ y, -A.T @ x)
    for _ in range(30):
        g = (A @ y, -A.T @ x)
        x, y = ((v.log() - h * (2 * g_i - p)).softmax(-1) for v, g_i, p in zip((x, y), g, past, strict=True))
        past = g
        z, state, _ = optimizer.step(closed.game, z, state)
        torch.testing.assert_close(z, (x, y), rtol=0, atol=1e-12)
    end = mm.solve(mm.zero_sum(closed.game.functions[0]), start, optimizer, steps=2000, every=2000).players
    assert closed.distance(end) < 1e-6


@pytest.mark.parametrize("h", [0.05, 0.3, 1.0])
def test_plain_weights_move_away_from_an_inner_equilibrium_with_every_step(h: float) -> None:
    closed, optimizer = games.matching_pennies(), mm.SimultaneousGDA(mm.entropic(h))
    z, far = (torch.tensor([0.6, 0.4]), torch.tensor([0.3, 0.7])), []
    state = optimizer.init(closed.game, z)
    for _ in range(40):
        far.append(sum(float((e * (e / v).log()).sum()) for e, v in zip(closed.equilibrium, z, strict=True)))
        z, state, _ = optimizer.step(closed.game, z, state)
    assert bool((np.diff(far) > 0).all())
