"""Weights of penalties may be schedules, which follow the steps of whatever optimizer plays."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import minimax as mm
from minimax import transforms

pytestmark = pytest.mark.usefixtures("float64")

START = (torch.tensor([1.0, -0.5], dtype=torch.float64), torch.tensor([0.3, 0.7], dtype=torch.float64))


def payoff(x: Tensor, y: Tensor) -> Tensor:
    return x.sin() @ y + (x**2).sum() - (y**2).sum() / 4


def term(x: Tensor, y: Tensor) -> Tensor:
    return (y**4).sum() + x @ y


GAME = mm.zero_sum(payoff)
MAKE: dict[str, Callable[[Any], mm.Game]] = {
    "consensus": lambda γ: transforms.consensus(GAME, γ),
    "jare": lambda γ: transforms.jare(GAME, γ),
    "nagarajan_kolter": lambda γ: transforms.nagarajan_kolter(GAME, γ),
    "gradient_norms": lambda γ: transforms.gradient_norms(GAME, [[0.1, γ], [γ, 0.0]]),
    "add": lambda γ: transforms.add(GAME, term, 1, weight=γ),
    "add inside": lambda γ: transforms.consensus(transforms.add(GAME, term, 1, weight=γ), 0.1),
}
OPTIMIZERS = {
    "simultaneous": mm.SimultaneousGDA(mm.sgd(0.05)),
    "critic steps": mm.AlternatingGDA(mm.adam(0.05), steps=(1, 2)),
    "wrapped": mm.Lookahead(mm.ExtraGradient(mm.sgd(0.05)), k=2),
    "second order": mm.SymplecticGradientAdjustment(mm.sgd(0.05)),
}


def falling(step: Tensor) -> Tensor:
    return 0.5 - 0.1 * step.double()


def run(optimizer: mm.GameOptimizer, game_of_step: Callable[[int], mm.Game]) -> tuple[Tensor, ...]:
    z, state = START, optimizer.init(game_of_step(0), START)
    for k in range(4):
        z, state, _ = optimizer.step(game_of_step(k), z, state)
    return z


@pytest.mark.parametrize("play", OPTIMIZERS)
@pytest.mark.parametrize("name", MAKE)
def test_a_schedule_is_the_number_of_the_step(name: str, play: str) -> None:
    scheduled, optimizer = MAKE[name](falling), OPTIMIZERS[play]
    found = run(optimizer, lambda k: scheduled)
    expected = run(optimizer, lambda k: MAKE[name](0.5 - 0.1 * k))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(found[1], run(optimizer, lambda k: MAKE[name](0.5))[1])


@pytest.mark.parametrize("name", MAKE)
def test_compiled_and_in_an_ensemble(name: str) -> None:
    game, optimizer = MAKE[name](falling), OPTIMIZERS["simultaneous"]
    expected = run(optimizer, lambda k: game)
    torch.testing.assert_close(mm.ensemble(game, optimizer, [START] * 2, steps=4).member(1), expected)
    torch._dynamo.reset()
    step = torch.compile(lambda z, s: optimizer.step(game, z, s)[:2], fullgraph=True, backend="eager")
    z, state = START, optimizer.init(game, START)
    for _ in range(4):
        z, state = step(z, state)
    torch.testing.assert_close(z, expected)
    torch.testing.assert_close(mm.solve(game, START, optimizer, steps=4).players, expected)


def test_it_keeps_the_dtype_of_the_losses_and_goes_on_where_it_was() -> None:
    """A float64 schedule on a float32 network, saved and loaded."""
    torch.set_default_dtype(torch.float32)

    def trainer() -> mm.Trainer:
        torch.manual_seed(0)
        nets = nn.Linear(2, 1), nn.Linear(1, 1)
        game = mm.zero_sum(lambda g, d, batch: d(g(batch)).mean())
        r1 = lambda g, d, batch: mm.penalties.r1(d, batch[:, :1])
        return mm.bind(transforms.add(game, r1, 1, weight=falling), nets, mm.ExtraGradient(mm.adam(0.05)))

    batches = [torch.randn(4, 2) for _ in range(4)]
    straight, first, second = trainer(), trainer(), trainer()
    for batch in batches:
        info = straight.step(batch)
    assert {loss.dtype for loss in info.losses} == {torch.float32}
    for batch in batches[:2]:
        first.step(batch)
    second.load_state_dict(first.state_dict())
    for batch in batches[2:]:
        second.step(batch)
    for mine, expected in zip(second.modules, straight.modules, strict=True):
        assert all(map(torch.equal, mine.parameters(), expected.parameters()))


@pytest.mark.parametrize("name", MAKE)
def test_outside_of_a_step_it_has_no_value(name: str) -> None:
    with pytest.raises(mm.GameError, match="the weight of a penalty is a schedule, which has a value within an optimi"):
        MAKE[name](falling).losses(START)
    MAKE[name](0.5).losses(START)


def test_what_is_no_weight() -> None:
    with pytest.raises(ValueError, match="weight must be a finite number, a tensor of such or a schedule step -> numb"):
        transforms.add(GAME, term, 1, weight="heavy")
