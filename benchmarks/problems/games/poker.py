from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

import minimax as mm
from benchmarks.networks import seeded
from benchmarks.problem import Preset, Recipe
from benchmarks.problems.games.matrices import Exploited
from minimax import games
from minimax.games import ClosedForm


class KuhnPoker(Exploited):
    """Kuhn's poker in sequence form, from plans whose every choice the seed draws evenly; value 1/18 to the second.

    `gap` is NashConv: what both lose together to the best answers to their plans. Even play has 11/12.

    Source: Kuhn, A Simplified Two-Person Poker, 1950; von Stengel, Efficient Computation of Behavior Strategies, 1996.
    """

    name = "kuhn-poker"
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.5))
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(10, evaluations=2),
        **dict.fromkeys(("cpu", "gpu"), Preset(2000, evaluations=50)),
    }

    def form(self) -> ClosedForm:
        return games.kuhn_poker()

    def players(self, seed: int) -> tuple[Any, ...]:
        first, second = seeded(seed, lambda: torch.rand(2, 3, 2))
        bet, call = first.unbind(-1)
        x = torch.stack((1 - bet, bet, (1 - bet) * (1 - call), (1 - bet) * call), -1)
        return x.to(self.device), torch.stack((1 - second, second), -1).to(self.device)

    @property
    def even(self) -> tuple[Any, ...]:
        return tuple(self.closed.start)
