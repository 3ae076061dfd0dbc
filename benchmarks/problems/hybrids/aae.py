from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm
from benchmarks.networks import MLP, Applied, Copier, MLPGenerator, seeded, squeeze
from benchmarks.problem import Batch, Floor, Metric, Pictures, Recipe, View
from benchmarks.problems._images import EVALUATION, PICTURES, ImageGAN, compared, presets
from benchmarks.problems.hybrids._principal import principal
from benchmarks.quality.distances import sliced_w2


class AAE(ImageGAN):
    """Adversarial autoencoder, unsupervised: codes that a critic of codes cannot tell from the prior N(0, I).

    The decoder minimises ½E|x - Dec(Enc(x))|², the encoder that and E softplus(-D(Enc(x))), the critic
    E softplus(-D(z)) + E softplus(D(Enc(x))). Samples are Dec(z), z from the prior. `reconstruction`: of test images,
    E|x - Dec(Enc(x))|² a pixel; `code_w2`: the sliced Wasserstein-2 distance of their codes from the prior.

    Source: Makhzani et al., Adversarial Autoencoders, 2016; there with two updates of the encoder, one a loss.
    """

    name = "aae"
    presets = presets(1500, latent=(2, 8, 8, 8))
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)))

    def players(self, seed: int) -> tuple[Any, ...]:
        shape, width, latent = (self.images.channels, self.images.size), self.option["width"], self.option["latent"]

        def build() -> tuple[nn.Module, ...]:
            encoder = nn.Sequential(nn.Flatten(), MLP((shape[0] * shape[1] ** 2, width, width, latent)))
            critic = nn.Sequential(MLP((latent, width, width, 1), lambda: nn.LeakyReLU(0.2)), Applied(squeeze))
            return encoder, MLPGenerator(latent, *shape, width), critic

        return tuple(module.to(self.device) for module in seeded(seed, build))

    def game(self) -> mm.Game:
        return mm.Game(encoder_loss, decoder_loss, critic_loss)

    @property
    def metrics(self) -> Sequence[Metric]:
        return *self.scored("kid"), Metric("reconstruction", range=(0, 4)), Metric("code_w2", range=(0, math.inf))

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        encoder, decoder, _ = view.players
        x, noise = self.images.test, self.noise(self.generator(view.seed, EVALUATION), self.samples)
        code = encoder(x)
        return {
            **self.score(decoder(noise)),
            "reconstruction": float((x - decoder(code)).square().mean()),
            "code_w2": sliced_w2(noise, code[: self.samples]),
        }

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        train, test = self.images.train, self.images.test
        for what, back in (("mean", train.mean(0)), ("pca", principal(train, test, self.option["latent"]))):
            yield Floor("reconstruction", what, float((test - back).square().mean()))
        one, two = (self.noise(self.generator(0, draw), self.samples) for draw in (EVALUATION, PICTURES))
        yield Floor("code_w2", "prior", sliced_w2(one, two))

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A decoder that hands out training images; as it ignores codes it reconstructs nothing."""
        encoder, _, critic = self.players(seed)
        return encoder, Copier(self.images.train), critic

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        encoder, decoder, _ = view.players
        x = self.images.test[:32]
        both = compared({"image": x, "decoded": decoder(encoder(x))}, "test images encoded and decoded")
        return {**self.drawn(decoder, view.seed), "reconstructions": both}


def encoder_loss(enc: nn.Module, dec: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """½E|x - Dec(Enc(x))|² + E softplus(-D(Enc(x)))."""
    x, code = batch["real"], enc(batch["real"])
    return (x - dec(code)).flatten(1).square().sum(1).mean() / 2 + softplus(-d(code)).mean()


def decoder_loss(enc: nn.Module, dec: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """½E|x - Dec(Enc(x))|²."""
    x = batch["real"]
    return (x - dec(enc(x))).flatten(1).square().sum(1).mean() / 2


def critic_loss(enc: nn.Module, dec: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(-D(z)) + E softplus(D(Enc(x)))."""
    return softplus(-d(batch["noise"])).mean() + softplus(d(enc(batch["real"]))).mean()
