"""Activation checkpointing, `torch.utils.checkpoint`, reentrant and not: training equals that without checkpoints.

What is recomputed in the backward pass must be computed from the parameters that the forward pass had.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.checkpoint import checkpoint

import minimax as mm
from minimax.transforms import accumulate
from tests.clients.gan import batch, loss_d, loss_g

STEPS = 12

pytestmark = pytest.mark.filterwarnings(
    # Torch's reentrant checkpoint says this where a network does not train in this pass, which here is on purpose.
    "ignore:None of the inputs have requires_grad=True:UserWarning"
)


class Net(nn.Module):
    """Its middle is recomputed in the backward pass if `reentrant` says in which way."""

    def __init__(self, sizes: tuple[int, int], reentrant: bool | None = None) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(sizes[0], 8), nn.Linear(8, sizes[1])
        self.middle = nn.Sequential(nn.Tanh(), nn.Linear(8, 8), nn.Softplus())
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        again = self.reentrant is not None
        return self.last(checkpoint(self.middle, x, use_reentrant=self.reentrant) if again else self.middle(x))


def networks(where: str, reentrant: bool) -> tuple[nn.Module, nn.Module]:
    return Net((3, 2), reentrant if "g" in where else None), Net((2, 1), reentrant if "d" in where else None)


def both(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The losses in one function, which share the fake and the critic's score of it."""
    fake = d(g(batch["noise"]))
    return softplus(-fake).mean(), softplus(-d(batch["real"])).mean() + softplus(fake).mean()


GAMES = {"separate": mm.Game(loss_g, loss_d), "joint": mm.Game(both)}


def twin(modules: Any) -> tuple[nn.Module, nn.Module]:
    """Equal networks without checkpoints."""
    plain = networks("", False)
    for new, module in zip(plain, modules, strict=True):
        new.load_state_dict(module.state_dict())
    return plain


@pytest.mark.parametrize("losses", GAMES)
@pytest.mark.parametrize("reentrant", [False, True], ids=["non-reentrant", "reentrant"])
@pytest.mark.parametrize("where", ["g", "d", "gd"])
def test_checkpointed_networks(where: str, reentrant: bool, losses: str, schedule: Any, side_by_side: Any) -> None:
    ours = networks(where, reentrant)
    hand = twin(ours)
    optimizers = [torch.optim.Adam(module.parameters(), lr=1e-2, betas=(0.5, 0.999)) for module in hand]
    loop = schedule.hand((loss_g, loss_d), hand, optimizers)
    trainer = mm.bind(GAMES[losses], ours, schedule.ours(mm.adam(1e-2, betas=(0.5, 0.999))))
    side_by_side(STEPS, (hand, lambda k: loop.step(batch(k))), (ours, lambda k: trainer.step(batch(k))))


SECOND_ORDER = {
    "consensus": mm.ConsensusOptimization(mm.sgd(0.05), gamma=0.2),
    "sga": mm.SymplecticGradientAdjustment(mm.sgd(0.05)),
}


@pytest.mark.parametrize("losses", GAMES)
@pytest.mark.parametrize("where", ["g", "d", "gd"])
@pytest.mark.parametrize("name", SECOND_ORDER)
def test_second_order_methods_go_through_non_reentrant_ones(
    name: str, where: str, losses: str, side_by_side: Any
) -> None:
    ours = networks(where, False)
    hand = twin(ours)
    plain, trainer = (mm.bind(GAMES[losses], modules, SECOND_ORDER[name]) for modules in (hand, ours))
    side_by_side(STEPS, (hand, lambda k: plain.step(batch(k))), (ours, lambda k: trainer.step(batch(k))))


@pytest.mark.parametrize("losses", GAMES)
@pytest.mark.parametrize("name", SECOND_ORDER)
def test_second_order_methods_refuse_reentrant_ones(name: str, losses: str) -> None:
    """Torch cannot differentiate them twice; the sentence names the way out."""
    trainer = mm.bind(GAMES[losses], networks("gd", True), SECOND_ORDER[name])
    with pytest.raises(mm.GameError, match="use_reentrant=False"):
        trainer.step(batch(0))


@pytest.mark.parametrize("reentrant", [False, True], ids=["non-reentrant", "reentrant"])
def test_batch_norm_in_a_checkpoint(reentrant: bool, twins: Any, side_by_side: Any) -> None:
    """As in torch, what is computed again moves the running statistics again."""
    made = networks("gd", reentrant)
    for network in made:
        network.middle = nn.Sequential(nn.Tanh(), nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8), nn.Softplus())
    hand, ours = twins(*made)
    g, d = hand
    optimizer_g, optimizer_d = (torch.optim.Adam(m.parameters(), lr=1e-2, betas=(0.5, 0.999)) for m in hand)

    def step(k: int) -> None:
        drawn = batch(k)
        optimizer_d.zero_grad()
        with torch.no_grad():
            fake = g(drawn["noise"])
        (softplus(-d(drawn["real"])).mean() + softplus(d(fake)).mean()).backward()
        optimizer_d.step()
        optimizer_g.zero_grad()
        softplus(-d(g(drawn["noise"]))).mean().backward()
        optimizer_g.step()

    optimizer = mm.AlternatingGDA(mm.adam(1e-2, betas=(0.5, 0.999)), order=(1, 0))
    trainer = mm.bind(GAMES["separate"], ours, optimizer)
    side_by_side(STEPS, (hand, step), (ours, lambda k: trainer.step(batch(k))))
    assert ours[0].middle[2].num_batches_tracked == 3 * STEPS


@pytest.mark.parametrize("reentrant", [False, True], ids=["non-reentrant", "reentrant"])
def test_on_micro_batches(reentrant: bool, schedule: Any, side_by_side: Any) -> None:
    ours = networks("gd", reentrant)
    hand = twin(ours)
    optimizers = [torch.optim.Adam(module.parameters(), lr=1e-2, betas=(0.5, 0.999)) for module in hand]
    loop = schedule.hand((loss_g, loss_d), hand, optimizers)
    trainer = mm.bind(accumulate(GAMES["joint"], 2), ours, schedule.ours(mm.adam(1e-2, betas=(0.5, 0.999))))
    side_by_side(STEPS, (hand, lambda k: loop.step(batch(k))), (ours, lambda k: trainer.step(batch(k))))
