"""Layers that keep their weights in ways of their own, and modules that are compiled before they are bound."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm

pytestmark = pytest.mark.usefixtures("float64")


class Recurrent(nn.Module):
    """cuDNN's layers hand a list of their weights to one kernel."""

    def __init__(self, out: int) -> None:
        super().__init__()
        self.memory, self.last = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.memory(x)[0])


def attention(out: int) -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, nhead=2, dim_feedforward=16, dropout=0.0, batch_first=True)
    return nn.Sequential(nn.Linear(2, 8), layer, nn.Linear(8, out))


def tied(out: int) -> nn.Module:
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2), nn.Linear(2, out))
    net[2].weight = net[0].weight
    return net


def loss_g(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return softplus(-d(g(batch["noise"]))).mean()


def loss_d(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return softplus(-d(batch["real"])).mean() + softplus(d(g(batch["noise"]))).mean()


def batch(k: int) -> dict[str, Tensor]:
    noise, real = torch.randn(2, 3, 5, 2, generator=torch.Generator().manual_seed(k))
    return {"noise": noise, "real": real}


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # dynamo's, of D's input
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("network", [Recurrent, attention, tied])
def test_layers(network: type[nn.Module], compiled: bool) -> None:
    ours = network(2), network(1)
    theirs = copy.deepcopy(ours)
    bound = tuple(torch.compile(module, backend="eager") if compiled else module for module in ours)
    trainer = mm.bind(mm.Game(loss_g, loss_d), bound, mm.AlternatingGDA(mm.sgd(0.1, momentum=0.9)))
    optimizers = [torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9) for module in theirs]
    for k in range(8):
        trainer.step(batch(k))
        for optimizer, loss in zip(optimizers, (loss_g, loss_d), strict=True):
            optimizer.zero_grad()
            loss(*theirs, batch(k)).backward()
            optimizer.step()
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.state_dict(), reference.state_dict(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(ours[1](batch(9)["real"]), theirs[1](batch(9)["real"]))  # what is left behind is theirs
