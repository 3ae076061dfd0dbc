from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, interpolate, pad, softplus

import minimax as mm
from benchmarks import data as sets
from benchmarks.networks import MLP, Applied, seeded, squeeze
from benchmarks.problem import Batch, Floor, Memory, Metric, Preset, Problem, Recipe, View
from benchmarks.quality.labels import share
from benchmarks.quality.reference import trained

CODE = 8
TURN = 20.0  # degrees


class DANN(Problem):
    """Labels of one domain carried to another: encoder e, label predictor h, domain critic c; three players.

    h minimises T = E_s CE(h(e(x)), y), c minimises D = ½E_s softplus(-c(e(x))) + ½E_t softplus(c(e(x))), and e
    minimises T - D. The source is the first half of the training images, the target the other half a pixel further
    down, which comes without labels. `gain`: of target accuracy, over the same classifier from the same start that
    learns from the source alone. `probe`: the accuracy of a domain critic that is trained anew on the codes and tested
    on others; ½ is none.

    Differs from the source in that no gradient is reversed: the encoder's loss says what it wants of the critic.

    Source: Ganin et al., Domain-Adversarial Training of Neural Networks, 2016.
    """

    name = "dann"
    version = 2  # of the scores
    folders = False
    datasets: ClassVar[tuple[str, ...]] = ("digits", "mnist")
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, 16, evaluations=1, options={"width": 16, "rounds": 5}),
        "cpu": Preset(1700, 64, evaluations=5, options={"width": 128, "rounds": 300}),
        "gpu": Preset(10_000, 64, evaluations=10, options={"width": 128, "rounds": 300}),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)), steps=(1, 1, 3), order=(2, 0, 1))
    targets: ClassVar[Mapping[str, float]] = {"target_accuracy": 0.65, "gain": 0.1, "probe": 0.7}
    """What a good run reaches on digits, by the metric's name."""

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        sets.prepare(sets.among(data, cls.datasets, cls.name), root, download)

    @staticmethod
    def shift(images: Tensor) -> Tensor:
        """Images of the source's kind as the target has them."""
        return moved(images)

    @property
    def metrics(self) -> Sequence[Metric]:
        goals, share = self.targets if self.data == "digits" else {}, (0.0, 1.0)
        return (
            Metric("target_accuracy", "higher", range=share, headline=True, target=goals.get("target_accuracy")),
            Metric("gain", "higher", range=(-1, 1), target=goals.get("gain")),
            Metric("source_accuracy", "higher", range=share),
            Metric("probe", range=share, target=goals.get("probe")),
        )

    @cached_property
    def images(self) -> sets.Images:
        """The data."""
        return sets.load(str(self.data), device=self.device)

    @property
    def sources(self) -> int:
        """How many of the training images are the source."""
        return len(self.images.train) // 2

    @cached_property
    def shifted(self) -> tuple[Tensor, Tensor]:
        """The target's training images, and the test images as the target has them."""
        return self.shift(self.images.train[self.sources :]), self.shift(self.images.test)

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
        i = torch.randint(self.sources, (size,), generator=stream, device=self.device)
        j = torch.randint(len(self.shifted[0]), (size,), generator=stream, device=self.device)
        return {"source": x[i], "labels": self.images.train_labels[i], "target": self.shifted[0][j]}

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        (encoder, head, _), images = view.players, self.images
        scores = {}
        for name, x in (("target", self.shifted[1]), ("source", images.test)):
            scores[f"{name}_accuracy"] = share(head(encoder(x)).argmax(1) == images.test_labels)
        scores["gain"] = scores["target_accuracy"] - self.alone(view.seed)
        return {**scores, "probe": self.probed(encoder)}

    def probed(self, encoder: nn.Module) -> float:
        """How often a critic is right that is trained anew, on codes that it was not trained on."""
        known = [encoder(x) for x in (self.images.train[: self.sources], self.shifted[0])]
        unknown = [encoder(x) for x in (self.images.test, self.shifted[1])]
        domains = [
            torch.cat([torch.full((len(x),), k, device=self.device) for k, x in enumerate(codes)])
            for codes in (known, unknown)
        ]
        net = seeded(0, lambda: MLP((CODE, 64, 2)))
        probe = trained(net, torch.cat(known), domains[0], self.preset.options["rounds"])
        return share(probe(torch.cat(unknown)).argmax(1) == domains[1])

    def learned(self, seed: int, x: Tensor, labels: Tensor) -> float:
        """The target accuracy of the same classifier, from the same start, that learns from images with labels."""
        net = trained(nn.Sequential(*self.players(seed)[:2]), x, labels, self.preset.options["rounds"])
        with torch.no_grad():
            return share(net(self.shifted[1]).argmax(1) == self.images.test_labels)

    @cached_property
    def alone(self) -> Callable[[int], float]:
        """Seeds to the target accuracy of who learns from the source alone."""
        x, labels = self.images.train[: self.sources], self.images.train_labels[: self.sources]
        return cache(lambda seed: self.learned(seed, x, labels))

    def floors(self) -> Iterable[Floor]:
        """What the same classifier learns from the source alone, and from the target's labels, which are not given."""
        yield Floor("target_accuracy", "source-only", self.alone(0))
        known = self.learned(0, self.shifted[0], self.images.train_labels[self.sources :])
        yield Floor("target_accuracy", "target-trained", known)
        yield Floor("probe", "chance", 0.5)


