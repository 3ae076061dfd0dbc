from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property, partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from benchmarks.networks import MLP, seeded
from benchmarks.problem import Batch, Floor, Pictures, View
from benchmarks.problems._gaussian import Gaussian
from benchmarks.problems._images import PICTURES, compared
from benchmarks.problems.vaes._variational import Parts, Seen, Variational, first, presets
from benchmarks.quality.reference import bernoulli_regression_nll

ORDER = ((1, 0), (0, 0), (1, 1))  # of the quadrants that are shown, (row, column): lower left, upper left, lower right
SHARE = 0.5  # of the VAE's loss in the hybrid one


class Quadrant(Variational):
    """Conditional VAE that completes binarised images y from some quadrants x: -E_q log p(y|x, z) + KL(q ‖ p(z|x)).

    q(z|x, y) and the prior p(z|x) are Gaussians by networks, p(y|x, z) is a product of Bernoullis; one player. All
    scores are of p(y|x), in nats a completion, with y what is hidden; samples are completions of test images. `nn` is a
    network from x to independent pixels of y, which knows no z, and `logistic` the same without a hidden layer.

    Differs from the source in that p(y|x, z) sees x itself, not the guess of that network.

    Source: Sohn, Lee & Yan, Learning Structured Output Representation using Deep Conditional Generative Models, 2015.
    """

    shown: ClassVar[int]
    """How many quadrants are shown: the lower left one, the left half, all but the upper right one."""
    invented = False
    presets = presets(1000)

    @cached_property
    def hidden(self) -> Tensor:
        """Which pixels are hidden, (channels * side * side,)."""
        side = self.images.size
        mask = torch.ones(self.images.channels, side, side, dtype=torch.bool, device=self.device)
        for row, column in ORDER[: self.shown]:
            rows, columns = (slice(at * (side // 2), side if at else side // 2) for at in (row, column))
            mask[:, rows, columns] = False
        return mask.flatten()

    @property
    def sizes(self) -> tuple[int, int]:
        """How many pixels are shown, and how many are hidden."""
        count = int(self.hidden.sum())
        return len(self.hidden) - count, count

    def encoder(self) -> nn.Module:
        width = self.option["width"]
        return MLP((sum(self.sizes), width, width, 2 * self.option["latent"]))

    def decoder(self) -> nn.Module:
        return Completion(self.option["latent"], *self.sizes, self.option["width"])

    def seen(self, images: Tensor, labels: Tensor) -> Seen:
        rows = images.flatten(1)
        return Seen(rows[:, self.hidden], rows[:, ~self.hidden], labels)

    def whole(self, x: Tensor, given: Tensor) -> Tensor:
        rows = x.new_empty(len(x), len(self.hidden))
        rows[:, self.hidden], rows[:, ~self.hidden] = x, given
        return rows.unflatten(1, self.images.test.shape[1:])

    def posterior(self, parts: Parts, x: Tensor, given: Tensor) -> Gaussian:
        return Gaussian(*parts.encoder(torch.cat((x, given), dim=1)).chunk(2, dim=1))

    def prior(self, parts: Parts, given: Tensor) -> Gaussian:
        return Gaussian(*parts.decoder.prior(given).chunk(2, dim=1))

    def told(self, parts: Parts, z: Tensor, given: Tensor) -> Any:
        return parts.decoder(z, given)

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        y, x, _ = self.seen(self.images.train, self.images.train_labels)
        width, visible, hidden = self.option["width"], *self.sizes
        for what, sizes in (("nn", (visible, width, width, hidden)), ("logistic", (visible, hidden))):
            net = seeded(0, partial(MLP, sizes)).to(self.device)
            test = (self.tested.given, self.tested.real)
            yield Floor("nll", what, bernoulli_regression_nll(net, (x, y), test, self.preset.steps))

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        parts, (y, x, _) = self.parts(view.players), first(self.tested, 16)
        stream = self.generator(view.seed, PICTURES)

        def completed() -> Tensor:
            z = self.prior(parts, x).at(self.noise(stream, len(x)))
            return self.whole(self.likelihood.mean(self.told(parts, z, x)), x)

        rows = {"shown": self.whole(torch.zeros_like(y), x), "truth": self.whole(y, x)}
        rows |= {"one draw": completed(), "another": completed()}
        return {**super().pictures(view), "completions": compared(rows, "test images completed, by draws of z")}


class Completion(nn.Module):
    """p(z|x), and the hidden pixels of z and x: (batch, latent), (batch, shown) to logits (batch, hidden)."""

    def __init__(self, latent: int, shown: int, hidden: int, width: int) -> None:
        super().__init__()
        self.prior = MLP((shown, width, 2 * latent))
        self.net = MLP((latent + shown, width, width, hidden))

    def forward(self, z: Tensor, given: Tensor) -> Tensor:
        return self.net(torch.cat((z, given), dim=1))


class OneQuadrant(Quadrant):
    """The lower left quadrant is shown."""

    name = "cvae-quadrant-1"
    shown = 1
    targets: ClassVar[Mapping[str, float]] = {"nll": 12.95}


class TwoQuadrants(Quadrant):
    """The left half is shown."""

    name = "cvae-quadrant-2"
    shown = 2


class ThreeQuadrants(Quadrant):
    """All but the upper right quadrant is shown."""

    name = "cvae-quadrant-3"
    shown = 3


class HybridQuadrant(OneQuadrant):
    """With one quadrant, half the VAE's loss and half -E log p(y|x, z), z ~ p(z|x), by which samples are drawn.

    The source's hybrid of a VAE and a Gaussian stochastic network.
    """

    name = "cvae-quadrant-hybrid"
    targets: ClassVar[Mapping[str, float]] = {}

    def extras(self, stream: torch.Generator, size: int) -> dict[str, Tensor]:
        return {**super().extras(stream, size), "prior": self.noise(stream, size)}

    def loss(self, parts: Parts, batch: Batch) -> Tensor:
        """½ [-E_q log p(y|x, z) + KL(q ‖ p(z|x))] - ½ E_p log p(y|x, z)."""
        y, x = batch["real"], batch["given"]
        z = self.prior(parts, x).at(batch["prior"])
        stochastic = -self.likelihood.log(self.told(parts, z, x), y).mean()
        return SHARE * super().loss(parts, batch) + (1 - SHARE) * stochastic
