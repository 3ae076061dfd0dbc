import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from benchmarks.problem import View
from benchmarks.problems._images import EVALUATION
from benchmarks.problems.conditional import infogan, sgan


def test_infogan_information_reaches_both_players() -> None:
    infogan.InfoGAN.prepare(None, None, download=False)
    it = infogan.InfoGAN("smoke")
    g, d = it.players(0)
    batch = it.batch(0, 0)
    category, uniform = infogan.codes(batch["noise"])
    assert torch.equal(category.sum(1), torch.ones(it.preset.batch)) and uniform.abs().max() <= 1
    # The rows of the last layer that make Q see a gradient from the critic's loss, and its trunk from the generator's.
    head = d.net[-1].weight
    (row,) = torch.autograd.grad(infogan.critic_loss(g, d, batch), head)
    assert row[1:].abs().sum() > 0
    told = infogan.ignorance(infogan.judged(d, g(batch["noise"]))[1], batch["noise"])
    assert torch.autograd.grad(told, g[0][0].weight)[0].abs().sum() > 0
    # Q that knows the codes leaves nothing to learn.
    known = torch.cat((1e3 * category, uniform), dim=1)
    assert infogan.ignorance(known, batch["noise"]).item() == pytest.approx(0.0, abs=1e-6)


def test_infogan_bound_of_a_uniform_code_wants_its_variance() -> None:
    """By quadrature over c, for the mean (1 - t)c + tc/2 of a Q that knows a part: the best variance is the error's."""
    c = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 5000 - 1

    def claimed(mean: Tensor, variance: float) -> float:
        return math.log(2) - math.log(2 * math.pi * variance) / 2 - float((c - mean).square().mean()) / (2 * variance)

    assert claimed(c, 1.0) == pytest.approx(-0.225791, abs=1e-6)  # unit variance, the code known
    assert claimed(0 * c, 1 / 3) == pytest.approx(-0.176485, abs=1e-6)  # -KL(U(-1, 1) || N(0, 1/3))
    for mean in (0 * c, 0.5 * c, 0.9 * c):
        error = (c - mean).square().mean()
        best = infogan.bound(error).item()
        assert claimed(mean, float(error)) == pytest.approx(best, abs=1e-9)
        assert max(claimed(mean, float(error) * factor) for factor in (0.9, 1.1)) < best


def test_infogan_reports_the_bound_of_what_its_critic_says() -> None:
    infogan.InfoGAN.prepare(None, None, download=False)
    it = infogan.InfoGAN("smoke")
    g, d = it.players(0)
    noise = it.noise(it.generator(0, EVALUATION), it.samples)
    with torch.no_grad():
        (_, means), (_, c) = infogan.codes(infogan.judged(d, g(noise))[1]), infogan.codes(noise)
    told = sum(math.log(2) - math.log(2 * math.pi * math.e * v) / 2 for v in (c - means).square().mean(0).tolist()) / 2
    assert it.evaluate(View((g, d), None, 0))["mi_continuous"] == pytest.approx(told, abs=1e-6)


STILL = [torch.zeros(3, 1, 1)]
"""No noise on the inputs of a critic, for images that are known, real and generated."""


