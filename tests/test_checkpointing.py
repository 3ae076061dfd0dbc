"""Checkpointed activations are computed again in the backward pass: from the point at which the loss was."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus
from torch.utils.checkpoint import checkpoint

import minimax as mm
from minimax.optimizers import BY_NAME
from tests.gan import GAN, SQUARE, batch, drawn, flat

pytestmark = pytest.mark.usefixtures("float64")


class Checkpointed(nn.Module):
    def __init__(self, out: int, reentrant: bool | None) -> None:
        super().__init__()
        self.first, self.last = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, out)
        self.reentrant = reentrant

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.reentrant is None:
            return self.last(self.first(x))
        if self.reentrant and not x.requires_grad:  # or torch takes no gradient of what is inside
            x = x.detach().requires_grad_()
        return self.last(checkpoint(self.first, x, use_reentrant=self.reentrant))


def together(g: Any, d: Any, b: Any) -> tuple[torch.Tensor, torch.Tensor]:
    fake, real = d(g(b["noise"])), d(b["real"])
    return softplus(-fake).mean(), (softplus(-real) + softplus(fake)).mean()


def played(name: str, game: mm.Game, in_g: bool | None, in_d: bool | None) -> tuple[torch.Tensor, int]:
    """Where both end, and how many second-order products a step took."""
    torch.manual_seed(1)
    g, d = Checkpointed(2, in_g), Checkpointed(1, in_d)
    trainer = mm.bind(game, (g, d), BY_NAME[name].of(mm.adam(0.02)))
    for step in range(3):
        info = trainer.step(*drawn(trainer.method, step))
    return flat(g, d), info.cost.hvps


@pytest.mark.parametrize("game", [GAN, mm.Game(together)], ids=["apart", "joint"])
@pytest.mark.parametrize("name", BY_NAME)
def test_checkpointed_activations_change_nothing(name: str, game: mm.Game) -> None:
    plain, products = played(name, game, None, None)
    for in_g, in_d in ((False, None), (None, False), (False, False)):
        torch.testing.assert_close(played(name, game, in_g, in_d)[0], plain, rtol=1e-10, atol=1e-12)
    for in_g, in_d in ((True, None), (None, True), (True, True)):
        if not products:
            torch.testing.assert_close(played(name, game, in_g, in_d)[0], plain, rtol=1e-10, atol=1e-12)
        else:
            with pytest.raises(mm.GameError, match="use_reentrant=False"):
                played(name, game, in_g, in_d)


def test_a_field_through_reentrant_checkpoints_without_a_trainer() -> None:
    """Weights inside such a checkpoint are no part of the graph: their gradient was zero without a word."""
    torch.manual_seed(1)
    plain, hidden = Checkpointed(1, None), Checkpointed(1, True)
    hidden.load_state_dict(plain.state_dict())
    for ours, theirs in zip(*(SQUARE.field((m,), batch(0))[0].values() for m in (plain, hidden)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
