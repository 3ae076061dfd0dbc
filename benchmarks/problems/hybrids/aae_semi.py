from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from operator import itemgetter

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import minimax as mm
from benchmarks.networks import Applied
from benchmarks.problem import Batch, Floor, Metric, View
from benchmarks.problems.hybrids import _aae
from benchmarks.problems.hybrids._aae import Sorted, class_loss, decoder_loss, style_loss
from benchmarks.quality.labels import share
from benchmarks.quality.reference import logistic, trained

EACH = 10  # labelled images a class


class SemiSupervisedAAE(Sorted):
    """Adversarial autoencoder whose encoder tells style and class, told the class of ten images of each.

    A critic D compares styles with N(0, I), another, E, probabilities of the classes with classes one-hot, all as
    probable. The decoder minimises ½E|x - Dec(z(x), y(x))|², the encoder that, E softplus(-D(z(x))), E softplus(
    -E(y(x))), and the cross-entropy of y over images with labels. `accuracy` is read beside that of the same encoder
    on the labels alone.

    Differs from the source in E, which pays ½E|∇E(y)|² on classes y.

    Source: Makhzani et al., Adversarial Autoencoders, 2016, section 4.
    """

    name = "aae-semi"
    leading = (Metric("accuracy", "higher", range=(0, 1), headline=True),)
    asked = True
    datasets = ("digits", "mnist", "fashion-mnist")

    @cached_property
    def known(self) -> tuple[Tensor, Tensor]:
        """The images that have labels, and these: the first ones of each class."""
        labels = torch.arange(self.images.classes, device=self.device).repeat(EACH)
        return self.images.examples(labels), labels

    def game(self) -> mm.Game:
        return mm.Game(encoder_loss, decoder_loss, style_loss, class_loss)

    def extras(self, stream: torch.Generator, size: int) -> dict[str, Tensor]:
        x, y = self.known
        index = torch.randint(len(y), (size,), generator=stream, device=self.device)
        return {"known": x[index], "classes": y[index]}

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        return {**super().evaluate(view), "accuracy": share(self.told(view) == self.images.test_labels)}

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        (x, y), test, truth = self.known, self.images.test, self.images.test_labels
        encoder = self.players(0)[0]
        twin = trained(nn.Sequential(encoder, Applied(itemgetter(1))), x, y, self.preset.steps)
        yield Floor("accuracy", "supervised", share(twin(test).argmax(1) == truth))
        rows, asked = x.flatten(1), test.flatten(1)
        yield Floor("accuracy", "logistic", share(logistic(rows, y, asked, self.images.classes) == truth))
        yield Floor("accuracy", "nearest", share(y[torch.cdist(asked, rows).argmin(1)] == truth))


def encoder_loss(enc: nn.Module, dec: nn.Module, d: nn.Module, e: nn.Module, batch: Batch) -> Tensor:
    """½E|x - Dec(z, y)|² + E softplus(-D(z)) + E softplus(-E(y)) + E CE(y(x), class of x), the latter where known."""
    return _aae.encoder_loss(enc, dec, d, e, batch) + cross_entropy(enc(batch["known"])[1], batch["classes"])
