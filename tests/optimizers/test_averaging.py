from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

import minimax as mm
from minimax import games
from minimax.compiling import Compiled

STEPS = 250


def played(optimizer: mm.Averaging, steps: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    """The iterates z_0 .. z_steps, and the averages after each step."""
    closed = games.scsc(0.05, 1.0)
    players = tuple(torch.as_tensor(x, dtype=torch.float64) for x in closed.start)
    state = optimizer.init(closed.game, players)
    points, means = [players], [optimizer.answer(players, state)]
    for _ in range(steps):
        players, state, _ = optimizer.step(closed.game, players, state)
        points.append(players)
        means.append(optimizer.answer(players, state))
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
        assert steps * closed.distance(solution.answer) < 8


def test_average_of_modules_and_of_dicts() -> None:
    modules = {"x": torch.nn.Linear(1, 1), "y": torch.nn.Linear(1, 1)}
    game = mm.zero_sum(lambda x, y, b: (x(b) * y(b)).mean())
    optimizer = mm.Averaging(INNER)
    trainer = mm.bind(game, modules, optimizer)
    trainer.step(torch.ones(2, 1))
    average = optimizer.answer(trainer.players, trainer.state)
    for name, module in modules.items():
        torch.testing.assert_close(average[name], {key: p.detach() for key, p in module.named_parameters()})
    with pytest.raises(mm.GameError, match=r"use minimax\.bind"):
        optimizer.answer(modules, trainer.state)


@pytest.mark.parametrize("options", [{"decay": 1.0}, {"decay": -0.1}, {"power": -1.0}, {"decay": 0.9, "power": 1.0}])
def test_errors(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"decay|power"):
        mm.Averaging(INNER, **options)


def test_average_is_a_copy_of_its_own_state_only() -> None:
    game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(2.0))
    optimizer = mm.Averaging(INNER)
    state = optimizer.init(game, z)
    optimizer.answer(z, state)[0].zero_()
    assert optimizer.answer(z, state) == z
    with pytest.raises(mm.GameError, match="the state is not one of Averaging and these players, as it lacks an entry"):
        optimizer.answer(z, INNER.init(game, z))
    with pytest.raises(mm.GameError, match="its average has other shapes"):
        optimizer.answer((torch.ones(2), torch.ones(2)), state)


@pytest.mark.parametrize("around", [mm.Lookahead, mm.Halpern, mm.AndersonMixing, mm.compiled])
def test_wrappers_pass_on_the_answer_of_the_inner(
    around: Callable[[mm.GameOptimizer], mm.GameOptimizer], quick: object
) -> None:
    """The answer of an optimizer around `Averaging` is the mean of what the inner one played."""
    closed, optimizer = games.scsc(), around(mm.Averaging(INNER))
    players, state, seen = closed.start, optimizer.init(closed.game, closed.start), []
    for _ in range(4):
        players, state, _ = optimizer.step(closed.game, players, state)
        seen.append(optimizer.answer(players, state))
    inner = state if isinstance(optimizer, Compiled) else state["inner"]
    torch.testing.assert_close(list(seen[-1]), [leaf for (leaf,) in inner["mean"]])
    assert any(not torch.equal(a, b) for a, b in zip(players, seen[-1], strict=True))
    plain = around(INNER)
    assert plain.answer(players, plain.init(closed.game, players)) is players


def test_the_outermost_average_answers() -> None:
    z, outer = played(mm.Averaging(mm.Averaging(INNER, decay=0.5)))
    np.testing.assert_allclose(outer[STEPS], z[1:].mean(0), atol=1e-12)


def test_solve_returns_the_answer_and_leaves_the_last_iterate_to_play_on_from() -> None:
    """Two solves of three steps are one of six, in players, state and answer."""
    closed, optimizer = games.bilinear(), mm.Averaging(mm.AlternatingGDA(mm.sgd(0.3)))
    whole = mm.solve(closed.game, closed.start, optimizer, steps=6)
    half = mm.solve(closed.game, closed.start, optimizer, steps=3)
    *_, it = islice(mm.iterate(closed.game, half.players, optimizer, state=half.state), 3)
    assert all(map(torch.equal, it.players, whole.players))
    assert all(map(torch.equal, optimizer.answer(it.players, it.state), whole.answer))
    plain = mm.solve(closed.game, closed.start, optimizer.inner, steps=6)
    assert plain.answer is plain.players and all(map(torch.equal, plain.players, whole.players))


