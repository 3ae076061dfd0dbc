"""Semi-supervised VAEs: their bounds against exact likelihoods, torch's distributions, and each other."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import cross_entropy, one_hot

from benchmarks.networks import Applied
from benchmarks.problem import View
from benchmarks.problems.vaes import _semi, m2, siddharth
from benchmarks.problems.vaes.siddharth import Drawn
from benchmarks.quality.likelihood import estimate

F64 = torch.float64
SEEDS = st.integers(0, 10**6)


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    m2.M2.prepare(None, None, download=False)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


# ------------------------------------------------------------------------------------------------------------------- M2


@given(SEEDS)
def test_m2_best_classifier_is_the_softmax_of_the_bounds(seed: int) -> None:
    bounds, other = normal(seed, 2, 6, 10)
    bounds = 5 * bounds
    best = m2.cost(bounds, bounds.log_softmax(1))
    torch.testing.assert_close(best, -bounds.logsumexp(1))
    log_q = other.log_softmax(1)
    # What another classifier costs on top is its divergence from that one.
    apart = (log_q.exp() * (log_q - bounds.log_softmax(1))).sum(1)
    torch.testing.assert_close(m2.cost(bounds, log_q), best + apart)


def test_m2_of_labels_alone_is_a_conditional_vae() -> None:
    """-L(x, y) = log p(y) + log p(x|y, z) - KL(q(z|x, y) ‖ N(0, I)), by torch's distributions."""
    it = m2.M2("smoke")
    (model,) = it.players(0)
    model = model.double()
    x, told = (each[:7] for each in it.told(0))
    x, y, noise = x.double(), told.double(), normal(0, 7, 2)
    mean, log_var = model.encoder(torch.cat((x.flatten(1), y), 1)).chunk(2, 1)
    q = Normal(mean, (log_var / 2).exp())
    told_x = model.decoder(torch.cat((q.mean + q.stddev * noise, y), 1))
    p = Normal(told_x, (model.log_var / 2).exp())
    expected = p.log_prob(x.flatten(1)).sum(1) - kl_divergence(q, Normal(0 * mean, 1.0)).sum(1)
    torch.testing.assert_close(model.bound(x, noise, y) + math.log(10), expected)


def test_m2_loss_is_the_sum_of_its_parts() -> None:
    it = m2.M2("smoke")
    (model,) = it.players(0)
    batch = it.batch(0, 0)
    x, y, noise, blur = batch["known"], batch["told"].int().argmax(1), batch["noise"], batch["blur"]
    log_q = model.classifier(batch["real"] + blur[0]).log_softmax(1)
    every = [model.bound(batch["real"], noise[0], one_hot(torch.full((16,), k), 10).float()) for k in range(10)]
    unknown = m2.cost(torch.stack(every, 1), log_q).mean()
    labelled = -model.bound(x, noise[1], one_hot(y, 10).float()).mean()
    expected = unknown + 100 / 1200 * labelled + 10 * cross_entropy(model.classifier(x + blur[1]), y)
    torch.testing.assert_close(it.game().losses((model,), batch)[0], expected)


class Linear(m2.Model):
    """x = m_y + W z + s ε in float64, W (pixels, latent), with the exact posterior of z for encoder."""

    def __init__(self, means: Tensor, w: Tensor, log_var: float) -> None:
        pixels, latent = w.shape
        super().__init__(len(means), torch.Size((1, 1, pixels)), 2, latent)
        self.log_var = torch.nn.Parameter(torch.tensor(log_var, dtype=F64), requires_grad=False)
        inverse = torch.linalg.inv(torch.eye(latent, dtype=F64) + w.T @ w / math.exp(log_var))
        assert (inverse - inverse.diag().diag()).abs().max() < 1e-9  # a diagonal posterior is exact
        back = inverse @ w.T / math.exp(log_var)

        def encode(both: Tensor) -> Tensor:
            x, y = both[:, :pixels], both[:, pixels:]
            mean = (x - y @ means) @ back.T
            return torch.cat((mean, inverse.diag().log().expand_as(mean)), 1)

        self.decoder = Applied(lambda both: both[:, latent:] @ means + both[:, :latent] @ w.T)
        self.encoder = Applied(encode)


