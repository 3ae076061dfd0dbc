"""What the adversarial autoencoders share: codes of a style, and of a class where a problem has one, and their losses.

A style (batch, latent) comes first in a code, a class (batch, classes), one-hot or probabilities, follows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, pad, softplus

import minimax as mm
from benchmarks.networks import MLP, Applied, Copier, MLPGenerator, seeded, squeeze
from benchmarks.problem import Batch, Floor, Metric, Pictures, Recipe, View
from benchmarks.problems._images import EVALUATION, PICTURES, ImageGAN, compared, presets
from benchmarks.problems._principal import principal
from benchmarks.quality.distances import sliced_w2

WEIGHT = 5.0  # of what classes cost the encoder that do not look like the prior


class Coded(ImageGAN):
    """An autoencoder of which critics compare the codes with their prior; players are encoder, decoder, and critics.

    `reconstruction`: of test images, E|x - Dec(code)|² a pixel; `code_w2`: the sliced Wasserstein-2 distance of their
    styles from N(0, I).
    """

    leading: ClassVar[tuple[Metric, ...]] = ()
    """What leads, where it is not how good samples are."""
    presets = presets(1500, latent=(2, 8, 8, 8))
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)))

    def build(self) -> tuple[nn.Module, ...]:
        """New players, from the global random numbers."""
        latent = self.option["latent"]
        encoder, critic = self.encoder(latent), self.critic(latent)
        return encoder, self.decoder(latent), critic

    def players(self, seed: int) -> tuple[Any, ...]:
        return tuple(module.to(self.device) for module in seeded(seed, self.build))

    def encoder(self, outputs: int) -> nn.Module:
        """Images to so many numbers."""
        pixels, width = self.images.channels * self.images.size**2, self.option["width"]
        return nn.Sequential(nn.Flatten(), MLP((pixels, width, width, outputs)))

    def decoder(self, inputs: int) -> nn.Module:
        """So many numbers to images."""
        return MLPGenerator(inputs, self.images.channels, self.images.size, self.option["width"])

    def critic(self, inputs: int) -> nn.Module:
        """So many numbers to logits (batch,)."""
        width = self.option["width"]
        return nn.Sequential(MLP((inputs, width, width, 1), lambda: nn.LeakyReLU(0.2)), Applied(squeeze))

    def coded(self, encoder: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
        """The codes of images of these classes."""
        return encoder(x)

    @property
    def metrics(self) -> Sequence[Metric]:
        return self.aimed(*self.leading, *self.scored("" if self.leading else "kid"), *self.coding)

    @property
    def coding(self) -> Sequence[Metric]:
        """How good the codes are."""
        return Metric("reconstruction", range=(0, 4)), Metric("code_w2", range=(0, math.inf))

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        encoder, decoder = view.players[:2]
        x, noise = self.images.test, self.noise(self.generator(view.seed, EVALUATION), self.samples)
        code, latent = self.coded(encoder, x, self.images.test_labels), self.option["latent"]
        return {
            **self.score(decoder(noise), noise[:, latent:].argmax(1) if self.asked else None),
            "reconstruction": float((x - decoder(code)).square().mean()),
            "code_w2": sliced_w2(noise[:, :latent], code[: self.samples, :latent]),
        }

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        train, test, latent = self.images.train, self.images.test, self.option["latent"]
        for what, back in (("mean", train.mean(0)), ("pca", principal(train, test, latent))):
            yield Floor("reconstruction", what, float((test - back).square().mean()))
        one, two = (self.noise(self.generator(0, draw), self.samples)[:, :latent] for draw in (EVALUATION, PICTURES))
        yield Floor("code_w2", "prior", sliced_w2(one, two))

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A decoder that hands out training images; as it ignores codes it reconstructs nothing."""
        encoder, _, *critics = self.players(seed)
        return encoder, Copier(self.images.train), *critics

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        encoder, decoder = view.players[:2]
        x = self.images.test[:32]
        back = decoder(self.coded(encoder, x, self.images.test_labels[:32]))
        both = compared({"image": x, "decoded": back}, "test images encoded and decoded")
        return {**self.drawn(decoder, view.seed), "reconstructions": both}


