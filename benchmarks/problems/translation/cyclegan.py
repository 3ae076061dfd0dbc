from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks.networks import Applied, PatchCritic, Translator, no_norm, seeded
from benchmarks.problem import Batch, Floor, Memory, Metric, Pictures, Preset, Recipe, View
from benchmarks.problems._images import LARGE, ImageProblem, compared
from benchmarks.problems.translation import _pool
from benchmarks.problems.translation._aligned import Aligned, Domains
from benchmarks.problems.translation._faded import Faded
from benchmarks.problems.translation._negatives import Negatives
from benchmarks.quality import labels

CYCLE = 10.0


class Unpaired(ImageProblem):
    """Translation without pairs between two domains of images, a and b, of which the truth is known.

    One player holds the translators to both domains, the other both critics. The domains are images and negatives in a
    sidelight, unless a problem says otherwise; no image is in both.
    """

    invented = False
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, 4, evaluations=1, samples=64, options={"width": 4, "blocks": 0, "downs": 0}),
        "cpu": Preset(200, 16, evaluations=5, options={"width": 16, "blocks": 0, "downs": 0}),
        "cpu" + LARGE: Preset(400, 16, evaluations=5, samples=1000, options={"width": 16, "blocks": 0, "downs": 0}),
        "gpu": Preset(50_000, 16, evaluations=10, samples=5000, options={"width": 64, "blocks": 6, "downs": 2}),
    }
    # The source's rate is 2e-4.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(5e-3, betas=(0.5, 0.999)), decay=True)

    @cached_property
    def domains(self) -> Aligned | Faded:
        """The data."""
        return Negatives(self.images)

    def players(self, seed: int) -> tuple[Any, ...]:
        channels, width = self.images.channels, self.option["width"]
        shape = (channels, channels, width, self.option["blocks"], self.option["downs"])

        def build() -> tuple[nn.ModuleDict, nn.ModuleDict]:
            return (
                nn.ModuleDict({to: Translator(*shape, norm=no_norm) for to in "ab"}),
                nn.ModuleDict({of: PatchCritic(channels, width, norm=no_norm) for of in "ab"}),
            )

        return tuple(pair.to(self.device) for pair in seeded(seed, build))

    def memory(self, seed: int) -> Memory:
        return _pool.empty(self.images.train)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        assert memory is not None
        stream, size = self.generator(seed, draw), self.preset.batch
        return {"real": self.domains.batch(stream, size), **_pool.drawn(memory, stream, size)}

    @torch.no_grad()
    def remember(self, memory: Memory, players: tuple[Any, ...], batch: Batch) -> Memory:
        assert memory is not None
        return _pool.filled(memory, batch, translated(players[0], batch["real"]))

    @property
    def metrics(self) -> Sequence[Metric]:
        return self.aimed(
            Metric("agreement", "higher", range=(0, 1), headline=True),
            Metric("cycle_l1", range=(0, 2)),
            Metric("truth_l1", range=(0, 2)),
            *self.scored(),
        )

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        g, known, asked = view.players[0], self.domains.colour, self.images.test_labels[: self.samples]
        real = self.domains.tests(self.samples)
        fake = translated(g, real)
        cycle = translated(g, fake)
        seen = torch.cat((known(self.domains.back(fake["b"])), known(fake["a"])))  # as what the classifier knows
        # Samples are scored against the test images, so they must not be translations of those.
        unseen = self.domains.forth(known(self.images.train[-self.samples :]))
        classes = self.classifier.read(seen)[1]
        return {
            "agreement": labels.agreement(classes, asked.repeat(2)),
            "cycle_l1": float(sum((cycle[k] - real[k]).abs().mean() for k in "ab")) / 2,
            "truth_l1": float((fake["b"] - real["b"]).abs().mean() + (fake["a"] - real["a"]).abs().mean()) / 2,
            **self.score(known(g["a"](unseen))),
        }

    def floors(self) -> Iterable[Floor]:
        real, asked = self.domains.tests(self.samples), self.images.test_labels[: self.samples]
        known = self.domains.colour
        mixed = torch.randperm(len(asked), generator=torch.Generator().manual_seed(0))
        classes = self.classifier.read(known(real["a"]))[1]
        untranslated = self.classifier.read(known(self.domains.back(real["a"])))[1]
        return [
            *super().floors(),
            Floor("agreement", "real", labels.agreement(classes, asked)),
            Floor("agreement", "shuffled", labels.agreement(classes, asked[mixed])),
            Floor("agreement", "untranslated", labels.agreement(untranslated, asked)),
            Floor("cycle_l1", "shuffled", float((real["a"] - real["a"][mixed]).abs().mean())),
        ]

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """The true translations."""
        truth = nn.ModuleDict({"a": Applied(self.domains.back), "b": Applied(self.domains.forth)})
        return truth, self.players(seed)[1]

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        real = self.domains.tests(8)
        fake = translated(view.players[0], real)
        cycle = translated(view.players[0], fake)
        rows: dict[str, Tensor] = {}
        for given, other in ("ab", "ba"):
            rows |= {given: real[given], f"{given} to {other}": fake[other]}
            rows |= {f"true {other}": real[other], f"back to {given}": cycle[given]}
        return {"translations": compared(rows, "test images translated to the other domain and back")}


