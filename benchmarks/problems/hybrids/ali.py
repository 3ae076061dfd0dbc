from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm
from benchmarks.networks import MLP, MLPEncoder, NormedGenerator, seeded, squeeze
from benchmarks.problem import Batch, Floor, Metric, Pictures, Recipe, View
from benchmarks.problems._gaussian import sampled
from benchmarks.problems._images import EVALUATION, ImageGAN, compared, presets
from benchmarks.problems._principal import principal


class ALI(ImageGAN):
    """Adversarially learned inference: an encoder and a decoder whose pairs (x, E(x)), (G(z), z) are to be alike.

    D minimises E softplus(-D(x, E(x))) + E softplus(D(G(z), z)); encoder and decoder, one player, want the opposite of
    both: E softplus(D(x, E(x))) + E softplus(-D(G(z), z)). E(x) ~ N(mean, std²) is sampled, z ~ N(0, I).

    Nothing here asks for faithful reconstructions: equal joint laws leave open how much z says of x, the conditional
    entropies may be anything. So `reconstruction`, E|x - G(mean(x))|² a pixel, is read beside PCA's, and is no target.

    Source: Dumoulin et al., Adversarially Learned Inference, 2017; Donahue, Krähenbühl & Darrell, 2017 (BiGAN).
    """

    name = "ali"
    presets = presets(2000)
    # The source's rate is 1e-4.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(5e-4, betas=(0.5, 0.999)), ema=100)

    def players(self, seed: int) -> tuple[Any, ...]:
        shape, width, latent = (self.images.channels, self.images.size), self.option["width"], self.option["latent"]

        def build() -> tuple[nn.Module, nn.Module]:
            encoder, decoder = MLPEncoder(*shape, width, latent), NormedGenerator(latent, *shape, width)
            return nn.ModuleDict({"encoder": encoder, "decoder": decoder}), PairCritic(*shape, width, latent)

        return tuple(module.to(self.device) for module in seeded(seed, build))

    def game(self) -> mm.Game:
        return mm.Game(coder_loss, critic_loss)

    def extras(self, stream: torch.Generator, size: int) -> dict[str, Tensor]:
        return {"posterior": self.noise(stream, size)}

    @property
    def metrics(self) -> Sequence[Metric]:
        return *self.scored("kid"), Metric("reconstruction", range=(0, 4))

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        coder, x = view.players[0], self.images.test
        fake = coder["decoder"](self.noise(self.generator(view.seed, EVALUATION), self.samples))
        return {**self.score(fake), "reconstruction": error(x, coder["decoder"](coder["encoder"](x)[0]))}

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        train, test = self.images.train, self.images.test
        yield Floor("reconstruction", "mean", error(test, train.mean(0)))
        yield Floor("reconstruction", "pca", error(test, principal(train, test, self.option["latent"])))

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A decoder that hands out training images; as it ignores codes it reconstructs nothing."""
        copier, critic = super().perfect(seed)
        return {"encoder": self.players(seed)[0]["encoder"], "decoder": copier}, critic

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        coder, x = view.players[0], self.images.test[:32]
        back = coder["decoder"](coder["encoder"](x)[0])
        both = compared({"image": x, "decoded": back}, "test images encoded and decoded")
        return {**self.drawn(coder["decoder"], view.seed), "reconstructions": both}


class PairCritic(nn.Module):
    """Two hidden layers with slope .2, on pixels and code: (batch, channels, size, size) and (batch, latent)."""

    def __init__(self, channels: int, size: int, width: int, latent: int) -> None:
        super().__init__()
        self.net = MLP((channels * size**2 + latent, width, width, 1), lambda: nn.LeakyReLU(0.2))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return squeeze(self.net(torch.cat((x.flatten(1), z), dim=1)))


def error(x: Tensor, back: Tensor) -> float:
    """E|x - back|², a pixel."""
    return float((x - back).square().mean())


def judged(coder: nn.ModuleDict, d: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """D of encoded and of decoded pairs, each (batch,)."""
    mean, log_var = coder["encoder"](batch["real"])
    encoded = sampled(mean, log_var, batch["posterior"])
    return d(batch["real"], encoded), d(coder["decoder"](batch["noise"]), batch["noise"])


def coder_loss(coder: nn.ModuleDict, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(D(x, E(x))) + E softplus(-D(G(z), z))."""
    encoded, decoded = judged(coder, d, batch)
    return softplus(encoded).mean() + softplus(-decoded).mean()


def critic_loss(coder: nn.ModuleDict, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(-D(x, E(x))) + E softplus(D(G(z), z))."""
    encoded, decoded = judged(coder, d, batch)
    return softplus(-encoded).mean() + softplus(decoded).mean()
