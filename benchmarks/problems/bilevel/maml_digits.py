from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import minimax as mm
from benchmarks import data as sets
from benchmarks.problem import Batch, Floor, Memory, Metric, Preset, Problem, Recipe, View
from benchmarks.problems.bilevel._adaptation import Weights, adapt, initial, maml, network, zeros
from benchmarks.quality.labels import share

SEEN, WAYS, SHOTS, QUERIES = 7, 3, 2, 10
STEPS = (0, 1, 5)  # of adaptation, after which it is scored
RULE = mm.sgd(0.4)


class MamlDigits(Problem):
    """Few-shot digits: three classes from two images each, learned from tasks of digits 0-6 and scored on 7, 8 and 9.

    As `maml-sine`, with a 64-64-3 network and a step of .4. `accuracy_k` is that of the networks after k steps, on ten
    other images of each class; the classes' order changes from task to task, so that nothing is known before the
    first step.

    Source: Finn, Abbeel & Levine, Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks, 2017.
    """

    name = "maml-digits"
    optimizers = ("simultaneous",)
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, 4, evaluations=1, samples=8, options={"width": 8}),
        **dict.fromkeys(("cpu", "gpu"), Preset(4000, 16, evaluations=10, samples=200, options={"width": 64})),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.adam(2e-3))
    metrics = (
        Metric("accuracy_1", "higher", range=(0, 1), headline=True),
        Metric("accuracy_5", "higher", range=(0, 1)),
        Metric("accuracy_0", None, range=(0, 1)),
    )

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        sets.prepare_table("digits-rows")

    @cached_property
    def classes(self) -> list[Tensor]:
        """The images of every class."""
        table = sets.load_table("digits-rows", self.device)
        return [table.x[table.y == k] / 16 for k in range(10)]

    def players(self, seed: int) -> tuple[Any, ...]:
        return (initial(seed, (64, self.preset.options["width"], WAYS), self.device),)

    def game(self) -> mm.Game:
        return maml(error, RULE, 1, self.start)

    def start(self, batch: Batch) -> Weights:
        """Nothing added yet."""
        return zeros(self.players(0)[0], len(batch["x"]))

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        return self.drawn(self.generator(seed, draw), self.preset.batch, range(SEEN))

    def drawn(self, stream: torch.Generator, count: int, among: range) -> Batch:
        """Tasks of these classes: images (tasks, n, 64), and their places in the task's order (tasks, n)."""
        tasks = []
        for _ in range(count):
            order = torch.randperm(len(among), generator=stream, device=self.device)[:WAYS].tolist()
            images = [self.classes[among[k]] for k in order]
            rows = [torch.randperm(len(x), generator=stream, device=self.device)[: SHOTS + QUERIES] for x in images]
            tasks.append(torch.stack([x[row] for x, row in zip(images, rows, strict=True)], 1))
        x, place = torch.stack(tasks), torch.arange(WAYS, device=self.device)
        shots, queries = x[:, :SHOTS].flatten(1, 2), x[:, SHOTS:].flatten(1, 2)
        labels = [place.repeat(n).expand(count, -1) for n in (SHOTS, QUERIES)]
        return {"x": shots, "y": labels[0], "x_query": queries, "y_query": labels[1]}

    @cached_property
    def fresh(self) -> Batch:
        """Tasks of classes that no task to learn from had."""
        return self.drawn(self.generator(10_000, 0), self.preset.samples, range(SEEN, 10))

    def evaluate(self, view: View) -> dict[str, float]:
        return self.judge(view.players[0])

    @torch.no_grad()
    def judge(self, θ: Weights) -> dict[str, float]:
        """The metrics of initial weights."""
        scores = {}
        for k in STEPS:
            said = network(adapt(error, θ, self.fresh, self.start, RULE, k), self.fresh["x_query"]).argmax(-1)
            scores[f"accuracy_{k}"] = share(said == self.fresh["y_query"])
        return scores

    def floors(self) -> Iterable[Floor]:
        """Chance, the nearest of the shots' class means in pixels, and untrained networks."""
        x, query = self.fresh["x"], self.fresh["x_query"]
        means = x.reshape(len(x), SHOTS, WAYS, -1).mean(1)
        nearest = share(torch.cdist(query, means).argmin(-1) == self.fresh["y_query"])
        yield from (Floor(f"accuracy_{k}", "chance", 1 / WAYS) for k in STEPS)
        yield from (Floor(f"accuracy_{k}", "nearest-mean", nearest) for k in STEPS if k)
        for name, value in self.judge(self.players(0)[0]).items():
            yield Floor(name, "untrained", value)


def error(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    """The cross-entropy of every task."""
    return cross_entropy(network(weights, x).transpose(1, 2), y, reduction="none").mean(1)