def test_m2_of_labels_alone_and_linear_is_ppca_within_classes() -> None:
    """Its best mean log p(x|y) is that of principal components of x less the mean of its class: every weight is p."""
    classes, n, d, latent = 3, 60, 6, 2
    y = torch.arange(n) % classes
    x = 3 * normal(1, classes, d)[y] + normal(2, n, d) @ torch.diag(torch.tensor([3.0, 2, 1, 0.5, 0.5, 0.5], dtype=F64))
    means = torch.stack([x[y == k].mean(0) for k in range(classes)])
    values, vectors = torch.linalg.eigh((x - means[y]).T @ (x - means[y]) / n)
    kept, rest = values[-latent:], values[:-latent].mean()
    w = vectors[:, -latent:] * (kept - rest).sqrt()
    model = Linear(means, w, float(rest.log()))
    best = -(d * math.log(2 * math.pi) + kept.log().sum() + (d - latent) * rest.log() + d) / 2
    x, told = x[:, None, None], one_hot(y, classes).double()
    draws = torch.stack([model.joint(x, normal(seed, n, latent), told) for seed in range(3)])
    assert draws.std(0).max() < 1e-9  # the posterior is exact
    assert float(draws.mean()) + math.log(classes) == pytest.approx(float(best), abs=1e-9)
    # And so log p(x), of which the class is not told, is that of the mixture.
    found = estimate(model.weights(x, normal(9, 4, n, latent)))
    covariance = w @ w.T + rest * torch.eye(d, dtype=F64)
    mixture = torch.stack([torch.distributions.MultivariateNormal(m, covariance).log_prob(x[:, 0, 0]) for m in means])
    torch.testing.assert_close(found.log, (mixture - math.log(classes)).logsumexp(0))
    assert found.error < 1e-9


def test_m2_bound_is_one_on_the_joint_likelihood() -> None:
    it = m2.M2("smoke")
    (model,) = it.players(0)
    x, y = it.images.test[:3], torch.eye(10)[:3]
    noise = torch.randn(4000, 3, 2)
    with torch.no_grad():
        bound = torch.stack([model.bound(x, one, y) for one in noise[:400]]).mean(0)
        # log p(x, y) by draws from the prior, of which a decoder this flat needs few
        exact = torch.stack([model.told(x, y, one) for one in noise])
    log_joint = exact.logsumexp(0) - math.log(4000)
    assert (bound < log_joint).all() and (bound > log_joint - 10).all()


@pytest.mark.parametrize("kind", [m2.M2, siddharth.Siddharth])
def test_gains_are_over_models_of_the_same_labels(kind: type[_semi.SemiSupervised]) -> None:
    it = kind("cpu")
    it.preset = replace(it.preset, steps=150)
    scores = it.evaluate(View(it.perfect(100), None, 100))
    assert scores["accuracy"] > 0.97
    assert scores["gain"] == pytest.approx(scores["accuracy"] - it.linear(100))
    assert scores["gain_twin"] == pytest.approx(scores["accuracy"] - it.twin(100))
    assert 0.8 < it.twin(100) < 0.97 and 0.8 < it.linear(100) < 0.97


# ------------------------------------------------------------------------------------------------------------ Siddharth


def masks(seed: int, rows: int, classes: int) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    told = torch.rand(rows, classes, generator=stream) < 0.5
    return told | one_hot(torch.randint(classes, (rows,), generator=stream), classes).bool()


