from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import minimax as mm
from benchmarks import data as sets
from benchmarks.networks import MLP, seeded
from benchmarks.problem import Batch, Floor, Memory, Metric, Preset, Problem, Recipe, View
from benchmarks.quality.labels import share
from benchmarks.quality.reference import trained
from benchmarks.quality.robustness import robust_accuracy
from minimax.projections import box
from minimax.transforms import best_response

RADIUS, STEPS = 0.15, 10  # how far a pixel in [0, 1] may move, and in how many steps


class PGD(Problem):
    """Robust classification: min over weights of E max over |δ| <= .15 of CE(f(x + δ), y), x + δ in [0, 1].

    δ answers every batch anew by ten steps of sign ascent from a random start, and stands still while the weights
    move. `robust_accuracy` is under an attack of twice as many steps from two starts.

    Source: Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, 2018.
    """

    name = "pgd"
    datasets = ("digits",)
    optimizers = ("simultaneous", "extragradient", "optimistic")
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, 16, evaluations=1, options={"width": 16}),
        "cpu": Preset(11_000, 64, evaluations=5, options={"width": 128}),  # steps of eleven gradients: a thousand
        "gpu": Preset(110_000, 128, evaluations=10, options={"width": 512}),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.adam(2e-3))
    metrics = (
        Metric("robust_accuracy", "higher", range=(0, 1), headline=True, target=0.6),
        Metric("accuracy", "higher", range=(0, 1)),
    )

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        sets.prepare(sets.among(data, cls.datasets, cls.name), root, download)

    @cached_property
    def images(self) -> sets.Images:
        """The data, pixels in [0, 1]."""
        return sets.load(str(self.data), device=self.device).unit()

    def players(self, seed: int) -> tuple[Any, ...]:
        width, pixels = self.preset.options["width"], self.images.train[0].numel()
        sizes = (pixels, width, width, self.images.classes)
        return (seeded(seed, lambda: nn.Sequential(nn.Flatten(), MLP(sizes))).to(self.device),)

    def game(self) -> mm.Game:
        rule = mm.sign(2.5 * RADIUS / STEPS)
        return best_response(mm.zero_sum(loss), 1, start, rule, STEPS, constraint=reach)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size = self.generator(seed, draw), self.preset.batch
        x, y = self.images.batch(stream, size)
        return {"x": x, "y": y, "start": RADIUS * (2 * torch.rand(x.shape, generator=stream, device=self.device) - 1)}

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        return self.judge(view.players[0])

    def judge(self, net: nn.Module) -> dict[str, float]:
        """The metrics of a classifier."""
        x, y = self.images.test, self.images.test_labels
        return {"robust_accuracy": robust_accuracy(net, x, y, RADIUS), "accuracy": share(net(x).argmax(1) == y)}

    def floors(self) -> Iterable[Floor]:
        """What the same network reaches that was never attacked."""
        (net,) = self.players(0)
        net = trained(net, self.images.train, self.images.train_labels, self.preset.steps // (STEPS + 1))
        return [Floor(name, "natural", value) for name, value in self.judge(net).items()]


def loss(net: nn.Module, δ: Tensor, batch: Batch) -> Tensor:
    """CE(f(x + δ), y)."""
    return cross_entropy(net(batch["x"] + δ), batch["y"])


def start(batch: Batch) -> Tensor:
    """The first δ."""
    return batch["start"]


def reach(batch: Batch) -> box:
    """Where δ may go."""
    return box((-batch["x"]).clamp(min=-RADIUS), (1 - batch["x"]).clamp(max=RADIUS))