def sorter(logits: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """A critic of sgan without layers that could take noise."""
    return lambda x, blur: logits(x)


def test_sgan_loss_is_cross_entropy_over_one_class_more() -> None:
    logits, y = torch.randn(50, 4, dtype=torch.float64), torch.arange(50) % 4
    s = logits.logsumexp(1)
    more = torch.cat((logits, torch.zeros(50, 1)), dim=1)
    parts = cross_entropy(logits, y) + softplus(-s).mean()
    torch.testing.assert_close(cross_entropy(more, y), parts)
    torch.testing.assert_close(cross_entropy(more, torch.full((50,), 4)), softplus(s).mean())
    batch = {"real": logits, "known": logits, "classes": y, "noise": logits[:7], "blur": STILL}
    loss = sgan.critic_loss(lambda noise: noise, sorter(lambda x: x), batch)
    supervised = cross_entropy(logits, y)
    unlabelled = 0.3 * (parts - supervised + softplus(s[:7]).mean() + sgan.entropy(logits).mean())
    torch.testing.assert_close(loss, supervised + unlabelled)


def sgan_slope(p: Tensor, q: Tensor, table: Tensor) -> Tensor:
    """The gradient of the critic's loss where p(x, k) has labels and all else, q(x) is generated; (points, classes)."""
    (real, known), (fake, _) = samples(2 * p), samples(torch.stack((2 * q, 0 * q)))
    batch = {"real": real, "known": real, "classes": known.argmax(1), "noise": fake, "blur": STILL}
    table = table.clone().requires_grad_()
    loss = sgan.critic_loss(lambda noise: noise, sorter(lambda x: x @ table), batch)
    return torch.autograd.grad(loss, table)[0]


def test_sgan_critic_at_its_best_is_the_log_ratio_where_classes_do_not_overlap() -> None:
    """There l_y = log p(x, y)/q(x), the other logit is -inf, and there is no entropy."""
    p = torch.tensor([[0.3, 0.2, 0.0], [0.0, 0.0, 0.5]], dtype=torch.float64)
    q = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    best = (p / q).log().clamp(min=-50).T
    assert sgan_slope(p, q, best).abs().max() < 1e-12
    assert sgan_slope(p, q, best + 0.1).abs().max() > 1e-3


def test_sgan_entropy_sharpens_what_overlaps() -> None:
    """Softmax(l) = r rests where p(y|x) = r - .3 r (log r + H(r)), s where it did: r = .763484 for p = .7."""
    p = torch.tensor([[0.35, 0.1, 0.05], [0.15, 0.1, 0.25]], dtype=torch.float64)
    q = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)

    def sharpened(r: float) -> float:
        entropy = -r * math.log(r) - (1 - r) * math.log(1 - r)
        return r - 0.3 * r * (math.log(r) + entropy)

    r = torch.tensor([brentq(lambda r, y=y: sharpened(r) - y, 1e-9, 1 - 1e-9) for y in (p[0] / p.sum(0)).tolist()])
    assert r[0] == pytest.approx(0.763484, abs=1e-6)
    ratio = (p.sum(0) / q).log()
    best = torch.stack((r, 1 - r), dim=1).log() + ratio[:, None]
    assert sgan_slope(p, q, best).abs().max() < 1e-6
    assert sgan_slope(p, q, (p / q).log().T).abs().max() > 1e-2


def test_sgan_generator_asks_for_equal_means_and_no_more() -> None:
    real, fake = torch.tensor([[-1.0], [1.0]]), torch.zeros(2, 1)
    critic = sgan.Sorter(1, 1, 4, 2)
    critic.features = lambda x, blur: x
    batch = {"real": real, "noise": fake, "blur": STILL}
    assert sgan.generator_loss(lambda noise: noise, critic, batch) == 0
    assert sgan.generator_loss(lambda noise: noise, critic, {**batch, "noise": fake + 1}) == 1


def test_sgan_critic_takes_noise_at_every_layer_and_none_when_asked() -> None:
    critic = sgan.Sorter(1, 2, 3, 5)
    x, sizes = torch.randn(7, 1, 2, 2), (4, 3, 3)
    plain = critic(x)
    torch.testing.assert_close(critic(x, [torch.zeros(7, size) for size in sizes]), plain)
    torch.testing.assert_close(critic(0 * x, [x.flatten(1), torch.zeros(7, 3), torch.zeros(7, 3)]), plain)
    for layer in range(3):
        blur = [torch.full((7, size), float(i == layer)) for i, size in enumerate(sizes)]
        assert (critic(x, blur) - plain).abs().max() > 1e-4


def test_sgan_is_read_beside_its_supervised_twin() -> None:
    sgan.SemiSupervisedGAN.prepare(None, None, download=False)
    it = sgan.SemiSupervisedGAN("cpu")
    it.preset = replace(it.preset, steps=300)
    (x, y), (other, _) = it.known(0), it.known(1)
    assert y.bincount().tolist() == [10] * 10 and not torch.equal(x, other)
    batch = it.batch(0, 0)
    for blur, deviation in zip(batch["blur"], sgan.NOISE, strict=True):
        assert blur.std().item() == pytest.approx(deviation, rel=0.05)
    assert 0.85 < it.twin(0) < 0.97
    # A critic that nobody trained loses against the twin by what it misses.
    players = it.players(0)
    scores = it.evaluate(View(players, None, 0))
    assert scores["gain"] == pytest.approx(scores["accuracy"] - it.twin(0))
    floors = {floor.what: floor.value for floor in it.floors() if floor.metric == "accuracy"}
    assert floors["supervised"] == pytest.approx(sum(map(it.twin, range(3))) / 3)
    assert 0.8 < floors["nearest"] < 0.93 and 0.8 < floors["logistic"] < 0.93
