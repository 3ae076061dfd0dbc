import pytest
import torch

import minimax as mm

N = 6
pytestmark = pytest.mark.usefixtures("float64")


def finite_sum() -> tuple[mm.Game, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """The mean over samples (a, b, c) of a xy + bx + cy: solved at x = -c̄/ā, y = -b̄/ā, where every sample pulls."""
    noise = torch.randn(N, 3, generator=torch.Generator().manual_seed(1))
    samples = torch.tensor([1.0, 0.0, 0.0]) + torch.tensor([0.3, 1.0, 1.0]) * noise
    a, b, c = samples.mean(0)
    game = mm.zero_sum(lambda x, y, s: (s[:, 0] * x * y + s[:, 1] * x + s[:, 2] * y).mean())
    return game, samples, (-c / a, -b / a)


def distance(z, solution) -> float:
    return float(torch.stack(z).sub(torch.stack(solution)).norm())


def test_solves_a_finite_sum_where_extragradient_stalls() -> None:
    game, samples, solution = finite_sum()
    generator = torch.Generator().manual_seed(0)

    def sample() -> torch.Tensor:
        return samples[torch.randint(N, (1,), generator=generator)]

    optimizer, z = mm.SVRE(mm.sgd(0.4), iterations=N), (torch.tensor(1.0), torch.tensor(1.0))
    state = optimizer.init(game, z)
    for _ in range(80):
        z, state, _ = optimizer.step(game, z, state, [samples, *(sample() for _ in range(optimizer.draws - 1))])
    assert distance(z, solution) < 1e-10

    plain, w = mm.ExtraGradient(mm.sgd(0.4), fresh=True), (torch.tensor(1.0), torch.tensor(1.0))
    state = plain.init(game, w)
    for _ in range(80 * N):
        w, state, _ = plain.step(game, w, state, [sample(), sample()])
    assert distance(w, solution) > 1e-2


def test_on_full_batches_it_is_extragradient() -> None:
    game, samples, _ = finite_sum()
    z = w = (torch.tensor(1.0), torch.tensor(-1.0))
    optimizer, plain = mm.SVRE(mm.adam(0.05), iterations=4), mm.ExtraGradient(mm.adam(0.05))
    state, state_w = optimizer.init(game, z), plain.init(game, w)
    for _ in range(50):
        z, state, info = optimizer.step(game, z, state, [samples] * optimizer.draws)
        for k in range(4):
            w, state_w, seen = plain.step(game, w, state_w, samples)
            if k == 0:
                torch.testing.assert_close((info.losses, info.gradients), (seen.losses, seen.gradients))
        torch.testing.assert_close(z, w, rtol=0, atol=1e-12)


def test_snapshot_from_minibatches_is_the_full_one() -> None:
    game, samples, _ = finite_sum()
    z, rest = (torch.tensor(1.0), torch.tensor(-1.0)), [samples[k : k + 1] for k in range(3)]
    ends = []
    for parts in ([samples], samples.split(2), samples.split(1)):
        optimizer = mm.SVRE(mm.sgd(0.1), iterations=2, snapshot=len(parts))
        assert optimizer.draws == len(parts) + 3
        players, _, info = optimizer.step(game, z, optimizer.init(game, z), [*parts, *rest])
        assert info.cost.gradients == 2 * (len(parts) + 4 * 2 - 2)
        ends.append((players, info.losses, info.gradients))
    torch.testing.assert_close(ends[1], ends[0])
    torch.testing.assert_close(ends[2], ends[0])


def test_by_hand() -> None:
    """Two iterations: F(z_s), then F_i(w) - F_i(z_s) + F(z_s) with a new sample each time."""
    game, samples, _ = finite_sum()
    h, z_s = 0.1, (torch.tensor(1.0), torch.tensor(-1.0))
    i, j, k = (samples[m : m + 1] for m in (3, 0, 5))

    def move(w, sample):
        parts = [game.field(w, sample), game.field(z_s, sample), game.field(z_s, samples)]
        return [g - g_s + m for g, g_s, m in zip(*parts, strict=True)]

    def minus(w, g):
        return tuple(a - h * b for a, b in zip(w, g, strict=True))

    z = minus(z_s, move(minus(z_s, game.field(z_s, samples)), i))
    z = minus(z, move(minus(z, move(z, j)), k))
    optimizer = mm.SVRE(mm.sgd(h), iterations=2)
    played = optimizer.step(game, z_s, optimizer.init(game, z_s), [samples, i, j, k])[0]
    torch.testing.assert_close(played, z, rtol=0, atol=1e-14)


def test_runs_on_a_stream_of_batches_by_number() -> None:
    """`batches(k)`: the full data whenever an epoch starts."""
    game, samples, solution = finite_sum()
    optimizer = mm.SVRE(mm.sgd(0.4), iterations=3)

    def batches(k: int) -> torch.Tensor:
        return samples if k % optimizer.draws == 0 else samples[(k * 5) % N][None]

    z = mm.solve(game, (torch.tensor(1.0), torch.tensor(1.0)), optimizer, batches, steps=150, every=150).players
    assert distance(z, solution) < 1e-8


def test_projects() -> None:
    game, samples, _ = finite_sum()
    game = mm.zero_sum(lambda x, y, s: (s[:, 0] * x * y - 5 * x).mean(), constraints=(mm.projections.box(-1, 1), None))
    z, optimizer = (torch.tensor(0.5), torch.tensor(0.5)), mm.SVRE(mm.sgd(0.3), iterations=2)
    z = optimizer.step(game, z, optimizer.init(game, z), [samples, samples[:1], samples[1:2], samples[2:3]])[0]
    assert float(z[0]) == 1


def test_errors() -> None:
    with pytest.raises(ValueError, match="iterations must be an integer >= 1, got 0"):
        mm.SVRE(mm.sgd(0.1), iterations=0)
