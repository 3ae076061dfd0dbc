from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm
from benchmarks.networks import MLP, Applied, seeded, squeeze
from benchmarks.problem import Batch, Memory, Metric, Recipe, View
from benchmarks.problems._images import EVALUATION
from benchmarks.problems.vaes._factors import Factored
from benchmarks.problems.vaes._variational import Coder

GAMMA = 6.0


class FactorVAE(Factored):
    """Variational autoencoder that is to have independent numbers in a code, as far as a critic can tell: two players.

    The critic tells codes z ~ q(z) from codes whose numbers come from different images each, z' ~ Π_j q(z_j): it
    minimises ½ E softplus(-D(z)) + ½ E softplus(D(z')), so that at its best D = log q(z) - log Π_j q(z_j). The
    autoencoder minimises -E_q log p(x|z) + KL(q(z|x) ‖ N(0, I)) + γ E D(z), γ = 6, of which the last term is then the
    total correlation KL(q(z) ‖ Π_j q(z_j)). The critic's loss does not move the encoder. z' is of other images than z.

    `tc`: E D(z) in nats on test images.

    Source: Kim & Mnih, Disentangling by Factorising, 2018.
    """

    name = "factor-vae"
    # The source's rates are 1e-4 each, and the momentum of the critic .5.
    recipe: ClassVar[Recipe] = Recipe((mm.adam(2e-3), mm.adam(1e-3, betas=(0.5, 0.9))), decay=True)

    def players(self, seed: int) -> tuple[Any, ...]:
        latent, width = self.option["latent"], self.option["width"]
        # The critic has weights of its own: from the same seed they would be those of the encoder.
        net = seeded(~seed, lambda: MLP((latent, width, width, 1), lambda: nn.LeakyReLU(0.2)))
        return *super().players(seed), nn.Sequential(net, Applied(squeeze)).to(self.device)

    def game(self) -> mm.Game:
        return mm.Game(self.coder_loss, self.critic_loss)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size = self.generator(seed, draw), 2 * self.preset.batch
        seen, noise = self.seen(*self.images.batch(stream, size)), self.noise(stream, size)
        both = {"real": seen.real, "given": seen.given, "noise": noise}
        one, other = ({name: each.chunk(2)[k] for name, each in both.items()} for k in (0, 1))
        order = torch.rand(other["noise"].shape, generator=stream, device=self.device).argsort(0)
        return {**one, "other": other, "order": order}

    def coder_loss(self, coder: Coder, critic: nn.Module, batch: Batch) -> Tensor:
        """-ELBO + γ E D(z)."""
        terms = self.terms(self.parts((coder,)), batch)
        return (terms.distortion + terms.rate.sum(-1) + GAMMA * critic(terms.z)).mean()

    def critic_loss(self, coder: Coder, critic: nn.Module, batch: Batch) -> Tensor:
        """½ E softplus(-D(z)) + ½ E softplus(D(z'))."""
        z, other = (
            self.posterior(self.parts((coder,)), b["real"], b["given"]).at(b["noise"]) for b in (batch, batch["other"])
        )
        return verdict(critic, z, other.gather(0, batch["order"]))

    @property
    def metrics(self) -> Sequence[Metric]:
        return *super().metrics, Metric("tc", None, "nats")

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        parts, (x, given, _) = self.parts(view.players), self.tested
        z = self.posterior(parts, x, given).at(self.noise(self.generator(view.seed, EVALUATION), len(x)))
        return {**super().evaluate(view), "tc": float(view.players[1](z).mean())}

    def perfect(self, seed: int) -> tuple[Any, ...]:
        return *super().perfect(seed), self.players(seed)[1]


def verdict(critic: nn.Module, z: Tensor, permuted: Tensor) -> Tensor:
    """½ E softplus(-D(z)) + ½ E softplus(D(z'))."""
    return (softplus(-critic(z)).mean() + softplus(critic(permuted)).mean()) / 2