def test_the_answer_of_a_run_that_diverges_is_of_the_players_that_are_kept() -> None:
    """z doubles a step, and the third is beyond the limit: the kept step is the second, its mean (2 + 4) / 2 = 3."""
    game = mm.Game(lambda x: -x * x / 2)
    found = mm.solve(
        game, (torch.tensor(1.0),), mm.Averaging(mm.SimultaneousGDA(mm.sgd(1.0))), limits=mm.Limits(growth=5)
    )
    assert found.status.kind == "diverged" and (found.players, found.answer) == ((4.0,), (3.0,))


def test_the_answer_of_modules_is_in_copies_of_them() -> None:
    """G's weight is w ← w/2 from 8: the iterates 4, 2, 1 have the mean 7/3, which no module in play may hold."""
    for solve in (_solved, _bound):
        module, tensor = (
            torch.nn.Sequential(torch.nn.BatchNorm1d(1), torch.nn.Linear(1, 1, bias=False)),
            torch.tensor(8.0),
        )
        torch.nn.init.constant_(module[1].weight, 8.0)
        module[0].requires_grad_(False)
        answer, last = solve({"module": module, "tensor": tensor}, mm.Averaging(mm.SimultaneousGDA(mm.sgd(0.5))))
        assert last["module"] is module and answer["module"] is not module
        assert module[1].weight.item() == 1 and answer["module"][1].weight.item() == pytest.approx(7 / 3)
        assert last["tensor"] == 1 and answer["tensor"] == pytest.approx(7 / 3)
        assert torch.equal(answer["module"][0].running_mean, module[0].running_mean)


SHRINK = mm.Game(lambda m, x, b: m[1].weight.square().sum() / 2 + 0 * m(b).sum(), lambda m, x, b: x * x / 2)


def _solved(players: dict[str, Any], optimizer: mm.GameOptimizer) -> Any:
    found = mm.solve(SHRINK, players, optimizer, lambda k: torch.ones(2, 1), steps=3)
    return found.answer, found.players


def _bound(players: dict[str, Any], optimizer: mm.GameOptimizer) -> Any:
    trainer = mm.bind(SHRINK, players, optimizer)
    for _ in range(3):
        trainer.step(torch.ones(2, 1))
    averaged, answer = trainer.averaged(), trainer.answer()
    torch.testing.assert_close(list(averaged["module"].parameters()), list(answer["module"].parameters()))
    return answer, {"module": players["module"], **{"tensor": trainer.players["tensor"]}}


def test_the_moving_average_that_was_asked_for_goes_before_the_answer() -> None:
    """β = 1/2 from 8: 4, 2, 1 leave (((8 + 4)/2 + 2)/2 + 1)/2 = 2.5; the mean is 7/3."""
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(module.weight, 8.0)
    game = mm.Game(lambda m: m.weight.square().sum() / 2)
    trainer = mm.bind(game, (module,), mm.Averaging(mm.SimultaneousGDA(mm.sgd(0.5))), ema=0.5)
    for _ in range(3):
        trainer.step()
    assert trainer.averaged()[0].weight.item() == 2.5
    assert trainer.answer()[0].weight.item() == pytest.approx(7 / 3)
    assert mm.bind(game, (module,), mm.SimultaneousGDA(mm.sgd(0.5))).answer()[0] is module


@pytest.mark.parametrize("compile", [False, True])
def test_members_of_an_ensemble_answer_as_each_does_in_solve(
    compile: bool, float64: torch.dtype, quick: object
) -> None:
    """One converges, one plays on, one diverges: each answers with the mean of its iterates up to where it stands."""
    game, z = mm.Game(lambda x: x * x / 2), (torch.tensor(1.0),)
    rates, limits = [1.0, 0.5, 3.0], mm.Limits(tolerance=1e-6, growth=20.0)
    average = lambda rate: mm.Averaging(mm.SimultaneousGDA(mm.sgd(rate)), power=1.0)
    found = mm.ensemble(game, average(torch.tensor(rates)), [z] * 3, steps=12, limits=limits, compile=compile)
    for k, rate in enumerate(rates):
        alone = mm.solve(game, z, average(rate), steps=12, limits=limits)
        assert found.statuses[k].kind == alone.status.kind
        torch.testing.assert_close((found.answer[0][k], found.players[0][k]), (alone.answer[0], alone.players[0]))
    plain = mm.ensemble(game, mm.SimultaneousGDA(mm.sgd(0.5)), [z] * 2, steps=3)
    assert plain.answer is plain.players