@given(SEEDS, st.integers(1, 4), st.floats(0, 20))
def test_siddharth_in_the_graph_of_m2_is_m2(seed: int, draws: int, α: float) -> None:
    """-U(x) where nothing is told, -L(x, y) + α log q(y|x) where all is, and what lies between where some is."""
    joint, log_q = normal(seed, draws, 5, 4), normal(seed + 1, 5, 4).log_softmax(1)
    drawn = Drawn(joint - log_q, log_q.expand(draws, 5, 4))
    bounds = joint.mean(0)  # -L(x, y) for all y, on these draws
    every = torch.ones(5, 4, dtype=torch.bool)
    torch.testing.assert_close(siddharth.bound(drawn, every, α), -m2.cost(bounds, log_q))
    y = torch.arange(5) % 4
    one = siddharth.bound(drawn, one_hot(y, 4).bool(), α)
    torch.testing.assert_close(one, (bounds + α * log_q).gather(1, y[:, None])[:, 0])
    told = masks(seed, 5, 4)
    inside = log_q.masked_fill(~told, -math.inf)
    conditional = inside.log_softmax(1)
    some = -m2.cost(bounds.where(told, 0.0), conditional.where(told, -1e9)) + α * inside.logsumexp(1)
    torch.testing.assert_close(siddharth.bound(drawn, told, α), some)


@given(SEEDS)
def test_siddharth_bounds_what_is_told_and_reaches_it_at_the_posterior(seed: int) -> None:
    """z on eight atoms, drawn with all of them once: log p(x, y in A) at q(y|x, z) = p(y|x, z), and less elsewhere."""
    atoms, classes = 8, 4
    other = normal(seed, atoms, 3, classes).log_softmax(2)
    posterior, log_p = normal(seed + 1, atoms, 3, classes).log_softmax(2), normal(seed + 2, 3)
    # q(z|x) = p(z|x) = 1/8, so log p(x, y, z)/q(z|x) = log p(x) + log p(y|x, z).
    joint, told = log_p[:, None] + posterior, masks(seed, 3, classes)
    exact = joint.masked_fill(~told, -math.inf).logsumexp((0, 2)) - math.log(atoms)
    torch.testing.assert_close(siddharth.bound(Drawn(joint - posterior, posterior), told), exact)
    assert (siddharth.bound(Drawn(joint - other, other), told) <= exact + 1e-9).all()


def test_siddharth_draws_what_it_says() -> None:
    """The ratio and the weight of its draws, by torch's distributions."""
    it = siddharth.Siddharth("smoke")
    model = it.players(0)[0].double()
    x, noise = it.images.test[:5].double(), normal(0, 3, 5, 2)
    drawn = model.drawings(x, noise)
    mean, log_var = model.encoder(x.flatten(1)).chunk(2, 1)
    q = Normal(mean, (log_var / 2).exp())
    for s in range(3):
        z = q.mean + q.stddev * noise[s]
        log_q = model.classifier(torch.cat((x.flatten(1), z), 1)).log_softmax(1)
        torch.testing.assert_close(drawn.weight[s], log_q)
        for k in range(10):
            y = torch.eye(10, dtype=F64)[k].expand(5, -1)
            p = Normal(model.decoder(torch.cat((z, y), 1)), (model.log_var / 2).exp()).log_prob(x.flatten(1)).sum(1)
            joint = p - math.log(10) + Normal(0.0, 1.0).log_prob(z).sum(1)
            torch.testing.assert_close(drawn.ratio[s, :, k], joint - q.log_prob(z).sum(1) - log_q[:, k])
    torch.testing.assert_close(model.tell(x, noise), drawn.weight.exp().mean(0).log())


def test_siddharth_is_told_labels_and_hints_that_hold() -> None:
    it = siddharth.Siddharth("smoke")
    x, told = it.told(100)
    count = told.sum(1)
    assert count[:50].tolist() == [1] * 50 and len(told) == 250 and count.max() == 5
    assert set(count[50:].tolist()) == {2, 3, 5}  # even or odd, low or high: five; both: two or three
    for image, classes in zip(x, told, strict=True):
        same = (it.images.train == image).flatten(1).all(1)
        assert classes[it.images.train_labels[same]].all()
    assert len(x.flatten(1).unique(dim=0)) > 245  # digits has a few images twice


def test_surprise_of_one_class_is_cross_entropy() -> None:
    logits, y = normal(0, 6, 4), torch.arange(6) % 4
    torch.testing.assert_close(_semi.surprise(logits, one_hot(y, 4).bool()), cross_entropy(logits, y, reduction="none"))
