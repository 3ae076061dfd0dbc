from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

import minimax as mm
from benchmarks.networks import Copier
from benchmarks.problem import Batch, Floor, Metric, View
from benchmarks.problems._images import presets
from benchmarks.problems._labels import Admitting
from benchmarks.problems._principal import coordinates
from benchmarks.problems.hybrids import _aae
from benchmarks.problems.hybrids._aae import Sorted, class_loss, encoder_loss, style_loss
from benchmarks.quality.labels import share

APART = 6.0  # how far the heads of two clusters are to be from each other, in standard deviations of a style


class PlaneAAE(Admitting, Sorted):
    """Adversarial autoencoder that draws images on a plane: at z + W y, z a style in two dimensions, y a cluster.

    The decoder sees z + W y alone, and minimises ½E|x - Dec(z(x) + W y(x))|² over its network and the heads W, (2,
    clusters), and what heads i and j, less than 6 apart, lack of that: Σ_{i<j} [6 - |W_i - W_j|]₊. A critic D compares
    styles with N(0, I), another, E, probabilities of the clusters, + .3 ε, with clusters one-hot, + .3 ε; the encoder
    minimises the distance of the images and E softplus(-D(z(x))) + 5 E softplus(-E(y(x) + .3 ε)). No label is used.
    `probe`: the share of test images whose nearest neighbour among the training images on the plane is of their class,
    beside that on the plane of the first two principal components.

    Differs from the source in the noise and the weight of E, without which images come to lie between the clusters.

    Source: Makhzani et al., Adversarial Autoencoders, 2016, section 6.
    """

    name = "aae-2d"
    version = 3
    leading = (Metric("probe", "higher", range=(0, 1), headline=True),)
    presets = presets(1500, latent=(2, 2, 2, 2))

    def decoder(self, inputs: int) -> nn.Module:
        latent = self.option["latent"]
        return Plane(super().decoder(latent), latent, inputs - latent)

    def game(self) -> mm.Game:
        return mm.Game(encoder_loss, decoder_loss, style_loss, class_loss)

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        encoder, decoder = view.players[:2]
        train, test = (decoder.place(_aae.code(encoder(x))) for x in (self.images.train, self.images.test))
        return {**super().evaluate(view), "probe": self.probe(train, test)}

    def probe(self, train: Tensor, test: Tensor) -> float:
        """How often the nearest of the training images' places has the class of a test image."""
        nearest = self.images.train_labels[torch.cdist(test, train).argmin(1)]
        return share(nearest == self.images.test_labels)

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        train, test = self.images.train, self.images.test
        yield Floor("probe", "pca", self.probe(*(coordinates(train, x, 2) for x in (train, test))))
        yield Floor("probe", "pixels", self.probe(train.flatten(1), test.flatten(1)))

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """An encoder with the classifier of the feature space, and a decoder that hands out training images."""
        sorter, _, *critics = super().perfect(seed)
        plane = self.players(seed)[1]
        plane.net = Copier(self.images.train)
        return sorter, plane, *critics


class Plane(nn.Module):
    """Codes to images by way of the plane; the heads are (latent, clusters)."""

    def __init__(self, net: nn.Module, latent: int, clusters: int) -> None:
        super().__init__()
        self.net, self.heads = net, nn.Parameter(torch.randn(latent, clusters))

    def place(self, code: Tensor) -> Tensor:
        """z + W y, (batch, latent)."""
        latent = len(self.heads)
        return code[:, :latent] + code[:, latent:] @ self.heads.T

    def forward(self, code: Tensor) -> Tensor:
        return self.net(self.place(code))


def lack(heads: Tensor) -> Tensor:
    """Σ_{i<j} [6 - |W_i - W_j|]₊ of heads (latent, clusters)."""
    i, j = torch.triu_indices(heads.shape[1], heads.shape[1], 1, device=heads.device)
    return relu(APART - (heads[:, i] - heads[:, j]).norm(dim=0)).sum()


def decoder_loss(enc: nn.Module, dec: Plane, d: nn.Module, e: nn.Module, batch: Batch) -> Tensor:
    """½E|x - Dec(z + W y)|² + Σ_{i<j} [6 - |W_i - W_j|]₊."""
    return _aae.decoder_loss(enc, dec, d, e, batch) + lack(dec.heads)
