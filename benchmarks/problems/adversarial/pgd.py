from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import minimax as mm
from benchmarks.problem import Batch
from benchmarks.problems.adversarial._defence import STEPS, Defence, first
from benchmarks.quality.robustness import Reach
from minimax.transforms import best_response


class PGD(Defence):
    """Robust classification: min over weights of E max over |δ| <= .15 of CE(f(x + δ), y), x + δ in [0, 1].

    δ answers every batch anew by ten steps of sign ascent from a random start, and stands still while the weights
    move.

    Source: Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, 2018.
    """

    name = "pgd"
    targets: ClassVar[Mapping[str, float]] = {"robust_accuracy": 0.6, "gain": 0.4}

    def game(self) -> mm.Game:
        return best_response(mm.zero_sum(loss), 1, first, self.rule, STEPS, constraint=self.limits)


class PGDBall(PGD):
    """The same in the Euclidean distance, |δ| <= .75: signs of slopes, and a projection on the ball.

    Source: as for `pgd`, whose steps are along the gradient there.
    """

    name = "pgd-l2"
    reach = Reach(0.75, 2)
    targets: ClassVar[Mapping[str, float]] = {}


def loss(net: nn.Module, δ: Tensor, batch: Batch) -> Tensor:
    """CE(f(x + δ), y)."""
    return cross_entropy(net(batch["x"] + δ), batch["y"])
