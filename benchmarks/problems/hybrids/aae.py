from __future__ import annotations

from torch import Tensor, nn

import minimax as mm
from benchmarks.problem import Batch
from benchmarks.problems.hybrids._aae import Coded, distance, fooled, verdict


class AAE(Coded):
    """Adversarial autoencoder, unsupervised: codes that a critic of codes cannot tell from the prior N(0, I).

    The decoder minimises ½E|x - Dec(Enc(x))|², the encoder that and E softplus(-D(Enc(x))), the critic
    E softplus(-D(z)) + E softplus(D(Enc(x))). Samples are Dec(z), z from the prior. `reconstruction`: of test images,
    E|x - Dec(Enc(x))|² a pixel; `code_w2`: the sliced Wasserstein-2 distance of their codes from the prior.

    Source: Makhzani et al., Adversarial Autoencoders, 2016; there with two updates of the encoder, one a loss.
    """

    name = "aae"

    def game(self) -> mm.Game:
        return mm.Game(encoder_loss, decoder_loss, critic_loss)


def encoder_loss(enc: nn.Module, dec: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """½E|x - Dec(Enc(x))|² + E softplus(-D(Enc(x)))."""
    code = enc(batch["real"])
    return distance(batch["real"], dec(code)) + fooled(d, code)


def decoder_loss(enc: nn.Module, dec: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """½E|x - Dec(Enc(x))|²."""
    return distance(batch["real"], dec(enc(batch["real"])))


def critic_loss(enc: nn.Module, dec: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(-D(z)) + E softplus(D(Enc(x)))."""
    return verdict(d, batch["noise"], enc(batch["real"]))
