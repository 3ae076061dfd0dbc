from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.networks import PatchCritic, Translator, no_norm, seeded
from benchmarks.problem import Batch, Memory, Preset, Recipe
from benchmarks.problems.gans._image import LARGE, ImageProblem, grid
from benchmarks.quality import labels
from minimax import Game

CYCLE, POOL = 10.0, 50
Domains = Mapping[str, Tensor]  # a: images as they are, b: their negatives


class CycleGAN(ImageProblem):
    """Translation without pairs between images (a) and negatives in a sidelight (b); no image is in both domains.

    The generators, one player, minimise the sum over both ways of E(D_b(G_b(a)) - 1)² + 10 E|G_a(G_b(a)) - a|; the
    critics, the other, half that of E(D_b(b) - 1)² + E D_b(fake)², half of the fakes from a pool of 50 past ones.

    Source: Zhu, Park, Isola & Efros, Unpaired Image-to-Image Translation, 2017.
    """

    name = "cyclegan"
    identity: ClassVar[float] = 0.0
    """The weight of E|G_b(b) - b|. It keeps colours (section 5.2), which a negative has to change."""
    headline = "agreement"
    higher_is_better = True
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, 4, evaluations=1, samples=64, options={"width": 4, "blocks": 0, "downs": 0}),
        "cpu": Preset(200, 16, evaluations=5, options={"width": 16, "blocks": 0, "downs": 0}),
        "cpu" + LARGE: Preset(400, 16, evaluations=5, samples=1000, options={"width": 16, "blocks": 0, "downs": 0}),
        "gpu": Preset(50_000, 16, evaluations=10, samples=5000, options={"width": 64, "blocks": 6, "downs": 2}),
    }
    # The source's rate is 2e-4.
    recipe: ClassVar[Recipe] = Recipe(lr=5e-3, options={"betas": (0.5, 0.999)}, decay=True)
    targets: ClassVar[Mapping[str, tuple[str, float]]] = {"cycle_l1": ("<=", 0.1), "agreement": (">=", 0.9)}

    @cached_property
    def light(self) -> Tensor:
        """The background of domain b, (1, side): darker on the left."""
        return torch.linspace(-0.2, 0.2, self.images.size, device=self.device)

    def forth(self, a: Tensor) -> Tensor:
        """The true translation of images to domain b."""
        return self.light - 0.8 * a

    def back(self, b: Tensor) -> Tensor:
        """The true translation to domain a."""
        return (self.light - b) / 0.8

    def players(self, seed: int) -> tuple[Any, ...]:
        channels, width = self.images.channels, self.option["width"]
        shape = (channels, channels, width, self.option["blocks"], self.option["downs"])

        def build() -> tuple[nn.ModuleDict, nn.ModuleDict]:
            return (
                nn.ModuleDict({to: Translator(*shape, norm=no_norm) for to in "ab"}),
                nn.ModuleDict({of: PatchCritic(channels, width, norm=no_norm) for of in "ab"}),
            )

        return tuple(pair.to(self.device) for pair in seeded(seed, build))

    def generator_loss(self, g: nn.ModuleDict, d: nn.ModuleDict, batch: Batch) -> Tensor:
        """Fool the critics, come back after both ways, and, if asked, leave alone what is there already."""
        real, fake = batch["real"], translated(g, batch["real"])
        cycle = translated(g, fake)
        loss = sum((d[k](fake[k]) - 1).square().mean() + CYCLE * (cycle[k] - real[k]).abs().mean() for k in "ab")
        if self.identity:
            loss = loss + self.identity * sum((g[k](real[k]) - real[k]).abs().mean() for k in "ab")
        return loss

    @staticmethod
    def critic_loss(g: nn.ModuleDict, d: nn.ModuleDict, batch: Batch) -> Tensor:
        """Tell real images from translations, present and past."""
        real, fake, old = batch["real"], translated(g, batch["real"]), batch["past"]
        shown = {k: torch.where(batch["use_past"][:, None, None, None], old[k], fake[k]) for k in "ab"}
        return sum(((d[k](real[k]) - 1).square().mean() + d[k](shown[k]).square().mean()) / 2 for k in "ab")

    def game(self) -> Game:
        return Game(self.generator_loss, self.critic_loss)

    def memory(self, seed: int) -> Memory:
        shape = (POOL, *self.images.train.shape[1:])
        empty = {k: torch.zeros(shape, device=self.device) for k in "ab"}
        return {**empty, "count": torch.zeros((), dtype=torch.int64)}

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        assert memory is not None
        stream, size = self.generator(seed, draw), self.preset.batch
        half = len(self.images.train) // 2
        i, j = torch.randint(half, (2, size), generator=stream, device=self.device)
        coin = torch.rand(size, generator=stream, device=self.device) < 0.5
        slot = torch.randint(POOL, (size,), generator=stream, device=self.device)
        count = int(memory["count"])
        if count < POOL:  # a pool that has not filled up yet takes every fake and shows none
            coin, slot = torch.zeros_like(coin), (count + torch.arange(size, device=self.device)) % POOL
        return {
            "real": {"a": self.images.train[i], "b": self.forth(self.images.train[half + j])},
            "past": {k: memory[k][slot] for k in "ab"},
            "slot": slot,
            "use_past": coin,
            "store": coin if count >= POOL else ~coin,
        }

    @torch.no_grad()
    def remember(self, memory: Memory, players: tuple[Any, ...], batch: Batch) -> Memory:
        assert memory is not None
        store, fake = batch["store"], translated(players[0], batch["real"])
        new = {k: memory[k].index_put((batch["slot"][store],), fake[k][store]) for k in "ab"}
        return {**new, "count": memory["count"] + len(store)}

    @torch.no_grad()
    def evaluate(self, players: tuple[Any, ...], seed: int) -> dict[str, float]:
        g, real, asked = players[0], self.tests, self.images.test_labels[: self.samples]
        fake = translated(g, real)
        cycle = translated(g, fake)
        seen = torch.cat((self.back(fake["b"]), fake["a"]))  # both as images that the classifier knows
        # Samples are scored against the test images, so they must not be translations of those.
        unseen = self.forth(self.images.train[-self.samples :])
        classes = self.classifier.read(seen)[1]
        return {
            "agreement": labels.agreement(classes, asked.repeat(2)),
            "cycle_l1": float(sum((cycle[k] - real[k]).abs().mean() for k in "ab")) / 2,
            "truth_l1": float((fake["b"] - real["b"]).abs().mean() + (fake["a"] - real["a"]).abs().mean()) / 2,
            **self.score(g["a"](unseen)),
        }

    @property
    def tests(self) -> dict[str, Tensor]:
        """The test images in both domains, in the same order; training never sees such pairs."""
        images = self.images.test[: self.samples]
        return {"a": images, "b": self.forth(images)}

    def floors(self) -> dict[str, float]:
        real, asked = self.tests, self.images.test_labels[: self.samples]
        mixed = torch.randperm(len(asked), generator=torch.Generator().manual_seed(0))
        classes = self.classifier.read(real["a"])[1]
        return {
            **super().floors(),
            "agreement/real": labels.agreement(classes, asked),
            "agreement/shuffled": labels.agreement(classes, asked[mixed]),
            "agreement/untranslated": labels.agreement(self.classifier.read(self.back(real["a"]))[1], asked),
            "cycle_l1/shuffled": float((real["a"] - real["a"][mixed]).abs().mean()),
        }

    @torch.no_grad()
    def pictures(self, players: tuple[Any, ...], seed: int) -> dict[str, np.ndarray]:
        real = {k: x[:8] for k, x in self.tests.items()}
        fake = translated(players[0], real)
        cycle = translated(players[0], fake)
        rows = (real["a"], fake["b"], cycle["a"], real["b"], fake["a"], cycle["b"])
        return {"translations": grid(torch.cat(rows))}


class CycleGANIdentity(CycleGAN):
    """CycleGAN with 5 E|G_b(b) - b|, the weight of the source's program: on negatives it holds the translators back."""

    name = "cyclegan-identity"
    identity = 5.0
    targets: ClassVar[Mapping[str, tuple[str, float]]] = {}


def translated(g: nn.ModuleDict, images: Domains) -> dict[str, Tensor]:
    """Each domain's images in the other domain, under that domain's name."""
    return {"b": g["b"](images["a"]), "a": g["a"](images["b"])}
