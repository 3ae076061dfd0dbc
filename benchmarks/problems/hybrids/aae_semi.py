from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, cached_property
from operator import itemgetter
from statistics import mean
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import minimax as mm
from benchmarks.networks import Applied
from benchmarks.problem import Batch, Floor, Memory, Metric, View
from benchmarks.problems._images import presets
from benchmarks.problems._labels import FLOORS, Labelled
from benchmarks.problems.hybrids import _aae
from benchmarks.problems.hybrids._aae import Sorted, class_loss, decoder_loss, style_loss
from benchmarks.quality.labels import share
from benchmarks.quality.reference import trained


class SemiSupervisedAAE(Labelled, Sorted):
    """Adversarial autoencoder whose encoder tells style and class, told the class of ten images of each.

    A critic D compares styles with N(0, I), another, E, probabilities of the classes, + .3 ε, with classes one-hot,
    + .3 ε, all as probable. The decoder minimises ½E|x - Dec(z(x), y(x))|², the encoder that, E softplus(-D(z(x))),
    5 E softplus(-E(y(x) + .3 ε)), and the cross-entropy of y over images with labels, which the seed chooses. `gain`:
    by how much its accuracy on test images exceeds that of the same encoder, trained from the same weights on the
    labels alone.
    `agreement`: the share of samples that a classifier takes for what was asked for.

    Differs from the source in the noise and the weight of E.

    Source: Makhzani et al., Adversarial Autoencoders, 2016, section 4.
    """

    name = "aae-semi"
    version = 3
    leading = (
        Metric("accuracy", "higher", range=(0, 1), headline=True),
        Metric("gain", "higher", range=(-1, 1)),
    )
    asked = True
    datasets = ("digits", "mnist", "fashion-mnist")
    # A style of eight numbers says which class it is of, and the decoder does not listen to the class.
    presets = presets(1500, latent=(2, 3, 8, 8))
    targets: ClassVar[Mapping[str, float]] = {"gain": 0.0}

    @cached_property
    def twin(self) -> Callable[[int], float]:
        """Of a seed, the accuracy of the twin, which is trained once."""
        return cache(self.supervised)

    def supervised(self, seed: int) -> float:
        """Train the encoder of a seed on its labels alone, and see how it does on test images."""
        net = nn.Sequential(self.players(seed)[0], Applied(itemgetter(1)))
        twin = trained(net, *self.known(seed), self.preset.steps, seed)
        with torch.no_grad():
            return share(twin(self.images.test).argmax(1) == self.images.test_labels)

    def game(self) -> mm.Game:
        return mm.Game(encoder_loss, decoder_loss, style_loss, class_loss)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size, (x, y) = self.generator(seed, draw), self.preset.batch, self.known(seed)
        real, labels = self.images.batch(stream, size)
        noise, index = self.noise(stream, size), torch.randint(len(y), (size,), generator=stream, device=self.device)
        known = {"known": x[index], "classes": y[index]}
        return {"real": real, "labels": labels, "noise": noise, **known, **self.extras(stream, size)}

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        accuracy = share(self.told(view) == self.images.test_labels)
        return {**super().evaluate(view), "accuracy": accuracy, "gain": accuracy - self.twin(view.seed)}

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        yield from self.simple()
        yield Floor("accuracy", "supervised", mean(map(self.twin, FLOORS)))


def encoder_loss(enc: nn.Module, dec: nn.Module, d: nn.Module, e: nn.Module, batch: Batch) -> Tensor:
    """½E|x - Dec(z, y)|² + E softplus(-D(z)) + 5 E softplus(-E(y + .3 ε)) + E CE(y(x), its class), where known."""
    return _aae.encoder_loss(enc, dec, d, e, batch) + cross_entropy(enc(batch["known"])[1], batch["classes"])
