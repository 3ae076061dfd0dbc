from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm
from benchmarks.networks import MLP, Copier, MLPEncoder, NormedGenerator, seeded, squeeze
from benchmarks.problem import Batch, Floor, Metric, Pictures, Recipe, View
from benchmarks.problems._gaussian import divergence, sampled
from benchmarks.problems._images import EVALUATION, ImageGAN, compared, presets
from benchmarks.problems._principal import principal

GAMMA = 0.1  # what a reconstruction weighs beside the critic in the decoder's loss


class VAEGAN(ImageGAN):
    """VAE whose reconstructions are compared by features f of a critic: encoder, decoder and critic, three players.

    With L_feat = ½E|f(x) - f(Dec(z))|², z ~ q(z|x), and z_p ~ N(0, I), the encoder minimises KL(q(z|x) ‖ N(0, I)) +
    L_feat, the decoder γ L_feat + E softplus(-D(Dec(z))) + E softplus(-D(Dec(z_p))), γ = .1, and the critic E softplus(
    -D(x)) + E softplus(D(Dec(z))) + E softplus(D(Dec(z_p))). So L_feat does not move the critic, nor the critic's
    verdict the encoder. `reconstruction`: E|x - Dec(mean(x))|² a pixel.

    Differs from the source in the decoder's adversarial term, which there is the negative of the critic's loss.

    Source: Larsen, Sønderby, Larochelle & Winther, Autoencoding beyond pixels using a learned similarity metric, 2016.
    """

    name = "vae-gan"
    presets = presets(1500, latent=(4, 16, 32, 128))
    # The source's rule is RMSprop at 3e-4.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)), ema=50)

    def players(self, seed: int) -> tuple[Any, ...]:
        shape, width, latent = (self.images.channels, self.images.size), self.option["width"], self.option["latent"]

        def build() -> tuple[nn.Module, ...]:
            coders = MLPEncoder(*shape, width, latent), NormedGenerator(latent, *shape, width)
            return *coders, FeatureCritic(*shape, width)

        return tuple(module.to(self.device) for module in seeded(seed, build))

    def game(self) -> mm.Game:
        return mm.Game(encoder_loss, decoder_loss, critic_loss)

    def extras(self, stream: torch.Generator, size: int) -> dict[str, Tensor]:
        return {"posterior": self.noise(stream, size)}

    @property
    def metrics(self) -> Sequence[Metric]:
        return *self.scored("kid"), Metric("reconstruction", range=(0, 4))

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        encoder, decoder, _ = view.players
        x, noise = self.images.test, self.noise(self.generator(view.seed, EVALUATION), self.samples)
        error = (x - decoder(encoder(x)[0])).square().mean()
        return {**self.score(decoder(noise)), "reconstruction": float(error)}

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        train, test = self.images.train, self.images.test
        for what, back in (("mean", train.mean(0)), ("pca", principal(train, test, self.option["latent"]))):
            yield Floor("reconstruction", what, float((test - back).square().mean()))

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A decoder that hands out training images; as it ignores codes it reconstructs nothing."""
        encoder, _, critic = self.players(seed)
        return encoder, Copier(self.images.train), critic

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        encoder, decoder, _ = view.players
        x = self.images.test[:32]
        both = compared({"image": x, "decoded": decoder(encoder(x)[0])}, "test images encoded and decoded")
        return {**self.drawn(decoder, view.seed), "reconstructions": both}


class FeatureCritic(nn.Module):
    """A hidden layer for features and one for the verdict, slope .2: images to logits (batch,)."""

    def __init__(self, channels: int, size: int, width: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, width), nn.LeakyReLU(0.2))
        self.head = MLP((width, width, 1), lambda: nn.LeakyReLU(0.2))

    def forward(self, x: Tensor) -> Tensor:
        return squeeze(self.head(self.features(x)))


def difference(d: FeatureCritic, x: Tensor, back: Tensor) -> Tensor:
    """L_feat = ½E|f(x) - f(back)|², summed over the features."""
    return (d.features(x) - d.features(back)).square().sum(1).mean() / 2


def encoder_loss(enc: nn.Module, dec: nn.Module, dis: FeatureCritic, batch: Batch) -> Tensor:
    """KL(q(z|x) ‖ N(0, I)) + L_feat."""
    mean, log_var = enc(batch["real"])
    back = dec(sampled(mean, log_var, batch["posterior"]))
    return divergence(mean, log_var).mean() + difference(dis, batch["real"], back)


def decoder_loss(enc: nn.Module, dec: nn.Module, dis: FeatureCritic, batch: Batch) -> Tensor:
    """γ L_feat + E softplus(-D(Dec(z))) + E softplus(-D(Dec(z_p)))."""
    mean, log_var = enc(batch["real"])
    back, fake = dec(sampled(mean, log_var, batch["posterior"])), dec(batch["noise"])
    fooled = softplus(-dis(back)).mean() + softplus(-dis(fake)).mean()
    return GAMMA * difference(dis, batch["real"], back) + fooled


def critic_loss(enc: nn.Module, dec: nn.Module, dis: FeatureCritic, batch: Batch) -> Tensor:
    """E softplus(-D(x)) + E softplus(D(Dec(z))) + E softplus(D(Dec(z_p)))."""
    mean, log_var = enc(batch["real"])
    back, fake = dec(sampled(mean, log_var, batch["posterior"])), dec(batch["noise"])
    return softplus(-dis(batch["real"])).mean() + softplus(dis(back)).mean() + softplus(dis(fake)).mean()
