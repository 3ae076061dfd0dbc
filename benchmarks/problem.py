"""What a benchmark problem is. A problem knows no optimizer, no command line and no files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

from minimax import Game

Batch = Any
Memory = dict[str, torch.Tensor] | None


@dataclass(frozen=True)
class Preset:
    """The size of a run.

    Args:
        steps: optimizer steps of a method that takes one gradient per player and step. Methods that take more get the
            same number of gradients, so fewer steps.
        batch: samples per batch.
        evaluations: how often a run is evaluated, spread evenly, the last after the last step.
        samples: how many samples an evaluation draws.
        options: what else the problem's sizes depend on (widths, resolution), by name.
    """

    steps: int
    batch: int = 64
    evaluations: int = 10
    samples: int = 512
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """How the source trains: the rule of every player and who moves how often. `--optimizer` parameters override it.

    Args:
        rule: sgd, rmsprop or adam.
        lr: one learning rate, or one per player.
        options: the rule's other arguments, say betas.
        steps: moves per player and step under alternating play, say (1, 5).
        order: the order of the moves under alternating play; None for first to last.
        decay: the learning rate falls linearly to zero over the run.
    """

    rule: str = "adam"
    lr: float | tuple[float, ...] = 2e-4
    options: Mapping[str, Any] = field(default_factory=dict)
    steps: int | tuple[int, ...] = 1
    order: tuple[int, ...] | None = None
    decay: bool = False


class Problem(ABC):
    """One benchmark: data, players, game, evaluation, pictures, and the numbers to read its scores against.

    Everything random is a pure function of (seed, draw), so paired runs see the same players and the same data, and a
    resumed run goes on exactly.

    Args:
        preset: smoke, cpu or gpu.
        data: the name of the data set, one of `datasets` or folder:PATH; None for the first of them.
        device: where everything lives.
    """

    name: ClassVar[str]
    datasets: ClassVar[tuple[str, ...]] = ()
    """The data sets it runs on, default first; empty for problems that need none."""
    headline: ClassVar[str]
    """The metric that rows and figures lead with."""
    higher_is_better: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Preset]]
    recipe: ClassVar[Recipe] = Recipe()
    targets: ClassVar[Mapping[str, tuple[str, float]]] = {}
    """Metric -> (">=" or "<=", value) that a good run reaches at its last iterate."""

    def __init__(self, preset: str = "cpu", data: str | None = None, device: str | torch.device = "cpu") -> None:
        self.preset = self.presets[preset]
        self.data = data if data is not None else (self.datasets[0] if self.datasets else None)
        self.device = torch.device(device)

    @property
    def title(self) -> str:
        """problem/data, as tables and figures call it."""
        return self.name if self.data is None else f"{self.name}/{self.data}"

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        """Fetch, decode and cache what workers load: data, feature networks. Runs once, in the parent."""
        return

    @abstractmethod
    def players(self, seed: int) -> tuple[Any, ...]:
        """The initial players: modules or tensors, on the device."""

    @abstractmethod
    def game(self) -> Game:
        """The losses."""

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        """The draw-th batch of the run with this seed, a pure function of them; None if the losses take no batch."""
        return None

    def memory(self, seed: int) -> Memory:
        """What training remembers beyond players and state (a pool of past samples), or None."""
        return None

    def remember(self, memory: Memory, players: tuple[Any, ...], batch: Batch) -> Memory:
        """The memory after a step from which `players` came."""
        return memory

    @abstractmethod
    def evaluate(self, players: tuple[Any, ...], seed: int) -> dict[str, float]:
        """The metrics at these players, modules as `players` made them. The same samples at every evaluation."""

    def floors(self) -> dict[str, float]:
        """Reference values, by metric or `metric/what`: real against real, a trivial model, the equilibrium."""
        return {}

    def pictures(self, players: tuple[Any, ...], seed: int) -> dict[str, np.ndarray]:
        """Pictures from a fixed noise, by name: uint8, (height, width[, 3]); 2-D problems give float points, (n, 2)."""
        return {}

    def generator(self, seed: int, draw: int) -> torch.Generator:
        """The random numbers of one draw."""
        # Two odd multipliers spread (seed, draw) over 63 bits; nearby seeds share no stream.
        mixed = (seed * 0x9E3779B97F4A7C15 + draw * 0xBF58476D1CE4E5B9 + 1) % (1 << 63)
        return torch.Generator(device=self.device).manual_seed(mixed)
