from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from benchmarks.problem import Batch
from benchmarks.problems._gaussian import Gaussian
from benchmarks.problems.vaes._variational import Parts, Variational, presets
from benchmarks.quality.likelihood import whole


class IWAE(Variational):
    """Importance-weighted autoencoder of binarised images, K = 5, one player: minimise -E log (1/K) Σ_k w_k.

    w_k = p(x|z_k) p(z_k) / q(z_k|x), z_k ~ q(z|x). At K = 1 it is the VAE's loss with a draw in place of the exact KL;
    it falls with K, towards -log p(x). Beside its noise the encoder's gradient fades as 1/√K, while the decoder's
    gains. With as many draws at every K, `nll` compares with the VAE's.

    Source: Burda, Grosse & Salakhutdinov, Importance Weighted Autoencoders, 2016; Rainforth et al., Tighter Variational
    Bounds are Not Necessarily Better, 2018.
    """

    name = "iwae"
    K: ClassVar[int] = 5
    presets = presets(2000)

    def extras(self, stream: torch.Generator, size: int) -> dict[str, Tensor]:
        return {"noise": self.noise(stream, whole(self.K), size)}

    def loss(self, parts: Parts, batch: Batch) -> Tensor:
        """-E log (1/K) Σ_k w_k."""
        x, given, noise = batch["real"], batch["given"], batch["noise"]
        q, p = self.posterior(parts, x, given), self.prior(parts, given)
        z = q.at(noise)
        weights = self.likeliness(parts, x, given, z) + p.log(z) - q.log(z)
        return math.log(len(noise)) - weights.logsumexp(0).mean()


class IWAE1(IWAE):
    """The same at K = 1, a VAE whose KL is by the draw."""

    name = "iwae-1"
    K = 1


class IWAE50(IWAE):
    """The same at K = 50."""

    name = "iwae-50"
    K = 50


class DoublyReparametrised(IWAE):
    """The same bound at K = 5, with an encoder's gradient that does not fade: Σ_k w̃_k² ∂log w_k/∂z_k ∂z_k/∂φ.

    w̃ are the weights' shares. It has the mean of `iwae`'s gradient, and stands out from its noise the more the larger K
    is; there is none where q is the exact posterior. The decoder's gradient is `iwae`'s. One forward pass of the
    decoder more, for the shares.

    Source: Tucker, Lawson, Gu & Maddison, Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives, 2019.
    """

    name = "iwae-dreg"
    leaves_out = "how the shares move with the encoder, which is nothing on average"

    def loss(self, parts: Parts, batch: Batch) -> Tensor:
        """-E log (1/K) Σ_k w_k, and the gradient above."""
        x, given, noise = batch["real"], batch["given"], batch["noise"]
        q, p = self.posterior(parts, x, given), self.prior(parts, given)
        still = Gaussian(q.mean.detach(), q.log_var.detach())
        z = q.at(noise)

        def weights(z: Tensor) -> Tensor:
            return self.likeliness(parts, x, given, z) + p.log(z) - still.log(z)

        fixed = weights(z.detach()).detach()
        share = fixed.softmax(0)
        slowed = z.detach() + share[..., None] * (z - z.detach())  # one w̃ by z, the other by the sum below
        slope = (share * weights(slowed)).sum(0).mean()
        return math.log(len(noise)) - fixed.logsumexp(0).mean() - (slope - slope.detach())
