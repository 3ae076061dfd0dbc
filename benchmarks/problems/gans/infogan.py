from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot, softplus

from benchmarks.networks import MLPCritic
from benchmarks.problem import Batch, Recipe
from benchmarks.problems.gans._image import EVALUATION, ImageGAN, NormedGenerator, presets
from benchmarks.problems.gans._reference import k_means
from benchmarks.quality import labels

CATEGORIES, UNIFORMS = 10, 2  # the codes: one of ten classes, two numbers uniform on [-1, 1]


class InfoGAN(ImageGAN):
    """NS-GAN whose critic also tells the codes: both players minimise - λ I(c; G(z, c)) as well, through Q(c|x).

    The critic's network returns its logit and Q: logits of the category, means of the uniforms (unit variance). Both
    losses hold E[-log Q(k|x)] + .1 E|c - Q_c(x)|²/2, that is λ = 1 for the category and .1 for the uniforms.

    Source: Chen et al., InfoGAN, 2016.
    """

    name = "infogan"
    networks = (NormedGenerator, partial(MLPCritic, outputs=1 + CATEGORIES + UNIFORMS))
    presets = presets(1200)
    # The source's rates are 1e-3 and 2e-4.
    recipe: ClassVar[Recipe] = Recipe(lr=1e-3, options={"betas": (0.5, 0.999)})
    targets: ClassVar[Mapping[str, tuple[str, float]]] = {"code_accuracy": (">=", 0.7), "mi": (">=", 2.0)}

    @property
    def inputs(self) -> int:
        return super().inputs + CATEGORIES + UNIFORMS

    def noise(self, stream: torch.Generator, size: int) -> Tensor:
        """Normal noise, the category one-hot, the uniform codes, side by side."""
        z = torch.randn(size, super().inputs, generator=stream, device=self.device)
        k = torch.randint(CATEGORIES, (size,), generator=stream, device=self.device)
        c = 2 * torch.rand(size, UNIFORMS, generator=stream, device=self.device) - 1
        return torch.cat((z, one_hot(k, CATEGORIES), c), dim=1)

    @staticmethod
    def generator_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
        score, q = judged(d, g(batch["noise"]))
        return softplus(-score).mean() + ignorance(q, batch["noise"])

    @staticmethod
    def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
        score, q = judged(d, g(batch["noise"]))
        real, _ = judged(d, batch["real"])
        return softplus(-real).mean() + softplus(score).mean() + ignorance(q, batch["noise"])

    @torch.no_grad()
    def evaluate(self, players: tuple[Any, ...], seed: int) -> dict[str, float]:
        g, d = players
        noise = self.noise(self.generator(seed, EVALUATION), self.samples)
        images = g(noise)
        asked, _ = codes(noise)
        told, _ = codes(judged(d, images)[1])
        seen, _ = codes(judged(d, self.images.test)[1])
        classes = self.classifier.read(images)[1].argmax(1)
        return {
            **self.score(images),
            "mi": math.log(CATEGORIES) - float(cross_entropy(told, asked.argmax(1))),
            "code_accuracy": labels.code_accuracy(asked.argmax(1), classes),
            "code_accuracy/test": labels.code_accuracy(seen.argmax(1), self.images.test_labels),
        }

    def floors(self) -> dict[str, float]:
        clusters = k_means(self.images.train.flatten(1), self.images.test.flatten(1), CATEGORIES)
        accuracy = labels.code_accuracy(clusters, self.images.test_labels)
        return {**super().floors(), "mi/most": math.log(CATEGORIES), "code_accuracy/k-means": accuracy}


def judged(d: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The critic's logits (batch,) and the parameters of Q (batch, codes)."""
    out = d(x)
    return out[:, 0], out[:, 1:]


def codes(x: Tensor) -> tuple[Tensor, Tensor]:
    """The category and the uniforms, the last columns of the generator's noise or of Q."""
    return x[:, -CATEGORIES - UNIFORMS : -UNIFORMS], x[:, -UNIFORMS:]


def ignorance(q: Tensor, noise: Tensor) -> Tensor:
    """E[-log Q(k|x)] + .1 E|c - Q_c(x)|²/2, what the information term minimises."""
    (logits, means), (k, c) = codes(q), codes(noise)
    return cross_entropy(logits, k) + 0.05 * (c - means).square().sum(1).mean()
