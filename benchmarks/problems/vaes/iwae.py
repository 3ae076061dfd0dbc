from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from benchmarks.problem import Batch
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
