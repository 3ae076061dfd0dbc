import math

import pytest
import torch

from benchmarks.problems.gans import gan
from benchmarks.problems.vaes import vae


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    vae.VAE.prepare(None, None, download=False)


def test_vae_bounds() -> None:
    it = vae.VAE("smoke")
    (model,) = it.players(0)
    x, one = it.images.test[:8], it.noise(it.generator(0, 0), 400, 8)
    weight = vae.log_weights(model, x, one).detach()
    # The mean over all groups of k draws grows with k, by Jensen's inequality and without a doubt.
    bound = [float((weight.unflatten(0, (400 // k, k)).logsumexp(1) - math.log(k)).mean()) for k in (1, 20, 400)]
    assert bound == sorted(bound) and bound[0] < bound[2]
    # At one draw the bound is an estimate of the ELBO, the loss that is trained.
    batch = {"real": x.repeat(400, 1, 1, 1), "noise": one.flatten(0, 1)}
    assert float(weight.mean()) == pytest.approx(-vae.negative_elbo(model, batch).item(), abs=0.05)


def test_vae_weights_are_constant_at_the_exact_posterior() -> None:
    it = vae.VAE("smoke")
    (model,) = it.players(0)
    with torch.no_grad():  # a decoder that ignores z has the prior as its posterior
        for net in (model.encoder.net, model.decoder.net[0]):
            net[-1].weight.zero_()
            net[-1].bias.zero_()
    weight = vae.log_weights(model, it.images.test[:4], it.noise(it.generator(0, 0), 7, 4))
    assert torch.allclose(weight, torch.full_like(weight, -64 * math.log(2)))


def test_vae_sees_binary_images() -> None:
    it = vae.VAE("smoke")
    grey = gan.GAN("smoke").images.test
    assert set(it.images.test.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(it.images.test > 0, (grey + 1) * 8 > 8)


def test_vae_states_its_target() -> None:
    headline = vae.VAE("cpu").headline
    assert (headline.name, headline.unit, headline.aim) == ("nll", "nats", "<= 17.9")
