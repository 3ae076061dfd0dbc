"""Models of mini-sprites, whose factors are known: does each number of a code tell one of them?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from benchmarks import data as sets
from benchmarks.data import sprites
from benchmarks.networks import Applied
from benchmarks.problem import Floor, Metric, Recipe, View
from benchmarks.problems._principal import coordinates
from benchmarks.problems.vaes._variational import Coder, Variational, presets
from benchmarks.quality import disentanglement
from minimax.rules import adam


class Factored(Variational):
    """A variational autoencoder of binarised mini-sprites, the codes of all of which are held against their factors.

    Beside what every variational autoencoder reports: `mig`, `sap`, `dci_*` and `factor_score` (see
    `quality/disentanglement.py`) of the means of q(z|x), for all 1,764 sprites, those of the test images too. Those of
    the factors themselves are the most there is; those of principal components are what no network was needed for.
    """

    datasets = ("mini-sprites",)
    folders = False
    presets = presets(4000, latent=(6, 10, 10, 10), draws=(4, 50, 50, 500))
    recipe: ClassVar[Recipe] = Recipe(adam(2e-3), decay=True)

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        super().prepare(sets.among(data, cls.datasets, cls.name), root, download)

    @cached_property
    def factors(self) -> Tensor:
        """Every combination of the factors, (1764, 5)."""
        return sprites.factors().to(self.device)

    @cached_property
    def every(self) -> Tensor:
        """The sprites of these, as the likelihood takes them."""
        grey = sprites.drawn(sprites.factors()).to(self.device, self.images.train.dtype)
        return sets.sign(2 * grey - sprites.TOP)

    @property
    def metrics(self) -> Sequence[Metric]:
        others = [replace(metric, headline=False) for metric in super().metrics]
        return self.aimed(*disentanglement.declared("mig"), *others)

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        codes, _ = self.parts(view.players).encoder(self.every)
        return {**disentanglement.scores(codes, self.factors), **super().evaluate(view)}

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        axes = coordinates(self.every, self.every, self.option["latent"])
        for what, codes in (("factors", self.factors), ("pca", axes)):
            found = disentanglement.scores(codes, self.factors)
            yield from (Floor(name, what, value) for name, value in found.items())

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """An encoder that reads the factors off a sprite, and a decoder that draws it."""
        counts = torch.tensor(list(sprites.FACTORS.values()), device=self.device)
        middle, scale = (counts - 1) / 2, (counts.square() - 1).div(12).sqrt()  # of the values of each
        width = self.option["latent"] - len(counts)

        def coded(x: Tensor) -> Any:
            found = self.factors[(x.flatten(1) @ self.every.flatten(1).T).argmax(1)]
            told = pad((found - middle) / scale, (0, width))
            return told, pad(torch.full_like(found, -8, dtype=told.dtype), (0, width))

        def decoded(z: Tensor) -> Tensor:
            near = (
                (z[:, : len(counts)] * scale + middle).round().nan_to_num().clamp(torch.zeros_like(middle), counts - 1)
            )
            drawn = sprites.drawn(near.cpu()).to(z)
            return 8 * sets.sign(2 * drawn - sprites.TOP)

        return (Coder(Applied(coded), Applied(decoded)),)
