"""What a benchmark problem is. A problem knows no optimizer, no command line and no files."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
import torch

import minimax as mm
from benchmarks.pictures import Picture
from minimax.rules import Hyperparameter

Batch: TypeAlias = Any
Memory: TypeAlias = dict[str, torch.Tensor] | None
Better: TypeAlias = Literal["lower", "higher"]
Pictures: TypeAlias = Mapping[str, np.ndarray | Picture]
"""By name: uint8, (height, width[, 3]), with labels or without; 2-D problems give float points, (n, 2)."""


class View(NamedTuple):
    """What is evaluated and pictured.

    Args:
        players: as the problem made them, modules or tensors.
        memory: what training remembers beside them.
        seed: of the run.
    """

    players: tuple[Any, ...]
    memory: Memory
    seed: int


@dataclass(frozen=True)
class Metric:
    """A number that an evaluation yields.

    Args:
        name: one word, such as kid or fair_modes; nothing is read out of it.
        better: lower or higher; None where neither is, as for a coordinate.
        unit: what it is counted in, such as nats, or the feature space that a distance is measured in.
        range: the least and the greatest value there can be.
        headline: whether rows and figures lead with it; exactly one metric of a problem does.
        target: what a good run reaches at its last iterate, if that is known.
        coverage: whether it says how much of the data is covered: rows show it beside the headline, and falling below
            half its peak is a collapse.
        gate: the value from which on, to the worse side, a run fails whatever its headline says.
        flag: what a run is called that fails so.
    """

    name: str
    better: Better | None = "lower"
    unit: str = ""
    range: tuple[float, float] = (-math.inf, math.inf)
    headline: bool = False
    target: float | None = None
    coverage: bool = False
    gate: float | None = None
    flag: str = "collapsed"

    @property
    def aim(self) -> str:
        """The target in words, such as `<= 0.1`; empty without one."""
        return "" if self.target is None else f"{'>=' if self.better == 'higher' else '<='} {self.target:g}"

    def met(self, value: float) -> bool:
        """Whether a value reaches the target; nan does not."""
        assert self.target is not None
        return value >= self.target if self.better == "higher" else value <= self.target

    def fails(self, value: float) -> bool:
        """Whether a value lies beyond the gate; nan does not."""
        if self.gate is None:
            return False
        return value < self.gate if self.better == "higher" else value > self.gate


class Floor(NamedTuple):
    """A value to read a metric against: real data against real, a trivial model, the equilibrium.

    Args:
        metric: the metric's name.
        what: what scores so, such as real or k-means.
        value: how it scores.
        low: where it scores differently each time, the end that one time in twenty stays below.
        high: the other end.
    """

    metric: str
    what: str
    value: float
    low: float | None = None
    high: float | None = None


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
    """How the source trains; the parameters of `--optimizer` override it.

    Args:
        rule: one for all players, or one each.
        steps: moves per player and step under alternating play, say (1, 5).
        order: the order of the moves under alternating play; None for first to last.
        factors: of the players' rates under methods that move each once a step, in place of several steps of one.
        decay: the learning rates fall linearly to zero over the run.
        clip: the norm that each player's gradient is clipped to.
        ema: after how many steps an iterate counts half in the average that is evaluated beside the last iterate; a
            number, or a schedule of the step: at 0 the average starts anew.
    """

    rule: mm.Rule | tuple[mm.Rule, ...] = mm.adam(2e-4)
    steps: int | tuple[int, ...] = 1
    order: tuple[int, ...] | None = None
    factors: tuple[float, ...] | None = None
    decay: bool = False
    clip: float | None = None
    ema: Hyperparameter | None = None


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
    version: ClassVar[int] = 1
    """Grows whenever a loss, a constant, the data or the evaluation changes the numbers: it identifies the runs."""
    datasets: ClassVar[tuple[str, ...]] = ()
    """The data sets it runs on, default first; empty for problems that need none."""
    folders: ClassVar[bool] = True
    """Whether a user's folder of images will do as well, where it takes data."""
    presets: ClassVar[Mapping[str, Preset]]
    recipe: ClassVar[Recipe] = Recipe()
    optimizers: ClassVar[tuple[str, ...]] = ()
    """What it is played by where `--optimizer` does not say, as that spells them; empty for what suites are."""
    skips: ClassVar[Mapping[str, str]] = {}
    """Optimizers that make no sense here, each with the sentence that says why."""
    leaves_out: ClassVar[str] = ""
    """What the gradients of its losses leave out on purpose, in words: how an answer moves, say. Empty: nothing."""

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
    def game(self) -> mm.Game:
        """The losses."""

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        """The draw-th batch of the run with this seed, a pure function of them; None if the losses take no batch."""
        return None

    def samples_in(self, batch: Batch) -> int:
        """How many samples a batch holds, for the costs; what a sample is, the problem says."""
        return 0 if batch is None else self.preset.batch

    def memory(self, seed: int) -> Memory:
        """What training remembers beyond players and state (a pool of past samples), or None."""
        return None

    def remember(self, memory: Memory, players: tuple[Any, ...], batch: Batch) -> Memory:
        """The memory after a step from which `players` came."""
        return memory

    @property
    @abstractmethod
    def metrics(self) -> Sequence[Metric]:
        """What `evaluate` yields; a tuple on the class does too."""

    @abstractmethod
    def evaluate(self, view: View) -> dict[str, float]:
        """The metrics by name. The same samples at every evaluation."""

    def floors(self) -> Iterable[Floor]:
        """What the metrics are read against."""
        return ()

    def pictures(self, view: View) -> Pictures:
        """Pictures from a fixed noise, or of fixed data."""
        return {}

    def truths(self) -> Pictures:
        """What pictures of the same names look like of real data; `modes`, (K, 2), are marked in pictures of points."""
        return {}

    def perfect(self, seed: int) -> tuple[Any, ...] | None:
        """Players that nothing beats, rigged where need be, as data handed out for samples; None if nobody knows any.

        They show that the evaluation tells good from bad: `benchmarks.testing` scores them beside untrained ones.
        """
        return None

    @property
    def headline(self) -> Metric:
        """The metric that rows and figures lead with."""
        (leading,) = (metric for metric in self.metrics if metric.headline)
        return leading

    def generator(self, seed: int, draw: int) -> torch.Generator:
        """The random numbers of one draw."""
        # Two odd multipliers spread (seed, draw) over 63 bits; nearby seeds share no stream.
        mixed = (seed * 0x9E3779B97F4A7C15 + draw * 0xBF58476D1CE4E5B9 + 1) % (1 << 63)
        return torch.Generator(device=self.device).manual_seed(mixed)