class CycleGAN(Unpaired):
    """Translation of images to negatives and back, without pairs: what is translated both ways has to come back.

    The translators minimise the sum over both ways of E(D_b(G_b(a)) - 1)² + 10 E|G_a(G_b(a)) - a|; the critics half of
    E(D_b(b) - 1)² + E D_b(fake)², half of the fakes from a pool of 50 past ones.

    Source: Zhu, Park, Isola & Efros, Unpaired Image-to-Image Translation, 2017.
    """

    name = "cyclegan"
    targets: ClassVar[Mapping[str, float]] = {"cycle_l1": 0.1, "agreement": 0.9}

    def game(self) -> mm.Game:
        return mm.Game(translator_loss, critic_loss)


class CycleGANIdentity(Unpaired):
    """CycleGAN with 5 E|G_b(b) - b|, the weight of the source's program: on negatives it holds the translators back.

    The term keeps colours (section 5.2), which a negative has to change.
    """

    name = "cyclegan-identity"

    def game(self) -> mm.Game:
        return mm.Game(keeping_loss, critic_loss)


class CycleGANColours(Unpaired):
    """CycleGAN with 5 E|G_b(b) - b| where colours are to be kept: from full contrast to .6 of it, and back.

    Half of the images are bright on dark ground, the others dark on bright. To swap the two as well solves all that
    CycleGAN asks for, as does keeping them: a random exact solution is right in half of the runs, which `agreement` is
    read against. Only the additional term tells the two apart, and only here is it right.

    Source: Zhu, Park, Isola & Efros, Unpaired Image-to-Image Translation, 2017, section 5.2.
    """

    name = "cyclegan-colours"
    targets: ClassVar[Mapping[str, float]] = {"cycle_l1": 0.1, "agreement": 0.9}

    @cached_property
    def domains(self) -> Faded:
        """The data."""
        return Faded(self.images)

    def game(self) -> mm.Game:
        return mm.Game(keeping_loss, critic_loss)

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        images, asked = self.images.test[: self.samples], self.images.test_labels[: self.samples]
        kept, swapped = (labels.agreement(self.classifier.read(x)[1], asked) for x in (images, -images))
        yield Floor("agreement", "random-exact", (kept + swapped) / 2)


def translated(g: nn.ModuleDict, images: Domains) -> dict[str, Tensor]:
    """Each domain's images in the other domain, under that domain's name."""
    return {"b": g["b"](images["a"]), "a": g["a"](images["b"])}


def translator_loss(g: nn.ModuleDict, d: nn.ModuleDict, batch: Batch) -> Tensor:
    """Fool the critics, and come back after both ways."""
    real, fake = batch["real"], translated(g, batch["real"])
    cycle = translated(g, fake)
    return sum((d[k](fake[k]) - 1).square().mean() + CYCLE * (cycle[k] - real[k]).abs().mean() for k in "ab")


def keeping_loss(g: nn.ModuleDict, d: nn.ModuleDict, batch: Batch) -> Tensor:
    """Fool the critics, come back after both ways, and keep what is in the domain already."""
    return translator_loss(g, d, batch) + 5.0 * change(g, batch["real"])


def change(g: nn.ModuleDict, real: Domains) -> Tensor:
    """How much the translators change what is in their domain already: E|G_b(b) - b|, and so for a."""
    return sum((g[k](real[k]) - real[k]).abs().mean() for k in "ab")


def critic_loss(g: nn.ModuleDict, d: nn.ModuleDict, batch: Batch) -> Tensor:
    """Tell real images from translations, present and past."""
    real, fake = batch["real"], translated(g, batch["real"])
    shown = {k: _pool.shown(batch, fake, k) for k in "ab"}
    return sum(((d[k](real[k]) - 1).square().mean() + d[k](shown[k]).square().mean()) / 2 for k in "ab")
