"""What `inspect` and `refuse_cuts` see of losses at the first step, and what they must not take offence at."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus
from torch.nn.utils import parametrizations

import minimax as mm
from tests.gan import PLAIN, SQUARE, batch, flat, loss_d, loss_g, net

pytestmark = pytest.mark.usefixtures("float64")


class Listed(nn.Module):
    """Reads its weight from a list of its own, where a value that stands in its place is not seen."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(1, 2)), nn.Parameter(torch.zeros(1))
        self.kept = [self.weight] if kind == "list" else {"w": nn.Identity(), "value": self.weight}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.kept[0] if isinstance(self.kept, list) else self.kept["value"]
        return x @ weight.T + self.bias


@pytest.mark.parametrize("kind", ["list", "dict"])
@pytest.mark.parametrize("compile", [False, True])
def test_a_parameter_read_past_its_module_is_refused(kind: str, compile: bool) -> None:
    module = Listed(kind)
    trainer = mm.bind(SQUARE, (module,), PLAIN, compile=compile)
    with pytest.raises(mm.GameError, match=r"a loss reaches players\[0\]\.weight by another way .*nn\.ParameterList"):
        trainer.step(batch(0))
    assert torch.equal(module.weight, torch.ones(1, 2)) and trainer.steps == 0


def test_a_parameter_in_a_closure_is_refused() -> None:
    g, d = net(2), net()
    weight = d[0].weight
    game = mm.Game(loss_g, lambda g, d, b: loss_d(g, d, b) + 0.1 * weight.square().sum())
    with pytest.raises(mm.GameError, match=r"a loss reaches players\[1\]\.0\.weight by another way"):
        mm.bind(game, (g, d), PLAIN).step(batch(0))


def detached_fake(g: Any, d: Any, b: Any) -> torch.Tensor:
    return (softplus(-d(b["real"])) + softplus(d(g(b["noise"]).detach()))).mean()


def data_of_fake(g: Any, d: Any, b: Any) -> torch.Tensor:
    return (softplus(-d(b["real"])) + softplus(d(g(b["noise"]).data))).mean()


def fake_without_grad(g: Any, d: Any, b: Any) -> torch.Tensor:
    with torch.no_grad():
        fake = g(b["noise"])
    return (softplus(-d(b["real"])) + softplus(d(fake))).mean()


def penalty_on_detached(g: Any, d: Any, b: Any) -> torch.Tensor:
    """The usual WGAN-GP: the loss sees the fake, its penalty a detached one."""
    fake = g(b["noise"])
    mixed = mm.penalties.wgan_gp(d, b["real"], fake.detach(), torch.full((6,), 0.5))
    return d(fake).mean() - d(b["real"]).mean() + mixed


def only_logged(g: Any, d: Any, b: Any) -> torch.Tensor:
    loss = loss_d(g, d, b)
    with torch.no_grad():
        d(g(b["noise"])).mean()
    loss.detach().item()
    return loss


CUTS = [detached_fake, data_of_fake, fake_without_grad, penalty_on_detached]


@pytest.mark.parametrize("optimizer", [mm.ConsensusOptimization(mm.sgd(0.1)), mm.LOLA(mm.sgd(0.1))], ids=["co", "lola"])
@pytest.mark.parametrize("loss", CUTS)
def test_second_derivatives_through_a_cut_are_refused(loss: Any, optimizer: mm.GameOptimizer) -> None:
    g, d = net(2), net()
    before = flat(g, d)
    with pytest.raises(mm.GameError, match=r"the loss of players\[1\] cuts a gradient .*drop the cut"):
        mm.bind(mm.Game(loss_g, loss), (g, d), optimizer).step(batch(0))
    assert torch.equal(flat(g, d), before)
    mm.bind(mm.Game(loss_g, loss), (g, d), optimizer, check=False).step(batch(0))
    mm.bind(mm.Game(loss_g, loss), (g, d), mm.ExtraGradient(mm.sgd(0.1))).step(batch(0))


@pytest.mark.parametrize("norm", [parametrizations.spectral_norm, nn.utils.spectral_norm])
def test_what_a_layer_or_a_log_cuts_is_no_cut_of_the_loss(norm: Any) -> None:
    """Spectral norm iterates without gradients, and losses are printed: neither is refused."""
    g, d = net(2), net()
    norm(d[0])
    mm.bind(mm.Game(loss_g, only_logged), (g, d), mm.ConsensusOptimization(mm.sgd(0.1))).step(batch(0))


@pytest.mark.parametrize("compile", [False, True])
def test_a_loss_that_ignores_its_player_is_refused_compiled_too(compile: bool) -> None:
    game = mm.Game(loss_g, lambda g, d, b: g(b["noise"]).mean())
    with pytest.raises(mm.GameError, match=r"the loss of players\[1\] does not depend on that player"):
        mm.bind(game, (net(2), net()), PLAIN, compile=compile).step(batch(0))
