from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

import minimax as mm
from benchmarks.problem import Floor, Metric, View
from benchmarks.problems.translation._aligned import Domains
from benchmarks.problems.translation._modalities import Modalities
from benchmarks.problems.translation.cyclegan import Unpaired, critic_loss, translated, translator_loss


class ModalityTransfer(Unpaired):
    """From one modality of medical images to another and back without pairs, by CycleGAN: another contrast, less sharp.

    The other modality is dark where the first is bright, by a curve, and blurred; what an image is in it is known, so
    that `psnr` in decibels and `truth_l1` compare translations, both ways, with the truth. They are read against one
    histogram matched to the other, the order of grey values kept or reversed, which knows the curve but no blur, and
    against the translation of another image.

    Differs from the source in its modalities, which are made from one image set: there MR and CT, without the truth.

    Source: Wolterink et al., Deep MR to CT Synthesis Using Unpaired Data, 2017.
    """

    name = "modality"
    datasets = ("digits", "mnist", "fashion-mnist")

    @cached_property
    def domains(self) -> Modalities:
        """The data."""
        return Modalities(self.images)

    def game(self) -> mm.Game:
        return mm.Game(translator_loss, critic_loss)

    @property
    def metrics(self) -> Sequence[Metric]:
        leading = Metric("psnr", "higher", "dB", headline=True)
        return leading, *(replace(metric, headline=False) for metric in super().metrics)

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        real = self.domains.tests(self.samples)
        fake = translated(view.players[0], real)
        return {"psnr": psnr(fake, real), **super().evaluate(view)}

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        real = self.domains.tests(self.samples)
        mixed = torch.randperm(len(real["a"]), generator=torch.Generator().manual_seed(0))
        trivial = {
            "untranslated": {"a": real["b"], "b": real["a"]},
            "shuffled": {k: real[k][mixed] for k in "ab"},
            "histogram": {"a": matched(real["b"], real["a"]), "b": matched(real["a"], real["b"])},
            "histogram-reversed": {"a": matched(-real["b"], real["a"]), "b": matched(-real["a"], real["b"])},
        }
        for what, fake in trivial.items():
            yield Floor("psnr", what, psnr(fake, real))
            yield Floor("truth_l1", what, float(sum((fake[k] - real[k]).abs().mean() for k in "ab")) / 2)


def psnr(fake: Domains, real: Domains) -> float:
    """20 log₁₀(2/rmse) in decibels, the mean of both ways; no more than 120."""
    ways = [20 * (2 / (fake[k] - real[k]).square().mean().sqrt().clamp(min=2e-6)).log10() for k in "ab"]
    return float(sum(ways)) / 2


def matched(images: Tensor, other: Tensor) -> Tensor:
    """Images with the grey values of as many others: the k-th brightest pixel gets the k-th brightest value.

    >>> matched(torch.tensor([0.0, 3.0, 1.0]), torch.tensor([7.0, 5.0, 6.0]))
    tensor([5., 7., 6.])
    """
    order = images.flatten().argsort(stable=True)
    values = other.flatten().sort().values
    return torch.empty_like(values).scatter_(0, order, values).view_as(images)
