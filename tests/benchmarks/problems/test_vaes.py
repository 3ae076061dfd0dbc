import math

import pytest
import torch

from benchmarks.problems import _gaussian
from benchmarks.problems.gans import gan
from benchmarks.problems.vaes import m2, vae


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


def test_m2_best_classifier_is_the_softmax_of_the_bounds() -> None:
    bounds = torch.randn(6, 10, dtype=torch.float64)
    best = m2.cost(bounds, bounds.log_softmax(1))
    torch.testing.assert_close(best, -bounds.logsumexp(1))
    assert (m2.cost(bounds, torch.randn(6, 10, dtype=torch.float64).log_softmax(1)) > best).all()


def test_m2_bound_is_one_on_the_joint_likelihood() -> None:
    it = m2.M2("smoke")
    (model,) = it.players(0)
    x, y = it.known[0][:3], torch.eye(10)[:3]
    noise = torch.randn(4000, 3, 2)
    with torch.no_grad():
        bound = torch.stack([model.bound(x, y, one) for one in noise[:400]]).mean(0)
        # log p(x, y) by draws from the prior, of which a decoder this flat needs few
        exact = torch.stack([_gaussian.bernoulli(model.decoded(y, one), x) for one in noise])
    log_joint = exact.logsumexp(0) - math.log(4000) - math.log(10)
    assert (bound < log_joint).all() and (bound > log_joint - 5).all()


def test_m2_knows_ten_labels_a_class_and_says_what_they_are_worth() -> None:
    it = m2.M2("cpu")
    assert it.known[1].bincount().tolist() == [10] * 10
    floors = {floor.what: floor.value for floor in it.floors() if floor.metric == "accuracy"}
    assert 0.85 < floors["logistic"] < 0.93 and 0.8 < floors["nearest"] < 0.93
