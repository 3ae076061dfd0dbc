"""`torch.nn.utils.parametrizations.spectral_norm` in a player: its power iteration lives in buffers."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.nn.utils.parametrizations import spectral_norm

import minimax as mm

LIPSCHITZ = [
    mm.AlternatingGDA(mm.adam(1e-2), order=(1, 0)),
    mm.ExtraGradient(mm.adam(1e-2)),
    mm.ConsensusOptimization(mm.sgd(1e-2)),
    mm.CompetitiveGradientDescent(mm.sgd(1e-2)),
    mm.Unrolled(mm.sgd(1e-2), steps=2),
]


def modules() -> tuple[nn.Module, nn.Module]:
    d = nn.Sequential(spectral_norm(nn.Linear(2, 8)), nn.Tanh(), spectral_norm(nn.Linear(8, 1)))
    return nn.Linear(2, 2), d


def loss_g(g: nn.Module, d: nn.Module, batch: Tensor) -> Tensor:
    return softplus(-d(g(batch))).mean()


def loss_d(g: nn.Module, d: nn.Module, batch: Tensor) -> Tensor:
    real = softplus(-d(batch)).mean() + mm.penalties.r1(d, batch)
    return real + softplus(d(g(batch))).mean()


def norms(d: nn.Module) -> list[float]:
    d.eval()  # no power iteration
    largest = [torch.linalg.matrix_norm(d[k].weight, 2).item() for k in (0, 2)]
    d.train()
    return largest


@pytest.mark.parametrize("optimizer", LIPSCHITZ, ids=lambda optimizer: optimizer.name)
def test_the_norm_stays_one(optimizer: mm.GameOptimizer) -> None:
    """The weights move, and the power iteration follows them."""
    g, d = modules()
    trainer = mm.bind(mm.Game(loss_g, loss_d), (g, d), optimizer)
    before = {name: tensor.clone() for name, tensor in d.state_dict().items()}
    for _ in range(50):
        trainer.step(torch.randn(16, 2))
    after = d.state_dict()
    for name in ("parametrizations.weight.original", "parametrizations.weight.0._u"):
        assert (after[f"0.{name}"] - before[f"0.{name}"]).norm() > 1e-3
    assert norms(d) == pytest.approx([1, 1], abs=1e-2)


def test_without_the_power_iteration_the_norm_would_leave_one() -> None:
    """The test above can fail: with frozen buffers it does."""
    g, d = modules()
    trainer = mm.bind(mm.Game(loss_g, loss_d), (g, d), mm.AlternatingGDA(mm.adam(5e-2)))
    start = {name: buffer.clone() for name, buffer in d.named_buffers()}
    for _ in range(50):
        trainer.step(torch.randn(16, 2))
        for name, buffer in d.named_buffers():
            buffer.copy_(start[name])
    assert max(norms(d)) > 1.02


def test_evaluations_leave_the_buffers_alone() -> None:
    """A step is pure: the buffers it leaves behind come back in `Info`, to be committed once."""
    g, d = modules()
    game, players = mm.Game(loss_g, loss_d).functional((g, d))
    before = [buffer.clone() for buffer in d.buffers()]
    optimizer, batch = mm.ExtraGradient(mm.sgd(0.5)), torch.randn(16, 2)
    state = optimizer.init(game, players)
    first, second = (optimizer.step(game, players, state, batch) for _ in range(2))
    assert all(map(torch.equal, before, d.buffers()))
    assert all(torch.equal(first[0][1][name], second[0][1][name]) for name in players[1])
    game.commit(first[2].buffers)
    assert not all(map(torch.equal, before, d.buffers()))
