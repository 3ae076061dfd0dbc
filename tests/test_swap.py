"""Modules and tensors that cannot be played are refused in a sentence that says what to do."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import minimax as mm

OPTIMIZER = mm.SimultaneousGDA(mm.sgd(0.1))
GAME = mm.Game(lambda g, d, b: d(g(b)).mean(), lambda g, d, b: d(b).square().mean() - d(g(b)).mean())


def bound(layer: nn.Module) -> mm.Trainer:
    return mm.bind(GAME, (nn.Sequential(nn.Linear(2, 2), layer), nn.Linear(2, 1)), OPTIMIZER)


def under_inference(make: Callable[[], object]) -> Callable[[], object]:
    return torch.inference_mode()(make)


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: torch.jit.script(nn.Linear(2, 2)), r"players\[0\].1 is a torch.jit module, .* pass the plain module"),
        (lambda: torch.jit.trace(nn.Tanh(), torch.ones(2)), r"players\[0\].1 is a torch.jit module"),
        (lambda: nn.LazyLinear(2), r"players\[0\].1.weight has no shape yet: run a batch through"),
        (lambda: nn.LazyBatchNorm1d(affine=False), r"players\[0\].1.running_mean has no shape yet"),
        (lambda: nn.Linear(2, 2, device="meta"), r"players\[0\].1.weight lies on the meta device .*to_empty"),
        (lambda: nn.BatchNorm1d(2, affine=False, device="meta"), r"players\[0\].1.running_mean lies on the meta"),
        (under_inference(lambda: nn.Linear(2, 2)), r"players\[0\].1.weight was made under torch.inference_mode"),
        (under_inference(lambda: nn.BatchNorm1d(2, affine=False)), r"players\[0\].1.running_mean was made under"),
    ],
)
def test_modules_that_cannot_be_played(make: Callable[[], nn.Module], sentence: str) -> None:
    with pytest.raises(mm.GameError, match=sentence):
        bound(make())


def test_nothing_is_stepped_under_inference_mode() -> None:
    trainer, batch = bound(nn.Tanh()), torch.randn(4, 2)
    with torch.inference_mode(), pytest.raises(mm.GameError, match=r"inference_mode is on, .* step outside of it"):
        trainer.step(batch)
    with torch.no_grad():
        assert trainer.step(batch).finite


def test_tensors_of_inference_mode_are_no_players() -> None:
    def product(x: Tensor, y: Tensor) -> Tensor:
        return x @ y

    with torch.inference_mode():
        z = torch.ones(2), torch.ones(2)
    with pytest.raises(mm.GameError, match=r"players\[0\] was made under torch.inference_mode: .clone\(\) it"):
        mm.solve(mm.zero_sum(product), z, OPTIMIZER, steps=1)
