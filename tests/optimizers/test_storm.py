"""Momentum-based variance reduction: exact without samples, the paper's recursion with them, and less noise."""

import pytest
import torch

import minimax as mm

pytestmark = pytest.mark.usefixtures("float64")
GAME = mm.zero_sum(lambda x, y, s: (s[:, 0] * x * y + s[:, 1] * x + s[:, 2] * y + x**2 / 2 - y**2 / 2).mean())
START = (torch.tensor(1.0, dtype=torch.float64), torch.tensor(-1.0, dtype=torch.float64))


def samples(count: int, seed: int) -> torch.Tensor:
    noise = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.tensor([2.0, 0.5, -0.5]) + noise * torch.tensor([0.3, 1.0, 1.0])


def played(optimizer: mm.GameOptimizer, batches: list[torch.Tensor]) -> torch.Tensor:
    """Where it goes, (steps + 1, 2)."""
    z, state, path = START, optimizer.init(GAME, START), [torch.stack(START)]
    for batch in batches:
        z, state, _ = optimizer.step(GAME, z, state, batch)
        path.append(torch.stack(z))
    return torch.stack(path)


@pytest.mark.parametrize("momentum", [0.0, 0.3])
@pytest.mark.parametrize("rule", [mm.sgd(0.1), mm.adam(0.1)], ids=["sgd", "adam"])
def test_without_samples_it_is_simultaneous_play(momentum: float, rule: mm.Rule) -> None:
    batches = [samples(6, 0)] * 25
    found, expected = played(mm.STORM(rule, momentum), batches), played(mm.SimultaneousGDA(rule), batches)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_with_no_memory_it_is_simultaneous_play_on_any_samples() -> None:
    batches = [samples(2, k) for k in range(25)]
    found, expected = played(mm.STORM(mm.adam(0.1), 1.0), batches), played(mm.SimultaneousGDA(mm.adam(0.1)), batches)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_as_the_paper_writes_it() -> None:
    batches, a, h = [samples(2, k) for k in range(40)], 0.2, 0.05
    z = last = torch.stack(START)
    path, v = [z], torch.stack(GAME.field(START, batches[0]))
    for batch in batches:
        new, old = (torch.stack(GAME.field(tuple(w), batch)) for w in (z, last))
        v = new + (1 - a) * (v - old)
        last, z = z, z - h * v
        path.append(z)
    torch.testing.assert_close(played(mm.STORM(mm.sgd(h), a), batches), torch.stack(path), rtol=0, atol=1e-12)


def test_it_averages_noise_that_plain_play_keeps() -> None:
    """Noise that does not hang on z: plain play's last iterate has a variance of order h, STORM's of order a h."""
    batches = [samples(1, k) for k in range(1500)]
    solution = torch.linalg.solve(torch.tensor([[1.0, 2.0], [-2.0, 1.0]]), torch.tensor([-0.5, -0.5]))
    errors = [
        (played(optimizer, batches)[500:] - solution).square().sum(1).mean()
        for optimizer in (mm.SimultaneousGDA(mm.sgd(0.02)), mm.STORM(mm.sgd(0.02), 0.02))
    ]
    assert errors[1] < errors[0] / 2


def test_a_leader_moves_by_the_estimated_hypergradient() -> None:
    """Around a follower who answers through its steps: without noise the leader comes to its optimum, 1/2."""
    game = mm.transforms.bilevel(lambda x, y: (y - 1) ** 2, lambda x, y: (y - 2 * x) ** 2)
    leader = mm.transforms.best_response(game, 1, lambda _: torch.tensor(0.0), mm.sgd(0.5), 3, through=True)
    found = mm.solve(leader, (torch.tensor(0.0),), mm.STORM(mm.sgd(0.05)), steps=200).players
    assert float(found[0]) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("momentum", [-0.1, 1.1])
def test_the_share_of_a_batch_is_a_share(momentum: float) -> None:
    with pytest.raises(ValueError, match="momentum must be"):
        mm.STORM(mm.sgd(0.1), momentum)
