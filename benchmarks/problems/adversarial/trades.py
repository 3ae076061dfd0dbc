from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div

import minimax as mm
from benchmarks.problem import Batch, Memory
from benchmarks.problems.adversarial._defence import STEPS, Defence, first
from minimax.transforms import best_response

BETA, NEAR = 6.0, 1e-3


class TRADES(Defence):
    """Accuracy and steadiness apart: CE(f(x), y) + 6 KL(f(x) | f(x + δ)) against -KL, which need not know the label.

    δ starts at normal noise of .001, as KL has no slope at 0, and answers every batch anew by ten steps.

    Source: Zhang et al., Theoretically Principled Trade-off between Robustness and Accuracy, 2019.
    """

    name = "trades"

    def game(self) -> mm.Game:
        game = mm.Game(loss, lambda net, δ, batch: -apart(net, δ, batch))
        return best_response(game, 1, first, self.rule, STEPS, constraint=self.limits)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size = self.generator(seed, draw), self.preset.batch
        x, y = self.images.batch(stream, size)
        return {"x": x, "y": y, "start": NEAR * torch.randn(x.shape, generator=stream, device=self.device)}


def apart(net: nn.Module, δ: Tensor, batch: Batch) -> Tensor:
    """KL(f(x) | f(x + δ)), the mean."""
    plain, moved = (net(at).log_softmax(1) for at in (batch["x"], batch["x"] + δ))
    return kl_div(moved, plain, reduction="batchmean", log_target=True)


def loss(net: nn.Module, δ: Tensor, batch: Batch) -> Tensor:
    """CE(f(x), y) + 6 KL(f(x) | f(x + δ))."""
    return cross_entropy(net(batch["x"]), batch["y"]) + BETA * apart(net, δ, batch)
