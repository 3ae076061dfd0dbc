import math

import pytest
import torch
from torch import Tensor, nn

from benchmarks.problem import View
from benchmarks.problems import _losses
from benchmarks.problems.gans import gan, lsgan, wgan, wgan_gp
from benchmarks.testing import play
from minimax import AlternatingGDA


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    gan.GAN.prepare(None, None, download=False)


class Constant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1) * 0 + 0.3


UP, DOWN = math.log1p(math.exp(0.3)), math.log1p(math.exp(-0.3))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (gan.generator_loss, -UP),
        (_losses.nonsaturating_generator, DOWN),
        (_losses.logistic_critic, UP + DOWN),
        (lsgan.generator_loss, 0.49 / 2),
        (lsgan.critic_loss, (0.49 + 0.09) / 2),
        (_losses.wasserstein_generator, -0.3),
        (_losses.wasserstein_critic, 0.0),
        (wgan_gp.critic_loss, 10.0),  # a constant critic has slope 0, one away from 1
    ],
)
def test_losses_by_hand(loss, expected: float) -> None:
    batch = {"real": torch.zeros(2, 1, 1, 1), "noise": torch.zeros(2, 1, 1, 1), "between": torch.rand(2)}
    assert loss(nn.Identity(), Constant(), batch).item() == pytest.approx(expected)


def test_wgan_clips_its_critic_and_nothing_else() -> None:
    it = wgan.WGAN("smoke")
    g, d = play(it, AlternatingGDA(it.recipe.rule, steps=it.recipe.steps, order=it.recipe.order), 2).players
    assert max(w.abs().max().item() for w in d.parameters()) <= 0.01 + 1e-9
    assert max(w.abs().max().item() for w in g.parameters()) > 0.02


def test_real_images_score_better_than_an_untrained_generator() -> None:
    it = gan.GAN("cpu")
    floors = {floor.metric: floor.value for floor in it.floors()}
    assert floors["kid"] < 0.05 < it.evaluate(View(it.players(0), None, 0))["kid"]
