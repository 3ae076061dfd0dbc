from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from benchmarks.problems.vaes._variational import Variational, presets


class VAE(Variational):
    """Variational autoencoder of binarised images, one player: minimise -E_q log p(x|z) + KL(q(z|x) ‖ N(0, I)).

    p(x|z) is a product of Bernoullis, q(z|x) a diagonal Gaussian.

    Source: Kingma & Welling, Auto-Encoding Variational Bayes, 2014. Its rule is Adagrad; here Adam with a rate for
    short runs.
    """

    name = "vae"
    presets = presets(1300)
    targets: ClassVar[Mapping[str, float]] = {"nll": 17.9}


class SplitVAE(VAE):
    """The same, with encoder and decoder as two players who share the loss: a potential game; nothing rotates."""

    name = "vae-split"
    split = True
