from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks.problem import Batch, Floor, Metric, View
from benchmarks.problems._images import presets
from benchmarks.problems._labels import Admitting
from benchmarks.problems.hybrids._aae import Sorted, class_loss, distance, fooled, style_loss
from benchmarks.quality.labels import code_accuracy
from benchmarks.quality.reference import k_means

WEIGHT = 10.0  # of what clusters cost the encoder that do not look like the prior


class ClusteringAAE(Admitting, Sorted):
    """Adversarial autoencoder whose encoder tells style and cluster, of as many clusters as classes, without labels.

    Decoder and critic see the probabilities y of the clusters with noise, y + .5 ε: without it, y is a code of numbers
    like the style, by which the decoder tells images apart, and says no cluster. A critic D compares styles with
    N(0, I), another, E, y + .5 ε with clusters one-hot, all as probable, + .5 ε. The decoder minimises
    ½E|x - Dec(z(x), y(x) + .5 ε)|², the encoder that, E softplus(-D(z(x))) and 10 E softplus(-E(y(x) + .5 ε)).
    `code_accuracy`: of test images, under the best matching of clusters to classes, beside k-means'.

    Differs from the source, which has more clusters than classes, no noise, and the same weight for both critics.

    Source: Makhzani et al., Adversarial Autoencoders, 2016, section 5.
    """

    name = "aae-clustering"
    version = 3
    blur = 0.5
    leading = (Metric("code_accuracy", "higher", range=(0, 1), headline=True),)
    presets = presets(1500, latent=(2, 4, 8, 8))

    def game(self) -> mm.Game:
        return mm.Game(encoder_loss, decoder_loss, style_loss, class_loss)

    def extras(self, stream: torch.Generator, size: int) -> dict[str, Tensor]:
        fog = self.blur * torch.randn(size, self.images.classes, generator=stream, device=self.device)
        return {**super().extras(stream, size), "fog": fog}

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        matched = code_accuracy(self.told(view), self.images.test_labels, self.images.classes)
        return {**super().evaluate(view), "code_accuracy": matched}

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        classes = self.images.classes
        clusters = k_means(self.images.train.flatten(1), self.images.test.flatten(1), classes)
        yield Floor("code_accuracy", "k-means", code_accuracy(clusters, self.images.test_labels, classes))


def encoder_loss(enc: nn.Module, dec: nn.Module, d: nn.Module, e: nn.Module, batch: Batch) -> Tensor:
    """½E|x - Dec(z, y + .5 ε)|² + E softplus(-D(z)) + 10 E softplus(-E(y + .5 ε))."""
    style, logits = told = enc(batch["real"])
    error = distance(batch["real"], dec(foggy(told, batch)))
    return error + fooled(d, style) + WEIGHT * fooled(e, logits.softmax(1) + batch["blur"][0])


def decoder_loss(enc: nn.Module, dec: nn.Module, d: nn.Module, e: nn.Module, batch: Batch) -> Tensor:
    """½E|x - Dec(z, y + .5 ε)|²."""
    return distance(batch["real"], dec(foggy(enc(batch["real"]), batch)))


def foggy(told: tuple[Tensor, Tensor], batch: Batch) -> Tensor:
    """The code (z, y + .5 ε), from style and logits."""
    return torch.cat((told[0], told[1].softmax(1) + batch["fog"]), dim=1)