class Classed(Coded):
    """A decoder of style and class, of which the prior is N(0, I) beside one of the classes, all as probable."""

    def noise(self, stream: torch.Generator, size: int) -> Tensor:
        """A style and a class, one-hot, side by side."""
        y = torch.randint(self.images.classes, (size,), generator=stream, device=self.device)
        return torch.cat((super().noise(stream, size), one_hot(y, self.images.classes)), dim=1)

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A decoder that hands out training images of the class."""
        encoder, _, *critics = super().perfect(seed)
        latent = self.option["latent"]
        return encoder, Applied(lambda code: self.images.examples(code[:, latent:].argmax(1))), *critics


class Sorted(Classed):
    """An encoder that tells the class as well, and a critic each for style and class: four players.

    The critic of the class sees classes with noise, and weighs more than that of the style. Without noise it is so
    steep between the classes that it sends all images to one of them, where the softmax has no slope left to bring them
    back; with less weight the probabilities of classes become numbers to tell images apart by, as a style's are.
    """

    blur: ClassVar[float] = 0.3
    """The standard deviation of that noise."""

    def build(self) -> tuple[nn.Module, ...]:
        latent, classes = self.option["latent"], self.images.classes
        encoder = Sorter(self.encoder(latent + classes), latent)
        return encoder, self.decoder(latent + classes), self.critic(latent), self.critic(classes)

    def game(self) -> mm.Game:
        return mm.Game(encoder_loss, decoder_loss, style_loss, class_loss)

    def extras(self, stream: torch.Generator, size: int) -> dict[str, Tensor]:
        noise = torch.randn(2, size, self.images.classes, generator=stream, device=self.device)
        return {"blur": self.blur * noise}

    def coded(self, encoder: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
        return code(encoder(x))

    def told(self, view: View) -> Tensor:
        """The classes, or clusters, of the test images."""
        return view.players[0](self.images.test)[1].argmax(1)

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """That, and an encoder with the classifier of the feature space, which has seen all labels."""
        _, decoder, *critics = super().perfect(seed)
        latent = self.option["latent"]
        told = Applied(lambda x: pad(self.classifier.read(x)[1].log(), (latent, 0)))
        return Sorter(told, latent), decoder, *critics


class Sorter(nn.Module):
    """Images to style (batch, latent) and logits of the class (batch, classes)."""

    def __init__(self, net: nn.Module, latent: int) -> None:
        super().__init__()
        self.net, self.latent = net, latent

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out = self.net(x)
        return out[:, : self.latent], out[:, self.latent :]


def code(told: tuple[Tensor, Tensor]) -> Tensor:
    """Style and probabilities of the class, side by side, from style and logits."""
    return torch.cat((told[0], told[1].softmax(1)), dim=1)


def distance(x: Tensor, back: Tensor) -> Tensor:
    """½E|x - back|², summed over the pixels."""
    return (x - back).flatten(1).square().sum(1).mean() / 2


def fooled(d: nn.Module, z: Tensor) -> Tensor:
    """E softplus(-D(z)), what codes cost that are to look like the prior."""
    return softplus(-d(z)).mean()


def verdict(d: nn.Module, prior: Tensor, z: Tensor) -> Tensor:
    """E softplus(-D(prior)) + E softplus(D(z)), the critic's."""
    return softplus(-d(prior)).mean() + softplus(d(z)).mean()


def encoder_loss(enc: nn.Module, dec: nn.Module, d: nn.Module, e: nn.Module, batch: Batch) -> Tensor:
    """½E|x - Dec(z, y)|² + E softplus(-D(z)) + 5 E softplus(-E(y + .3 ε)), z and y what the encoder makes of x."""
    style, logits = told = enc(batch["real"])
    seen = logits.softmax(1) + batch["blur"][0]
    return distance(batch["real"], dec(code(told))) + fooled(d, style) + WEIGHT * fooled(e, seen)


def decoder_loss(enc: nn.Module, dec: nn.Module, d: nn.Module, e: nn.Module, batch: Batch) -> Tensor:
    """½E|x - Dec(z, y)|²."""
    return distance(batch["real"], dec(code(enc(batch["real"]))))


def style_loss(enc: nn.Module, dec: nn.Module, d: nn.Module, e: nn.Module, batch: Batch) -> Tensor:
    """E softplus(-D(z)), z ~ N(0, I), + E softplus(D(z(x)))."""
    style, _ = enc(batch["real"])
    return verdict(d, batch["noise"][:, : style.shape[1]], style)


def class_loss(enc: nn.Module, dec: nn.Module, d: nn.Module, e: nn.Module, batch: Batch) -> Tensor:
    """E softplus(-E(y + ε)), y one of the classes, + E softplus(E(y(x) + ε)), with the noise that the batch holds."""
    style, logits = enc(batch["real"])
    seen, other = batch["blur"]
    return verdict(e, batch["noise"][:, style.shape[1] :] + other, logits.softmax(1) + seen)
