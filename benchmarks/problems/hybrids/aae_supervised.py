from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

import minimax as mm
from benchmarks.problem import Batch, Metric
from benchmarks.problems._images import presets
from benchmarks.problems._labels import Admitting
from benchmarks.problems.hybrids._aae import Classed, distance, fooled, verdict


class SupervisedAAE(Admitting, Classed):
    """Adversarial autoencoder whose decoder is told the class: the code is what an image has beside it, its style.

    The decoder minimises ½E|x - Dec(Enc(x), y)|², the encoder that and E softplus(-D(Enc(x))), the critic
    E softplus(-D(z)) + E softplus(D(Enc(x))). Samples are Dec(z, y), z ~ N(0, I), the classes y uniform; `agreement`:
    the share of them that a classifier takes for what was asked for.

    Source: Makhzani et al., Adversarial Autoencoders, 2016, section 3.
    """

    name = "aae-supervised"
    asked = True
    # A style of eight numbers says which class it is of, and the decoder does not listen to the label.
    presets = presets(1500, latent=(2, 2, 8, 8))

    def build(self) -> tuple[nn.Module, ...]:
        latent = self.option["latent"]
        return self.encoder(latent), self.decoder(latent + self.images.classes), self.critic(latent)

    def game(self) -> mm.Game:
        classes = self.images.classes
        return mm.Game(
            lambda enc, dec, d, batch: encoder_loss(enc, dec, d, batch, classes),
            lambda enc, dec, d, batch: decoder_loss(enc, dec, d, batch, classes),
            critic_loss,
        )

    def coded(self, encoder: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
        return styled(encoder(x), labels, self.images.classes)

    @property
    def metrics(self) -> Sequence[Metric]:
        return self.aimed(*self.scored("agreement"), *self.coding)


def styled(style: Tensor, labels: Tensor, classes: int) -> Tensor:
    """A style and a class, one-hot, side by side."""
    return torch.cat((style, one_hot(labels, classes)), dim=1)


def encoder_loss(enc: nn.Module, dec: nn.Module, d: nn.Module, batch: Batch, classes: int) -> Tensor:
    """½E|x - Dec(Enc(x), y)|² + E softplus(-D(Enc(x)))."""
    return decoder_loss(enc, dec, d, batch, classes) + fooled(d, enc(batch["real"]))


def decoder_loss(enc: nn.Module, dec: nn.Module, d: nn.Module, batch: Batch, classes: int) -> Tensor:
    """½E|x - Dec(Enc(x), y)|²."""
    return distance(batch["real"], dec(styled(enc(batch["real"]), batch["labels"], classes)))


def critic_loss(enc: nn.Module, dec: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(-D(z)), z ~ N(0, I), + E softplus(D(Enc(x)))."""
    style = enc(batch["real"])
    return verdict(d, batch["noise"][:, : style.shape[1]], style)
