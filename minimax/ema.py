"""Moving averages of players, and of their modules' buffers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from minimax import tree, validation
from minimax.rules import Hyperparameter, now
from minimax.types import Players


class EMA:
    r"""An exponential moving average of the players: z̄ ← β z̄ + (1-β) z, starting at the first z.

    Args:
        players: where the average starts.
        decay: β in [0, 1), a float, a tensor or a schedule step -> float: `schedules.warmed` forgets the start sooner,
            `schedules.half_life` counts in samples, and both may start late.
        buffers: those of the players' modules, by name, to be averaged likewise (counters among them are the last
            ones); None for none.

    Raises:
        ValueError: a decay outside [0, 1), or one per member of an ensemble.

    Example:
        >>> import torch
        >>> ema = EMA((torch.tensor(0.0),), decay=0.9)
        >>> ema.update((torch.tensor(1.0),))
        >>> ema.players
        (tensor(0.1000),)
    """

    def __init__(
        self, players: Players, decay: Hyperparameter = 0.999, buffers: Mapping[str, Tensor] | None = None
    ) -> None:
        validation.hyperparameter("decay", decay, at_least=0, below=1)
        if isinstance(decay, Tensor) and decay.dim():
            raise ValueError(f"decay must be one number for all players, got {validation.shown(decay)}.")
        self.decay = decay
        leaves, self._spec = tree.flatten(players)
        self._mean = [leaf.detach().clone() for leaf in leaves]
        self.buffers = {name: buffer.detach().clone() for name, buffer in (buffers or {}).items()}

    def update(self, players: Players, step: Tensor | None = None, buffers: Mapping[str, Tensor] | None = None) -> None:
        """Take the players of one more step into the average.

        Args:
            players: shaped like the first ones.
            step: which step that was, from 0 on, as `state["step"]` was before it; for a decay that is a schedule.
            buffers: as that step left them, if buffers are averaged.

        Raises:
            ValueError: no step, where the decay is a schedule.
        """
        if step is None and callable(self.decay):
            raise ValueError("the decay is a schedule: say which step it was, ema.update(players, step).")
        decay = now(self.decay, torch.tensor(0) if step is None else step)
        self._mean = tree.lerp(self._mean, tree.flatten(players)[0], 1 - decay)
        for name, last in (buffers or {}).items() if self.buffers else ():
            mean = self.buffers[name]
            self.buffers[name] = tree.lerp([mean], [last], 1 - decay)[0] if mean.is_floating_point() else last.clone()

    @property
    def players(self) -> Players:
        """The average, shaped like the players."""
        mean: Players = tree.unflatten(self._mean, self._spec)
        return mean

    def load(self, players: Players, buffers: Mapping[str, Tensor] | None = None) -> None:
        """Go on from a saved average."""
        self._mean = [leaf.clone() for leaf in tree.flatten(players)[0]]
        self.buffers = {name: buffer.clone() for name, buffer in (buffers or {}).items()}
