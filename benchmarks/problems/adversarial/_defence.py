"""What robust classifiers share: a network, images in [0, 1], and attacks that are stronger than those of training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property, partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks import data as sets
from benchmarks.networks import MLP, seeded
from benchmarks.problem import Batch, Floor, Memory, Metric, Pictures, Preset, Problem, Recipe, View
from benchmarks.problems.adversarial._drawn import curves, gallery
from benchmarks.quality.labels import share
from benchmarks.quality.reference import trained
from benchmarks.quality.robustness import LOSSES, Reach, fgsm, kept, logit_ratio, masked, pgd
from minimax.projections import Projection

STEPS = 10  # of an attack in training
SHOWN = 200  # images that the curve is drawn of
SHARE = (0.0, 1.0)


class Defence(Problem):
    """A classifier that is to keep its classes where every image moves within a reach.

    `robust_accuracy`: the share right under every one of several attacks, of three losses (entropy, margin, ratio of
    logits) from two random starts; `pgd_accuracy`: under those of entropy alone; `fgsm_accuracy`: under one step;
    `wider`: under the same as the first, a third further out. `gain`: of the first, over the same network from the same
    start that was never attacked. `masked`: the share that attacks by gradients leave right, and chance or an attack on
    that other network misleads.
    """

    version = 2  # of the scores
    folders = False
    datasets: ClassVar[tuple[str, ...]] = ("digits", "mnist")
    optimizers: ClassVar[tuple[str, ...]] = ("simultaneous", "extragradient", "optimistic")
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, 16, evaluations=1, options={"width": 16, "attack": 1, "images": 64}),
        # steps of eleven gradients: a thousand
        "cpu": Preset(11_000, 64, evaluations=5, options={"width": 128, "attack": 20, "images": 1000}),
        "gpu": Preset(110_000, 128, evaluations=10, options={"width": 512, "attack": 20, "images": 10_000}),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.adam(2e-3))
    reach: ClassVar[Reach] = Reach(0.15)
    """How far an image may move."""
    targets: ClassVar[Mapping[str, float]] = {}
    """What a good run reaches on digits, by the metric's name."""

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        sets.prepare(sets.among(data, cls.datasets, cls.name), root, download)

    @cached_property
    def images(self) -> sets.Images:
        """The data, pixels in [0, 1]."""
        return sets.load(str(self.data), device=self.device).unit()

    @property
    def tested(self) -> tuple[Tensor, Tensor]:
        """The test images that are attacked, and their labels."""
        count = self.preset.options["images"]
        return self.images.test[:count], self.images.test_labels[:count]

    def network(self, seed: int) -> nn.Module:
        """A classifier that has learned nothing."""
        width, pixels = self.preset.options["width"], self.images.train[0].numel()
        sizes = (pixels, width, width, self.images.classes)
        return seeded(seed, lambda: nn.Sequential(nn.Flatten(), MLP(sizes))).to(self.device)

    def players(self, seed: int) -> tuple[Any, ...]:
        return (self.network(seed),)

    @property
    def rule(self) -> mm.Rule:
        """How an attack of training moves: ten steps of one sign per pixel, 2.5 times as long in all as the reach."""
        pixels = 1 if self.reach.norm != 2 else self.images.train[0].numel()
        return mm.sign(2.5 * self.reach.radius / STEPS / pixels**0.5)

    def limits(self, batch: Batch) -> Projection:
        """Where δ may go."""
        return partial(self.reach, batch["x"])

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size = self.generator(seed, draw), self.preset.batch
        x, y = self.images.batch(stream, size)
        return {"x": x, "y": y, "start": self.reach.start(x, stream)}

    @property
    def metrics(self) -> Sequence[Metric]:
        goals = self.targets if self.data == "digits" else {}
        higher = ("robust_accuracy", "pgd_accuracy", "fgsm_accuracy", "wider", "accuracy")
        scored = [
            Metric(name, "higher", range=SHARE, headline=name == "robust_accuracy", target=goals.get(name))
            for name in higher
        ]
        return *scored, Metric("gain", "higher", range=(-1, 1), target=goals.get("gain")), Metric("masked", range=SHARE)

    @cached_property
    def natural(self) -> Any:
        """Seeds to networks that were never attacked."""

        @cache
        def made(seed: int) -> nn.Module:
            steps = self.preset.steps // (STEPS + 1)
            return trained(self.network(seed), self.images.train, self.images.train_labels, steps)

        return made

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        scores = self.judge(view.players[0])
        natural = self.natural(view.seed)
        x, y = self.tested
        hidden = masked(view.players[0], x, y, self.reach, natural, steps=self.preset.options["attack"])
        return {**scores, "gain": scores["robust_accuracy"] - self.strongest(natural), "masked": hidden}

    def strongest(self, net: nn.Module, further: float = 1.0) -> float:
        """The share right under every attack, of a multiple of the radius."""
        x, y = self.tested
        reach = Reach(further * self.reach.radius, self.reach.norm)
        return share(kept(net, x, y, reach, self.preset.options["attack"], losses=(*LOSSES, logit_ratio)))

    def judge(self, net: nn.Module) -> dict[str, float]:
        """What a classifier scores by itself."""
        x, y = self.tested
        return {
            "robust_accuracy": self.strongest(net),
            "pgd_accuracy": share(kept(net, x, y, self.reach, self.preset.options["attack"])),
            "fgsm_accuracy": share(net(fgsm(net, x, y, self.reach)).argmax(1) == y),
            "wider": self.strongest(net, 4 / 3),
            "accuracy": share(net(self.images.test).argmax(1) == self.images.test_labels),
        }

    @torch.no_grad()
    def floors(self) -> Iterable[Floor]:
        """What the same network reaches that was never attacked."""
        return [Floor(name, "natural", value) for name, value in self.judge(self.natural(0)).items()]

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        net, (x, y) = view.players[0], (each[:8] for each in self.tested)
        start = torch.zeros_like(x)
        worst = pgd(net, x, y, self.reach, start, 20, self.reach.radius / 8)
        shown = gallery(x, worst, net(x).argmax(1), net(worst).argmax(1))
        lines = {"trained": self.curve(net), "never attacked": self.curve(self.natural(view.seed))}
        return {"attacks": shown, "radii": curves(lines, "radius", "accuracy")}

    def curve(self, net: nn.Module) -> tuple[list[float], list[float]]:
        """Radii, and the accuracy under an attack of each."""
        x, y = (each[:SHOWN] for each in self.tested)
        radii = [k / 3 * self.reach.radius for k in range(7)]
        steps = self.preset.options["attack"]
        return radii, [share(kept(net, x, y, Reach(r, self.reach.norm), steps, 1)) for r in radii]


def first(batch: Batch) -> Tensor:
    """The first δ."""
    start: Tensor = batch["start"]
    return start
