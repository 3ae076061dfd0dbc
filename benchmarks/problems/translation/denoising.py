from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

import minimax as mm
from benchmarks.networks import Copier, PatchCritic, no_norm, seeded
from benchmarks.problem import Batch, Floor, Memory, Metric, Pictures, Preset, Recipe, View
from benchmarks.problems._images import EVALUATION, LARGE, ImageProblem, compared
from minimax.penalties import wgan_gp

DOSE, LIKENESS = 8.0, 1.0  # photons a bright pixel; what the features weigh


class Denoising(ImageProblem):
    """Images from a low dose of light: y counts photons, Poisson with mean 8 a bright pixel, x is the truth.

    G minimises -E D(G(y)) + E|φ(x) - φ(G(y))|², φ the features of the data set's classifier, which nobody moves; D
    minimises E D(G(y)) - E D(x) + 10 E(|∇D(x̂)| - 1)². `psnr` in decibels and `rmse` compare G(y) with x, in the units
    of pixels, which go from -1 to 1; a blur and the noisy image itself are what they are read against.

    Differs from the source in its features, which are not VGG's, and in their weight.

    Source: Yang et al., Low-Dose CT Image Denoising Using a GAN with Wasserstein Distance and Perceptual Loss, 2018.
    """

    name = "denoising"
    datasets = ("digits", "mnist", "fashion-mnist")
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, 4, evaluations=1, samples=64, options={"width": 4}),
        "cpu": Preset(200, 16, evaluations=5, options={"width": 16}),
        "cpu" + LARGE: Preset(400, 16, evaluations=5, samples=1000, options={"width": 16}),
        "gpu": Preset(50_000, 64, evaluations=10, samples=5000, options={"width": 64}),
    }
    # The source's rate is 1e-5, with four steps of the critic.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(2e-3, betas=(0.5, 0.9)), steps=(1, 4), order=(1, 0), decay=True)

    def players(self, seed: int) -> tuple[Any, ...]:
        channels, width = self.images.channels, self.option["width"]

        def build() -> tuple[nn.Module, nn.Module]:
            return Denoiser(channels, width), PatchCritic(channels, width, downs=1, norm=no_norm)

        return tuple(module.to(self.device) for module in seeded(seed, build))

    def game(self) -> mm.Game:
        net = self.classifier.net.requires_grad_(False)
        return mm.Game(lambda g, d, batch: generator_loss(g, d, batch, net), critic_loss)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size = self.generator(seed, draw), self.preset.batch
        real, _ = self.images.batch(stream, size)
        between = torch.rand(size, generator=stream, device=self.device)
        return {"real": real, "noisy": low_dose(real, stream), "between": between}

    @property
    def noisy(self) -> Tensor:
        """The test images at a low dose, the same ones always."""
        return low_dose(self.images.test[: self.samples], self.generator(0, EVALUATION))

    @property
    def metrics(self) -> Sequence[Metric]:
        return Metric("psnr", "higher", "dB", headline=True), Metric("rmse", range=(0, math.inf))

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        return self.judge(view.players[0](self.noisy))

    def judge(self, found: Tensor) -> dict[str, float]:
        """The metrics of what is taken for the test images."""
        rmse = (found - self.images.test[: self.samples]).square().mean().sqrt()
        return {"psnr": float(20 * (2 / rmse.clamp(min=1e-6)).log10()), "rmse": float(rmse)}

    def floors(self) -> Iterable[Floor]:
        noisy, mean = self.noisy, self.images.train.mean(0, True)
        for what, found in (("noisy", noisy), ("blur", blurred(noisy)), ("mean", mean.expand_as(noisy))):
            for name, value in self.judge(found).items():
                yield Floor(name, what, value)

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A denoiser that hands out the truth."""
        return Copier(self.images.test), self.players(seed)[1]

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        noisy = self.noisy[:16]
        rows = {"noisy": noisy, "denoised": view.players[0](noisy), "truth": self.images.test[:16]}
        return {"denoised": compared(rows, "test images denoised")}


def low_dose(images: Tensor, stream: torch.Generator) -> Tensor:
    """Images in [-1, 1] as counts of photons, scaled so that their mean is the image."""
    counts = torch.poisson(DOSE * (images + 1) / 2, generator=stream)
    return 2 * counts / DOSE - 1


def blurred(images: Tensor) -> Tensor:
    """The mean of every pixel with its eight neighbours, the border being -1."""
    return avg_pool2d(pad(images, (1, 1, 1, 1), value=-1.0), 3, 1)


class Denoiser(nn.Module):
    """x plus four convolutions 3 x 3 of x, the shape unchanged."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        layers = []
        for inputs in (channels, width, width):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.LeakyReLU(0.2)]
        self.net = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.net(x)


def generator_loss(g: nn.Module, d: nn.Module, batch: Batch, features: nn.Module) -> Tensor:
    """-E D(G(y)) + E|φ(x) - φ(G(y))|²; `features` gives φ first."""
    fake = g(batch["noisy"])
    likeness = (features(batch["real"])[0] - features(fake)[0]).square().sum(1).mean()
    return LIKENESS * likeness - d(fake).mean()


def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E D(G(y)) - E D(x) + 10 E(|∇D(x̂)| - 1)²; D of an image is the mean of its patches."""

    def score(x: Tensor) -> Tensor:
        return d(x).flatten(1).mean(1)

    real, fake = batch["real"], g(batch["noisy"])
    return score(fake).mean() - score(real).mean() + 10 * wgan_gp(score, real, fake, batch["between"])
