from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad, softplus

import minimax as mm
from benchmarks import data as sets
from benchmarks.networks import MLP, Applied, seeded, squeeze
from benchmarks.problem import Batch, Floor, Memory, Metric, Preset, Problem, Recipe, View
from benchmarks.quality.labels import share
from benchmarks.quality.reference import trained

CODE, SOURCES = 8, 600


class DANN(Problem):
    """Labels of one domain carried to another: encoder e, label predictor h, domain critic c; three players.

    h minimises T = E_s CE(h(e(x)), y), c minimises D = ½E_s softplus(-c(e(x))) + ½E_t softplus(c(e(x))), and e
    minimises T - D. The source is digits, the target other digits a pixel further down, which come without labels.
    `probe`: the accuracy of a domain critic that is trained anew on the codes and tested on others; ½ is none.

    Differs from the source in that no gradient is reversed: the encoder's loss says what it wants of the critic.

    Source: Ganin et al., Domain-Adversarial Training of Neural Networks, 2016.
    """

    name = "dann"
    datasets = ("digits",)
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, 16, evaluations=1, options={"width": 16, "rounds": 5}),
        "cpu": Preset(1700, 64, evaluations=5, options={"width": 128, "rounds": 300}),
        "gpu": Preset(10_000, 64, evaluations=10, options={"width": 128, "rounds": 300}),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)), steps=(1, 1, 3), order=(2, 0, 1))
    metrics = (
        Metric("target_accuracy", "higher", range=(0, 1), headline=True, target=0.65),
        Metric("source_accuracy", "higher", range=(0, 1)),
        Metric("probe", range=(0, 1), target=0.7),
    )

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        sets.prepare(sets.among(data, cls.datasets, cls.name), root, download)

    @cached_property
    def images(self) -> sets.Images:
        """The digits: SOURCES of the training images are the source, the others, moved, the target."""
        return sets.load(str(self.data), device=self.device)

    def players(self, seed: int) -> tuple[Any, ...]:
        width, pixels = self.preset.options["width"], self.images.train[0].numel()

        def build() -> tuple[nn.Module, ...]:
            encoder = nn.Sequential(nn.Flatten(), MLP((pixels, width, CODE)))
            return encoder, nn.Linear(CODE, self.images.classes), nn.Sequential(MLP((CODE, 64, 1)), Applied(squeeze))

        return tuple(module.to(self.device) for module in seeded(seed, build))

    def game(self) -> mm.Game:
        return mm.Game(encoder_loss, label_loss, domain_loss)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size, x = self.generator(seed, draw), self.preset.batch, self.images.train
        i = torch.randint(SOURCES, (size,), generator=stream, device=self.device)
        j = torch.randint(SOURCES, len(x), (size,), generator=stream, device=self.device)
        return {"source": x[i], "labels": self.images.train_labels[i], "target": moved(x[j])}

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        (encoder, head, _), images = view.players, self.images
        scores = {}
        for name, x in (("target", moved(images.test)), ("source", images.test)):
            scores[f"{name}_accuracy"] = share(head(encoder(x)).argmax(1) == images.test_labels)
        known = encoder(torch.cat((images.train[:SOURCES], moved(images.train[SOURCES:]))))
        unknown = encoder(torch.cat((images.test, moved(images.test))))
        domains = [torch.arange(2, device=self.device).repeat_interleave(len(codes) // 2) for codes in (known, unknown)]
        probe = trained(seeded(0, lambda: MLP((CODE, 64, 2))), known, domains[0], self.preset.options["rounds"])
        return {**scores, "probe": share(probe(unknown).argmax(1) == domains[1])}

    def floors(self) -> Iterable[Floor]:
        """What the same classifier learns from the source alone, and from the target's labels, which are not given."""
        (x, y), test = (self.images.train, self.images.train_labels), moved(self.images.test)
        seen = {"source-only": (x[:SOURCES], y[:SOURCES]), "target-trained": (moved(x[SOURCES:]), y[SOURCES:])}
        for what, (images, labels) in seen.items():
            net = trained(nn.Sequential(*self.players(0)[:2]), images, labels, self.preset.options["rounds"])
            yield Floor("target_accuracy", what, share(net(test).argmax(1) == self.images.test_labels))
        yield Floor("probe", "chance", 0.5)


def moved(images: Tensor) -> Tensor:
    """Images a pixel further down, background above."""
    return pad(images[:, :, :-1], (0, 0, 1, 0), value=-1.0)


def label_loss(e: nn.Module, h: nn.Module, c: nn.Module, batch: Batch) -> Tensor:
    """T = E_s CE(h(e(x)), y)."""
    return cross_entropy(h(e(batch["source"])), batch["labels"])


def domain_loss(e: nn.Module, h: nn.Module, c: nn.Module, batch: Batch) -> Tensor:
    """D = ½E_s softplus(-c(e(x))) + ½E_t softplus(c(e(x)))."""
    return (softplus(-c(e(batch["source"]))).mean() + softplus(c(e(batch["target"]))).mean()) / 2


def encoder_loss(e: nn.Module, h: nn.Module, c: nn.Module, batch: Batch) -> Tensor:
    """T - D."""
    return label_loss(e, h, c, batch) - domain_loss(e, h, c, batch)
