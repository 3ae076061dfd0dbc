import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games

STEPS = 250


def played(optimizer: mm.Averaging, steps: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    """The iterates z_0 .. z_steps, and the averages after each step."""
    closed = games.scsc(0.05, 1.0)
    players = tuple(torch.as_tensor(x, dtype=torch.float64) for x in closed.start)
    state = optimizer.init(closed.game, players)
    points, means = [players], [optimizer.average(closed.game, players, state)]
    for _ in range(steps):
        players, state, _ = optimizer.step(closed.game, players, state)
        points.append(players)
        means.append(optimizer.average(closed.game, players, state))
    return np.array(points, dtype=float), np.array(means, dtype=float)


INNER = mm.ExtraGradient(mm.sgd(0.3))


def test_mean() -> None:
    z, mean = played(mm.Averaging(INNER))
    for t in range(1, STEPS + 1):
        np.testing.assert_allclose(mean[t], z[1 : t + 1].mean(0), atol=1e-12)
    np.testing.assert_array_equal(mean[0], z[0])


def test_power_weighs_late_iterates_more() -> None:
    """For q = 1, z_s counts s / (1 + ... + t)."""
    z, mean = played(mm.Averaging(INNER, power=1.0))
    for t in (1, 2, 10, STEPS):
        np.testing.assert_allclose(mean[t], np.average(z[1 : t + 1], axis=0, weights=np.arange(1, t + 1)), atol=1e-12)


def test_exponential_average_is_that_of_the_module_shell() -> None:
    z, mean = played(mm.Averaging(INNER, decay=0.9))
    ema = mm.EMA(tuple(torch.tensor(x) for x in z[0]), decay=0.9)
    for t in range(1, STEPS + 1):
        ema.update(tuple(torch.tensor(x) for x in z[t]))
        np.testing.assert_allclose(mean[t], ema.players, atol=1e-14)


def test_play_is_unchanged() -> None:
    z, _ = played(mm.Averaging(INNER))
    plain, _ = played(mm.Averaging(mm.Averaging(INNER, decay=0.5), power=2.0))
    np.testing.assert_array_equal(z, plain)


def test_mean_of_a_circle_converges(float64: torch.dtype) -> None:
    """Alternating play circles on xy for ever; t times its mean stays bounded."""
    closed, optimizer = games.bilinear(), mm.Averaging(mm.AlternatingGDA(mm.sgd(0.5)))
    for steps in (50, 200, 800):
        solution = mm.solve(closed.game, closed.start, optimizer, steps=steps, every=steps)
        assert closed.distance(solution.players) > 1
        assert steps * closed.distance(optimizer.average(closed.game, solution.players, solution.state)) < 8


def test_average_of_modules_and_of_dicts() -> None:
    modules = {"x": torch.nn.Linear(1, 1), "y": torch.nn.Linear(1, 1)}
    game = mm.zero_sum(lambda x, y, b: (x(b) * y(b)).mean())
    optimizer = mm.Averaging(INNER)
    trainer = mm.bind(game, modules, optimizer)
    trainer.step(torch.ones(2, 1))
    average = optimizer.average(trainer.game, trainer.players, trainer.state)
    for name, module in modules.items():
        torch.testing.assert_close(average[name], {key: p.detach() for key, p in module.named_parameters()})


@pytest.mark.parametrize("options", [{"decay": 1.0}, {"decay": -0.1}, {"power": -1.0}, {"decay": 0.9, "power": 1.0}])
def test_errors(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"decay|power"):
        mm.Averaging(INNER, **options)


def test_average_is_a_copy_of_its_own_state_only() -> None:
    game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(2.0))
    optimizer = mm.Averaging(INNER)
    state = optimizer.init(game, z)
    optimizer.average(game, z, state)[0].zero_()
    assert optimizer.average(game, z, state) == z
    with pytest.raises(mm.GameError, match="the state is not one of Averaging"):
        optimizer.average(game, z, INNER.init(game, z))
