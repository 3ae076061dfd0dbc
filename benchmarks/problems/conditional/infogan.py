from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot, pad, softplus

import minimax as mm
from benchmarks.networks import Applied, MLPCritic, NormedGenerator
from benchmarks.pictures import Picture
from benchmarks.problem import Batch, Floor, Metric, Pictures, Recipe, View
from benchmarks.problems._images import EVALUATION, Generate, ImageGAN, grid, presets
from benchmarks.quality import labels
from benchmarks.quality.reference import k_means

CATEGORIES, UNIFORMS = 10, 2  # the codes: one of ten classes, two numbers uniform on [-1, 1]
CODES = CATEGORIES + UNIFORMS
TRAVERSALS = -4


class InfoGAN(ImageGAN):
    """NS-GAN whose critic also tells the codes: both players minimise - λ I(c; G(z, c)) as well, through Q(c|x).

    The critic's network returns its logit and Q: logits of the category, means of the uniforms (unit variance). Both
    losses hold E[-log Q(k|x)] + .1 E|c - Q_c(x)|²/2, that is λ = 1 for the category and .1 for the uniforms.

    `mi`: H(k) + E log Q(k|x), a lower bound of the information that images hold on the category; `mi_continuous`: log 2
    + E log Q(c|x), that of a uniform, the mean of both, for a normal Q with the means of the network and the variance
    that suits them best. Unit variance allows for -.226 nats at most, and an image that says nothing for -.176.

    Source: Chen et al., InfoGAN, 2016.
    """

    name = "infogan"
    version = 3
    networks = (
        lambda latent, *shape: NormedGenerator(latent + CODES, *shape),
        partial(MLPCritic, outputs=1 + CODES),
    )
    presets = presets(1200)
    # The source's rates are 1e-3 and 2e-4. Here a slower critic lets codes name the class for .8 of the samples, but of
    # each class there is then one image: recall falls below .05.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)), ema=50)
    targets: ClassVar[Mapping[str, float]] = {"code_accuracy": 0.75, "mi": 2.0}

    def game(self) -> mm.Game:
        return mm.Game(generator_loss, critic_loss)

    def noise(self, stream: torch.Generator, size: int) -> Tensor:
        """Normal noise, the category one-hot, the uniform codes, side by side."""
        z = torch.randn(size, self.option["latent"], generator=stream, device=self.device)
        k = torch.randint(CATEGORIES, (size,), generator=stream, device=self.device)
        c = 2 * torch.rand(size, UNIFORMS, generator=stream, device=self.device) - 1
        return torch.cat((z, one_hot(k, CATEGORIES), c), dim=1)

    @property
    def metrics(self) -> Sequence[Metric]:
        share = (0.0, 1.0)
        return self.aimed(
            *self.scored("kid"),
            Metric("mi", "higher", "nats", (-math.inf, math.log(CATEGORIES))),
            Metric("mi_continuous", "higher", "nats"),
            Metric("code_accuracy", "higher", range=share),
            Metric("code_accuracy_test", "higher", range=share),
        )

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        g, d = view.players
        noise = self.noise(self.generator(view.seed, EVALUATION), self.samples)
        images = g(noise)
        asked, c = codes(noise)
        told, means = codes(judged(d, images)[1])
        seen, _ = codes(judged(d, self.images.test)[1])
        classes = self.classifier.read(images)[1].argmax(1)
        return {
            **self.score(images),
            "mi": math.log(CATEGORIES) - float(cross_entropy(told, asked.argmax(1))),
            "mi_continuous": float(bound((c - means).square().mean(0)).mean()),
            "code_accuracy": labels.code_accuracy(asked.argmax(1), classes),
            "code_accuracy_test": labels.code_accuracy(seen.argmax(1), self.images.test_labels),
        }

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        told = {f"traversals-{k + 1}": self.traversed(view.players[0], view.seed, k) for k in range(UNIFORMS)}
        return {**super().pictures(view), **told}

    def traversed(self, generate: Generate, seed: int, uniform: int) -> Picture:
        """Every category and, beyond [-1, 1] too, every value of a uniform code, on one noise, the other uniforms 0."""
        stream, count = self.generator(seed, TRAVERSALS), 9
        noise = self.noise(stream, 1)[:, :-CODES].repeat(CATEGORIES * count, 1)
        k = torch.eye(CATEGORIES, device=self.device).repeat_interleave(count, 0)
        c = torch.zeros(CATEGORIES, count, UNIFORMS, device=self.device)
        c[..., uniform] = torch.linspace(-2, 2, count, device=self.device)
        images = self.beside(generate, torch.cat((noise, k, c.flatten(0, 1)), dim=1), stream)
        about = f"a category a row, uniform code {uniform + 1} from -2 to 2, the same noise"
        sides = ("-2", "", "-1", "", "0", "", "1", "", "2")
        return Picture(grid(images, count), tuple(map(str, range(CATEGORIES))), sides, about)

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A generator that hands out training images of the class that the code asks for, and a Q that tells it."""

        def told(x: Tensor) -> Tensor:
            return pad(self.classifier.read(x)[1].log(), (1, UNIFORMS))

        return Applied(lambda noise: self.images.examples(codes(noise)[0].argmax(1))), Applied(told)

    def floors(self) -> Iterable[Floor]:
        clusters = k_means(self.images.train.flatten(1), self.images.test.flatten(1), CATEGORIES)
        accuracy = labels.code_accuracy(clusters, self.images.test_labels)
        most = Floor("mi", "most", math.log(CATEGORIES))
        nothing = Floor("mi_continuous", "nothing known", float(bound(torch.tensor(1 / 3))))
        return [*super().floors(), most, nothing, Floor("code_accuracy", "k-means", accuracy)]


def generator_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(-D(G(z, c))), and what Q does not know."""
    score, q = judged(d, g(batch["noise"]))
    return softplus(-score).mean() + ignorance(q, batch["noise"])


def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(-D(x)) + E softplus(D(G(z, c))), and what Q does not know."""
    score, q = judged(d, g(batch["noise"]))
    real, _ = judged(d, batch["real"])
    return softplus(-real).mean() + softplus(score).mean() + ignorance(q, batch["noise"])


def judged(d: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The critic's logits (batch,) and the parameters of Q (batch, codes)."""
    out = d(x)
    return out[:, 0], out[:, 1:]


def codes(x: Tensor) -> tuple[Tensor, Tensor]:
    """The category and the uniforms, the last columns of the generator's noise or of Q."""
    return x[:, -CODES:-UNIFORMS], x[:, -UNIFORMS:]


def bound(variance: Tensor) -> Tensor:
    """log 2 + E log Q(c|x) in nats where a normal Q has the variance of its own error: log 2 - log(2πe v)/2.

    >>> bound(torch.tensor(1 / 3))
    tensor(-0.1765)
    """
    return math.log(2) - (2 * math.pi * math.e * variance).log() / 2


def ignorance(q: Tensor, noise: Tensor) -> Tensor:
    """E[-log Q(k|x)] + .1 E|c - Q_c(x)|²/2, what the information term minimises."""
    (logits, means), (k, c) = codes(q), codes(noise)
    return cross_entropy(logits, k) + 0.05 * (c - means).square().sum(1).mean()
