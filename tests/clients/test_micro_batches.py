"""Gradient accumulation and a moving average of the weights, `torch.optim.swa_utils` on the other side."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import minimax as mm
from minimax.transforms import accumulate
from tests.clients.gan import batch, loss_d, loss_g, networks

STEPS, PARTS, DECAY = 24, 4, 0.9


def by_hand(g: nn.Module, d: nn.Module, average: AveragedModel) -> Callable[[int], None]:
    """`(loss / PARTS).backward()` on every micro-batch, then one step."""
    optimizers = [torch.optim.Adam(module.parameters(), lr=2e-3, betas=(0.5, 0.999)) for module in (g, d)]

    def step(k: int) -> None:
        drawn = batch(k)
        chunks = zip(drawn["real"].chunk(PARTS), drawn["noise"].chunk(PARTS), strict=True)
        parts = [{"real": real, "noise": noise} for real, noise in chunks]
        for loss, optimizer in ((loss_d, optimizers[1]), (loss_g, optimizers[0])):
            optimizer.zero_grad()
            for part in parts:
                (loss(g, d, part) / PARTS).backward()
            optimizer.step()
        average.update_parameters(g)

    return step


def test_micro_batches_and_moving_average(twins: Any, side_by_side: Any) -> None:
    """Every micro-batch moves BatchNorm's statistics by its own, in order."""
    hand, ours = twins(*networks())
    average = AveragedModel(hand[0], multi_avg_fn=get_ema_multi_avg_fn(DECAY))
    average.update_parameters(hand[0])  # the first update only copies; ours starts where the players do
    game = accumulate(mm.Game(loss_g, loss_d), PARTS)
    optimizer = mm.AlternatingGDA(mm.adam(2e-3, betas=(0.5, 0.999)), order=(1, 0))
    trainer = mm.bind(game, ours, optimizer, ema=DECAY)

    def step(k: int) -> None:
        trainer.step(batch(k))
        found, _ = trainer.averaged()
        expected = dict(average.module.named_parameters())
        torch.testing.assert_close(dict(found.named_parameters()), expected, rtol=1e-10, atol=1e-10)
        assert all(map(torch.equal, found.buffers(), ours[0].buffers())), "the statistics are the present ones"

    side_by_side(STEPS, (hand, by_hand(*hand, average)), (ours, step))
    assert ours[0][1].num_batches_tracked == 2 * PARTS * STEPS and ours[1][3].num_batches_tracked == 3 * PARTS * STEPS
    assert (average.module[0].weight - hand[0][0].weight).abs().max() > 1e-3, "the average lags"


def test_whole_batches_without_batch_norm(schedule: Any, twins: Any, side_by_side: Any) -> None:
    """Micro-batches play as a loop on whole batches, under every schedule."""
    hand, ours = twins(*networks(nn.LayerNorm))
    optimizers = [torch.optim.Adam(module.parameters(), lr=2e-3, betas=(0.5, 0.999)) for module in hand]
    loop = schedule.hand((loss_g, loss_d), hand, optimizers)
    game = accumulate(mm.Game(loss_g, loss_d), PARTS)
    trainer = mm.bind(game, ours, schedule.ours(mm.adam(2e-3, betas=(0.5, 0.999))))
    side_by_side(STEPS, (hand, lambda k: loop.step(batch(k))), (ours, lambda k: trainer.step(batch(k))))
