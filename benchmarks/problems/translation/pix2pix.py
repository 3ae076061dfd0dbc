from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, softplus

import minimax as mm
from benchmarks.networks import Applied, seeded
from benchmarks.problem import Batch, Floor, Memory, Metric, Pictures, Preset, Recipe, View
from benchmarks.problems._images import LARGE, ImageProblem, compared
from benchmarks.quality import labels

DISTANCE = 100.0  # what E|b - G(a)| weighs


class Pix2Pix(ImageProblem):
    """Translation of pairs: reliefs (a), the differences of neighbouring pixels, to the images that cast them (b).

    G, a U-Net, minimises E softplus(-D(a, G(a))) + 100 E|b - G(a)|, D, a critic of patches of pairs, E softplus(-D(a,
    b)) + E softplus(D(a, G(a))). A relief determines its image: b is the sum of a from the left, so the truth is known.
    `agreement`: the share of translations whose class is that of the true image; `truth_l1`: E|b - G(a)|, a pixel.

    Differs from the source in that G has no dropout: nothing here is left to chance.

    Source: Isola, Zhu, Zhou & Efros, Image-to-Image Translation with Conditional Adversarial Networks, 2017.
    """

    name = "pix2pix"
    invented = False
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, 4, evaluations=1, samples=64, options={"width": 4, "downs": 0}),
        "cpu": Preset(400, 16, evaluations=5, options={"width": 16, "downs": 0}),
        "cpu" + LARGE: Preset(1000, 16, evaluations=5, samples=1000, options={"width": 16, "downs": 1}),
        "gpu": Preset(50_000, 16, evaluations=10, samples=5000, options={"width": 64, "downs": 1}),
    }
    # The source's rate is 2e-4.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(2e-3, betas=(0.5, 0.999)), decay=True)
    targets: ClassVar[Mapping[str, float]] = {"agreement": 0.9}

    def players(self, seed: int) -> tuple[Any, ...]:
        channels, width = self.images.channels, self.option["width"]

        def build() -> tuple[nn.Module, nn.Module]:
            return UNet(channels, channels, width), PairPatchCritic(2 * channels, width, self.option["downs"])

        return tuple(module.to(self.device) for module in seeded(seed, build))

    def game(self) -> mm.Game:
        return mm.Game(generator_loss, critic_loss)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        real, _ = self.images.batch(self.generator(seed, draw), self.preset.batch)
        return {"a": relief(real), "b": real}

    @property
    def metrics(self) -> Sequence[Metric]:
        return self.aimed(
            Metric("agreement", "higher", range=(0, 1), headline=True),
            Metric("truth_l1", range=(0, 2)),
            *self.scored(),
        )

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        g = view.players[0]
        # Samples are scored against the test images, so they must not be translations of those.
        unseen = g(relief(self.images.train[-self.samples :]))
        return {**self.score(unseen), **self.judge(g(relief(self.images.test)))}

    def judge(self, fake: Tensor) -> dict[str, float]:
        """The metrics of translations of all test images."""
        told = self.classifier.read(fake)[1]
        distance = (fake - self.images.test).abs().mean()
        return {"agreement": labels.agreement(told, self.images.test_labels), "truth_l1": float(distance)}

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        test = self.images.test
        mixed = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))
        guesses = {"shuffled": test[mixed], "untranslated": relief(test), "mean": self.images.train.mean(0, True)}
        for what, fake in guesses.items():
            for name, value in self.judge(fake.expand_as(test)).items():
                yield Floor(name, what, value)
        yield Floor("agreement", "real", self.judge(test)["agreement"])

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """The true translation."""
        return Applied(cast), self.players(seed)[1]

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        real = self.images.test[:16]
        rows = {"relief": relief(real), "translated": view.players[0](relief(real)), "truth": real}
        return {"translations": compared(rows, "reliefs of test images translated to images")}


def relief(images: Tensor) -> Tensor:
    """Half of what every pixel is above its left neighbour, the border being -1."""
    return (images - pad(images, (1, 0), value=-1.0)[..., :-1]) / 2


def cast(reliefs: Tensor) -> Tensor:
    """The images that cast these reliefs: twice the sums from the left, less 1."""
    return 2 * reliefs.cumsum(-1) - 1


class UNet(nn.Module):
    """Down twice and up twice, every level handed over: (batch, inputs, side, side) to (batch, outputs, side, side).

    The sides must be multiples of 4 (Ronneberger, Fischer & Brox, 2015).
    """

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        slope = nn.LeakyReLU(0.2)
        self.first = nn.Sequential(nn.Conv2d(inputs, width, 3, padding=1), slope)
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(n, 2 * n, 4, 2, 1), nn.GroupNorm(1, 2 * n), slope) for n in (width, 2 * width)
        )
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(n, width, 4, 2, 1), nn.GroupNorm(1, width), nn.ReLU())
            for n in (4 * width, 3 * width)
        )
        self.last = nn.Sequential(nn.Conv2d(2 * width, outputs, 3, padding=1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        whole = self.first(x)
        half = self.down[0](whole)
        back = self.up[0](self.down[1](half))
        back = self.up[1](torch.cat((back, half), dim=1))
        return self.last(torch.cat((back, whole), dim=1))


class PairPatchCritic(nn.Module):
    """The source's critic: `downs` halvings, then two convolutions 4 x 4, a logit a patch.

    A patch has 7, 16, 34, 70, 142, 286 pixels a side for 0, 1, ... 5 halvings.
    """

    def __init__(self, channels: int, width: int, downs: int) -> None:
        super().__init__()
        layers, inputs = [], channels
        for stride in (*downs * (2,), 1):
            layers += [nn.Conv2d(inputs, width, 4, stride, 1), nn.LeakyReLU(0.2)]
            inputs, width = width, min(2 * width, 512)
        self.net = nn.Sequential(*layers, nn.Conv2d(inputs, 1, 4, 1, 1))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.net(torch.cat((a, b), dim=1))


def distance(g: nn.Module, batch: Batch) -> Tensor:
    """E|b - G(a)|, a pixel; least at the median of b, were b a matter of chance."""
    return (batch["b"] - g(batch["a"])).abs().mean()


def generator_loss(g: nn.Module, d: nn.Module, batch: Batch, weight: float = DISTANCE) -> Tensor:
    """E softplus(-D(a, G(a))) + 100 E|b - G(a)|."""
    return softplus(-d(batch["a"], g(batch["a"]))).mean() + weight * distance(g, batch)


def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(-D(a, b)) + E softplus(D(a, G(a)))."""
    a = batch["a"]
    return softplus(-d(a, batch["b"])).mean() + softplus(d(a, g(a))).mean()
