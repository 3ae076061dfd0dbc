"""What benchmarks.studies.learning times beside each other does the same."""

from collections.abc import Callable
from importlib.util import find_spec
from itertools import islice

import pytest
import torch

import minimax as mm
from benchmarks.problems.bilevel.hyperclean import Rows
from benchmarks.studies import learning

BY_TORCHOPT = pytest.param(
    learning.torchopt_hypergradient,
    marks=[
        pytest.mark.skipif(not find_spec("torchopt"), reason="needs torchopt"),
        pytest.mark.filterwarnings("ignore:We've integrated functorch:FutureWarning"),
    ],
)


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool(torch.allclose(a, b, rtol=0, atol=2e-5))


def test_the_loss_of_the_vae_by_hand_is_the_problems() -> None:
    problem, steps = learning.vae()
    players, batch = problem.players(0), problem.batch(0, 0)
    (loss,) = problem.game().losses(players, batch)
    assert torch.allclose(learning.vae_loss(*players, batch["real"], batch["noise"]), loss)
    assert steps == len(problem.images.train) // len(batch["real"]) > 1


def test_adversarial_training_by_hand_is_the_problems() -> None:
    problem = learning.pgd()
    (net,), (other,), (start,) = (problem.players(0) for _ in range(3))
    trainer = mm.bind(problem.game(), (net,), mm.SimultaneousGDA(mm.adam(2e-3)))
    hand = learning.hand_defence(problem, other)
    for batch in islice(learning.drawn(problem), 3):
        trainer.step(batch)
        hand()
    ours, theirs, first = (torch.cat([p.detach().flatten() for p in x.parameters()]) for x in (net, other, start))
    assert close(ours, theirs) and not close(ours, first)


@pytest.mark.parametrize("other", [learning.hand_hypergradient, BY_TORCHOPT])
def test_hypergradients_in_other_ways_are_the_librarys(other: Callable[..., Callable[[], object]]) -> None:
    """In double precision and few iterations: Adam blows small slopes up, and conjugate gradients rounding."""
    problem, optimizer = learning.hyperclean(), learning.led(3)
    problem.rows = Rows(*(part.double() if part.is_floating_point() else part for part in problem.rows))
    players, (θ, w) = (tuple(part.double() for part in problem.players(0)) for _ in range(2))
    state = optimizer.init(problem.game(), players)
    step = other(problem, θ, w, 3)
    for _ in range(3):
        players, state, _ = optimizer.step(problem.game(), players, state)
        step()
    assert float(players[0].abs().max()) > 0.2
    assert torch.allclose(players[0], θ.detach()) and torch.allclose(players[1], w.detach())