class DANNRotated(DANN):
    """The same, with a target that is turned by 20 degrees.

    Source: as for `dann`.
    """

    name = "dann-rotated"
    targets: ClassVar[Mapping[str, float]] = {}

    @staticmethod
    def shift(images: Tensor) -> Tensor:
        return turned(images, TURN)


class DANNTextured(DANN):
    """The same, with a target whose grey values are taken from a cloudy texture, another one for every image.

    Source: as for `dann`, whose textures are photographs'.
    """

    name = "dann-textured"
    targets: ClassVar[Mapping[str, float]] = {}

    @staticmethod
    def shift(images: Tensor) -> Tensor:
        return textured(images)


def moved(images: Tensor) -> Tensor:
    """Images a pixel further down, background above."""
    return pad(images[:, :, :-1], (0, 0, 1, 0), value=-1.0)


def turned(images: Tensor, degrees: float) -> Tensor:
    """Images turned anticlockwise about their middle, bilinear, background where nothing was."""
    angle = math.radians(degrees)
    back = torch.tensor([[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]])
    grid = affine_grid(back.to(images).expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return grid_sample(images + 1, grid, align_corners=False) - 1


def textured(images: Tensor) -> Tensor:
    """|u - t| of images u in [0, 1], brought back to [-1, 1]; t are clouds of 3 x 3 random greys of seed 0."""
    stream, side = torch.Generator(images.device).manual_seed(0), images.shape[-1]
    greys = torch.rand(len(images), 1, 3, 3, generator=stream, device=images.device, dtype=images.dtype)
    clouds = interpolate(greys, (side, side), mode="bicubic", align_corners=True).clamp(0, 1)
    return 2 * ((images + 1) / 2 - clouds).abs() - 1


def label_loss(e: nn.Module, h: nn.Module, c: nn.Module, batch: Batch) -> Tensor:
    """T = E_s CE(h(e(x)), y)."""
    return cross_entropy(h(e(batch["source"])), batch["labels"])


def domain_loss(e: nn.Module, h: nn.Module, c: nn.Module, batch: Batch) -> Tensor:
    """D = ½E_s softplus(-c(e(x))) + ½E_t softplus(c(e(x)))."""
    return (softplus(-c(e(batch["source"]))).mean() + softplus(c(e(batch["target"]))).mean()) / 2


def encoder_loss(e: nn.Module, h: nn.Module, c: nn.Module, batch: Batch) -> Tensor:
    """T - D."""
    return label_loss(e, h, c, batch) - domain_loss(e, h, c, batch)
